"""Starts Java and YARN's two clients of a master in threads: Python imports the rest of the master meanwhile."""

from __future__ import annotations

from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hdl.yarn.resource_manager import java

CALLS = "org.apache.hadoop.yarn.client.api"
# A restarting ResourceManager is looked for each second, for as long as the cluster's own setting says. A node that
# does not answer is given up soon: a worker elsewhere is quicker.
PATIENT = {
    "yarn.resourcemanager.connect.retry-interval.ms": 1000,
    "yarn.client.nodemanager-connect.max-wait-ms": 10000,
    "yarn.client.nodemanager-connect.retry-interval-ms": 500,
    "ipc.client.connect.max.retries": 2,
    "ipc.client.connect.retry.interval": 500,
}


class Clients:
    """Starts Java, and YARN's two clients of a master: each loads a thousand classes.

    Attributes
    ----------
    pool : ThreadPoolExecutor
        For calls to nodes.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(4, thread_name_prefix="hdl-nodes")
        self._conf = self.pool.submit(self._begin)
        self._master = self.pool.submit(self._make, "AMRMClient")
        self._nodes = self.pool.submit(self._make_nodes)

    @property
    def conf(self) -> Any:
        """Wait for the cluster's configuration: Java runs then.

        Raises
        ------
        Unavailable
            Java, Hadoop or its configuration is missing.
        """
        return self._conf.result()

    @property
    def master(self) -> Any:
        """Wait for the ResourceManager's client.

        Raises
        ------
        HdlError
            It could not be started.
        """
        return self._master.result()

    @property
    def nodes(self) -> Any:
        """Wait for the nodes' client.

        Raises
        ------
        HdlError
            It could not be started.
        """
        return self._nodes.result()

    def _begin(self) -> Any:
        java.start()
        return java.configuration(PATIENT)

    def _make(self, name: str) -> Any:
        conf = self.conf
        with java.call(f"YARN's {name}"):
            client = getattr(java.load_class(f"{CALLS}.{name}"), f"create{name}")()
            client.init(conf)
            client.start()
        return client

    def _make_nodes(self) -> Any:
        """Make the nodes' client, after that which registers: there is nothing to tell a node of before."""
        futures.wait([self._master])
        client = self._make("NMClient")
        # Stopping containers when the client stops would be ours to do; the next attempt wants to find them.
        client.cleanupRunningContainersOnStop(False)
        return client
