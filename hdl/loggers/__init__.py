"""Logs of a training's rounds for other tools: TensorBoard's event files, an MLflow server, CSV.

A log is fed by the driver's events, in the process that sees them: with the YARN runner, whose driver runs in the
application's master, that is the one that follows, `hdl train` or `hdl attach`. Rounds of which it saw no event are
read from the weight table, which has them all: so a log that was begun late, or continued, misses none. A writer finds
out what its place holds already, and adds what comes after: nothing is there twice.

The steps are rounds, counted from 1; what is measured on validation samples is at the step of the weights that it tells
of, those before the first round at 0.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hdl import fs
from hdl.errors import HdlError, SpecError
from hdl.loggers import points, secrets
from hdl.loggers.base import Point, Training, Writer
from hdl.loggers.feeder import Feeder
from hdl.models import stack
from hdl.spec import Spec
from hdl.table import Table, layers

__all__ = ["WRITERS", "Log", "Point", "Training", "Writer", "open_log", "parse"]

# scheme: (module, class, what the target is)
WRITERS = {
    "tensorboard": ("hdl.loggers.tensorboard", "TensorBoard", "DIR"),
    "mlflow": ("hdl.loggers.mlflow_runs", "MlflowRuns", "URI"),
    "csv": ("hdl.loggers.csv_file", "CsvFile", "FILE"),
}
TABLE_SECONDS = 2.0  # between two looks into the table for rounds whose events were not seen


def parse(text: str) -> Writer:
    """Makes the writer of a value of `--log`, such as csv:rounds.csv.

    Raises
    ------
    SpecError
        The scheme is unknown, or there is no target.
    """
    scheme, _, target = text.partition(":")
    if scheme not in WRITERS or not target:
        known = ", ".join(f"{name}:{kind}" for name, (_, _, kind) in WRITERS.items())
        raise SpecError(f"--log: expected one of {known} (given {secrets.masked(text)!r})")
    module, name, _ = WRITERS[scheme]
    return getattr(importlib.import_module(module), name)(scheme, target)


def open_log(
    texts: Sequence[str], table: str, warn: Callable[[str], None], overwrite: bool = False, part: str = ""
) -> Log:
    """Opens the logs of a training that is about to begin, or to go on; a context that ends them.

    Parameters
    ----------
    texts : sequence of str
        Values of `--log`; without any the log does nothing.
    table : str
        The training's table; if it has begun, its log goes on.
    warn : function of a text
        Is told when a place cannot be written to, perhaps in another thread; the training goes on.
    overwrite : bool
        Whether the table, and so its logs, are replaced.
    part : str
        Name of this training among several that log to the same places.

    Raises
    ------
    SpecError
        A text is wrong, or the place holds another training's log.
    OutputError, Unavailable
        The place takes no log, or a package is missing.
    """
    writers = [parse(text) for text in texts]
    twice = [writer.shown for writer in writers if sum(writer.target == each.target for each in writers) > 1]
    if twice:
        raise SpecError(f"--log: {twice[0]} is given twice")
    if writers:
        runs = {part: None} if overwrite else _runs(table, part)
        for writer in writers:
            writer.check(runs, overwrite)
    return Log(writers, table, warn, overwrite, part)


def _runs(table: str, part: str) -> dict[str, str | None]:
    """Looks up the ids of the runs that a training goes on with, by part."""
    found = {_joined(part, f"layer{number}"): each for number, each in enumerate(layers(table), 1)}
    found[part] = Table(table)
    return {name: None if each.latest() is None else each.header(0)["run"] for name, each in found.items()}


def _joined(part: str, layer: str) -> str:
    return f"{part}/{layer}" if part else layer


class Log:
    """Feeds writers with the rounds of a training, or of the stages of a stack one after the other.

    It is called with the driver's events, in any order, and never raises; arguments as those of `open_log`.
    """

    def __init__(
        self, writers: Sequence[Writer], table: str, warn: Callable[[str], None], overwrite: bool = False,
        part: str = "",
    ):  # fmt: skip
        self.writers, self._table, self._warn, self._overwrite, self._part = writers, table, warn, overwrite, part
        self._stage: _Stage | None = None

    @property
    def shown(self) -> list[str]:
        """The flag's values, for people: without passwords."""
        return [writer.shown for writer in self.writers]

    def __enter__(self) -> Log:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self.close("finished" if kind is None else "failed" if issubclass(kind, Exception) else "stopped")

    def __call__(self, event: Any) -> None:
        """Takes one of the driver's events; those that tell of no round are let pass."""
        name = type(event).__name__
        if not self.writers or name not in ("Started", "Round"):
            return
        try:
            if name == "Started":
                self._begin(event)
            elif self._stage is not None:
                self._stage.add(event.row)
        except Exception as error:  # no fault of a log's ends a training
            self._warn(f"--log: {' '.join(str(error).split())[:300]}")

    def close(self, state: str = "finished") -> None:
        """Ends the log of a training that is 'finished', 'stopped' or 'failed'; waits some seconds for its writers."""
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.end(state)

    def _begin(self, event: Any) -> None:
        spec, samples = event.spec, event.samples
        table = Table(stack.folder(self._table, spec))
        if self._stage is not None:
            if self._stage.table.path == table.path:  # told again, by a master's second attempt
                return
            self.close()
        part = _joined(self._part, f"layer{spec.layer}") if spec.layer else self._part
        header = table.header(table.numbers()[0])
        path = table.path if fs.is_remote(table.path) else os.path.abspath(table.path)
        training = Training(header["run"], path, part, spec.model_dump(mode="json"), spec.validated)
        feeders = [Feeder(writer, training, self._overwrite, self._warn) for writer in self.writers]
        # With the cosine, rates depend on the epochs: those of a training that was shorter then are not known any more.
        stretched = spec.optimizer.schedule.name == "cosine" and header["spec"].get("epochs") != spec.epochs
        self._stage = _Stage(table, spec, samples, feeders, event.version if stretched else 0)
        self._stage.catch_up()


