"""Who is in the crew: containers asked for, workers admitted, heard, watched for silence, dismissed and replaced.

Whoever is no member, or speaks for an earlier generation, is not heard.
"""

from __future__ import annotations

import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hdl.errors import HdlError, WorkerError
from hdl.runners.base import Notify, Progress, Replaced
from hdl.yarn.comm import mailbox, tls
from hdl.yarn.comm.control import Server
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.resources import Container, Ended
from hdl.yarn.settings import Settings

BULK_SECONDS = 60.0
DISMISS_SECONDS = 1.0  # that saying so may hold up the others


@dataclass
class Member:
    """One worker's place in the crew, and who fills it."""

    rank: int
    shards: list[int]
    hosts: list[str]
    container: Container | None = None
    bulk: tuple[str, int] = ("", 0)
    isa: str = ""
    gpu: str = ""  # why it has none, where one may be asked for
    code: str = ""  # of the kernels, that its GPU runs
    life: int = 0  # how many containers it had before
    kept: bool = False  # an earlier master launched it
    ready: bool = False  # has said hello
    fresh: bool = True  # has not been given what all rounds share
    seen: float = 0.0
    busy: tuple[int, float] = (-1, 0.0)
    rss: int = 0
    moves: int = -1
    watch: Any = None
    weights: int = -1  # the last round whose weights it has
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.container.id if self.container else ""

    @property
    def host(self) -> str:
        return self.container.host if self.container else ""


class Lost(Exception):
    """Members are gone, or a connection between two of them."""

    def __init__(self, members: Sequence[Member], reason: str):
        super().__init__(reason)
        self.members, self.reason = list(members), reason


