"""The configuration folder of a small cluster on one machine: quick to start, quick to notice, all on loopback."""

from __future__ import annotations

import random
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from xml.sax.saxutils import escape

from hdl.errors import Unavailable

LOOPBACK = "127.0.0.1"
# Ports under which others look for a daemon are fixed before it starts; DataNodes choose theirs and register.
PORTS = ("namenode", "namenode_web", "resourcemanager", "scheduler", "tracker", "admin", "resourcemanager_web",
         "history", "history_admin", "history_web")  # fmt: skip
RM_STORE = "org.apache.hadoop.yarn.server.resourcemanager.recovery.FileSystemRMStateStore"
RM_STATE, NM_STATE = "resourcemanager", "recovery"  # folders of what daemons keep of running applications
GPU = "yarn.io/gpu"
# Virtual machines here live for seconds: they start soonest with the serial collector, the first compiler tier, and
# without verifying the bytecode of Hadoop's jars, whose SHA-256 we have compared (a sixth of a client's time).
QUICK_JAVA = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote",
)  # fmt: skip
TASK_JAVA = f"{' '.join(QUICK_JAVA)} -Djava.net.preferIPv4Stack=true --add-opens java.base/java.lang=ALL-UNNAMED"


def free_ports(names: tuple[str, ...] = PORTS) -> dict[str, int]:
    """Choose a free port for each name, below the kernel's ephemeral range: no outgoing connection takes it meanwhile.

    Raises
    ------
    Unavailable
        No port is free.
    """
    chosen: dict[str, int] = {}
    with ExitStack() as held:  # all at once, so that they differ
        for name in names:
            for _ in range(200):
                candidate = socket.socket()
                try:
                    candidate.bind(("", random.randrange(10000, 32000)))  # free on every node's address
                except OSError:
                    candidate.close()
                    continue
                held.enter_context(candidate)
                chosen[name] = candidate.getsockname()[1]
                break
            else:
                raise Unavailable(f"no free port between 10000 and 32000 on {LOOPBACK}")
    return chosen


def node_ports(nodemanagers: int) -> tuple[str, ...]:
    """Name the NodeManagers' ports, which stay: one that restarts finds its containers only under the port it had."""
    return tuple(f"nodemanager{k}{end}" for k in range(1, nodemanagers + 1) for end in ("", "_web"))


def node_host(number: int) -> str:
    """Name the host of node `number`, from 1.

    Every node has its own loopback address, so that a task beside its block can be told from one that is not. The
    first node's is 127.0.0.1, under the name that Java finds for it; the others have no name and go by their address.
    """
    return "localhost" if number == 1 else f"127.0.0.{number}"


def write(conf: Path, home: Path, root: Path, ports: dict[str, int], options: dict) -> None:
    """Write a configuration folder: the ``*-site.xml`` files, the scheduler's and the log's.

    Parameters
    ----------
    conf : Path
        The configuration folder to make.
    home : Path
        HADOOP_HOME.
    root : Path
        The cluster's folder, for data.
    ports : dict
        As `free_ports` makes it.
    options : dict
        ``datanodes``, ``nodemanagers``, and of a NodeManager ``memory`` (MiB), ``vcores`` and, if any, ``gpus``.
    """
    conf.mkdir(parents=True, exist_ok=True)
    sites = {"core": _core(root, ports), "hdfs": _hdfs(root, ports, options), "mapred": _mapred(home, ports)}
    sites["yarn"] = _yarn(conf, home, root, ports, options)
    for name, site in sites.items():
        _write_site(conf / f"{name}-site.xml", site)
    _write_site(conf / "capacity-scheduler.xml", _scheduler(options))
    shutil.copyfile(home / "etc/hadoop/log4j.properties", conf / "log4j.properties")


