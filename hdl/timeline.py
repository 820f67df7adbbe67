"""Notes when the steps of a start were reached, for `tests/bench/yarn.py start`: in the file that HDL_TIMELINE names.

Processes of one machine may share it: each line is appended by one write.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "HDL_TIMELINE"
LINE = re.compile(r"^(\d+\.\d+) (\d+) (\w+) (.+)$", re.MULTILINE)
_file = os.environ.get(VARIABLE, "")
_began = False


def reached(role: str, step: str) -> None:
    """Note that this process has reached a step; the first one notes as well when the process was started.

    Parameters
    ----------
    role : str
        'client', 'master' or 'worker'.
    step : str
    """
    global _began
    if not _file:
        return
    now = time.time()
    if not _began:
        _began = True
        _say(_started(), role, "started")
    _say(now, role, step)


def read(text: str) -> list[tuple[float, int, str, str]]:
    """Read time, process, role and step of each line that `reached` has written.

    Examples
    --------
    >>> read("12.345 7 worker imported\\n")
    [(12.345, 7, 'worker', 'imported')]
    """
    return [(float(when), int(pid), role, step) for when, pid, role, step in LINE.findall(text)]


def _say(when: float, role: str, step: str) -> None:
    with suppress(OSError), open(_file, "ab", buffering=0) as file:
        file.write(f"{when:.3f} {os.getpid()} {role} {step}\n".encode())


def _started() -> float:
    """Return when this process was started, by the kernel's count of ticks since the boot."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
