"""Lays a cluster out: its folders, ports, hosts and virtual machines, on which all of the configuration stands."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from hdl.errors import Unavailable

LOOPBACK = "127.0.0.1"
# Ports under which others look for a daemon are fixed before it starts; DataNodes choose theirs and register.
PORTS = ("namenode", "namenode_web", "resourcemanager", "scheduler", "tracker", "admin", "resourcemanager_web",
         "history", "history_admin", "history_web")  # fmt: skip
RM_STATE, NM_STATE = "resourcemanager", "recovery"  # folders of what daemons keep of running applications
# Virtual machines here live for seconds: they start soonest with the serial collector, the first compiler tier, and
# without verifying the bytecode of Hadoop's jars, whose SHA-256 we have compared (a sixth of a client's time).
QUICK_JAVA = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote",
)  # fmt: skip
TASK_JAVA = f"{' '.join(QUICK_JAVA)} -Djava.net.preferIPv4Stack=true --add-opens java.base/java.lang=ALL-UNNAMED"

Site = dict[str, Any]  # of one ``*-site.xml``: values by property
Sites = dict[str, Site]  # "core", "hdfs", "yarn", "mapred"


@dataclass(frozen=True)
class Layout:
    """Holds what a configuration is made from.

    Attributes
    ----------
    root : Path
        The cluster's folder.
    home : Path
        HADOOP_HOME.
    ports : dict
        As `free_ports` makes it.
    options : dict
        ``datanodes``, ``nodemanagers``, and of a NodeManager ``memory`` (MiB), ``vcores`` and, if any, ``gpus``; and
        what a variation of `hdl.cluster.config.VARIATIONS` looks for.
    """

    root: Path
    home: Path
    ports: dict[str, int]
    options: dict[str, Any]

    @property
    def conf(self) -> Path:
        """The configuration folder."""
        return self.root / "conf"


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


def write_site(path: Path, site: Site) -> None:
    """Write properties as Hadoop reads them, in XML."""
    properties = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in site.items()
    )
    path.write_text(f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n')
