"""Keeps a worker group's members: requests, admits, hears, watches for silence, evicts and replaces them.

Reports of a worker that is no member, or of an earlier generation, are dropped.
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
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.protocol import Answer, AsyncReport, Beat, Hello, MemoryUse, ProtocolError, read_report
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.resources import Ended
from hdl.yarn.settings import Settings

BULK_SECONDS = 60.0
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
    """

    def __init__(
        self, settings: Settings, context: ssl.SSLContext, server: Server, containers: Containers,
        message: Callable[[str], Any], tokens: MasterTokens | None = None,
    ):  # fmt: skip
        self.tokens = tokens
        self.settings, self.context, self.server = settings, context, server
        self.containers, self.message = containers, message
        self.generation, self.stage = 0, ""
        self.members: list[Member] = []
        self.notify: Notify = lambda event: None
        self.failures = Failures(
            settings.failures, settings.failures_validity, settings.avoid_seconds, settings.gather_seconds / 3
        )
        self._listened = self.moved = time.monotonic()

    def begin(self, shards: Sequence[Sequence[int]], hosts: Sequence[Sequence[str]], notify: Notify) -> None:
        """Ask for a container for each worker; containers that an earlier master left keep their places."""
        self.notify = notify
        self.members = [
            Member(rank, list(own), list(near)) for rank, (own, near) in enumerate(zip(shards, hosts, strict=True))
        ]
        left = {container.number: container for container in self.containers.left}
        for member in self.members:
            if member.rank in left:
                member.launched(left[member.rank], time.monotonic(), inherited=True)
            else:
                self.containers.ask(member.rank, member.hosts)
        for container in self.containers.left:  # some were being replaced when the master died
            if container.id not in {member.name for member in self.members}:
                self.server.refuse(container.id)
                self.containers.stop(container.id)

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
        while (event := self.containers.event()) is not None:
            if isinstance(event, Ended):
                self._container_ended(event)
            else:
                self.members[event.number].launched(event, time.monotonic())
                self.failures.launched(event)
        self.failures.nodes = self.containers.nodes
        self.avoid(self.failures.review())
        idle = time.monotonic() - self._listened
        if idle > 1:  # the master itself was busy: what has been said meanwhile still waits to be heard
            self.moved += idle
            for member in self.members:
                member.incarnation.seen += idle
        if self.tokens:
            self.tokens.give(self.members, self.context)
        received = self.server.receive(seconds)
        self._listened = time.monotonic()
        heard = None
        if received:
            name, fields = received
            if name == CLIENT and self.tokens:
                self.server.send(CLIENT, self.tokens.receive(fields).to_dict())
            sender = next((member for member in self.members if member.name == name), None)
            if sender is not None:
                sender.incarnation.seen = time.monotonic()
                heard = self._process(sender, fields)
        self._watch_silence()
        return heard

    def _process(self, member: Member, fields: dict[str, Any]) -> Heard | None:
        try:
            report = read_report(fields)
        except ProtocolError as error:
            raise WorkerError(f"worker {member.rank} on {member.host}: {error}") from None
        match report:
            case Hello():
                member.joined(report)
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
                if member.beaten(report):
                    self.moved = time.monotonic()
                if self.stage and report.shard in member.shards:
                    done = sum(each.shards_done for each in self.members)
                    self.notify(Progress(self.stage, done, sum(len(each.shards) for each in self.members)))
            case MemoryUse():
                used, limit = report.rss >> 20, report.limit >> 20
                self.message(f"worker {member.rank} uses {used} MiB of its {limit}: --worker-memory {used * 3 // 2}m")
            case AsyncReport() if report.generation == self.generation:
                return member, report
            case Answer() if report.generation == self.generation:
                member.answers(report)
                return member, report
        return None

    def _watch_silence(self) -> None:
        now = time.monotonic()
        for member in self.members:
            if member.incarnation.state.here and now - member.incarnation.seen > self.settings.silence_seconds:
                raise self.failed(member, "silent", f"no sign of life for {self.settings.silence_seconds:g} s")

    def _container_ended(self, event: Ended) -> None:
        member = next((each for each in self.members if each.name == event.id), None)
        if member is None:  # it was evicted before
            return
        raise self.failed(member, event.kind, event.reason)

    def failed(self, member: Member, kind: str, reason: str) -> Lost:
        """Record how a member's worker failed, and avoid its node if that shows to be broken; returns the loss.

        Raises
        ------
        WorkerError
            It has failed too often.
        """
        where = f"worker {member.rank} on {member.host} (shards {member.shards})"
        if container := member.incarnation.container:
            failure = Failure(tuple(member.shards), kind, container, reason, member.incarnation.memory)
            self.avoid(self.failures.add(failure))
            if said := self.failures.over(where, failure, self.settings.memory):
                raise WorkerError(said)
        return Lost([member], f"{where}: {reason}")

    def avoid(self, said: Sequence[str] = ()) -> None:
        """Tell what became of nodes, and get containers on those alone that are not avoided."""
        for text in said:
            self.message(text)
        self.containers.avoid(self.failures.avoided)

    def status(
        self, timings: Sequence[dict[str, Any]] = (), progress: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Describe each member for the dashboard: worker, container, host, shards, state, seconds, staleness, log.

        Parameters
        ----------
        timings : list of dict
            Of the last round: see `Runner.timings`.
        progress : dict, optional
            A row's `async`: rounds of each worker.
        """
        seconds = {timing["worker"]: timing["seconds"] for timing in timings}
        rounds = progress["rounds"] if progress else []
        return [
            {
                "worker": member.rank,
                "container": member.name,
                "host": member.host,
                "shards": member.shards,
                "state": member.status,
                "seconds": seconds.get(member.rank),
                "staleness": max(rounds) - rounds[member.rank] if rounds else None,
                "log": member.incarnation.container.log if member.incarnation.container else "",
            }
            for member in self.members
        ]

    # --- losses -------------------------------------------------------------------------------------------------------

    def evict(self, lost: Lost) -> None:
        """Shut out the lost members' workers, and ask for containers in their places."""
        self.message(lost.reason)
        for member in lost.members:
            if member.name:
                self.server.refuse(member.name)
                self.containers.stop(member.name)
            self.notify(Replaced(member.rank, tuple(member.shards), lost.reason))
            _say_evicted(member.lost())
            self.containers.ask(member.rank, member.hosts)

    def _missing(self, members: Sequence[Member]) -> str:
        ranks = ", ".join(str(member.rank) for member in members)
        silent = [member.name for member in members if member.name]
        started = f"; started but silent: {', '.join(silent)}" if silent else ""
        wants = f"{self.settings.memory} MiB, {self.settings.vcores} vcores"
        gpus = f", {self.settings.gpus} GPUs" if self.settings.gpus else ""
        free = self.containers.available or "nothing known"
        return (
            f"workers {ranks} of {len(self.members)} have not come within {self.settings.gather_seconds:g} s: "
            f"each asks for {wants}{gpus}; the cluster could still give {free}{started}"
        )


def _say_evicted(incarnation: Incarnation) -> None:
    """Tell a worker that it was evicted: should it only have slept, it ends when it wakes."""
    if incarnation.watch:
        with suppress(OSError):
            incarnation.watch.settimeout(EVICT_SECONDS)
            incarnation.watch.sendall(mailbox.EVICTED)
            incarnation.watch.close()
