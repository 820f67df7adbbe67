"""What the workers of an application are told to do: commands to all of them, until all have done them.

A command goes to all members under a ticket, and all of them must answer it. When one is lost (its container ended, or
it has been silent for too long), another container takes its place (see `roster`), the mesh is made anew under the next
generation, and the command is given again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from hdl.errors import DeadlineError, HdlError, WorkerError
from hdl.runners.messages import error_from
from hdl.wire import Buffer
from hdl.yarn.comm import mailbox
from hdl.yarn.comm.control import Server
from hdl.yarn.comm.credentials import Secrets
from hdl.yarn.comm.faults import VARIABLE, Faults
from hdl.yarn.master.membership import BULK_SECONDS, Lost, Member, Membership
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.settings import Settings

__all__ = ["Lost", "Member", "WorkerGroup"]

BROKEN = 5  # times in a row that a crew without a loss may lose connections
SETTLE_SECONDS = 3.0  # after a broken connection: until YARN has told whether a container ended
GENERATIONS = 1_000_000  # of one attempt of the master: a later attempt's are always higher

Gift = Callable[[Member], tuple[str, list[Buffer]] | None]


class WorkerGroup(Membership):
    """All workers of one application.

    Parameters
    ----------
    settings : Settings
    secrets : Secrets
    server : Server
    containers : Containers
    attempt : int
        Of the master, from 1.
    message : function of str
        For people: what has happened.
    """

    def __init__(
        self, settings: Settings, secrets: Secrets, server: Server, containers: Containers, attempt: int = 1,
        message: Callable[[str], Any] = lambda text: None,
    ):  # fmt: skip
        super().__init__(settings, secrets.tls(server=False), server, containers, message)
        self.rounds = 1  # of the whole training
        self.generation, self.ticket = attempt * GENERATIONS, 0
        self.shared: dict[str, Callable[[Member], list[Buffer]]] = {}
        self.faults = Faults(life=attempt - 1)
        if self.faults.given:
            message(f"{VARIABLE}={self.faults.given} is set: a process of this application is to fail, for a test")
        self._remesh = True  # the crew is not connected
        self._connections = ThreadPoolExecutor(16, "hdl-bulk")

    # --- coming together ----------------------------------------------------------------------------------------------

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
                self.hear(0.1)
            except Lost as lost:
                self.dismiss(lost)

    def give(self, member: Member, name: str, content: list[Buffer]) -> None:
        """Hands a message to a worker; one that is gone is noticed elsewhere."""
        with suppress(HdlError, OSError):
            mailbox.give(self.context, member.bulk, name, content, BULK_SECONDS)

    def take(self, member: Member, name: str) -> bytearray:
        """What a worker offers.

        Raises
        ------
        Lost
        """
        try:
            return mailbox.take(self.context, member.bulk, name, BULK_SECONDS)
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
        self.stage = stage
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
            self._command(kind, members=fresh, gift=lambda member, k=kind, c=content: (k, c(member)))  # type: ignore[misc]
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
        self.faults.at("waiting")
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
        ticket, self.moved = self.ticket, time.monotonic()
        for member in members:
            member.answer, member.busy = {}, (-1, 0.0)
            says = {"kind": kind, "ticket": ticket, "generation": self.generation, "rank": member.rank}
            says |= {"life": member.life, **fields(member)}
            self.server.send(member.name, says)
        if gift:

            def own(member: Member) -> tuple[str, list[Buffer]] | None:
                found = gift(member)
                return found and (mailbox.titled(found[0], self.generation, ticket), found[1])

            self.hand(own, members)
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
        answer = self.hear(seconds)
        if answer:
            self.moved = time.monotonic()
        elif time.monotonic() - self.moved > self.settings.stall_seconds:
            late = [member for member in self.members if member.answer.get("ticket") != self.ticket]
            listed = "; ".join(f"worker {one.rank} on {one.host}, at shard {one.busy[0]}" for one in late)
            raise DeadlineError(f"no work has got on for {self.settings.stall_seconds:g} s, and workers live: {listed}")
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
