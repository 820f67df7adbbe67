"""Rounds that the workers merge: several of them, one after the other, without a word of the master between.

What a round's command says follows from the round before, until the training ends or somebody comes or goes. So short
rounds are asked for in *stretches*, and the next stretch as soon as one is over, before the driver has looked at its
rows: the way from the workers to the master and back, and the driver's own work, cost a stretch what they cost a round.
Weights are what they were: a round that nobody wants in the end is a function of its weights, and is forgotten.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hdl.wire import Buffer
from hdl.yarn.master.command_sending import MakeCommand
from hdl.yarn.master.member import Member
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol import Header, RunRound, weights_name

SECONDS = 0.2  # of a stretch: so long a newcomer waits at most, and so long ago is what people see
MOST, GROWTH = 32, 4  # rounds of a stretch; and as a multiple of those of the one before
KEPT_BYTES = 4 << 20  # of the weights of a stretch's rounds, which workers keep until the driver has seen their rows
ROWS_BYTES = 512 << 10  # of their rows, which are one message of the control channel
KEPT = 4  # rounds whose weights the workers hold for the table while later rounds pass

Seconds = dict[str, NDArray[np.float64]]  # by name, by place among the members


@dataclass(frozen=True)
class DoneRound:
    """Holds what the workers said of a round: the first one's row, all members' seconds, and how long all took."""

    row: dict[str, Any]
    members: list[Member]
    seconds: Seconds
    took: float


@dataclass(frozen=True)
class _Stretch:
    """Rounds that are asked for together."""

    number: int  # of the first one
    count: int
    evaluate_only: bool
    command: MakeCommand
    since: int
    began: float


class Stretches:
    """Asks a worker group for rounds, and hands them out one by one.

    Parameters
    ----------
    group : WorkerGroup
    look : function of a round that is done
        Called for each as soon as its stretch is over; it may give up workers.

    Attributes
    ----------
    keep : deque of int
        Rounds whose weights are being published, or were last.
    """

    def __init__(self, group: WorkerGroup, look: Callable[[DoneRound], Any]):
        self.group, self._look = group, look
        self.keep: deque[int] = deque(maxlen=KEPT)
        self.forget()

    def forget(self) -> None:
        """Begin another training: the workers have no weights of it."""
        self._done: deque[DoneRound] = deque()  # that the driver has not asked for yet
        self._next = 0  # the first of them
        self._ahead: _Stretch | None = None  # that is being done, or was, before the driver has asked for it
        self._took, self._before = float("inf"), 1  # seconds of a round of the last stretch, and how many it had
        self._row = 1  # bytes of a row
        self.keep.clear()
        for member in self.group.places:
            member.incarnation.weights = range(0)

    def round(self, number: int, evaluate_only: bool, size: int, content: Callable[[], list[Buffer]]) -> DoneRound:
        """Have a round done, unless it is already.

        Parameters
        ----------
        number : int
        evaluate_only : bool
        size : int
            Bytes of the weights.
        content : function
            Makes the round's weights for workers that lack them.
        """
        self.group.faults.round = number
        if self._done and number == self._next and not evaluate_only:
            self.group.faults.at("waiting")
        else:
            self._done.clear()
            self._carry_out(self._asked(number, evaluate_only, size), content, size)
        self._next = number + 1
        return self._done.popleft()

    def _asked(self, number: int, evaluate_only: bool, size: int) -> _Stretch:
        """Take the stretch that was asked for ahead, if it is the one that is wanted; else make one."""
        asked, self._ahead = self._ahead, None
        if asked and (asked.number, asked.evaluate_only) == (number, evaluate_only):
            return asked
        self.group.give_up_ahead()
        self.group.newcomers.settle()
        return self._stretch(number, evaluate_only, size, number)

    def _stretch(self, number: int, evaluate_only: bool, size: int, since: int) -> _Stretch:
        count = 1 if evaluate_only else self._count(number, size)
        generation, keep = self.group.generation, sorted(self.keep)

        def command(member: Member, header: Header) -> RunRound:
            given: Literal["", "whole"] = "" if number in member.incarnation.weights else "whole"
            alone = header.generation != generation  # after a loss round by round, so that what is done is told
            return RunRound(
                *header, number, evaluate_only, False, given, keep, since, None if alone or count == 1 else count
            )  # fmt: skip

        return _Stretch(number, count, evaluate_only, command, since, time.perf_counter())

    def _count(self, number: int, size: int) -> int:
        """Decide how many rounds to ask for together: one of long rounds, of large weights, and through relays."""
        if len(self.group.members) > self.group.settings.relay_above:
            return 1
        bytes_ = KEPT_BYTES // max(1, size), ROWS_BYTES // self._row
        return max(1, int(min(MOST, GROWTH * self._before, self.group.rounds - number, *bytes_, SECONDS / self._took)))

    def _carry_out(self, stretch: _Stretch, content: Callable[[], list[Buffer]], size: int) -> None:
        def has_weights(member: Member) -> bool:
            return stretch.number in member.incarnation.weights

        def payload(member: Member) -> tuple[str, list[Buffer]] | None:
            return None if has_weights(member) else (weights_name(stretch.number), content())

        self.group.do(stretch.command, payload, stage="round", alike=has_weights)
        members, first = self.group.members, self.group.seconds()
        more = [member.done.later or [] for member in members]
        count = 1 + min(map(len, more))
        took = (time.perf_counter() - stretch.began) / count
        later = [_columns([own[at][1] for own in more]) for at in range(count - 1)]
        rows = [members[0].done.row or {}, *(row or {} for row, _ in more[0])]
        for row, seconds in zip(rows, [first, *later], strict=False):
            self._done.append(DoneRound(row, members, seconds, took))
        after = stretch.number + (0 if stretch.evaluate_only else count)
        for member in members:
            member.incarnation.weights = range(min(stretch.since, stretch.number), after + 1)
        for done in self._done:
            self._look(done)
        self._took, self._before, self._row = took, count, len(json.dumps(rows[count - 1]))
        if not stretch.evaluate_only:
            self._go_ahead(after, stretch.number, size)

    def _go_ahead(self, number: int, since: int, size: int) -> None:
        """Ask for the next stretch, if rounds are short and it is certain that there is one."""
        if self._count(number, size) > 1:
            self.group.newcomers.settle()
            self._ahead = self._stretch(number, False, size, since)
            self.group.give_ahead(self._ahead.command)


def _columns(each: list[dict[str, float]]) -> Seconds:
    names = dict.fromkeys(name for seconds in each for name in seconds)
    return {name: np.array([seconds.get(name, 0.0) for seconds in each]) for name in names}
