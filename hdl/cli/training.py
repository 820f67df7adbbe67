"""Parts that `hdl train` and its grid share: runners by name, the table's folder, the end of a training."""

from __future__ import annotations

import importlib
import importlib.util
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdl.cli.common import percent, shown_rmse
from hdl.errors import HdlError, OutputError, SpecError, TableError, Unavailable

# name: (module, class); a runner that is planned but not here yet has no module
RUNNERS = {
    "local": ("hdl.runners.local", "LocalRunner"),
    "mapreduce": ("hdl.runners.mapreduce", "MapReduceRunner"),
    "streaming": ("hdl.runners.streaming", "StreamingRunner"),
    "yarn": ("hdl.runners.yarn", "YarnRunner"),
}
SCORED = 1_000_000  # training samples up to which the report scores them again, where there is no test data
ENDS = {"patience": "stopped early: validation got no better", "converged": "stopped early: converged"}
# In a table's folder, besides the versions.
OWN_FILES = re.compile(
    r"common\.safetensors|report\.html|measured\.json|(features\d*|reconstructions|samples|activations)\.png"
)


def make_runner(name: str, workers: int | None, threads: int | None, shards: int, **settings: Any) -> Any:
    """Make the runner of a name; by default it has a worker a shard, but the local one at most the processors.

    Raises
    ------
    SpecError
        There is no such runner.
    Unavailable
        It is not part of this hdl.
    """
    from hdl.devices import cores

    if name not in RUNNERS:
        raise SpecError(f"--runner: expected one of {', '.join(RUNNERS)} (given {name!r})")
    module, attribute = RUNNERS[name]
    if importlib.util.find_spec(module) is None:
        raise Unavailable(f"--runner {name}: this version of hdl has no such runner yet; there is: local")
    workers = workers or (min(cores(), shards) if name == "local" else shards)
    return getattr(importlib.import_module(module), attribute)(workers=workers, threads=threads, **settings)


def prepare_table(out: str, resume: bool, overwrite: bool) -> None:
    """See to it that a table's folder is as the user wants it."""
    from hdl import fs
    from hdl.outputs import check_folder
    from hdl.table import Table

    if resume and overwrite:
        raise SpecError("--resume goes on with the table and --overwrite removes it: give one of them")
    if fs.exists(out) and not fs.isdir(out):
        raise TableError(f"{out}: is a file; expected a folder for the table")
    tables = [Table(out)]
    while fs.isdir(layer := f"{out.rstrip('/')}/layer{len(tables)}"):
        tables.append(Table(layer))
    numbers = [number for table in tables for number in table.numbers()]
    try:
        check_folder(out, out)
    except OutputError as error:  # before any data is read
        raise TableError(str(error)) from None
    if not numbers or resume:
        return
    if not overwrite:
        raise TableError(
            f"{out}: a table is there already (version {numbers[-1]}); "
            "go on with --resume, or remove it with --overwrite"
        )
    for table in tables:
        own = [fs.join(table.path, name) for name in fs.list(table.path) if OWN_FILES.fullmatch(name)]
        for path in [*map(table.file, reversed(table.numbers())), *table.row_files(), *own]:
            if fs.exists(path):
                fs.remove(path)


@contextmanager
def stoppable() -> Iterator[None]:
    """Take a request to terminate like Ctrl-C while training: workers end, the last version stays."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def finish(
    data: str, out: str, options: Any, outcome: Any, test: str | None, no_report: bool, threads: int | None,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Measure, make the report and print the results on standard output; a failure leaves the network as it is."""
    from hdl.devices import cores
    from hdl.predict import Model
    from hdl.report import gather

    failed: Exception | None = None
    measured = []
    model = Model(out, None, threads or cores(), device)
    try:
        if test is not None and model.measurable:
            measured.append(measure(model, test, options, "Test", test))
        elif not no_report and model.measurable and model.schema.samples <= SCORED:
            measured.append(measure(model, data, options, "Training", data))
    except HdlError as error:
        failed = error
    lines = []
    for score in measured:
        if score.accuracy is not None:
            lines.append((f"{score.kind.lower()} accuracy", percent(score.accuracy)))
        if score.loss is not None:
            lines.append((f"{score.kind.lower()} {score.loss[0]}", f"{score.loss[1]:.6g}"))
        if score.r2 is not None:
            lines.append((f"{score.kind.lower()} R²", f"{score.r2:.4f}"))
        if score.rmse is not None:
            lines.append((f"{score.kind.lower()} RMSE", shown_rmse(score.rmse)))
        lines.append((f"{score.kind.lower()} cost", f"{score.cost:.6f}"))
    lines.append(("table", f"{out} (version {outcome.version}, best {outcome.best})"))
    lines.append(("sha256", f"{model.version.signature}  (version {model.version.number})"))
    if measured:
        gather.save_measured(out, model.version.signature, measured)
    if not no_report:
        try:
            lines.append(("report", gather.write(out)))
        except Unavailable as error:  # no matplotlib here: no fault of the training
            lines.append(("report", f"none: {error}"))
    width = max(len(name) for name, _ in lines) + 2
    for name, value in lines:
        click.echo(f"{name:{width}}{value}")
    if failed is not None:
        raise failed


def measure(model: Any, path: str, options: Any, kind: str, source: str) -> Any:
    """Measure a network on data, for the report."""
    from hdl.data import open_source
    from hdl.report import Measured

    read = open_source(path, options, model.schema, labels=model.schema.encoding != "none")
    score = model.evaluate(read)
    rest = score.r2, getattr(score, "rmse", None), score.mistakes
    return Measured(source, kind, score.samples, score.cost, score.accuracy, score.confusion, *rest, score.loss)
