"""Listens to a worker group: events of YARN, and what workers say, alone or through relays.

Reports of a worker that has no place, or of an earlier generation, are dropped.
"""

from __future__ import annotations

import time
from typing import Any

from hdl.errors import HdlError, WorkerError
from hdl.runners.base import Progress
from hdl.yarn.comm import tls
from hdl.yarn.comm.credentials import CLIENT, SESSION
from hdl.yarn.master import clocks
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import BULK_SECONDS, Lost, Membership, say_evicted
from hdl.yarn.protocol import (
    AloneReport,
    Answer,
    Answers,
    AsyncReport,
    Beat,
    Beats,
    Hello,
    MemoryUse,
    ProtocolError,
    read_report,
)
from hdl.yarn.resource_manager.resources import Ended, Leaving

REVIEW_SECONDS = 0.1  # between two looks at all members
TELL_SECONDS = 0.5  # between two Progress events of many workers

Heard = tuple[Member, Answer | AsyncReport | AloneReport]


class Listening(Membership):
    """Hears what becomes of the members of a worker group. Parameters are those of `Membership`."""

    def hear(self, seconds: float) -> Heard | None:
        """Process the next events of YARN and the next message of a worker.

        Returns
        -------
        (Member, Answer, AsyncReport or AloneReport) or None
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
            elif event.number >= len(self.places):  # asked for early, and the data has fewer shards
                self.server.refuse(event.id)
                self.containers.stop(event.id)
            else:
                self.places[event.number].launched(event, time.monotonic())
                self.arrivals += 1
                self._named[event.id] = self.places[event.number]
                self.failures.launched(event)
        if now - self._reviewed >= REVIEW_SECONDS or lost:
            self.failures.nodes = self.containers.nodes
            self.avoid(self.failures.review())
        if lost:
            raise Lost.all_of(lost)
        idle = time.monotonic() - self._listened
        if idle > 1:  # the master itself was busy: what has been said meanwhile still waits to be heard
            self.moved += idle
            for member in self.places:
                member.incarnation.seen += idle
        if self._watches:
            self._see_watches()
        if self.tokens and now - self._reviewed >= REVIEW_SECONDS:
            self.tokens.give(self.places, self.context)
        received = self.server.receive(seconds)
        self._listened = time.monotonic()
        heard = None
        if received:
            name, fields = received
            if name == CLIENT and self.tokens:
                self.server.send(CLIENT, self.tokens.receive(fields).to_dict())
            if name == SESSION:
                self.of_client(fields)
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
                mine, address = member.incarnation, report.address
                watch = self._connections.submit(tls.connect, self.context, address, {"purpose": "watch"}, BULK_SECONDS)
                self._watches.append((member, mine, watch))
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
            case AsyncReport() | AloneReport() if report.generation == self.generation:
                return member, report
            case Answer() if report.generation == self.generation:
                member.answers(report)
                if report.command_id == self.command_id:
                    self.unanswered.discard(member.rank)
                return member, report
        return None

    def _see_watches(self) -> None:
        """Take over the connections by which workers watch the master, as far as they stand."""
        for entry in [entry for entry in self._watches if entry[2].done()]:
            self._watches.remove(entry)
            member, mine, connected = entry
            try:
                mine.watch = connected.result()
            except tls.TlsError as error:  # weights would not get there either, and it lives: nobody would tell
                if member.incarnation is mine:
                    raise self.failed(member, "node", str(error)) from None
            except (HdlError, OSError):  # if it is gone, its container's end says so
                pass
            if member.incarnation is not mine:  # it was evicted meanwhile
                say_evicted(mine)

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
        lost = list[Lost]()
        for member in self.places:
            if member.incarnation.state.here and now - member.incarnation.seen > self.settings.silence_seconds:
                try:
                    self.lose(member, "silent", f"no sign of life for {self.settings.silence_seconds:g} s")
                except Lost as one:
                    lost.append(one)
        if lost:
            raise Lost.all_of(lost)

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
        if not self.takes_part(member):
            self.replace(member)

    def answered_before(self, member: Member, answer: Answer) -> None:
        """Process the answer of a worker that does not take part yet; there are none unless the number may change."""
