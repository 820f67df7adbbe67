"""Finds out, for `hdl doctor`, who we are to a Hadoop cluster and whether it lets us in; each step has a deadline.

The configuration and the ticket are read without Java. Only who we are is asked of the cluster itself, in a process of
its own, through the client that hdl would use.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from hdl import fs, hadoop_conf, hdfs_choice, identity, kerberos, programs
from hdl.errors import HdlError
from hdl.yarn.client import connection

ANSWER_SECONDS = 5.0  # until a daemon that listens has taken a connection
ASK_SECONDS = 60.0  # until the cluster has said who we are; Hadoop's client tries a refused ticket five times
SAID = "HDFS client", "hdfs-native", "YARN client", "YARN without Java"  # which client serves, or why not a quicker one
TICKET_SECONDS = 3600.0  # a ticket that ends sooner is told


class Step(NamedTuple):
    """Holds the outcome of one step.

    Attributes
    ----------
    name, found, fix : str
        As of a `Finding` of hdl.doctor.
    """

    name: str
    found: str
    fix: str = ""


def examine() -> list[Step]:
    """Find out what this machine's configuration of Hadoop leads to, and how we get in there."""
    folder = _folder()
    settings = hadoop_conf.read(folder) if folder else {}
    address = hadoop_conf.default(settings)
    if address.startswith("file:"):
        fix = "export HADOOP_CONF_DIR=FOLDER   (with the cluster's core-site.xml), or hdl cluster start"
        return [Step("configuration", "", fix)]
    secure = settings.get("hadoop.security.authentication", "simple").lower() == "kerberos"
    steps = [Step("configuration", str(folder)), Step("authentication", "kerberos" if secure else "simple")]
    if secure:
        steps += _kerberos()
    answering, reached = _file_system(address, settings)
    steps += reached
    return [*steps, *_ask(address)] if answering else steps


def _folder() -> Path | None:
    """Find the configuration folder, as Hadoop's commands do."""
    if given := hadoop_conf.folder():
        return Path(given)
    command = shutil.which("hadoop")
    return Path(command).resolve().parent.parent / "etc" / "hadoop" if command else None


def _kerberos() -> list[Step]:
    """Tell principal, realm and ticket, and where Java would look for it."""
    again = "kinit   (or --principal and --keytab of hdl's commands)"
    if not shutil.which("klist"):
        return [Step("ticket", "", f"{kerberos.TOOLS}   (klist shows the ticket, kinit gets one)")]
    found = kerberos.ticket()
    if found is None:
        named = os.environ.get("KRB5CCNAME")
        missing = f"none in KRB5CCNAME, {named}" if named else ""
        return [Step("ticket", missing, again)]
    until = f"until {kerberos.clock(found.end)}"
    if found.renewable_until:
        until += f", renewable until {kerberos.clock(found.renewable_until)}"
    steps = [
        Step("principal", found.principal),
        Step("realm", f"{found.realm} (its KDCs are in {kerberos.configuration()})"),
    ]
    if found.ended:
        return [*steps, Step("ticket", f"ended at {kerberos.clock(found.end)}", again)]
    fix = kerberos.unread_by_java(found)
    if not fix and found.left < TICKET_SECONDS and kerberos.given() is None:
        fix = f"{again}: it ends in {found.left / 60:.0f} min"
    return [*steps, Step("ticket", f"{until} ({found.cache})", fix)]


def _file_system(address: str, settings: Mapping[str, str]) -> tuple[bool, list[Step]]:
    """Look whether the default file system's daemons answer; of several NameNodes, each."""
    scheme, _, rest = address.partition("://")
    authority = rest.partition("/")[0]
    if wrong := hadoop_conf.wrong_name(scheme, authority, settings):
        return False, [Step("default file system", address, wrong)]
    nodes = hadoop_conf.name_nodes(scheme, authority, settings)
    if not nodes:
        return True, [Step("default file system", f"{address} (left to Hadoop's client)")]
    with ThreadPoolExecutor(len(nodes)) as pool:
        silent = [node for node, answers in zip(nodes, pool.map(_answers, nodes), strict=True) if not answers]
    found = address
    if len(nodes) > 1:
        shown = [f"{node}{' (silent)' if node in silent else ''}" for node in nodes]
        found += f" = {', '.join(shown)}"
    if len(silent) < len(nodes):
        return True, [Step("default file system", f"{found} answers")]
    fix = f"nobody listens at {', '.join(map(str, nodes))}: start the cluster, or set HADOOP_CONF_DIR to one that runs"
    return False, [Step("default file system", found, fix)]


def _answers(node: hadoop_conf.Address) -> bool:
    try:
        socket.create_connection(node, timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


def _ask(address: str) -> list[Step]:
    """Ask the cluster who we are, in a process of its own that a deadline can end."""
    root = "hdfs:///" if address.startswith("hdfs://") else f"{address.rstrip('/')}/"
    command = [sys.executable, "-c", f"from hdl import hadoop_access; hadoop_access.reach({root!r})"]
    try:
        done = programs.run(command, ASK_SECONDS, f"no answer within {ASK_SECONDS:g} s")
        said = json.loads(done.stdout.splitlines()[-1])
    except (HdlError, OSError) as error:
        said = {"error": str(error)}
    except (ValueError, IndexError):
        said = {"error": " ".join(done.stderr.split())[-300:] or f"status {done.returncode}"}
    steps = [Step(name, said[name]) for name in SAID if said.get(name)]
    if "error" in said:
        return [*steps, Step("user on the cluster", "not known", said["error"].removeprefix(f"{root}: "))]
    missing = "" if said["there"] else f"{said['home']} is missing, where hdl keeps its own: an administrator makes it"
    return [*steps, Step("user on the cluster", f"{said['user']}, home {said['home']}", missing)]


def reach(root: str) -> None:
    """Print, as JSON, the client that hdl uses for a file system, who we are there, our home and whether it is there.

    Parameters
    ----------
    root : str
        The file system's root.
    """
    said: dict[str, Any] = {}
    try:
        if root.startswith("hdfs://"):
            name, why = hdfs_choice.shown(root)
            said |= {"HDFS client": name, "hdfs-native": f"not used: {why}" if name and why else ""}
        fs.exists(root)
        if (folder := hadoop_conf.folder()) and Path(folder, "yarn-site.xml").exists():
            name, why = connection.shown()
            said |= {"YARN client": name, "YARN without Java": f"not used: {why}" if why else ""}
        said["home"] = identity.home(root)
        said["user"] = said["home"].rpartition("/")[2]
        said["there"] = fs.exists(said["home"])
    except (HdlError, OSError) as error:
        said["error"] = str(error) if isinstance(error, HdlError) or not error.strerror else error.strerror
    print(json.dumps(said), flush=True)
    os._exit(0)  # Java may still wait for a daemon
