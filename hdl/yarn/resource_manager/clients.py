"""Starts Java and YARN's two clients of a master in threads: Python imports the rest of the master meanwhile."""

from __future__ import annotations

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
        self._master, self._nodes = (self.pool.submit(self._make, name) for name in ("AMRMClient", "NMClient"))

    @property
    def conf(self) -> Any:
        """Wait for the cluster's configuration: Java runs then.

        Raises
        ------
        Unavailable
            Java, Hadoop or its configuration is missing.
        """
        return self._conf.result()

    def both(self) -> tuple[Any, Any]:
        """Wait for the ResourceManager's and the nodes' client.

        Raises
        ------
        HdlError
            A client could not be started.
        """
        return self._master.result(), self._nodes.result()

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
