"""Defines what the worker group asks for containers: of YARN (`hadoop`), or in tests of this machine (`processes`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


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
    kind : {'exited', 'preempted', 'memory', 'lost', 'stopped'}
        Preempted, lost (its node) and stopped (by the master) do not count as failures; memory: killed for using too
        much.
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
