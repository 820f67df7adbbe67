"""Faults at fixed points, for tests: HDL_FAULT=PHASE:ROUND:RANK:LIVES:SIGNAL ends or stops this process there.

The first LIVES incarnations of a rank meet the fault, later ones do not; rank -1 is the master, whose incarnations are
its attempts, and rank @HOST whatever runs on that node. In the place of a signal MEMORY takes more memory than a
container of a test has, SLOW takes 3 s, there and in all rounds to come, and ENOSPC, EIO and EROFS raise that error
of a disk. A worker's phases are loading, computing, sending, waiting, publishing (the weights of version ROUND are
being pulled), merging, and halving0, halving1, … and doubling0, … at the beginning of each step of an exchange that it
takes part in (see `hdl.sync.schedule`); the master's are waiting (all have been given the round's command), merging
(the driver tells of the round) and publishing (it has the version's weights). Without the variable no phase costs
anything.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import time
from collections.abc import Callable

from hdl.errors import SpecError

VARIABLE = "HDL_FAULT"
PHASES = ("loading", "computing", "sending", "waiting", "publishing", "merging")
STEPS = ("halving", "doubling")  # with the number of the step of an exchange, from 0: halving0
MASTER = -1
MEMORY = 2 << 30
SLOW_SECONDS = 3.0
DISK = ("ENOSPC", "EIO", "EROFS")  # errors of a disk

Point = Callable[[str], None]


def parse(given: str) -> list[str]:
    """Split a fault into its five fields.

    Raises
    ------
    SpecError
        The text is no fault.

    Examples
    --------
    >>> parse("computing:1:*:1:KILL")
    ['computing', '1', '*', '1', 'KILL']
    """
    wanted = re.fullmatch(
        rf"({'|'.join(PHASES)}|(?:{'|'.join(STEPS)})\d+):(\d+):(\*|-1|\d+|@[\w.-]+):(\d+):([A-Z]+\d*)", given, re.ASCII
    )
    ends = ("MEMORY", "SLOW", *DISK)
    if not wanted or (wanted[5] not in ends and f"SIG{wanted[5]}" not in signal.Signals.__members__):
        raise SpecError(
            f"{VARIABLE}: expected PHASE:ROUND:RANK:LIVES:SIGNAL, the phase one of {', '.join(PHASES)}, halving0 and "
            "doubling0 (and on: the steps of an exchange), as in "
            f"computing:1:0:1:KILL (given {given!r})"
        )
    return [*wanted.groups()]


def nothing(phase: str) -> None:
    """Pass a phase without a fault."""


class Faults:
    """Follows this process through its phases, and ends or stops it at the phase that the variable names.

    Parameters
    ----------
    rank : int
    incarnation : int
        Number of containers that had this rank before, or of attempts of the master.

    Attributes
    ----------
    round : int
        Round that this process is in, which its user sets.

    Raises
    ------
    SpecError
        The variable is set to something that is no fault.
    """

    def __init__(self, rank: int = MASTER, incarnation: int = 0):
        self.rank, self.incarnation, self.round = rank, incarnation, 0
        self.given = os.environ.get(VARIABLE, "")
        self.wanted = parse(self.given) if self.given else None

    def at(self, phase: str, number: int | None = None) -> None:
        """Pass a phase of this round, or of round `number`; the fault happens here if it is meant."""
        if self.wanted is None:
            return
        name, round_, rank, incarnations, end = self.wanted
        now = self.round if number is None else number
        if end == "SLOW" and now > int(round_):
            self.wanted[1] = str(now)  # each round once
        mine = rank in (str(self.rank), "*", f"@{os.environ.get('NM_HOST')}")
        if (name, int(self.wanted[1])) != (phase, now) or not mine or self.incarnation >= int(incarnations):
            return
        if end == "SLOW":
            self.wanted[1] = str(now + 1)
            time.sleep(SLOW_SECONDS)
            return
        self.wanted = None  # a process that is stopped and woken goes on
        if end == "MEMORY":
            taken = b"\1" * MEMORY
            time.sleep(60)
            del taken
        elif end in DISK:
            number_ = getattr(errno, end)
            raise OSError(number_, os.strerror(number_), f"{VARIABLE}={self.given}")
        else:
            os.kill(os.getpid(), signal.Signals["SIG" + end])
