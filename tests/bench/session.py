"""From the command to its first round, in a session and without: `python -m tests.bench.session DATA --out FOLDER`.

Each turn is a command line in a process of its own, so the interpreter's start and all imports are in its seconds. The
first round's beginning is what its row says: when it ended, and how long it took. Turns with and without a session
alternate; the session is started before, and the first turn in it decodes the data.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import click

from hdl.table import Table


def begins(command: list[str], out: str) -> float:
    """Seconds from starting a training to the beginning of its first round."""
    began = time.time()
    subprocess.run([*command, "--out", out, "--no-report", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    row = Table(out).rows()[0]
    return row["time"] - row["seconds"]["round"] - began


@click.command(help=__doc__.partition("\n")[0] if __doc__ else "")
@click.argument("data")
@click.option("--out", required=True, help="Folder of the tables, which is new.")
@click.option("--runner", type=click.Choice(["local", "yarn"]), default="local", show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--turns", default=5, show_default=True)
@click.option("--alone/--no-alone", default=True, help="Turns without a session, too.")
@click.argument("flags", nargs=-1)
def main(data: str, out: str, runner: str, workers: int, turns: int, alone: bool, flags: tuple[str, ...]) -> None:
    """Measure, and print a table."""
    hdl, name = [sys.executable, "-m", "hdl"], f"bench-{os.getpid()}"
    start = ["--runner", runner, "--workers", str(workers), "--name", name]
    subprocess.run([*hdl, "session", "start", *start], check=True, stdout=subprocess.DEVNULL)
    ways: dict[str, list[str]] = {"session": ["--session", name]}
    if alone:
        ways["alone"] = ["--runner", runner, "--workers", str(workers)]
    found: dict[str, list[float]] = {way: [] for way in ways}
    try:
        for turn in range(turns):
            for way, who in ways.items():
                command = [*hdl, "train", data, "--epochs", "1", *flags, *who]
                found[way].append(begins(command, f"{out}/{way}-{turn}"))
    finally:
        subprocess.run([*hdl, "session", "stop", name], check=False, stdout=subprocess.DEVNULL)
    for way, seconds in found.items():
        told: list[Any] = [f"{each:.2f}" for each in seconds]
        after = f"; after the first {median(seconds[1:]):.2f}, least {min(seconds[1:]):.2f}" if turns > 1 else ""
        click.echo(f"{way:8} {' '.join(told)} s{after}")
    click.echo(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")


if __name__ == "__main__":
    main()
