"""Command lines of the daemons: a Java class each, and what only one daemon is told of the configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdl.cluster import config
from hdl.cluster.assemble import java_home, native_folder
from hdl.cluster.config import federation, ha

SERVER = "org.apache.hadoop.yarn.server"
CLASSES = {
    "namenode": "org.apache.hadoop.hdfs.server.namenode.NameNode",
    "datanode": "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "resourcemanager": f"{SERVER}.resourcemanager.ResourceManager",
    "nodemanager": f"{SERVER}.nodemanager.NodeManager",
    "zookeeper": "org.apache.zookeeper.server.ZooKeeperServerMain",
    "journalnode": "org.apache.hadoop.hdfs.qjournal.server.JournalNode",
    "zkfc": "org.apache.hadoop.hdfs.tools.DFSZKFailoverController",
    "kms": "org.apache.hadoop.crypto.key.kms.server.KMSWebServer",
    "historyserver": "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer",
}
JAVA_FLAGS = (
    "-Xmx192m", *config.QUICK_JAVA, "-XX:CICompilerCount=1",
    "--add-opens=java.base/java.lang=ALL-UNNAMED", "-Djava.net.preferIPv4Stack=true",
)  # fmt: skip


def kind_of(name: str) -> str:
    """Return a daemon's kind, a key of `CLASSES`, from its name.

    Examples
    --------
    >>> kind_of("datanode2"), kind_of("namenode")
    ('datanode', 'namenode')
    """
    return name.rstrip("0123456789")


def java_command(name: str, home: Path, root: Path, flags: Sequence[str] = ()) -> list[str]:
    """Make the command line that runs a daemon's class, without options of the daemon's own.

    Parameters
    ----------
    name : str
        Of the daemon, as `Cluster.names` lists it.
    home : Path
        HADOOP_HOME.
    root : Path
        The cluster's folder.
    flags : sequence of str
        For Java, beside `JAVA_FLAGS`.
    """
    logs, share = root / "logs", home / "share/hadoop"
    return [
        str(java_home() / "bin/java"), f"-Dproc_{name}", *JAVA_FLAGS, *flags,
        f"-Dhadoop.log.dir={logs}", f"-Dyarn.log.dir={logs}", f"-Dhadoop.home.dir={home}",
        f"-Djava.library.path={native_folder(home)}",
        "-cp", f"{root / 'conf'}:{share / 'hdfs'}:{share / 'lib'}/*", CLASSES[kind_of(name)],
    ]  # fmt: skip


def own_options(name: str, ports: dict[str, int], root: Path, options: dict) -> list[str]:
    """Make the options that set what only this daemon is told: a node's addresses and folders."""
    kind, number = kind_of(name), name[len(kind_of(name)) :]
    data = root / "data" / name
    if kind == "datanode":
        own: dict = {
            "dfs.datanode.data.dir": data,
            "dfs.datanode.hostname": config.node_host(int(number)),
            "dfs.datanode.http.address": f"127.0.0.{number}:0",  # WebHDFS sends on to the host, by that name
        }
    elif kind == "nodemanager":
        address, page = f"127.0.0.{number}", "https.address" if options.get("https") else "address"
        own = {
            "yarn.nodemanager.address": f"{address}:{ports[name]}",
            "yarn.nodemanager.localizer.address": f"{address}:0",
            f"yarn.nodemanager.webapp.{page}": f"{address}:{ports[f'{name}_web']}",
            "yarn.nodemanager.recovery.dir": data / config.NM_STATE,
            "yarn.nodemanager.hostname": config.node_host(int(number)),
            "yarn.nodemanager.local-dirs": data / "local",
            "yarn.nodemanager.log-dirs": root / "logs" / name,
        }
    elif kind == "zookeeper":
        return [str(ha.zookeeper_conf(root))]
    else:
        own = ha.own(kind, number) if options.get("ha") else {}
        own |= federation.own(kind, number) if options.get("federation") else {}
        if kind == "namenode" and options.get("kerberos"):
            own["hadoop.http.authentication.type"] = "kerberos"  # or WebHDFS knows nobody
    return [word for key, value in own.items() for word in ("-D", f"{key}={value}")]
