"""A cluster's masters: how they are called, where they answer, and how HDFS gets its first image. Here: one of each."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hdl.cluster import config, launch, process
from hdl.errors import DeadlineError, HdlError

if TYPE_CHECKING:
    from hdl.cluster.daemons import Cluster

FORMAT_SECONDS = 90


class Masters:
    """Is one NameNode and one ResourceManager.

    Parameters
    ----------
    ports : dict
        As `config.free_ports` makes it.
    scheme : str
        Of the web addresses.
    ticket : function, optional
        Gives the variables that name a ticket of the superuser, on a cluster with Kerberos.

    Attributes
    ----------
    first, resource_managers, name_nodes : tuple of str
        Names of daemons: of those that start before all others, and of the masters; what belongs to them included.
    """

    first: tuple[str, ...] = ()
    resource_managers: tuple[str, ...] = ("resourcemanager",)
    name_nodes: tuple[str, ...] = ("namenode",)

    def __init__(
        self, ports: dict[str, int], scheme: str = "http", ticket: Callable[[], dict[str, str] | None] = lambda: None
    ):
        self.ports, self.scheme, self.ticket = ports, scheme, ticket

    @property
    def uri(self) -> str:
        """The default file system."""
        return f"hdfs://{config.LOOPBACK}:{self.ports['namenode']}"

    def web(self) -> dict[str, str]:
        """Return the web addresses of the masters that are asked, by kind of daemon."""
        return {kind: self.address(f"{kind}_web") for kind in ("namenode", "resourcemanager")}

    def address(self, port: str) -> str:
        """Return the web address at one of the ports."""
        return f"{self.scheme}://{config.LOOPBACK}:{self.ports[port]}"

    def ready(self) -> bool:
        """Tell whether those masters are ready that nobody asks yet, because they stand by."""
        return True

    def formats(self, root: Path) -> dict[str, list[str]]:
        """Give the options with which a daemon's command makes what is missing before it starts, by daemon."""
        return {} if (root / "data/name/current").exists() else {"namenode": ["-format", "-nonInteractive", "-force"]}

    def format(self, cluster: Cluster) -> None:
        """Make what is missing before the NameNodes start.

        Raises
        ------
        HdlError
            It failed; the message holds the end of the log.
        DeadlineError
        """
        deadline = time.monotonic() + FORMAT_SECONDS
        running = {}
        for name, options in self.formats(cluster.root).items():  # beside each other
            log = cluster.root / f"logs/format-{name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            command = [*launch.command(cluster, name), *options]
            environment = launch.environment(cluster, name)
            with open(log, "wb") as out:
                made = subprocess.Popen(
                    command, stdout=out, stderr=subprocess.STDOUT, env=environment, umask=process.UMASK
                )
            running[log] = made
        try:
            for log, child in running.items():
                child.wait(max(0.0, deadline - time.monotonic()))
                if child.returncode:
                    raise HdlError(f"a NameNode could not be formatted; see {log}:\n{log.read_text()[-2000:]}")
        except subprocess.TimeoutExpired:
            raise DeadlineError(f"formatting took more than {FORMAT_SECONDS} s; see {[*running]}") from None
        finally:
            for child in running.values():
                child.kill()
                child.wait()
