"""The workers of an application: asked for, admitted, told what to do, watched, replaced.

A command goes to all members under a ticket, and all of them must answer it. When one is lost (its container ended, or
it has been silent for too long), another container takes its place, the mesh is made anew under the next generation,
and the command is given again. Whoever speaks for an earlier generation, or is no member, is not heard.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hdl.errors import DeadlineError, HdlError, WorkerError
from hdl.runners.base import Notify, Progress, Replaced
from hdl.runners.local_worker import error_from
from hdl.wire import Buffer
from hdl.yarn import bulk, desk
from hdl.yarn.containers import Containers
from hdl.yarn.control import Server
from hdl.yarn.resources import Container, Ended
from hdl.yarn.secrets import Secrets
from hdl.yarn.settings import Settings

BULK_SECONDS = 60.0
BROKEN = 5  # times in a row that a crew without a loss may lose connections
SETTLE_SECONDS = 3.0  # after a broken connection: until YARN has told whether a container ended
GENERATIONS = 1_000_000  # of one attempt of the master: a later attempt's are always higher


@dataclass
class Member:
    """One worker's place in the crew, and who fills it."""

    rank: int
    shards: list[int]
    hosts: list[str]
    container: Container | None = None
    bulk: tuple[str, int] = ("", 0)
    isa: str = ""
    life: int = 0  # how many containers it had before
    kept: bool = False  # an earlier master launched it
    ready: bool = False  # has said hello
    fresh: bool = True  # has not been given what all rounds share
    seen: float = 0.0
    busy: tuple[int, float] = (-1, 0.0)
    rss: int = 0
    watch: Any = None
    weights: int = -1  # the last round whose weights it has
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.container.id if self.container else ""


Gift = Callable[[Member], tuple[str, list[Buffer]] | None]


class Lost(Exception):
    """Members are gone, or a connection between two of them."""

    def __init__(self, members: Sequence[Member], reason: str):
        super().__init__(reason)
        self.members, self.reason = list(members), reason