class _Stage:
    """One training's rows on their way to its feeders: each once, in their order."""

    def __init__(self, table: Table, spec: Spec, samples: int, feeders: Sequence[Feeder], unrated: int):
        self.table, self._spec, self._samples, self._feeders = table, spec, samples, feeders
        self._unrated = unrated  # rows whose learning rate is not known
        self._next = 0  # row that is to be handed on: the one of version next + 1
        self._early: dict[int, Mapping[str, Any]] = {}  # rows after it, by their places
        self._look_at = 0.0  # monotonic time from which the table is looked into again

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes a row; if some before it are missing, they are looked for in the table."""
        place = int(row["version"]) - 1
        if place >= self._next:
            self._early[place] = row
        self._hand_on()
        if self._early and time.monotonic() >= self._look_at:
            self.catch_up()

    def catch_up(self) -> None:
        """Reads from the table what is there and was not handed on."""
        self._look_at = time.monotonic() + TABLE_SECONDS
        rows = self.table.rows()
        for place in range(self._next, len(rows)):
            self._early.setdefault(place, rows[place])
        self._hand_on()

    def end(self, state: str) -> None:
        """Hands on what is left, and ends the writers' logs."""
        try:
            self.catch_up()
        except (HdlError, OSError):  # the table is away, or gone: what was seen is logged
            for place in sorted(self._early):
                self._next = place
                self._hand_on()
        for feeder in self._feeders:
            feeder.end(state)

    def _hand_on(self) -> None:
        found: list[Point] = []
        while (row := self._early.pop(self._next, None)) is not None:
            found += points.of(row, self._spec, self._samples, self._next >= self._unrated)
            self._next += 1
        if found:
            for feeder in self._feeders:
                feeder.put(found)
