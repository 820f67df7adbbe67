"""``core-site.xml``: the default file system, and clients that report an absent daemon."""

from __future__ import annotations

from hdl.cluster.config.common import LOOPBACK, Layout, Site


def site(layout: Layout) -> Site:
    """Make the properties of ``core-site.xml``."""
    return {
        "fs.defaultFS": f"hdfs://{LOOPBACK}:{layout.ports['namenode']}",
        "hadoop.tmp.dir": layout.root / "data/tmp",
        "ipc.client.connect.max.retries": 5,  # with a second between: an absent daemon is reported, not waited for
        "ipc.client.connect.max.retries.on.timeouts": 2,
        "ipc.client.connect.timeout": 10000,
        "ipc.client.rpc-timeout.ms": 60000,
    }
