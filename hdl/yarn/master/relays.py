"""The master's side of the tree of relays: whom it talks to itself, and what it hears of the others through them.

Of many workers the master tells and hears only those next to it (`protocol.relay_tree`), so its work a round does not
grow with their number but for some columns of numbers. Each of them speaks for the workers below it and for no others.
A worker that has lost its relay, or waits for a word of it for too long, turns to the master itself: until the tree is
made anew it is told and heard beside those next to the master.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.wire import Buffer
from hdl.yarn.comm import bundles
from hdl.yarn.master.member import Incarnation, Member
from hdl.yarn.protocol import Answers, Beats, Done, joined_seconds
from hdl.yarn.protocol.relay_tree import children, parent, subtree

SILENT_SHARE = 0.25  # of a worker's silence that is its end: a relay's that makes those below turn to the master

Content = list[Buffer]


class Relays:
    """Knows the tree of the present generation; there is none until it is planted.

    Attributes
    ----------
    members : list of Member
        By place; empty where there is no tree.
    bundles : list of (Member, str)
        Who keeps results of the present command for several workers, and under which name.
    """

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.bundles: list[tuple[Member, str]] = []
        self._generation = self._fan = 0
        self._incarnations: list[Incarnation] = []
        self._places: dict[int, int] = {}  # by rank
        self._compute: list[tuple[list[int], list[float]]] = []  # of the present command: places, seconds
        self._seconds: dict[str, float] = {}
        self._patience = 0.0
        self._detached: dict[int, None] = {}  # places that the master talks to itself, as their relay is gone or silent

    def plant(self, members: Sequence[Member], generation: int, fan: int, silence: float) -> None:
        """Make the tree of a generation of these members, in this order; `silence` is the end of a worker, in s."""
        self.members, self._generation, self._fan = [*members], generation, fan
        self._patience = silence * SILENT_SHARE
        self._incarnations = [member.incarnation for member in members]
        self._places = {member.rank: place for place, member in enumerate(members)}
        self._detached = {}

    def fell(self) -> None:
        """Do without a tree."""
        self.plant([], 0, 0, 0.0)

    def position(self, place: int) -> dict[str, Any]:
        """Give the fields of the command ConnectMesh that tell a member its place."""
        if not self.members:
            return {}
        above = parent(place, self._fan)
        address = None if above is None else self.members[above].incarnation.address
        return {"place": place, "size": len(self.members), "fan": self._fan, "above": address,
                "patience": self._patience}  # fmt: skip

    def heads(self) -> list[Member]:
        """List the members that the master talks to itself."""
        first = children(None, len(self.members), self._fan) if self.members else range(0)
        return [self.members[place] for place in (*first, *self._detached)]

    def split(
        self, contents: Sequence[tuple[str, Content] | None], heads: Sequence[Member] | None = None
    ) -> list[tuple[Member, str, Content]] | None:
        """Bundle payloads of all members, by place, for those that the master talks to, or for these of them.

        Returns
        -------
        list of (Member, str, content) or None
            None: only some have a payload, or they have other names.
        """
        names = {pair and pair[0] for pair in contents}
        if names == {None}:
            return []
        if len(names) != 1 or None in names:
            return None
        pairs = [pair for pair in contents if pair]
        name, same = pairs[0][0], pairs[0][1]
        everybody = bundles.pack([(None, same)]) if all(content is same for _, content in pairs) else None
        found = []
        for head in self.heads() if heads is None else heads:
            below = subtree(self._places[head.rank], len(self.members), self._fan)
            own = everybody or bundles.pack([(place, pairs[place][1]) for place in sorted(below)])
            found.append((head, name, own))
        return found

    # --- what relays say ----------------------------------------------------------------------------------------------

    def beats(
        self, sender: Member, report: Beats, now: float, takes_part: Callable[[Member], bool]
    ) -> tuple[bool, bool]:
        """Record signs of life of a member and those below it.

        Returns
        -------
        bool, bool
            Whether work has got on, and whether the sender has just turned to the master itself.
        """
        if not self._speaks(sender, report.places, report.generation):
            return False, False
        moved = False
        columns = zip(report.places, report.shards, report.shares, report.rss, report.moves, report.ages, strict=False)
        for place, shard, share, rss, moves, age in columns:
            member, mine = self.members[place], self._incarnations[place]
            if member.incarnation is mine:  # else it is of a worker that was evicted
                member.position, mine.memory = (shard, share), rss
                mine.seen = max(mine.seen, now - age)
                moved = moved or (moves != mine.moves and takes_part(member))
                mine.moves = moves
        place = self._places[sender.rank]
        for other, age in zip(report.places, report.ages, strict=False) if self._detached else ():
            if other != place and age <= self._patience:  # its relay hears it again
                self._detached.pop(other, None)
        detached = report.detached and place not in self._detached and place >= self._fan
        if detached:
            self._detached[place] = None
        return moved, detached

    def answers(self, sender: Member, report: Answers, command_id: int) -> list[int] | None:
        """Record answers of a member and those below it; returns their ranks, or None if they are not heard."""
        if report.command_id != command_id or not self._speaks(sender, report.places, report.generation):
            return None
        if report.bundle:
            self.bundles.append((sender, report.bundle))
        if len(report.compute) == len(report.places):
            self._compute.append((report.places, report.compute))
        self._seconds = joined_seconds([self._seconds, report.seconds])
        header = report.command_id, report.generation
        for at, place in enumerate(report.places if report.columns else ()):
            self.members[place].answers(Done(*header, **{name: column[at] for name, column in report.columns.items()}))
        alike = Done(*header)
        for place in report.places if not report.columns else ():
            self.members[place].answer = alike
        if report.row is not None and 0 in report.places:
            self.members[0].answer = replace(self.members[0].done, row=report.row)
        return [self.members[place].rank for place in report.places]

    def seconds(self) -> dict[str, NDArray[np.float64]]:
        """Return what the present command took: `compute` by place, the others joined (`protocol.joined_seconds`)."""
        if not self._compute:
            return {}
        compute = np.zeros(len(self.members))
        for places, seconds in self._compute:
            compute[places] = seconds
        return {"compute": compute, **{name: np.array([value]) for name, value in self._seconds.items()}}

    def forget_answers(self) -> None:
        """Begin another command."""
        self.bundles, self._compute, self._seconds = [], [], {}

    def taken_apart(self, bundle: bytearray) -> Iterator[tuple[Member, str, memoryview]]:
        """Take a bundle of results apart: the member, the result's name and its content."""
        for (place, name), content in bundles.unpack(bundle):
            yield self.members[int(place)], str(name), content

    def _speaks(self, sender: Member, places: Sequence[int], generation: int) -> bool:
        """Tell whether a member may speak for these places: it is in the tree, and they are its own or below it."""
        if not self.members or generation != self._generation or sender.rank not in self._places:
            return False
        return subtree(self._places[sender.rank], len(self.members), self._fan).issuperset(places)
