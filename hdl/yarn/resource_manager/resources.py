"""Defines what the worker group asks for containers: of YARN (`hadoop`), or in tests of this machine (`processes`)."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hdl.errors import HdlError


@dataclass(frozen=True)
class Container:
    """Describes a container in which a worker runs.

    Parameters
    ----------
    id : str
        YARN's id; also the worker's name, so that no two incarnations share a name.
    host : str
    number : int
        Of the request that was granted with it.
    log : str
        URL of its logs, for people; empty if there is none.
    """

    id: str
    host: str
    number: int
    log: str = ""


@dataclass(frozen=True)
class Ended:
    """Says how a container ended.

    Parameters
    ----------
    id : str
        Of the container.
    kind : {'exited', 'node', 'preempted', 'memory', 'lost', 'stopped'}
        Whose doing it was: its own, its node's (a disk, a container that could not be started), a neighbour's, its own
        by using too much memory, nobody's (the node is lost), the master's.
    reason : str
        For people: exit status and YARN's diagnostics.
    """

    id: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Leaving:
    """Says that YARN wants a container back, and will end it unless it is given back.

    Parameters
    ----------
    id : str
        Of the container.
    reason : str
        For people.
    """

    id: str
    reason: str


@dataclass
class Changes:
    """Collects what changed since the last poll."""

    granted: list[Container] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    leaving: list[Leaving] = field(default_factory=list)  # may name a container again and again
    available: str = ""  # resources that are free, for the message when a request is not met
    nodes: int = 0  # of the cluster; 0: not known


class Resources(ABC):
    """Hands out containers of one application. Used by one thread."""

    @abstractmethod
    def register(self, host: str, port: int, url: str) -> list[Container]:
        """Register the master; returns the containers that an earlier attempt left running."""

    @abstractmethod
    def ask(self, number: int, hosts: Sequence[str] = (), strict: bool = False) -> None:
        """Ask for one container, preferably on one of the hosts, with `strict` only there.

        A request replaces an earlier one of the same number.
        """

    @abstractmethod
    def cancel(self, number: int) -> None:
        """Withdraw a request."""

    def avoid(self, hosts: Sequence[str]) -> None:  # noqa: B027 - most have one host
        """Get no more containers on these hosts, and on all others again."""

    @abstractmethod
    def poll(self, progress: float) -> Changes:
        """Send the share of the training that is done, and return the changes; does not wait.

        Containers whose request was withdrawn in the meantime are released.
        """

    @abstractmethod
    def launch(self, container: Container, secret_keys: Mapping[str, bytes]) -> None:
        """Start a worker in a container, with secret keys, by alias, among the container's credentials."""

    @abstractmethod
    def stop(self, container: str) -> None:
        """End a container; a later `poll` reports it as `Ended` of kind 'stopped'."""

    @abstractmethod
    def unregister(self, succeeded: bool, message: str, url: str = "") -> None:
        """Tell YARN that the application has ended, and how; `url` is its page from now on."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Release threads and connections; safe to call twice."""


def application_of(container: str) -> tuple[str, int]:
    """Read the application's id and the attempt from a container's id.

    Raises
    ------
    HdlError
        The text is no container's id.

    Examples
    --------
    >>> application_of("container_e17_1700000000000_0003_02_000001")
    ('application_1700000000000_0003', 2)
    """
    match = re.fullmatch(r"container_(?:e\d+_)?(\d+_\d+)_(\d+)_\d+", container)
    if not match:
        raise HdlError(f"CONTAINER_ID={container!r}: not a container's id")
    return f"application_{match[1]}", int(match[2])


def log_of(container: Container) -> str:
    """Give the command that shows a container's log, or its URL; empty where there is neither.

    Examples
    --------
    >>> log_of(Container("container_1700000000000_0003_01_000002", "node2", 0))
    'hdl logs application_1700000000000_0003 --worker container_1700000000000_0003_01_000002'
    """
    try:
        return f"hdl logs {application_of(container.id)[0]} --worker {container.id}"
    except HdlError:
        return container.log
