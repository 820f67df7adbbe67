"""Faults at fixed points, for tests: HDL_FAULT=PHASE:ROUND:RANK:LIVES:SIGNAL ends or stops this process there.

`LIVES` containers of a rank meet the fault, the next one does not; rank -1 is the master, whose lives are attempts.
Without the variable nothing is ever looked at.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

VARIABLE = "HDL_FAULT"
PHASES = ("loading", "computing", "sending", "waiting", "publishing", "merging")
MASTER = -1

Point = Callable[[str], None]


def nothing(phase: str) -> None:
    """No fault."""


class Faults:
    """Where this process is; `at` is called at each phase.

    Parameters
    ----------
    rank : int
    life : int
        How many containers had this rank before, or attempts the master.
    """

    def __init__(self, rank: int = MASTER, life: int = 0):
        self.rank, self.life, self.round = rank, life, 0
        given = os.environ.get(VARIABLE, "")
        self.wanted = given.split(":") if given else None

    def at(self, phase: str) -> None:
        """The process is in a phase of its round."""
        if self.wanted is None:
            return
        name, round_, rank, lives, end = self.wanted
        if (name, int(round_)) == (phase, self.round) and rank in (str(self.rank), "*") and self.life < int(lives):
            os.kill(os.getpid(), signal.Signals["SIG" + end])
