"""Keeps a worker group's places: requests, evicts and replaces their workers; `listening` hears them.

Where the number of workers may change,
a place need not be filled: its worker's loss is nobody else's concern until it takes part (see `newcomers`).
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from hdl.errors import WorkerError
from hdl.runners.base import Notify, Replaced
from hdl.yarn.comm import mailbox
from hdl.yarn.comm.control_server import Server
from hdl.yarn.master.failures import Failure, Failures
from hdl.yarn.master.member import Incarnation, Member
from hdl.yarn.master.relays import Relays
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.settings import Settings

BULK_SECONDS = 60.0
ORDERS = -1_000_000  # what failures in orders are counted for are the numbers below
EVICT_SECONDS = 1.0  # that telling an evicted worker may hold up the others


class Lost(Exception):
    """Says that members are gone, each for a reason of its own, or a connection between two of them."""

    def __init__(self, members: Sequence[Member], reason: str, reasons: Sequence[str] = ()):
        super().__init__(reason)
        self.members, self.reason = list(members), reason
        self.reasons = list(reasons) or [reason] * len(self.members)

    @classmethod
    def all_of(cls, several: Sequence[Lost]) -> Lost:
        """Make one of several losses."""
        members = [member for one in several for member in one.members]
        reasons = [reason for one in several for reason in one.reasons]
        return cls(members, "; ".join(one.reason for one in several), reasons)


class Membership:
    """Keeps the members of a worker group.

    Parameters
    ----------
    settings : Settings
    context : ssl.SSLContext
        For connections to workers.
    server : Server
    containers : Containers
    message : function of str
        Called with messages for people: losses, replacements, warnings.
    tokens : MasterTokens, optional
        Of the application, on a cluster with Kerberos: the workers are given fresh ones.

    Attributes
    ----------
    generation : int
        Of the group: reports of another one are dropped.
    stage : str
        Of the present command, for Progress events; empty: there are none.
    places : list of Member
        As many as there may be workers, by rank.
    members : list of Member
        Those that take part in the rounds, by first shard: all places, unless the number of workers may change.
    fewest : int
        Workers without which nothing is computed.
    shards : int
        Of the dataset.
    closed : set of int
        Ranks for which no container is asked any more: their workers failed again and again.
    """

    def __init__(
        self, settings: Settings, context: ssl.SSLContext, server: Server, containers: Containers,
        message: Callable[[str], Any], tokens: MasterTokens | None = None,
    ):  # fmt: skip
        self.tokens = tokens
        self.settings, self.context, self.server = settings, context, server
        self.containers, self.message = containers, message
        self.generation, self.stage = 0, ""
        self.places: list[Member] = []
        self.members: list[Member] = []
        self.fewest = self.shards = 0
        self.closed: set[int] = set()
        self.notify: Notify = lambda event: None
        self.of_client: Callable[[dict[str, Any]], None] = lambda fields: None  # takes what a session's client says
        self.failures = Failures(
            settings.failures, settings.failures_validity, settings.avoid_seconds, settings.gather_seconds / 3
        )
        self.avoid_told: Callable[[str], Any] = lambda text: None  # which nodes are avoided, whenever that changes
        self.relays = Relays()
        self._connections = ThreadPoolExecutor(16, "hdl-bulk")
        self._watches: list[tuple[Member, Incarnation, Future[socket.socket]]] = []  # that are being connected
        self.unanswered: set[int] = set()  # ranks of members that have not answered the present command
        self.command_id = 0  # of this command
        self._named: dict[str, Member] = {}  # by the container's name
        self.arrivals = 0  # containers and workers that have come
        self._reviewed = self._told = 0.0  # when nodes and silence were looked at, and progress was told
        self._listened = self.moved = time.monotonic()

    def begin(self, shards: Sequence[Sequence[int]], hosts: Sequence[Sequence[str]], notify: Notify) -> None:
        """Ask for a container for each worker; containers that an earlier master left keep their places.

        Parameters
        ----------
        shards : sequence of sequence of int
            Of each worker; where the number of workers may change, those that come get other ones.
        hosts : sequence of sequence of str
            Of each worker, those that hold its shards' blocks, the best first.
        notify : function of an event
        """
        self.notify = notify
        self.shards, self.fewest = sum(map(len, shards)), min(self.settings.fewest or len(shards), len(shards))
        self.places = [
            Member(rank, list(own), list(near)) for rank, (own, near) in enumerate(zip(shards, hosts, strict=True))
        ]
        for member in self.places if self.elastic else ():
            member.shards = []  # until it is known who comes
        self.members = [] if self.elastic else self.places
        left = {container.number: container for container in self.containers.left}
        for member in self.places:
            if member.rank in left:
                member.launched(left[member.rank], time.monotonic(), inherited=True)
                self._named[member.name] = member
            else:
                self.containers.ask(member.rank, member.hosts)
        for container in self.containers.left:  # some were being replaced when the master died
            if container.id not in {member.name for member in self.places}:
                self.server.refuse(container.id)
                self.containers.stop(container.id)

    def kept(self) -> list[dict[str, Any]]:
        """Describe the decoded data that the workers of a session keep: of each dataset the sum of all."""
        found: dict[str, dict[str, Any]] = {}
        for member in self.places:
            for one in member.incarnation.kept:
                whole = found.setdefault(one["data"], {**one, "bytes": 0, "files": 0, "shards": 0})
                for name in ("bytes", "files", "shards"):
                    whole[name] += one[name]
                whole["used"] = max(whole["used"], one["used"])
        return sorted(found.values(), key=lambda one: -one["used"])

    @property
    def elastic(self) -> bool:
        """Tells whether the number of workers may change."""
        return self.fewest < len(self.places)

    def takes_part(self, member: Member) -> bool:
        """Tell whether somebody needs this member's worker: the others, or of a session an order of its own."""
        return not self.elastic or member.incarnation.trains or member.order > 0

    def keys(self, member: Member) -> list[int]:
        """Name what a failure of a member is counted for: the shards at which it was, which others may be given next;
        its place, where it was at none; the order that it carried out alone.
        """
        if member.order:
            return [ORDERS - member.order]
        return [*(member.tried if self.elastic else member.shards)] or [-1 - member.rank]

    def lose(self, member: Member, kind: str, reason: str) -> None:
        """Record how a member's worker failed; of one that takes part raise that it is lost.

        Of a worker that does not take part yet only the container is replaced, or not any more if that fails too often.
        """
        try:
            lost = self.failed(member, kind, reason)
        except WorkerError as error:
            if self.takes_part(member) or len(self.members) < self.fewest:
                raise
            self.close_place(member, str(error))
            return
        if self.takes_part(member):
            raise lost
        self.message(lost.reason)
        self.replace(member)

    def failed(self, member: Member, kind: str, reason: str) -> Lost:
        """Record how a member's worker failed, and avoid its node if that shows to be broken; returns the loss.

        Raises
        ------
        WorkerError
            It has failed too often.
        """
        shards = f" (shards {member.shards})" if member.shards else ""
        where = f"worker {member.rank} on {member.host}{shards}"
        if container := member.incarnation.container:
            failure = Failure(tuple(self.keys(member)), kind, container, reason, member.incarnation.memory)
            self.avoid(self.failures.add(failure))
            if said := self.failures.over(where, failure, self.settings.memory):
                if not member.order:
                    raise WorkerError(said)
                member.given_up = said  # that order ends, and the worker is replaced
        return Lost([member], f"{where}: {reason}")

    def avoid(self, said: Sequence[str] = ()) -> None:
        """Tell what became of nodes, and get containers on those alone that are not avoided."""
        for text in said:
            self.message(text)
        self.containers.avoid(self.failures.avoided)
        if said:
            self.avoid_told(self.failures.told())

    # --- losses -------------------------------------------------------------------------------------------------------

    def evict(self, lost: Lost) -> None:
        """Shut out the lost members' workers, and ask for containers in their places."""
        for reason in lost.reasons or [lost.reason]:
            self.message(reason)
        for member, reason in zip(lost.members, lost.reasons, strict=True):
            self.notify(Replaced(member.rank, tuple(member.shards), reason))
            self.replace(member)

    def replace(self, member: Member) -> None:
        """Shut out the worker in a place, and ask for another container."""
        if member.name:
            self.server.refuse(member.name)
            self.containers.stop(member.name)
        say_evicted(member.lost())
        if member.rank not in self.closed:
            self.containers.ask(member.rank, member.hosts)

    def close_place(self, member: Member, why: str) -> None:
        """Ask for no further container in a place that the others do without.

        Raises
        ------
        WorkerError
            Too few places are left.
        """
        self.closed.add(member.rank)
        self.replace(member)
        if len(self.places) - len(self.closed) < self.fewest:
            raise WorkerError(why)
        self.message(f"{why}; the others go on without it")


def say_evicted(incarnation: Incarnation) -> None:
    """Tell a worker that it was evicted: should it only have slept, it ends when it wakes."""
    if incarnation.watch:
        with suppress(OSError):
            incarnation.watch.settimeout(EVICT_SECONDS)
            incarnation.watch.sendall(mailbox.EVICTED)
            incarnation.watch.close()