class Membership:
    """The members of a crew, and what becomes of them.

    Parameters
    ----------
    settings : Settings
    context : ssl.SSLContext
        For connections to workers.
    server : Server
    containers : Containers
    message : function of str
        For people: what has happened.

    Attributes
    ----------
    generation : int
        Of the crew: who speaks for another one is not heard.
    stage : str
        What is being done, for Progress events; empty: nothing that shows any.
    """

    def __init__(
        self, settings: Settings, context: ssl.SSLContext, server: Server, containers: Containers,
        message: Callable[[str], Any],
    ):  # fmt: skip
        self.settings, self.context, self.server = settings, context, server
        self.containers, self.message = containers, message
        self.generation, self.stage = 0, ""
        self.members: list[Member] = []
        self.notify: Notify = lambda event: None
        self.failures: Counter[int] = Counter()
        self.killed_for_memory: dict[int, int] = {}
        self._listened = self.moved = time.monotonic()

    def begin(self, shards: Sequence[Sequence[int]], hosts: Sequence[Sequence[str]], notify: Notify) -> None:
        """Asks for a container for each worker. Containers that an earlier master left keep their places."""
        self.notify = notify
        self.members = [
            Member(rank, list(own), list(near)) for rank, (own, near) in enumerate(zip(shards, hosts, strict=True))
        ]
        left = {container.number: container for container in self.containers.left}
        for member in self.members:
            kept = left.get(member.rank)
            if kept:
                member.container, member.seen, member.kept = kept, time.monotonic(), True
            else:
                self.containers.ask(member.rank, member.hosts)
        for container in self.containers.left:  # one that was being replaced when the master died
            if container.id not in {member.name for member in self.members}:
                self.server.refuse(container.id)
                self.containers.stop(container.id)

    # --- listening ----------------------------------------------------------------------------------------------------

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """Whatever comes next, of workers or of YARN; an answer to a command is returned.

        Raises
        ------
        Lost
        """
        while (event := self.containers.event()) is not None:
            if isinstance(event, Ended):
                self._ended(event)
            else:
                member = self.members[event.number]
                member.container, member.kept, member.ready, member.seen = event, False, False, time.monotonic()
        idle = time.monotonic() - self._listened
        if idle > 1:  # the master itself was busy: what has been said meanwhile still waits to be heard
            self.moved += idle
            for member in self.members:
                member.seen += idle
        heard = self.server.receive(seconds)
        self._listened = time.monotonic()
        answer = None
        if heard:
            name, fields = heard
            sender = next((one for one in self.members if one.name == name), None)
            if sender is not None:
                sender.seen = time.monotonic()
                answer = self._take_in(sender, fields)
        self._watch_silence()
        return answer

    def _take_in(self, member: Member, fields: dict[str, Any]) -> dict[str, Any] | None:
        kind = fields.get("kind")
        if kind == "hello":
            host, port = fields["bulk"]
            member.bulk, member.isa = (str(host), int(port)), str(fields["isa"])
            member.ready = member.fresh = True
            with suppress(HdlError, OSError):
                member.watch = tls.connect(self.context, member.bulk, {"purpose": "watch"}, BULK_SECONDS)
        elif kind == "beat":
            member.busy, member.rss = (fields["shard"], fields["share"]), fields["rss"]
            if fields.get("moves") != member.moves:
                member.moves, self.moved = fields.get("moves", -1), time.monotonic()
            if self.stage and fields["shard"] in member.shards:
                done = sum(self._done(one) for one in self.members)
                self.notify(Progress(self.stage, done, sum(len(one.shards) for one in self.members)))
        elif kind == "memory":
            used, limit = fields["rss"] >> 20, fields["limit"] >> 20
            self.message(f"worker {member.rank} uses {used} MiB of its {limit}: --worker-memory {used * 3 // 2}m")
        elif kind == "free" and fields.get("generation") == self.generation:
            return {**fields, "rank": member.rank}
        elif kind in ("done", "failed", "lost") and fields.get("generation") == self.generation:
            member.answer = {**fields, "rank": member.rank}
            member.gpu, member.code = (str(fields.get(name, getattr(member, name))) for name in ("gpu", "code"))
            return member.answer
        return None

    @staticmethod
    def _done(member: Member) -> float:
        shard, share = member.busy
        if member.answer:
            return len(member.shards)
        return member.shards.index(shard) + share if shard in member.shards else 0.0

    def _watch_silence(self) -> None:
        now = time.monotonic()
        for member in self.members:
            if member.ready and now - member.seen > self.settings.silence_seconds:
                why = f"no sign of life for {self.settings.silence_seconds:g} s"
                raise Lost([member], f"worker {member.rank} on {member.host}: {why}")

    def _ended(self, event: Ended) -> None:
        member = next((one for one in self.members if one.name == event.id), None)
        if member is None:  # one that was dismissed before
            return
        where = f"worker {member.rank} on {member.host} (shards {member.shards})"
        if event.kind == "memory":
            if member.rank in self.killed_for_memory:
                raise WorkerError(
                    f"{where} was killed for its memory twice, with {self.settings.memory} MiB: {event.reason}; "
                    f"it used {member.rss >> 20} MiB when last seen. --worker-memory asks for more"
                )
            self.killed_for_memory[member.rank] = member.rss
        if event.kind == "exited":
            self.failures[member.rank] += 1
            if self.failures[member.rank] >= self.settings.failures:
                raise WorkerError(f"{where} failed {self.settings.failures} times, the last one: {event.reason}")
        raise Lost([member], f"{where}: {event.reason}")

    def told(self, timings: Sequence[dict[str, Any]] = (), free: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """How each member is, for the page: worker, container, host, shards, state, seconds, staleness, log."""
        seconds = {one["worker"]: one["seconds"] for one in timings}
        rounds = free["rounds"] if free else []
        return [
            {
                "worker": member.rank,
                "container": member.name,
                "host": member.host,
                "shards": member.shards,
                "state": "ready" if member.ready else "starting" if member.container else "asked for",
                "seconds": seconds.get(member.rank),
                "staleness": max(rounds) - rounds[member.rank] if rounds else None,
                "log": member.container.log if member.container else "",
            }
            for member in self.members
        ]

    # --- losses -------------------------------------------------------------------------------------------------------

    def dismiss(self, lost: Lost) -> None:
        """Fences the lost members off and asks for containers in their places."""
        self.message(lost.reason)
        for member in lost.members:
            if member.container:
                self.server.refuse(member.name)
                self.containers.stop(member.name)
            member.life += 1
            self.notify(Replaced(member.rank, tuple(member.shards), lost.reason))
            with suppress(OSError, AttributeError):
                # One that only slept finds this when it wakes: that its node ends it is not to be relied on.
                member.watch.settimeout(DISMISS_SECONDS)
                member.watch.sendall(mailbox.DISMISSED)
                member.watch.close()
            member.container, member.ready, member.fresh, member.weights = None, False, True, -1
            self.containers.ask(member.rank, member.hosts)

    def _missing(self, members: Sequence[Member]) -> str:
        ranks = ", ".join(str(member.rank) for member in members)
        silent = [member for member in members if member.container]
        said = f"; started but silent: {', '.join(member.name for member in silent)}" if silent else ""
        wants = f"{self.settings.memory} MiB, {self.settings.vcores} vcores"
        gpus = f", {self.settings.gpus} GPUs" if self.settings.gpus else ""
        free = self.containers.available or "nothing known"
        return (
            f"workers {ranks} of {len(self.members)} have not come within {self.settings.gather_seconds:g} s: "
            f"each asks for {wants}{gpus}; the cluster could still give {free}{said}"
        )
