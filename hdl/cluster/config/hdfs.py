"""``hdfs-site.xml``: a small HDFS that notices a dead node in seconds."""

from __future__ import annotations

from hdl.cluster.config.common import LOOPBACK, Layout, Site


def site(layout: Layout) -> Site:
    """Make the properties of ``hdfs-site.xml``."""
    return {
        "dfs.replication": min(2, layout.options["datanodes"]),
        "dfs.namenode.rpc-address": f"{LOOPBACK}:{layout.ports['namenode']}",
        "dfs.namenode.http-address": f"{LOOPBACK}:{layout.ports['namenode_web']}",
        "dfs.namenode.name.dir": layout.root / "data/name",
        "dfs.namenode.datanode.registration.ip-hostname-check": "false",
        "dfs.namenode.fs-limits.min-block-size": 1024,  # tests cut small files into many blocks
        "dfs.namenode.handler.count": 4,
        "dfs.namenode.safemode.extension": 0,
        "dfs.namenode.redundancy.interval.seconds": 1,  # replicas that are too many go at once
        # A dead DataNode is known after 2·2 + 10·1 = 14 s, where the default takes ten minutes.
        "dfs.heartbeat.interval": 1,
        "dfs.namenode.heartbeat.recheck-interval": 2000,
        "dfs.datanode.address": f"{LOOPBACK}:0",
        "dfs.datanode.http.address": f"{LOOPBACK}:0",
        "dfs.datanode.ipc.address": f"{LOOPBACK}:0",
        "dfs.datanode.handler.count": 2,
        "dfs.client.block.write.replace-datanode-on-failure.policy": "NEVER",  # there is no third to replace with
        "dfs.blockreport.initialDelay": 0,
    }
