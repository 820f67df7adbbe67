"""Keeps a worker group's places: requests, admits, hears, watches for silence, evicts and replaces their workers.

Reports of a worker that has no place, or of an earlier generation, are dropped. Where the number of workers may change,
a place need not be filled: its worker's loss is nobody else's concern until it takes part (see `newcomers`).
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hdl.errors import HdlError, WorkerError
from hdl.runners.base import Notify, Progress, Replaced
from hdl.yarn.comm import mailbox, tls
from hdl.yarn.comm.control import Server
from hdl.yarn.comm.credentials import CLIENT
from hdl.yarn.master import clocks
from hdl.yarn.master.failures import Failure, Failures
from hdl.yarn.master.member import Incarnation, Member
from hdl.yarn.master.relays import Relays
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.protocol import Answer, Answers, AsyncReport, Beat, Beats, Hello, MemoryUse, ProtocolError, read_report
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.resources import Ended, Leaving
from hdl.yarn.settings import Settings

BULK_SECONDS = 60.0
REVIEW_SECONDS = 0.1  # between two looks at all members
TELL_SECONDS = 0.5  # between two Progress events of many workers
EVICT_SECONDS = 1.0  # that telling an evicted worker may hold up the others

Heard = tuple[Member, Answer | AsyncReport]


class Lost(Exception):
    """Says that members are gone, or a connection between two of them."""

    def __init__(self, members: Sequence[Member], reason: str):
        super().__init__(reason)
        self.members, self.reason = list(members), reason


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
        Those that take part in the rounds, by rank: all places, unless the number of workers may change.
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
        self.failures = Failures(
            settings.failures, settings.failures_validity, settings.avoid_seconds, settings.gather_seconds / 3
        )
        self.avoid_told: Callable[[str], Any] = lambda text: None  # which nodes are avoided, whenever that changes
        self.relays = Relays()
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

    @property
    def elastic(self) -> bool:
        """Tells whether the number of workers may change."""
        return self.fewest < len(self.places)

    def takes_part(self, member: Member) -> bool:
        """Tell whether the others need this member: its loss is theirs."""
        return not self.elastic or member.incarnation.trains

    def keys(self, member: Member) -> list[int]:
        """Name what a failure of a member is counted for: the shards at which it was, which others may be given next;
        its place, where it was at none.
        """
        return [*(member.tried if self.elastic else member.shards)] or [-1 - member.rank]

    # --- listening ----------------------------------------------------------------------------------------------------

    def hear(self, seconds: float) -> Heard | None:
        """Process the next events of YARN and the next message of a worker.

        Returns
        -------
        (Member, Answer or AsyncReport) or None
            None: another message, or none within so many seconds.

        Raises
        ------
        Lost
            A container has ended, or a worker is silent for too long.
        WorkerError
            A worker failed too often.
        """
        now = time.monotonic()
        lost = list[Lost]()  # several may have gone with their node: the others need not be told of each
        while (event := self.containers.event()) is not None:
            if isinstance(event, Ended):
                try:
                    self._container_ended(event)
                except Lost as one:
                    lost.append(one)
            elif isinstance(event, Leaving):
                self._container_leaves(event)
            else:
                self.places[event.number].launched(event, time.monotonic())
                self.arrivals += 1
                self._named[event.id] = self.places[event.number]
                self.failures.launched(event)
        if now - self._reviewed >= REVIEW_SECONDS or lost:
            self.failures.nodes = self.containers.nodes
            self.avoid(self.failures.review())
        if lost:
            raise Lost([member for one in lost for member in one.members], "; ".join(one.reason for one in lost))
        idle = time.monotonic() - self._listened
        if idle > 1:  # the master itself was busy: what has been said meanwhile still waits to be heard
            self.moved += idle
            for member in self.places:
                member.incarnation.seen += idle
        if self.tokens and now - self._reviewed >= REVIEW_SECONDS:
            self.tokens.give(self.places, self.context)
        received = self.server.receive(seconds)
        self._listened = time.monotonic()
        heard = None
        if received:
            name, fields = received
            if name == CLIENT and self.tokens:
                self.server.send(CLIENT, self.tokens.receive(fields).to_dict())
            sender = self._named.get(name)
            if sender is not None and sender.name == name:
                sender.incarnation.seen = time.monotonic()
                heard = self._process(sender, fields)
        if now - self._reviewed >= REVIEW_SECONDS:
            self._reviewed = now
            self._watch_silence()
        return heard

    def _process(self, member: Member, fields: dict[str, Any]) -> Heard | None:
        try:
            report = read_report(fields)
        except ProtocolError as error:
            raise WorkerError(f"worker {member.rank} on {member.host}: {error}") from None
        match report:
            case Hello():
                self.arrivals += 1
                member.joined(report)
                if report.shards and self.elastic and not member.incarnation.trains:  # an earlier master gave it these
                    member.shards = [*report.shards]
                if said := clocks.told_off(member, report):
                    self.message(said)
                try:
                    member.incarnation.watch = tls.connect(
                        self.context, report.address, {"purpose": "watch"}, BULK_SECONDS
                    )
                except tls.TlsError as error:  # weights would not get there either, and it lives: nobody would tell
                    raise self.failed(member, "node", str(error)) from None
                except (HdlError, OSError):  # if it is gone, its container's end says so
                    pass
            case Beat():
                if member.beaten(report) and self.takes_part(member):
                    self.moved = time.monotonic()
                if report.shard in member.shards and self.takes_part(member):
                    self._tell_progress()
            case Beats():
                moved, detached = self.relays.beats(member, report, time.monotonic(), self.takes_part)
                if moved:
                    self.moved = time.monotonic()
                    self._tell_progress()
                if detached:
                    self.detached(member)
            case Answers():
                ranks = self.relays.answers(member, report, self.command_id)
                if ranks:
                    self.unanswered.difference_update(ranks)
                    self.moved = time.monotonic()
            case MemoryUse():
                used, limit = report.rss >> 20, report.limit >> 20
                self.message(f"worker {member.rank} uses {used} MiB of its {limit}: --worker-memory {used * 3 // 2}m")
            case Answer() if not self.takes_part(member):
                self.answered_before(member, report)
            case AsyncReport() if report.generation == self.generation:
                return member, report
            case Answer() if report.generation == self.generation:
                member.answers(report)
                if report.command_id == self.command_id:
                    self.unanswered.discard(member.rank)
                return member, report
        return None

    def detached(self, member: Member) -> None:
        """Process that a member has lost its relay, and is to be told the present command by the master itself."""

    def _tell_progress(self) -> None:
        """Tell how far the present command is; of many workers not each time that one of them gets on."""
        now = time.monotonic()
        if self.stage and (not self.relays.members or now - self._told >= TELL_SECONDS):
            self._told = now
            done = sum(each.shards_done for each in self.members)
            self.notify(Progress(self.stage, done, sum(len(each.shards) for each in self.members)))

    def _watch_silence(self) -> None:
        now = time.monotonic()
        for member in self.places:
            if member.incarnation.state.here and now - member.incarnation.seen > self.settings.silence_seconds:
                self.lose(member, "silent", f"no sign of life for {self.settings.silence_seconds:g} s")

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

    def _container_ended(self, event: Ended) -> None:
        member = self._named.pop(event.id, None)
        if member is None or member.name != event.id:  # it was evicted before
            return
        self.lose(member, event.kind, event.reason)

    def _container_leaves(self, event: Leaving) -> None:
        """Note that YARN wants a container back; one that does nothing yet is given back at once."""
        member = self._named.get(event.id)
        if member is None or member.name != event.id or member.incarnation.leaving or not self.elastic:
            return
        member.incarnation.leaving = event.reason
        self.message(f"worker {member.rank} on {member.host}: {event.reason}")
        if not member.incarnation.trains:
            self.replace(member)

    def answered_before(self, member: Member, answer: Answer) -> None:
        """Process the answer of a worker that does not take part yet; there are none unless the number may change."""

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
                raise WorkerError(said)
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
        self.message(lost.reason)
        for member in lost.members:
            self.notify(Replaced(member.rank, tuple(member.shards), lost.reason))
            self.replace(member)

    def replace(self, member: Member) -> None:
        """Shut out the worker in a place, and ask for another container."""
        if member.name:
            self.server.refuse(member.name)
            self.containers.stop(member.name)
        _say_evicted(member.lost())
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


def _say_evicted(incarnation: Incarnation) -> None:
    """Tell a worker that it was evicted: should it only have slept, it ends when it wakes."""
    if incarnation.watch:
        with suppress(OSError):
            incarnation.watch.settimeout(EVICT_SECONDS)
            incarnation.watch.sendall(mailbox.EVICTED)
            incarnation.watch.close()
