"""Defines what the worker group asks for containers: of YARN (`hadoop`), or in tests of this machine (`processes`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Container:
    """Container in which a worker runs.

    Parameters
    ----------
    id : str
        YARN's own name of it; also the worker's name, so that no two incarnations share one.
    host : str
    number : int
        Of the request that it answers.
    log : str
        Address of its logs, for people; empty if there is none.
    """

    id: str
    host: str
    number: int
    log: str = ""


@dataclass(frozen=True)
class Ended:
    """End of a container.

    Parameters
    ----------
    id : str
    kind : {'exited', 'preempted', 'memory', 'lost', 'stopped'}
        Preempted, lost (its node) and stopped (by us) are nobody's fault; memory: killed for using too much.
    reason : str
        For people: exit status and what YARN says.
    """

    id: str
    kind: str
    reason: str


@dataclass
class Changes:
    """Changes since the last poll."""

    granted: list[Container] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    available: str = ""  # what could still be had, for the message when a request is not met


class Resources(ABC):
    """Hands out containers of one application. Used by one thread."""

    @abstractmethod
    def register(self, host: str, port: int, url: str) -> list[Container]:
        """Register the master; returns the containers that an earlier attempt left running."""

    @abstractmethod
    def ask(self, number: int, hosts: Sequence[str] = (), strict: bool = False) -> None:
        """Ask for one container, best on one of the hosts, with `strict` nowhere else. Asking again under the same
        number takes the place of the request before."""

    @abstractmethod
    def cancel(self, number: int) -> None:
        """Take a request back."""

    @abstractmethod
    def poll(self, progress: float) -> Changes:
        """Beat once: tell the share done, hear of changes. A container that nobody asked for any more is
        released by itself."""

    @abstractmethod
    def launch(self, container: Container, secrets: Mapping[str, bytes]) -> None:
        """Start a worker in a container, with secrets in its credentials."""

    @abstractmethod
    def stop(self, container: str) -> None:
        """End a container; `poll` then has it as Ended 'stopped'."""

    @abstractmethod
    def unregister(self, succeeded: bool, message: str, url: str = "") -> None:
        """End the application."""

    def close(self) -> None:  # noqa: B027 - nothing to let go of is the common case
        """Release whatever is held; safe to call twice."""
