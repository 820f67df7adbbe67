"""Progress on standard error: a live line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TextIO

import click

from hdl.cli.common import aligned, count, duration, percent
from hdl.errors import TableError

ROOMY = 110  # columns from which words are written out
LOG_EVERY = 1.0  # seconds between two plain lines; the first and the last round are always shown


def show(stream: TextIO | None = None, quiet: bool = False) -> Quiet | Plain | Live:
    """Chooses the display that suits the stream: nothing, a live line on a terminal, or plain lines."""
    stream = stream or sys.stderr
    if quiet:
        return Quiet()
    return Live(stream) if stream.isatty() else Plain(stream)


def warn(text: str) -> None:
    """Says on standard error what the user has to know, quiet or not; also from another thread."""
    click.echo(f"warning: {text}", err=True)


def both(*takers: Callable[[Any], None]) -> Callable[[Any], None]:
    """Hands the driver's events to several takers, one after the other."""

    def take(event: Any) -> None:
        for taker in takers:
            taker(event)

    return take


class Quiet:
    """Shows nothing but warnings. The interface of all displays; use them as context managers."""

    def __enter__(self):
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def say(self, message: str) -> None:
        """Shows a message that stays."""
        if message.startswith("beware: "):
            click.echo(message, err=True)

    def facts(self, lines: Sequence[tuple[str, str]]) -> None:
        """Shows names and values in two columns that stay."""

    def begin(self, rounds: int, done: int = 0) -> None:
        """Begins to show rounds, from `done` to `rounds`."""

    def part(self, share: float) -> None:
        """Shows the share of the running round that is done."""

    def round(self, row: dict[str, Any], validation: dict[str, Any] | None = None) -> None:
        """Shows a round that is done; `row` is its metrics, `validation` the last one that was measured."""

    def close(self) -> None:
        """Leaves the screen in order."""


class Plain(Quiet):
    """Lines without escape codes; at most one a second."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic):
        self._stream, self._clock = stream, clock
        self._rounds = self._first = 0
        self._start = self._last_shown = 0.0
        self._waiting: str | None = None

    def say(self, message: str) -> None:
        click.echo(message, file=self._stream)

    def facts(self, lines: Sequence[tuple[str, str]]) -> None:
        self.say(aligned(lines))

    def begin(self, rounds: int, done: int = 0) -> None:
        self._rounds, self._first, self._start = rounds, done, self._clock()
        self._last_shown = -LOG_EVERY

    def round(self, row: dict[str, Any], validation: dict[str, Any] | None = None) -> None:
        now = self._clock()
        number = row["round"]
        left = seconds_left(now - self._start, number - self._first, self._rounds - number)
        line = f"round {number}/{self._rounds}  " + "  ".join(figures(row, validation))
        line += f"  {duration(left)} left" if number < self._rounds else ""
        self._waiting = line
        if now - self._last_shown >= LOG_EVERY or number >= self._rounds:
            self._flush(now)

    def _flush(self, now: float) -> None:
        if self._waiting is not None:
            self.say(self._waiting)
            self._waiting, self._last_shown = None, now

    def close(self) -> None:
        self._flush(self._clock())  # the last round is shown, early stop and Ctrl-C included


class Live(Quiet):
    """One line that rich keeps up to date."""

    def __init__(self, stream: TextIO):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        self._console = Console(file=stream, highlight=False)
        self._short = self._console.width < ROOMY
        plain = Column(no_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", table_column=plain),
            BarColumn(bar_width=10 if self._short else 24),
            TextColumn("{task.fields[figures]}", table_column=plain),
            TimeRemainingColumn(compact=True, table_column=plain),
            console=self._console,
            refresh_per_second=8,
        )
        self._task: Any = None
        self._rounds = self._done = 0

    def say(self, message: str) -> None:
        self._console.print(message, markup=False, soft_wrap=True)

    def facts(self, lines: Sequence[tuple[str, str]]) -> None:
        self._console.print(columns(lines))

    def begin(self, rounds: int, done: int = 0) -> None:
        self._rounds, self._done = rounds, done
        self._task = self._bar.add_task(f"round {done + 1}/{rounds}", total=rounds, completed=done, figures="")
        self._bar.start()

    def part(self, share: float) -> None:
        if self._task is not None:
            self._bar.update(self._task, completed=self._done + min(max(share, 0.0), 1.0))

    def round(self, row: dict[str, Any], validation: dict[str, Any] | None = None) -> None:
        self._done = row["round"]
        following = min(self._done + 1, self._rounds)
        self._bar.update(
            self._task,
            completed=self._done,
            description=f"round {following}/{self._rounds}",
            figures="  ".join(figures(row, validation, self._short)),
        )

    def close(self) -> None:
        self._bar.stop()


def findings_of(path: str, spec: Any) -> list[tuple[str, str]]:
    """Reads what was found out about the data of a training from its table, or from that of a stack's layer in it."""
    from hdl.data import findings
    from hdl.models import stack
    from hdl.table import Table

    zero = Table(stack.folder(path, spec)).read(0)
    return findings.lines(zero.about, zero.schema)