class Crew:
    """All workers of one application.

    Parameters
    ----------
    settings : Settings
    secrets : Secrets
    server : Server
    containers : Containers
    attempt : int
        Of the master, from 1.
    notify : function of an event
    message : function of str
        For people: what has happened.
    """

    def __init__(
        self, settings: Settings, secrets: Secrets, server: Server, containers: Containers, attempt: int = 1,
        message: Callable[[str], Any] = lambda text: None,
    ):  # fmt: skip
        self.settings, self.server, self.containers, self.message = settings, server, containers, message
        self.rounds = 1  # of the whole training
        self.context = secrets.tls(server=False)
        self.generation, self.ticket = attempt * GENERATIONS, 0
        self.members: list[Member] = []
        self.notify: Notify = lambda event: None
        self.shared: dict[str, Callable[[Member], list[Buffer]]] = {}
        self.failures: Counter[int] = Counter()
        self.killed_for_memory: dict[int, int] = {}
        self._stage = ""
        self._listened = time.monotonic()
        self._remesh = True  # the crew is not connected
        self._connections = ThreadPoolExecutor(16, "hdl-bulk")

    # --- coming together ----------------------------------------------------------------------------------------------

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
                self.server.admit(kept.id)
            else:
                self.containers.ask(member.rank, member.hosts)

    def gather(self) -> None:
        """Waits until all are here.

        Raises
        ------
        DeadlineError
            Which are missing, and what the cluster could still give.
        """
        until = time.monotonic() + self.settings.gather_seconds
        while missing := [member for member in self.members if not member.ready]:
            if time.monotonic() > until:
                raise DeadlineError(self._missing(missing))
            try:
                for member in missing:
                    if member.kept and time.monotonic() - member.seen > self.settings.silence_seconds:
                        raise Lost([member], f"worker {member.rank} has not found the new master")
                self._hear(0.1)
            except Lost as lost:
                self.dismiss(lost)

    def give(self, member: Member, name: str, content: list[Buffer]) -> None:
        """Hands a message to a worker; one that is gone is noticed elsewhere."""
        with suppress(HdlError, OSError):
            desk.give(self.context, member.bulk, name, content, BULK_SECONDS)

    def take(self, member: Member, name: str) -> bytearray:
        """What a worker offers.

        Raises
        ------
        Lost
        """
        try:
            return desk.take(self.context, member.bulk, name, BULK_SECONDS)
        except (HdlError, OSError) as error:
            raise Lost([], f"worker {member.rank} does not hand over {name}: {error}") from None

    # --- commands -----------------------------------------------------------------------------------------------------

    def do(
        self,
        kind: str,
        fields: Callable[[Member], dict[str, Any]] = lambda member: {},
        gift: Gift | None = None,
        after: Callable[[], Any] = lambda: None,
        stage: str = "",
    ) -> Any:
        """Gives all members a command until all have done it, and `after` has taken what came of it.

        Parameters
        ----------
        kind : str
        fields : function of a member
            What the command says to it. Called again after a loss.
        gift : function of a member
            Name and content of what belongs to the command; None where there is nothing to hand over.
        after : function
            Its result is this one's.
        stage : str
            For Progress events.

        Raises
        ------
        HdlError
            What a worker raised, or why no other one can take a lost one's place.
        """
        self._stage = stage
        broken = 0
        while True:
            try:
                self.assemble()
                self._command(kind, fields, gift)
                return after()
            except Lost as lost:
                broken = 0 if lost.members else broken + 1
                if broken == BROKEN:
                    raise WorkerError(f"workers lose each other again and again: {lost.reason}") from None
                self.dismiss(lost)
                self.part()

    def share(self, kind: str, content: Callable[[Member], list[Buffer]]) -> None:
        """Something that every member, present and future, is given with a command of the same name."""
        self.shared[kind] = content
        for member in self.members:
            member.fresh = True

    def assemble(self) -> None:
        """Waits until all are here, gives newcomers what all share, and connects the crew if it is not.

        Raises
        ------
        Lost, DeadlineError
        """
        self.gather()
        fresh = [member for member in self.members if member.fresh]
        for kind, content in self.shared.items() if fresh else ():
            self._command(kind, members=fresh, gift=lambda member, k=kind, c=content: (k, c(member)))
        for member in fresh:
            member.fresh = False
        if self._remesh:
            self.generation += 1
            peers = [list(member.bulk) for member in self.members]
            self._command("mesh", lambda member: {"peers": peers})
            self._remesh = False

    def _command(
        self, kind: str, fields: Callable[[Member], dict[str, Any]] = lambda member: {}, gift: Gift | None = None,
        members: Sequence[Member] | None = None,
    ) -> None:  # fmt: skip
        """One command to these members, and all their answers."""
        members = self.members if members is None else members
        ticket = self.tell(kind, fields, gift, members)
        broken: list[str] = []
        until = float("inf")
        while any(member.answer.get("ticket") != ticket for member in members):
            answer = self.listen(0.1)
            if answer and answer["kind"] == "lost" and answer["ticket"] == ticket:
                broken.append(answer["reason"])
                until = min(until, time.monotonic() + SETTLE_SECONDS)
            if time.monotonic() > until:
                break
        if broken:
            raise Lost([], broken[0])

    def tell(
        self, kind: str, fields: Callable[[Member], dict[str, Any]], gift: Gift | None = None,
        members: Sequence[Member] | None = None,
    ) -> int:  # fmt: skip
        """Gives a command without waiting for answers; its ticket."""
        members = self.members if members is None else members
        self.ticket += 1
        ticket = self.ticket
        for member in members:
            member.answer, member.busy = {}, (-1, 0.0)
            says = {"kind": kind, "ticket": ticket, "generation": self.generation, "rank": member.rank}
            says |= {"life": member.life, **fields(member)}
            self.server.send(member.name, says)
        if gift:
            self.hand(gift, members)
        return ticket

    def hand(self, gift: Gift, members: Sequence[Member] | None = None) -> None:
        """Hands each member what `gift` has for it, all at the same time."""
        gifts = [(member, gift(member)) for member in (self.members if members is None else members)]
        handed = [self._connections.submit(self.give, member, *content) for member, content in gifts if content]
        for future in handed:
            future.result()

    def part(self) -> None:
        """The mesh is of no use any more; the next command is given over a new one."""
        self._remesh = True

    def listen(self, seconds: float) -> dict[str, Any] | None:
        """The next answer of a member, with its `rank`, or what it says of itself in mode `async`.

        Raises
        ------
        Lost
        HdlError
            What it raised.
        """
        answer = self._hear(seconds)
        if answer and answer["kind"] == "failed" and answer["ticket"] == self.ticket:
            raise error_from(answer["error"], f"worker {answer['rank']}")
        return answer

    def end(self) -> None:
        """Tells all to end."""
        for member in self.members:
            if member.container:
                with suppress(Exception):
                    self.server.send(member.name, {"kind": "end"})
        self._connections.shutdown(wait=False)

    # --- listening ----------------------------------------------------------------------------------------------------

    def _hear(self, seconds: float) -> dict[str, Any] | None:
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
            for member in self.members:
                member.seen += idle
        heard = self.server.receive(seconds)
        self._listened = time.monotonic()
        answer = None
        if heard:
            name, fields = heard
            member = next((one for one in self.members if one.name == name), None)
            if member is not None:
                member.seen = time.monotonic()
                answer = self._take_in(member, fields)
        self._watch_silence()
        return answer

    def _take_in(self, member: Member, fields: dict[str, Any]) -> dict[str, Any] | None:
        kind = fields.get("kind")
        if kind == "hello":
            host, port = fields["bulk"]
            member.bulk, member.isa = (str(host), int(port)), str(fields["isa"])
            member.ready = member.fresh = True
            with suppress(HdlError, OSError):
                member.watch = bulk.connect(self.context, member.bulk, {"purpose": "watch"}, BULK_SECONDS)
        elif kind == "beat":
            member.busy, member.rss = (fields["shard"], fields["share"]), fields["rss"]
            if self._stage and fields["shard"] in member.shards:
                done = sum(self._done(one) for one in self.members)
                self.notify(Progress(self._stage, done, sum(len(one.shards) for one in self.members)))
        elif kind == "memory":
            used, limit = fields["rss"] >> 20, fields["limit"] >> 20
            self.message(f"worker {member.rank} uses {used} MiB of its {limit}: --worker-memory {used * 3 // 2}m")
        elif kind == "free" and fields.get("generation") == self.generation:
            return {**fields, "rank": member.rank}
        elif kind in ("done", "failed", "lost") and fields.get("generation") == self.generation:
            member.answer = {**fields, "rank": member.rank}
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
                raise Lost([member], f"worker {member.rank} on {member.container.host}: {why}")

    def _ended(self, event: Ended) -> None:
        member = next((one for one in self.members if one.name == event.id), None)
        if member is None:  # one that was dismissed before
            return
        where = f"worker {member.rank} on {member.container.host} (shards {member.shards})"
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
                "host": member.container.host if member.container else "",
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