def _write_site(path: Path, site: dict) -> None:
    properties = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in site.items()
    )
    path.write_text(f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n')


def _core(root: Path, ports: dict) -> dict:
    return {
        "fs.defaultFS": f"hdfs://{LOOPBACK}:{ports['namenode']}",
        "hadoop.tmp.dir": root / "data/tmp",
        "ipc.client.connect.max.retries": 5,  # with a second between: an absent daemon is reported, not waited for
        "ipc.client.connect.max.retries.on.timeouts": 2,
        "ipc.client.connect.timeout": 10000,
        "ipc.client.rpc-timeout.ms": 60000,
        "hadoop.proxyuser.root.hosts": "*",
    }


def _hdfs(root: Path, ports: dict, options: dict) -> dict:
    return {
        "dfs.replication": min(2, options["datanodes"]),
        "dfs.namenode.rpc-address": f"{LOOPBACK}:{ports['namenode']}",
        "dfs.namenode.http-address": f"{LOOPBACK}:{ports['namenode_web']}",
        "dfs.namenode.name.dir": root / "data/name",
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


def _yarn(conf: Path, home: Path, root: Path, ports: dict, options: dict) -> dict:
    return {
        "yarn.resourcemanager.hostname": LOOPBACK,
        "yarn.resourcemanager.address": f"{LOOPBACK}:{ports['resourcemanager']}",
        "yarn.resourcemanager.scheduler.address": f"{LOOPBACK}:{ports['scheduler']}",
        "yarn.resourcemanager.resource-tracker.address": f"{LOOPBACK}:{ports['tracker']}",
        "yarn.resourcemanager.admin.address": f"{LOOPBACK}:{ports['admin']}",
        "yarn.resourcemanager.webapp.address": f"{LOOPBACK}:{ports['resourcemanager_web']}",
        # A small cluster's jobs are short: what waits for a heartbeat should not wait for a second.
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 100,
        "yarn.nm.liveness-monitor.expiry-interval-ms": 20000,
        "yarn.am.liveness-monitor.expiry-interval-ms": 30000,
        # Daemons that are killed and come back find what ran before.
        "yarn.resourcemanager.recovery.enabled": "true",
        "yarn.resourcemanager.store.class": RM_STORE,
        "yarn.resourcemanager.fs.state-store.uri": f"file://{root}/data/{RM_STATE}",
        "yarn.resourcemanager.work-preserving-recovery.scheduling-wait-ms": 1000,
        # Not "supervised": a NodeManager that is asked to end still ends its containers, one that is killed does not.
        "yarn.nodemanager.recovery.enabled": "true",
        "yarn.nodemanager.aux-services": "mapreduce_shuffle",
        "yarn.nodemanager.resource.memory-mb": options["memory"],
        "yarn.nodemanager.resource.cpu-vcores": options["vcores"],
        "yarn.nodemanager.vmem-check-enabled": "false",
        # Without cgroups, which "enforced" counts on, containers over their memory are looked for each second.
        "yarn.nodemanager.resource.memory.enforced": "false",
        "yarn.nodemanager.container-monitor.interval-ms": 1000,
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": 99,
        "yarn.nodemanager.disk-health-checker.min-healthy-disks": 0,
        "yarn.nodemanager.env-whitelist": "JAVA_HOME,HADOOP_HOME,HADOOP_CONF_DIR,PATH,LANG,TZ",
        "yarn.nodemanager.localizer.client.thread-count": 2,
        "yarn.nodemanager.delete.debug-delay-sec": 0,
        "yarn.scheduler.minimum-allocation-mb": 128,
        "yarn.scheduler.maximum-allocation-mb": options["memory"],
        "yarn.log-aggregation-enable": "true",
        "yarn.application.classpath": f"{conf},{home}/share/hadoop/lib/*",
        **_gpus(options),
    }


def _gpus(options: dict) -> dict:
    """Declare GPUs as a resource that is only counted: no container is kept from GPUs that it was not given."""
    count = options.get("gpus", 0)
    return {"yarn.resource-types": GPU, f"yarn.nodemanager.resource-type.{GPU}": count} if count else {}


def _mapred(home: Path, ports: dict) -> dict:
    return {
        "mapreduce.framework.name": "yarn",
        "mapreduce.application.classpath": f"{home}/share/hadoop/lib/*",
        "mapreduce.shuffle.port": 0,
        "mapreduce.jobhistory.address": f"{LOOPBACK}:{ports['history']}",
        "mapreduce.jobhistory.admin.address": f"{LOOPBACK}:{ports['history_admin']}",
        "mapreduce.jobhistory.webapp.address": f"{LOOPBACK}:{ports['history_web']}",
        "mapreduce.jobhistory.move.interval-ms": 1000,
        "yarn.app.mapreduce.am.resource.mb": 512,
        "yarn.app.mapreduce.am.command-opts": f"-Xmx256m {TASK_JAVA}",
        "yarn.app.mapreduce.am.scheduler.heartbeat.interval-ms": 100,
        "mapreduce.map.memory.mb": 512,
        "mapreduce.reduce.memory.mb": 512,
        "mapreduce.map.java.opts": f"-Xmx192m {TASK_JAVA}",
        "mapreduce.reduce.java.opts": f"-Xmx192m {TASK_JAVA}",
        "mapreduce.task.io.sort.mb": 32,
        "mapreduce.client.progressmonitor.pollinterval": 100,
        "mapreduce.client.completion.pollinterval": 100,
    }


def _scheduler(options: dict) -> dict:
    root = "yarn.scheduler.capacity.root"
    # The usual one counts memory alone, and refuses to start where there is more to count.
    calculator = "DominantResourceCalculator" if options.get("gpus") else "DefaultResourceCalculator"
    return {
        f"{root}.queues": "default",
        f"{root}.default.capacity": 100,
        f"{root}.default.maximum-capacity": 100,
        f"{root}.default.state": "RUNNING",
        # A master of MapReduce lives on for 5 s after its job, and counts: by half, the next one would wait for it.
        "yarn.scheduler.capacity.maximum-am-resource-percent": 0.8,
        "yarn.scheduler.capacity.node-locality-delay": 4,
        "yarn.scheduler.capacity.resource-calculator": f"org.apache.hadoop.yarn.util.resource.{calculator}",
    }
