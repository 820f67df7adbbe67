"""Leads the workers of an application: commands to all of them, until all have done them.

A command goes to all members under an id, and all of them must answer it. When one is lost (its container ended, or it
has been silent for too long), another container takes its place (see `membership`), or its shards go to the others
where the number of workers may change (see `newcomers`); the mesh is made anew under the next generation, and the
command is given again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hdl.errors import DeadlineError, NodeError, WorkerError
from hdl.runners.messages import error_from
from hdl.sync import schedule
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.comm.faults import VARIABLE, Faults
from hdl.yarn.master.command_sending import CommandSending, MakeCommand
from hdl.yarn.master.listening import Heard
from hdl.yarn.master.member import Member
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.newcomers import Newcomers
from hdl.yarn.master.payloads import Content, MakePayload
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.protocol import (
    Answer,
    ConnectMesh,
    Disconnected,
    End,
    Failed,
    Header,
    MemberState,
    Open,
    Prepare,
)
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.settings import Settings

BROKEN = 5  # times in a row that a group without a loss may lose connections
SETTLE_SECONDS = 3.0  # after a broken connection: until YARN has told whether a container ended
GENERATIONS = 1_000_000  # of one attempt of the master: a later attempt's are always higher


class WorkerGroup(CommandSending):
    """Gives commands to all workers of one application.

    Parameters
    ----------
    settings : Settings
    credentials : Credentials
    server : Server
    containers : Containers
    attempt : int
        Of the master, from 1.
    message : function of str
        Called with messages for people: losses, replacements, warnings.
    tokens : MasterTokens, optional
    """

    def __init__(
        self, settings: Settings, credentials: Credentials, server: Server, containers: Containers, attempt: int = 1,
        message: Callable[[str], Any] = lambda text: None, tokens: MasterTokens | None = None,
    ):  # fmt: skip
        super().__init__(settings, credentials.tls(server=False), server, containers, message, tokens)
        self.rounds = 1  # of the whole training
        self.generation = attempt * GENERATIONS
        self.everybody = False  # all workers are connected with all: mode `async`
        self._ahead: MakeCommand | None = None  # has been given, and its answers are still to be waited for
        self.newcomers = Newcomers(self)
        self.shared: dict[type[Open | Prepare], Callable[[Member], Content]] = {}  # commands are given in this order
        self.faults = Faults(incarnation=attempt - 1)
        if self.faults.given:
            message(f"{VARIABLE}={self.faults.given} is set: a process of this application is to fail, for a test")

    # --- coming together ----------------------------------------------------------------------------------------------

    # --- commands -----------------------------------------------------------------------------------------------------

    def do(
        self,
        command: MakeCommand,
        payload: MakePayload | None = None,
        collect: Callable[[], Any] = lambda: None,
        stage: str = "",
        alike: Callable[[Member], Any] | None = None,
    ) -> Any:
        """Give all members a command, again after each loss, until all have done it and `collect` has the results.

        Parameters
        ----------
        command : function of a member and the command's header
            Makes the member's command. Called again after a loss.
        payload : function of a member
            Name and content of the payload that belongs to the command; None where there is nothing to push.
        collect : function
            Pulls the results; `do` returns what it returns.
        stage : str
            For Progress events.
        alike : function of a member, optional
            Members of which it returns the same get the same command, but for its header; who gets no payload is one
            with others that get none. None: commands are made and compared.

        Raises
        ------
        HdlError
            A worker raised it, or no other container can take a lost one's place.
        """
        self.stage = stage
        given = self._ahead is command and not self.remesh
        if not given:
            self.give_up_ahead()
        self._ahead, broken = None, 0
        while True:
            try:
                if given:
                    given = False  # after a loss it is given again
                else:
                    self.assemble()
                    for member in self.members:
                        member.tried = member.shards
                    self.send_command(command, payload, alike=alike)
                self._wait()
                collected = collect()
                for member in self.members:
                    member.tried = []
                return collected
            except Lost as lost:
                broken = 0 if lost.members else broken + 1
                if broken == BROKEN:
                    raise WorkerError(f"workers lose each other again and again: {lost.reason}") from None
                self.evict(lost)
                self.leave_mesh()

    def give_ahead(self, command: MakeCommand) -> None:
        """Give all members a command that needs no payload, if nothing has to be done before; `do` waits for it."""
        if self.remesh or any(member.incarnation.state is not MemberState.READY for member in self.members):
            return
        for member in self.members:
            member.tried = member.shards
        self._ahead = command
        self.send_command(command)

    def give_up_ahead(self) -> None:
        """Have the command that was given ahead left alone, as another one is wanted: connecting anew ends it."""
        if self._ahead is not None:
            self._ahead = None
            self.leave_mesh()

    def meet(self) -> None:
        """Wait until all workers are here and have opened the data, so that it is known what they compute with."""
        while True:
            try:
                return self.assemble()
            except Lost as lost:
                self.evict(lost)
                self.leave_mesh()

    def share(self, kind: type[Open | Prepare], content: Callable[[Member], Content]) -> None:
        """Give every member, present and future, a command of this kind and content before the next one to all."""
        self.shared[kind] = content
        for member in self.places:
            member.outdated()

    def assemble(self) -> None:
        """Wait until all workers are here, give newcomers the shared commands, and connect the mesh if it is not.

        Raises
        ------
        Lost
            A worker was lost meanwhile.
        DeadlineError
            Workers are missing: see `gather`.
        """
        self.gather()
        many = len(self.members) > self.settings.relay_above
        if many:  # then what is shared goes through the tree
            self._connect(many)
        newcomers = [member for member in self.members if member.incarnation.state is not MemberState.READY]
        for kind, content in self.shared.items() if newcomers else ():
            self._share(kind, content, newcomers)
        for member in newcomers:
            member.prepared()
        self._connect(many)

    def _connect(self, many: bool) -> None:
        """Connect the members with each other, and many of them in a tree of relays, unless they are."""
        if not self.remesh:
            return
        self.generation += 1
        self.relays.fell()
        if many:
            self.relays.plant(self.members, self.generation, self.settings.relay_fan, self.settings.silence_seconds)
        size, everybody = len(self.members), self.everybody
        places = {member.rank: place for place, member in enumerate(self.members)}

        def command(member: Member, header: Header) -> ConnectMesh:
            place = places[member.rank]
            known = [*range(size)]
            if many and not everybody:  # all addresses for all would be too much
                known = sorted({place, *schedule.peers(size, self.shards, place)})
            peers = [self.members[other].incarnation.address for other in known]
            ranks = [self.members[other].rank for other in known] if self.elastic else None
            rest = {"places": known, **self.relays.position(place)} if many else {}
            return ConnectMesh(*header, peers, ranks, self.shards, everybody, **rest)

        self._command(command)
        self.remesh = False

    def _share(
        self, kind: type[Open | Prepare], content: Callable[[Member], Content], members: Sequence[Member]
    ) -> None:
        self._command(lambda member, header: kind(*header), lambda member: (kind.kind, content(member)), members)

    def _command(
        self,
        command: MakeCommand,
        payload: MakePayload | None = None,
        members: Sequence[Member] | None = None,
        alike: Callable[[Member], Any] | None = None,
    ) -> None:
        """Give these members (all, if None) a command, and wait for all their answers.

        Raises
        ------
        Lost
            A worker was lost, or a connection between two of them.
        """
        self.send_command(command, payload, self.members if members is None else members, alike)
        self._wait()

    def _wait(self) -> None:
        """Wait for all answers to the present command; errors are those of `_command`."""
        command_id = self.command_id
        self.faults.at("waiting")
        broken: list[str] = []
        until = float("inf")
        while self.unanswered:
            _, answer = self.listen(0.1) or (None, None)
            if isinstance(answer, Disconnected) and answer.command_id == command_id:
                broken.append(answer.reason)
                until = min(until, time.monotonic() + SETTLE_SECONDS)
            if time.monotonic() > until:
                break
        if broken:
            raise Lost([], broken[0])

    def listen(self, seconds: float) -> Heard | None:
        """Wait for the next answer of a member, or its report in mode `async`.

        Raises
        ------
        Lost
            A worker was lost meanwhile.
        DeadlineError
            No worker's work has got on for too long.
        HdlError
            The worker raised it.
        """
        heard = self.hear(seconds)
        self.newcomers.welcome()
        if heard:
            self.moved = time.monotonic()
        elif time.monotonic() - self.moved > self.settings.stall_seconds:
            late = [member for member in self.members if not member.answered(self.command_id)]
            listed = "; ".join(
                f"worker {member.rank} on {member.host}, at shard {member.position[0]}" for member in late
            )
            raise DeadlineError(f"no work has got on for {self.settings.stall_seconds:g} s, and workers live: {listed}")
        if heard:
            member, answer = heard
            if isinstance(answer, Failed) and answer.command_id == self.command_id:
                error = error_from(answer.error, f"worker {member.rank}")
                if isinstance(error, NodeError):
                    raise self.failed(member, "node", str(error))
                if answer.later:  # the rounds before it are to be told first
                    raise Lost([], f"worker {member.rank}: {error}; what it was doing is done again round by round")
                raise error
        return heard

    def answered_before(self, member: Member, answer: Answer) -> None:
        self.newcomers.answered(member, answer)

    def end(self) -> None:
        """Tell all workers to end."""
        for member in self.places:
            if member.name:
                with suppress(Exception):
                    self.server.send(member.name, End().to_dict())
        self._connections.shutdown(wait=False)
