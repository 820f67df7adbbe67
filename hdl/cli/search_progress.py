"""Progress over many trainings: of a grid one bar for all on a terminal, and a line for each that has ended."""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import click

from hdl.cli import progress
from hdl.cli.common import count, duration, percent
from hdl.errors import Interrupted
from hdl.metrics import METRICS


def score(result: Any) -> str:
    """Puts a result's score into words."""
    if result.state != "done":
        return result.state
    if result.score is None:
        return "–"
    if result.decides == "accuracy":
        return percent(result.score)
    return f"{METRICS[result.decides].title} {result.score:.6f}"


class Board(ABC):
    """What is shown of trainings while they go on; any thread may call its methods.

    Parameters
    ----------
    total : int
        Trainings.
    label : function of a Result
        Its name for people.
    quiet : bool
    """

    def __init__(self, total: int, label: Callable[[Any], str], quiet: bool = False):
        self.stop = threading.Event()
        self._total, self._label, self._quiet = total, label, quiet
        self._shares: dict[str, float] = {}  # of the trainings that are under way
        self._rounds: dict[str, tuple[int, int]] = {}
        self._lock, self._said, self._findings_shown = threading.Lock(), set[str](), False
        self._live: Any = None  # rich's display, on a terminal
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._live = self._display(Console(file=sys.stderr, highlight=False))

    @abstractmethod
    def _display(self, console: Any) -> Any:
        """Make what changes on a terminal, to be started and stopped."""

    @abstractmethod
    def _show(self) -> None:
        """Bring it up to date, where there is one."""

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        self._show()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._show()
            self._live.stop()

    @property
    def _console(self) -> Any:
        """The console on which something is shown that changes; None without."""
        return self._live.console if self._live else None

    def say(self, text: str) -> None:
        """Shows a message that stays."""
        if self._quiet and not text.startswith("beware: "):
            return
        if self._console:
            self._console.print(text, markup=False, soft_wrap=True)
        else:
            click.echo(text, err=True)

    def findings(self, table: str, spec: Any) -> None:
        """Shows once, of the first training that begins, what was found out about the data."""
        with self._lock:
            if self._quiet or self._findings_shown:
                return
            self._findings_shown = True
            lines = progress.findings_of(table, spec)
            if self._console:
                self._console.print(progress.columns(lines))
            else:
                click.echo(progress.aligned(lines), err=True)

    def event(self, name: str, event: Any) -> None:
        """Takes one event of a training's driver.

        Raises
        ------
        Interrupted
            All are to stop.
        """
        if self.stop.is_set():
            raise Interrupted("stopped")
        kind = type(event).__name__
        with self._lock:
            if kind == "Started":
                done = event.version
                self._rounds[name] = min(done, event.rounds), event.rounds
            elif kind == "Round" and name in self._rounds and not event.row.get("final"):
                self._rounds[name] = event.row["round"] + 1, self._rounds[name][1]
            elif kind in ("Replaced", "Log"):
                text = getattr(event, "text", None) or f"{name}: worker {event.worker} died ({event.reason})"
                if text not in self._said:  # each training says it, and once is enough
                    self._said.add(text)
                    self.say(text)
                return
            share = event.done / max(event.total, 1) if kind == "Progress" and event.stage == "round" else 0.0
            done, rounds = self._rounds.get(name, (0, 1))
            self._shares[name] = min(1.0, (done + share) / max(rounds, 1))
            self._show()


class GridBoard(Board):
    """Display of a grid; arguments as those of `Board`, and how many of its combinations were trained before."""

    def __init__(self, total: int, done: int, label: Callable[[Any], str], quiet: bool = False):
        self._done = done
        super().__init__(total, label, quiet)

    def _display(self, console: Any) -> Any:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(compact=True), console=console, refresh_per_second=8,
        )  # fmt: skip
        self._task = bar.add_task("", total=self._total, completed=self._done, best="")
        return bar

    def ended(self, result: Any, best: Any) -> None:
        """Counts and shows a combination that has ended, and the best so far."""
        with self._lock:
            self._shares.pop(result.name, None)
            self._rounds.pop(result.name, None)
            self._done += 1
            words = [f"{self._done}/{self._total}", f"{self._label(result)}:", score(result)]
            if result.state == "done":
                words.append(f"({count(result.rounds, 'round')}, {duration(result.seconds)})")
            self.say(" ".join(words))
            if self._live and best is not None:
                self._live.update(self._task, best=f"best {score(best)}")
            self._show()

    def _show(self) -> None:
        if self._live:
            now = min(self._total, self._done + len(self._shares))
            about = f"combination {now}/{self._total}" if len(self._shares) < 2 else (
                f"{self._done}/{self._total} combinations, {len(self._shares)} side by side")  # fmt: skip
            self._live.update(self._task, description=about, completed=self._done + sum(self._shares.values()))
