"""What hdl asks of YARN, and of the HDFS that its applications' folders are on, whichever client asks it.

There are two: Hadoop's own (`java_client`), and one that needs no Java (`native`); `connection` chooses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hdl.errors import SpecError

if TYPE_CHECKING:
    from hdl.data import FileSplit
    from hdl.yarn.settings import Settings

TYPE = "hdl"  # the applications' type in YARN's lists
MASTER_VCORES = 1
OVER = ("FINISHED", "FAILED", "KILLED")


class Unable(Exception):
    """The client without Java cannot do a step: Hadoop's own does it, and the user sees no difference."""


@dataclass(frozen=True)
class Report:
    """Holds YARN's report about an application.

    Parameters
    ----------
    application, name, user, queue : str
    state : str
        YARN's: NEW, …, ACCEPTED, RUNNING, FINISHED, FAILED, KILLED.
    final : str
        SUCCEEDED, FAILED, KILLED, or UNDEFINED while it runs.
    progress : float
        Share of the training that is done.
    started, finished : float
        Unix time; finished is 0 while it runs.
    url : str
        Of the application's page, through YARN's proxy; empty before the master has registered.
    host : str
        Of the master.
    diagnostics : str
    attempt : int
        Number of the master's attempt; -1 where YARN shows it to its owner and those of its view ACL only.
    tags : tuple of str
        In small letters, sorted.
    """

    application: str
    name: str
    user: str
    queue: str
    state: str
    final: str
    progress: float
    started: float
    finished: float
    url: str
    host: str
    diagnostics: str
    attempt: int
    tags: tuple[str, ...] = ()

    @property
    def over(self) -> bool:
        """Tells whether the application has ended."""
        return self.state in OVER

    @classmethod
    def made(cls, *, url: str, diagnostics: str, tags: Iterable[str], **fields: Any) -> Report:
        """Make a report of what YARN says: its word for no page is none, and diagnostics are one line."""
        url = "" if url in ("N/A", "null") else url
        return cls(url=url, diagnostics=" ".join(diagnostics.split()), tags=tuple(sorted(tags)), **fields)


@dataclass(frozen=True)
class Offer:
    """Is YARN's answer to who wants a new application: its id, and the largest container of the cluster.

    Parameters
    ----------
    application : str
    memory, vcores : int
        Of the container; memory in MiB.
    gpus : int or None
        None: the cluster has no such resource.
    """

    application: str
    memory: int
    vcores: int
    gpus: int | None = None


@dataclass(frozen=True)
class Submission:
    """Describes an application and its master's container by plain values.

    Parameters
    ----------
    application : str
        Its id.
    settings : Settings
        Name, queue, label, attempts, lists of who may do what.
    command : str
    variables : mapping of str to str
    files : mapping
        Of the container, by their names there: see `Yarn.located`; whether each is an ``archive`` to be unpacked, and
        ``shared`` among all of the user's applications.
    secret_keys : mapping of str to bytes
        By alias.
    tokens : Java's Credentials or None
        See `Yarn.tokens`.
    """

    application: str
    settings: Settings
    command: str
    variables: Mapping[str, str]
    files: Mapping[str, Mapping[str, Any]]
    secret_keys: Mapping[str, bytes]
    tokens: Any = None

    def __repr__(self) -> str:
        return f"<Submission of {self.application}: keys not shown>"


class Yarn(Protocol):
    """Speaks to the ResourceManager and to HDFS; every method raises HdlError in the words that users read."""

    def offer(self) -> Offer:
        """Ask for a new application."""

    def has_queue(self, name: str) -> bool:
        """Tell whether the cluster has a queue of this name."""

    def queues(self) -> list[str]:
        """List the names of all queues."""

    def labels(self) -> list[str]:
        """List the names of all node labels."""

    def submit(self, submission: Submission) -> None:
        """Submit an application, and wait until YARN has taken it; for one that it has already this does nothing."""

    def report(self, application: str) -> Report:
        """Ask about an application; SpecError: the cluster has none of this id."""

    def applications(self) -> list[Report]:
        """List all users' applications of hdl."""

    def kill(self, application: str) -> None:
        """Kill an application, and wait for its end."""

    def tokens(self, roots: list[str]) -> Any:
        """Take the tokens that an application is submitted with: see `tokens.for_submission`."""

    def cluster(self) -> str:
        """Name the cluster whose ResourceManager the configuration means: its id, or else the address."""

    def reach(self, folder: str) -> None:
        """Connect to HDFS."""

    def make_folder(self, folder: str) -> None:
        """Make an application's folder, for its user alone."""

    def put(self, path: str, content: bytes) -> None:
        """Write a file into an application's folder, for its user alone."""

    def located(self, path: str) -> dict[str, Any]:
        """Describe a file on HDFS as the nodes are told of it: its path there, its size and its time."""

    def changed(self, folder: str) -> dict[str, float]:
        """List what is in a folder, each with the time of its last change, by HDFS's clock."""

    def remove(self, folder: str) -> None:
        """Remove a folder, if it is there."""

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        """List the hosts that hold the blocks of pieces of files, those with most bytes first."""


def by_bytes(held: Iterable[tuple[str, int]]) -> list[str]:
    """List hosts by the bytes that they hold, most first, of pairs of a host and some bytes.

    Examples
    --------
    >>> by_bytes([("b", 1), ("a", 2), ("b", 3)])
    ['b', 'a']
    """
    sums: dict[str, int] = {}
    for host, size in held:
        sums[host] = sums.get(host, 0) + size
    return sorted(sums, key=lambda host: (-sums[host], host))


def checked(application: str) -> tuple[int, int]:
    """Read the two numbers of an application's id.

    Raises
    ------
    SpecError

    Examples
    --------
    >>> checked("application_1700000000000_0001")
    (1700000000000, 1)
    """
    match = re.fullmatch(r"application_(\d{1,18})_(\d{1,9})", application, re.ASCII)
    if not match:
        raise SpecError(f"{application!r}: expected an application's id, like application_1700000000000_0001")
    return int(match[1]), int(match[2])


def unknown(application: str) -> SpecError:
    """Make the error of an application that YARN does not know."""
    return SpecError(f"{application}: this cluster has no such application, or has forgotten it")
