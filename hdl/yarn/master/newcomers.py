"""Lets the number of workers change: newcomers load shards while the others train, and take them over between rounds.

A newcomer is given the dataset, the plan and the shards that it is to take over, and decodes them; nobody waits for it.
Between two rounds those that have done so take part from then on, and the others drop those shards. A lost worker's
shards go to those that are left at once (`WorkerGroup.gather`), and a worker whose container YARN wants back goes
between two rounds too, as long as enough remain.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hdl.errors import NodeError, WorkerError
from hdl.runners.messages import error_from
from hdl.yarn.comm import mailbox
from hdl.yarn.master.assignment import assign
from hdl.yarn.master.member import Member
from hdl.yarn.protocol import Answer, Command, Failed, Header, Load, Open, Prepare

if TYPE_CHECKING:
    from hdl.yarn.master.worker_group import WorkerGroup

UNEVEN = 2  # shards that a worker may have more than another before they are shared out anew
_NEXT: dict[type[Command], type[Command]] = {Open: Prepare, Prepare: Load}


class Newcomers:
    """Leads the workers of a group that do not take part in its rounds yet.

    Parameters
    ----------
    group : WorkerGroup
    """

    def __init__(self, group: WorkerGroup):
        self.group = group

    def welcome(self) -> None:
        """Give workers that have come since the last call the shards that they are to take over, to load them."""
        group = self.group
        if not group.elastic:
            return
        training = [member for member in group.members if member.incarnation.trains]
        if not training or not {Open, Prepare} <= group.shared.keys():
            return
        waiting = [place for place in group.places if place.incarnation.state.here and not place.incarnation.trains]
        known = [place for place in waiting if place.incarnation.joining or place.incarnation.loaded]
        fresh = [place for place in waiting if place not in known]
        if not fresh:
            return
        claims = {place.rank: place.shards for place in [*known, *training]} | {place.rank: [] for place in fresh}
        shares = assign(claims, group.shards)
        for place in known:  # it has been told, and takes over nothing that it has not loaded
            place.shards = [shard for shard in place.shards if shard in shares[place.rank]]
        for place in fresh:
            place.shards = shares[place.rank]
            self._command(place, Open)

    def answered(self, place: Member, answer: Answer) -> None:
        """Process a newcomer's answer: the next command, or it has loaded its shards."""
        mine = place.incarnation
        if mine.joining is None or mine.joining[1] != answer.command_id:
            return
        if isinstance(answer, Failed):
            error = error_from(answer.error, f"worker {place.rank}")
            kind = "node" if isinstance(error, NodeError) else "exited"
            with suppress(WorkerError):  # too few places are left to begin with; but enough workers train
                self.group.lose(place, kind, f"cannot take part: {error}")
            return
        place.answers(answer)
        following = _NEXT.get(mine.joining[0])
        if following:
            self._command(place, following)
        else:
            mine.joining, mine.loaded = None, True

    def settle(self) -> None:
        """Between two rounds: workers that have loaded their shards take them over, those that YARN wants back go."""
        group = self.group
        if not group.elastic or not group.members or not all(member.incarnation.trains for member in group.members):
            return  # nobody is there yet, or somebody was lost: the shards are shared out before the next command
        self.welcome()
        shares = {member.rank: member.shards for member in group.members}
        ready = [place for place in group.places if place.incarnation.loaded]
        for place in ready:
            for rank, own in shares.items():
                left = [shard for shard in own if shard not in place.shards]
                shares[rank] = left or own[:1]
            claimed = {shard for own in shares.values() for shard in own}
            mine = [shard for shard in place.shards if shard not in claimed]
            if mine:
                shares[place.rank] = mine
            else:  # all of them are needed where they are: it is given others
                place.incarnation.loaded = False
        most = min(len(shares) - group.fewest, len(group.members) - 1)  # one that has the weights stays
        going = [member for member in group.members if member.incarnation.leaving][: max(0, most)]
        if going:
            names = {member.rank for member in going}
            shares = assign({rank: own for rank, own in shares.items() if rank not in names}, group.shards)
        elif not any(place.incarnation.joining for place in group.places):
            sizes = [len(own) for own in shares.values()]
            if max(sizes) - min(sizes) >= UNEVEN:
                shares = assign(shares, group.shards)
        group.take(shares)
        for member in going:
            group.message(f"the container of worker {member.rank} on {member.host} is given back")
            group.replace(member)

    def _command(self, place: Member, kind: type[Command]) -> None:
        """Give a newcomer a command; its payload is pushed in the background."""
        group = self.group
        header = Header(group.next_id(), group.generation, place.rank, place.incarnation.number)
        place.incarnation.joining = kind, header.command_id
        group.server.send(place.name, kind(*header).to_dict())
        content = group.shared.get(kind)  # type: ignore[arg-type]
        if content:
            name = mailbox.payload_name(kind.kind, header.generation, header.command_id)
            group.push_later(place, name, content(place))
