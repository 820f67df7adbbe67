"""Asks a cluster's masters for its state, over their web addresses."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hdl.cluster import web
from hdl.cluster.config import kerberos
from hdl.errors import HdlError

if TYPE_CHECKING:
    from hdl.cluster.daemons import Cluster


def of(cluster: Cluster) -> dict:
    """Ask what runs, and what the masters know; see `Cluster.status`."""
    names, ticket = cluster.web(), None
    with suppress(HdlError):  # a stopped cluster gives no tickets
        ticket = cluster.ticket()
    ask = partial(web.ask, ticket=ticket, authority=cluster.authority)
    bean = "Hadoop:service=NameNode,name=NameNodeInfo"
    beans = (ask(f"{names['namenode']}/jmx?qry={bean}") or {}).get("beans") or [{}]
    known = json.loads(beans[0].get("LiveNodes", "{}"))
    live = sorted(name for name, node in known.items() if int(node.get("lastContact", 0)) < 10)
    answer = ask(f"{names['resourcemanager']}/ws/v1/cluster/nodes") or {}
    nodes = (answer.get("nodes") or {}).get("node", [])
    running = sorted(node["id"] for node in nodes if node["state"] == "RUNNING")
    history = ask(f"{names['historyserver']}/ws/v1/history/info") is not None
    safe = beans[0].get("Safemode") if beans[0] else None  # "" once it is left, None while it does not answer
    daemons = {name: daemon.alive for name, daemon in cluster.daemons.items()}
    wanted = (cluster.options["datanodes"], cluster.options["nodemanagers"])
    masters = all(daemons.values()) and cluster.masters.ready()
    ready = safe == "" and history and (len(live), len(running)) == wanted and masters
    return {
        "ready": ready, "version": cluster.version, "dir": str(cluster.root), "uri": cluster.uri, "web": names,
        "safe_mode": bool(safe), "writable": safe == "", "datanodes": live, "nodemanagers": running,
        "history": history, "realm": kerberos.REALM if cluster.secure else None,
        "daemons": {name: {"alive": alive, "pid": cluster.daemons[name].pid, "log": cluster.daemons[name].log}
                    for name, alive in daemons.items()},
    }  # fmt: skip
