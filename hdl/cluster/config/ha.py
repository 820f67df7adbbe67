"""Changes the configuration for a pair of NameNodes and one of ResourceManagers.

The file system's name is written in upper and lower case, and its list with blanks, as companies do.
"""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config import kerberos
from hdl.cluster.config.common import LOOPBACK, Layout, Sites

NAME = "HdlPair"  # what clients call the pair of NameNodes: hdfs://HdlPair
NUMBERS = (1, 2)
RM_PORTS = ("resourcemanager", "scheduler", "tracker", "admin", "resourcemanager_web")
NN_PORTS = ("namenode", "namenode_web", "zkfc")
# One JournalNode and one ZooKeeper, where a company has three of each: what is tried here is that a master dies.
PORTS = (
    "zookeeper", "journalnode", "journalnode_web",
    *(f"{name}{k}" for name in NN_PORTS + RM_PORTS for k in NUMBERS),
)  # fmt: skip
TICK = 500  # ms of ZooKeeper: sessions last 2 to 20 of them
SESSION = 4000  # ms after which a ResourceManager that was killed is no longer the active one
HDFS, YARN = "dfs.namenode", "yarn.resourcemanager"


def vary(sites: Sites, layout: Layout) -> None:
    """Make a pair of each master, if the layout's option ``ha`` asks for it."""
    if not layout.options.get("ha"):
        return
    quorum = f"{LOOPBACK}:{layout.ports['zookeeper']}"
    sites["core"] |= {
        "fs.defaultFS": f"hdfs://{NAME}",
        "ha.zookeeper.quorum": quorum,
        "ha.zookeeper.session-timeout.ms": SESSION,
        "hadoop.zk.address": quorum,
        "hadoop.zk.timeout-ms": SESSION,
    }
    _name_nodes(sites["hdfs"], layout)
    if layout.options.get("kerberos"):  # the controllers are who their NameNodes are
        sites["hdfs"] |= {
            "dfs.journalnode.kerberos.principal": kerberos.principal("hdfs"),
            "dfs.journalnode.keytab.file": kerberos.keytab(layout.root, "hdfs"),
            "dfs.journalnode.kerberos.internal.spnego.principal": "*",
        }
    _resource_managers(sites["yarn"], layout)
    _write_zookeeper(layout)


def _name_nodes(site: dict, layout: Layout) -> None:
    for name in ("rpc-address", "http-address", "name.dir"):
        del site[f"{HDFS}.{name}"]
    for k in NUMBERS:
        site |= {
            f"{HDFS}.rpc-address.{NAME}.nn{k}": f"{LOOPBACK}:{layout.ports[f'namenode{k}']}",
            f"{HDFS}.http-address.{NAME}.nn{k}": f"{LOOPBACK}:{layout.ports[f'namenode_web{k}']}",
            f"{HDFS}.name.dir.{NAME}.nn{k}": name_folder(layout.root, k),
            f"dfs.ha.zkfc.port.{NAME}.nn{k}": layout.ports[f"zkfc{k}"],
        }
    site |= {
        "dfs.nameservices": f" {NAME} ,",
        f"dfs.ha.namenodes.{NAME}": " nn1, nn2",
        f"{HDFS}.shared.edits.dir": f"qjournal://{LOOPBACK}:{layout.ports['journalnode']}/{NAME}",
        "dfs.journalnode.rpc-address": f"{LOOPBACK}:{layout.ports['journalnode']}",
        "dfs.journalnode.http-address": f"{LOOPBACK}:{layout.ports['journalnode_web']}",
        "dfs.journalnode.edits.dir": layout.root / "data/journal",
        f"dfs.client.failover.proxy.provider.{NAME}":
            "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
        "dfs.ha.automatic-failover.enabled": "true",
        "dfs.ha.fencing.methods": "shell(/bin/true)",  # the one that is fenced was killed
        "dfs.ha.tail-edits.period": "1s",
    }  # fmt: skip


def _resource_managers(site: dict, layout: Layout) -> None:
    keys = ("address", "scheduler.address", "resource-tracker.address", "admin.address", "webapp.address")
    for key, port in zip(keys, RM_PORTS, strict=True):
        del site[f"{YARN}.{key}"]
        site |= {f"{YARN}.{key}.rm{k}": f"{LOOPBACK}:{layout.ports[f'{port}{k}']}" for k in NUMBERS}
    del site[f"{YARN}.hostname"], site[f"{YARN}.fs.state-store.uri"]
    site |= {
        **{f"{YARN}.hostname.rm{k}": LOOPBACK for k in NUMBERS},
        f"{YARN}.ha.enabled": "true",
        f"{YARN}.ha.rm-ids": "rm1,rm2",  # without a blank: with one the masters of MapReduce do not start
        f"{YARN}.cluster-id": NAME,
        f"{YARN}.store.class": "org.apache.hadoop.yarn.server.resourcemanager.recovery.ZKRMStateStore",
    }


def _write_zookeeper(layout: Layout) -> None:
    layout.conf.mkdir(parents=True, exist_ok=True)
    zookeeper_conf(layout.root).write_text(
        f"tickTime={TICK}\ndataDir={layout.root / 'data/zookeeper'}\nclientPortAddress={LOOPBACK}\n"
        f"clientPort={layout.ports['zookeeper']}\nadmin.enableServer=false\nmaxClientCnxns=0\n"
    )


def zookeeper_conf(root: Path) -> Path:
    """Return the file that configures ZooKeeper."""
    return root / "conf/zoo.cfg"


def name_folder(root: Path, number: int) -> Path:
    """Return the folder of one NameNode's image."""
    return root / f"data/name{number}"


def own(kind: str, number: str) -> dict[str, str]:
    """Give the properties by which a daemon of a pair knows which one it is."""
    if kind in ("namenode", "zkfc"):
        return {"dfs.ha.namenode.id": f"nn{number}"}
    return {f"{YARN}.ha.id": f"rm{number}"} if kind == "resourcemanager" else {}