def columns(lines: Sequence[tuple[str, str]]) -> Any:
    """Aligns names and values for a terminal: values that are too long go on below themselves, not below the names."""
    from rich.table import Table
    from rich.text import Text

    from hdl.data import findings

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in lines:
        grid.add_row(name, Text(value, style="yellow" if f"({findings.GUESSED}" in value else ""))
    return grid


def figures(row: dict[str, Any], validation: dict[str, Any] | None, short: bool = False) -> list[str]:
    """Puts a round's numbers into words; short ones fit a terminal of 80 columns."""
    from hdl.cli.scores import validated

    digits = 1 if short else 2
    words = []
    if row.get("cost") is not None:
        words.append(f"cost {row['cost']:.4f}")
    if row.get("accuracy") is not None:
        words.append(f"{'acc' if short else 'accuracy'} {percent(row['accuracy'], digits)}")
    said = validated(validation, digits) if validation else []
    if said:
        words.append(f"{'val' if short else 'validation'} {', '.join(said)}")
    if row.get("seconds") and row.get("samples") and not (short and said[1:]):
        speed = row["samples"] / row["seconds"]
        words.append(f"{speed / 1000:,.0f} k/s" if short else f"{speed:,.0f} samples/s")
    return words


def seconds_left(passed: float, done: int, missing: int) -> float:
    """Estimates the seconds that the missing rounds will take if they go on like those done."""
    return passed / max(done, 1) * max(missing, 0)


PHASES = ("start", "read", "compute", "shuffle", "finish")  # of a Hadoop job's seconds


class Teller:
    """Turns the driver's events into progress.

    Parameters
    ----------
    display : Quiet
    table : str
        Of the training.
    workers : int
    fewest : int
        Where their number may change; 0: it does not.
    """

    def __init__(self, display: Any, table: str, workers: int, fewest: int = 0):
        self._display, self._table, self._workers, self._fewest = display, table, workers, fewest
        self._validation: dict[str, Any] | None = None
        self._metric: str | None = None  # that decides which version is best
        self._findings_shown = False  # once, however many trainings a stack is

    def __call__(self, event: Any) -> None:
        """Takes one event; those it does not know are let pass."""
        if handler := getattr(self, f"_on_{type(event).__name__.lower()}", None):
            handler(event)

    def _on_waiting(self, event: Any) -> None:
        said = f": {event.text}" if event.text else ""
        self._display.say(f"YARN: {event.state.lower().replace('_', ' ')}{said}")

    def _on_log(self, event: Any) -> None:
        self._display.say(event.text)

    def _on_stage(self, event: Any) -> None:
        if event.name == "summarise":
            self._display.say("reading the data …")

    def _on_started(self, event: Any) -> None:
        from hdl.models import stack
        from hdl.table import Table

        spec = event.spec
        self._metric = spec.metric
        table = Table(stack.folder(self._table, spec))
        layer = f"layer {spec.layer}: " if spec.layer else ""
        if not self._findings_shown:
            self._findings_shown = True
            self._display.facts(findings_of(self._table, spec))
        workers = min(self._workers, spec.shards)
        number = count(workers, "worker")
        if 0 < self._fewest < workers:
            number = f"{self._fewest} to {number}"
        net = "-".join(map(str, spec.net))
        self._display.say(
            f"{layer}{net}, {event.samples:,} samples, {count(spec.shards, 'shard')} on {number}, "
            f"{spec.optimizer.name} with {spec.sync.mode}, {count(event.rounds, 'round')}"
            + (f", from version {event.version}" if event.version else "")
        )
        done = event.version
        with suppress(TableError):  # a master that came back trains on while it is shown, and thins what it began with
            done = sum(not row.get("final") for row in list(table.rows())[: event.version])
        self._display.begin(event.rounds, done)

    def _on_progress(self, event: Any) -> None:
        if event.stage == "round":
            self._display.part(event.done / max(event.total, 1))

    def _on_replaced(self, event: Any) -> None:
        again = f" its shards again: {', '.join(map(str, event.shards))}" if event.shards else " its work again"
        self._display.say(f"worker {event.worker} died ({event.reason}); another one does{again}")

    def _on_round(self, event: Any) -> None:
        row = event.row
        if row.get("val_cost") is not None:
            from hdl.cli.scores import measures_of

            self._validation = measures_of(row, self._metric)
        if not row.get("final"):
            seconds = (row.get("seconds") or {}).get("round")
            self._display.round({**row, "round": row["round"] + 1, "seconds": seconds}, self._validation)
            if "start" not in (row.get("seconds") or {}):  # no job of its own
                return
            if split := [f"{name} {row['seconds'][name]:.1f}" for name in PHASES if name in row["seconds"]]:
                self._display.say(f"  of its {seconds:.1f} s: {', '.join(split)}")
