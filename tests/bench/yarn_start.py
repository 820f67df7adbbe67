"""Where the seconds go from the command to the first round's end: the part `start` of `tests/bench/yarn.py`.

The nodes' Python is the packed environment, which a first run of each checkout brings to them. HDL_BENCH_OTHER names
another checkout (built in place), whose runs take turns with this one's.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from hdl import fs, timeline
from hdl.table import Table

HERE = Path(__file__).parents[2]
SECONDS = 240.0
UNSET = ("HDL_NODE_PYTHON", "PYTHONDONTWRITEBYTECODE")  # not as users have it


def run(checkout: Path, where: str, table: str, flags: list[str]) -> tuple[float, str, dict[tuple[str, str], float]]:
    """Trains once by a command.

    Returns
    -------
    seconds : float
        From the command to the first round's end.
    digest : str
        Of the last version.
    steps : dict
        Role and step to the seconds after which the last process of the role had reached it.
    """
    if fs.exists(table):
        fs.remove(table)
    with tempfile.TemporaryDirectory(prefix="hdl-start-") as folder:
        notes = Path(folder, "timeline")
        variables = {name: value for name, value in os.environ.items() if name not in UNSET}
        variables |= {"PYTHONPATH": str(checkout), timeline.VARIABLE: str(notes)}
        command = [sys.executable, "-P", "-m", "hdl", "train", where, "--out", table, "-q", "--no-report", *flags]
        began = time.time()
        done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=SECONDS)
        if done.returncode:
            raise SystemExit(done.stderr)
        steps: dict[tuple[str, str], float] = {}
        for when, _, role, step in timeline.read(notes.read_text() if notes.exists() else ""):
            steps[role, step] = max(steps.get((role, step), 0.0), when - began)
    kept = Table(table)
    row = next(row for row in kept.rows() if not row.get("final"))
    return row["time"] - began, str(kept.read(kept.latest()).signature), steps


def measure(where: str, table: str, flags: list[str], turns: int, show: Callable[[str, list[float]], float]) -> None:
    """Prints medians with their spread, and when each step was reached in the median run of this checkout."""
    checkouts = {"this checkout": HERE}
    if other := os.environ.get("HDL_BENCH_OTHER"):
        checkouts["the other one"] = Path(other)
    for checkout in checkouts.values():
        run(checkout, where, table, flags)
    taken, steps, digests = defaultdict(list), defaultdict(list), set()
    for _ in range(turns):
        for name, checkout in checkouts.items():
            seconds, digest, reached = run(checkout, where, table, flags)
            taken[name].append(seconds)
            steps[name].append(reached)
            digests.add(digest)
    for name, values in taken.items():
        show(f"first round ends, 2 workers, {name}", values)
    print(f"| versions' SHA-256: {len(digests)} different | {' '.join(sorted(digests))[:64]} | |")
    for name, reached in steps.items():
        print(f"\nSeconds since the command, medians; of two workers the later one: {name}")
        names = sorted({step for each in reached for step in each}, key=lambda step: _middle(reached, step))
        for step in names:
            print(f"  {_middle(reached, step):6.2f}  {' '.join(step)}")


def _middle(runs: list[dict[tuple[str, str], float]], step: tuple[str, str]) -> float:
    return statistics.median(each[step] for each in runs if step in each)
