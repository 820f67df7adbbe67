"""Sends commands to a worker group, one by one or, to many workers, through the tree of relays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.yarn.comm import mailbox
from hdl.yarn.master.member import Member
from hdl.yarn.master.payloads import Content, MakePayload, Payloads
from hdl.yarn.protocol import Command, Header, Relayed

MakeCommand = Callable[[Member, Header], Command]


class CommandSending(Payloads):
    """Gives the members of a worker group a command. Parameters are those of `Membership`.

    Attributes
    ----------
    remesh : bool
        Whether the members have to be connected anew before the next command.
    """

    _last_id = 0
    _again: Callable[[Member], Any] = staticmethod(lambda member: None)  # gives a member the present command once more

    def send_command(
        self,
        command: MakeCommand,
        payload: MakePayload | None = None,
        members: Sequence[Member] | None = None,
        alike: Callable[[Member], Any] | None = None,
    ) -> int:
        """Give a command without waiting for answers; returns the command's id."""
        members = self.members if members is None else members
        self.command_id = command_id = self.next_id()
        self.moved = time.monotonic()
        self.unanswered = {member.rank for member in members}
        self.relays.forget_answers()
        for member in members:
            member.answer, member.position = None, (-1, 0.0)

        def tell(member: Member) -> None:
            header = Header(command_id, self.generation, member.rank, member.incarnation.number)
            self.server.send(member.name, command(member, header).to_dict())

        def of_command(member: Member) -> tuple[str, Content] | None:
            pair = payload(member) if payload else None
            return pair and (mailbox.payload_name(pair[0], self.generation, command_id), pair[1])

        def again(member: Member) -> None:
            tell(member)
            if pair := of_command(member):
                self.push_later(member, *pair)

        self._again = again
        if self._relayed(command, of_command if payload else None, members, alike):
            return command_id
        for member in members:
            tell(member)
        if payload:
            self.push_all(of_command, members)
        return command_id

    def _relayed(
        self,
        command: MakeCommand,
        payload: MakePayload | None,
        members: Sequence[Member],
        alike: Callable[[Member], Any] | None,
    ) -> bool:
        """Give all members of the tree a command through it, if it is the same for all and they wait for one.

        Who works still at an earlier command could pass nothing on.
        """
        if self.remesh or len(members) != len(self.relays.members) or not members:
            return False
        anybody = Header(self.command_id, self.generation, -1, -1)
        first = command(members[0], anybody)
        if alike is None:
            same = all(command(member, anybody) == first for member in members)
        else:
            same = len({alike(member) for member in members}) == 1
        spread: list[tuple[Member, str, Content]] | None = []
        if same and payload and (alike is None or payload(members[0])):
            spread = self.relays.split([payload(member) for member in members])
        if not same or spread is None:
            return False
        fields = Relayed(first.to_dict()).to_dict()

        def again(member: Member) -> None:  # those below it may not have heard either
            self.server.send(member.name, fields)
            contents = [payload(other) for other in members] if spread and payload else []
            for each in (self.relays.split(contents, [member]) or ()) if contents else ():
                self._connections.submit(self.spread, *each)

        self._again = again
        for member in self.relays.heads():
            self.server.send(member.name, fields)
        pushed = [self._connections.submit(self.spread, *each) for each in spread]
        for future in pushed:
            future.result()
        return True

    def detached(self, member: Member) -> None:
        """Give a member that has lost its relay the present command once more: who has done it already drops it."""
        if self.unanswered:
            self._again(member)

    def next_id(self) -> int:
        """Make the id of a command: no two have the same."""
        self._last_id += 1
        return self._last_id

    def seconds(self) -> dict[str, NDArray[np.float64]]:
        """Return what the members spent on the command that they have done, by name.

        `compute` is by place among the members; of the others it is that, or what is left of it where they are many:
        see `protocol.joined_seconds`.
        """
        if found := self.relays.seconds():
            return found
        each = [member.done.seconds or {} for member in self.members]
        names = dict.fromkeys(name for seconds in each for name in seconds)
        return {name: np.array([seconds.get(name, 0.0) for seconds in each]) for name in names}
