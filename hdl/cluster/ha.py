"""Masters in pairs: the daemons that elect the active one, how both NameNodes get their first image, and who is active.

ZooKeeper elects; a controller (ZKFC) beside each NameNode, and each ResourceManager itself, takes part. What the active
NameNode changes goes to a JournalNode, from which the other one follows.
"""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from hdl.cluster import config, process, web
from hdl.cluster.config import ha
from hdl.cluster.masters import FORMAT_SECONDS, Masters
from hdl.errors import HdlError

if TYPE_CHECKING:
    from hdl.cluster.daemons import Cluster

BEAN = "Hadoop:service=NameNode,name=NameNodeStatus"


class Pair(Masters):
    """Is two NameNodes and two ResourceManagers, with what makes one of each the active one."""

    first = ("zookeeper", "journalnode")
    resource_managers = ("resourcemanager1", "resourcemanager2")
    name_nodes = ("namenode1", "namenode2", "zkfc1", "zkfc2")

    @property
    def uri(self) -> str:
        """The default file system, by the pair's name."""
        return f"hdfs://{ha.NAME}"

    def web(self) -> dict[str, str]:
        """Return the web addresses of the active masters; of the first one where none is."""
        return {kind: self.address(f"{kind}_web{self.active(kind) or 1}") for kind in ("namenode", "resourcemanager")}

    def active(self, kind: str) -> int | None:
        """Return the number of the active master of a kind; None while there is none."""
        return next((k for k in ha.NUMBERS if self.state(kind, k) == "active"), None)

    def state(self, kind: str, number: int) -> str:
        """Return ``active`` or ``standby``; empty for a master that does not answer, or is neither yet."""
        address, ticket = self.address(f"{kind}_web{number}"), None
        with suppress(HdlError):  # a stopped cluster gives no tickets
            ticket = self.ticket()
        if kind == "namenode":
            beans = (web.ask(f"{address}/jmx?qry={BEAN}", ticket) or {}).get("beans") or [{}]
            said = str(beans[0].get("State"))
        else:
            info = (web.ask(f"{address}/ws/v1/cluster/info", ticket) or {}).get("clusterInfo") or {}
            said = str(info.get("haState")).lower()
        return said if said in ("active", "standby") else ""

    def ready(self) -> bool:
        """Tell whether every master is active or stands by."""
        kinds = ("namenode", "resourcemanager")
        return all(self.state(kind, k) for kind in kinds for k in ha.NUMBERS)

    def formats(self, root: Path) -> dict[str, list[str]]:
        """Format ZooKeeper at each start, as elections and applications of the last one are over."""
        made = {"zkfc1": ["-formatZK", "-nonInteractive", "-force"]}
        if not (ha.name_folder(root, 1) / "current").exists():
            made["namenode1"] = ["-format", "-nonInteractive", "-force"]
        return made

    def format(self, cluster: Cluster) -> None:
        """Make ZooKeeper's entry, and the image of both NameNodes where there is none."""
        deadline = time.monotonic() + FORMAT_SECONDS
        for name in self.first:
            process.wait_listening(config.LOOPBACK, self.ports[name], cluster.daemons[name], deadline)
        super().format(cluster)
        first, second = (ha.name_folder(cluster.root, k) for k in ha.NUMBERS)
        if not second.exists():
            shutil.copytree(first, second)  # what -bootstrapStandby would fetch from a NameNode that runs


def active(cluster: Cluster, kind: str) -> str:
    """Name the active NameNode or ResourceManager of a pair, as `Cluster.kill` takes it; empty while none is.

    Parameters
    ----------
    cluster : Cluster
    kind : {'namenode', 'resourcemanager'}
    """
    number = Pair(cluster.ports, cluster.scheme, cluster.ticket).active(kind)
    return f"{kind}{number}" if number else ""
