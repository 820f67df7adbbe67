"""`hdl train`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdl.cli import progress
from hdl.cli.common import Command, Option, cores, data_options, percent, take_data_options
from hdl.cli.flags import spec_options, take_spec
from hdl.errors import HdlError, Interrupted, SpecError, TableError, Unavailable

# name: (module, class); a runner that is planned but not here yet has no module
RUNNERS = {
    "local": ("hdl.runners.local", "LocalRunner"),
    "mapreduce": ("hdl.runners.mapreduce", "MapReduceRunner"),
    "streaming": ("hdl.runners.streaming", "StreamingRunner"),
    "yarn": ("hdl.runners.yarn", "YarnRunner"),
}
SCORED = 1_000_000  # training samples up to which the report scores them again, where there is no test data
RUN = "Run"
ENDS = {"patience": "stopped early: validation got no better", "converged": "stopped early: converged"}
RUN_NAMES = ("test", "resume", "overwrite", "runner", "workers", "threads", "no_report", "quiet", "dry_run")
OWN_FILES = ("common.safetensors", "report.html", "measured.json")  # in a table's folder, besides the versions


def _run_options(command: click.Command) -> click.Command:
    """The flags that do not change the weights."""
    command.params[:0] = [
        Option(["--out"], metavar="TABLE", section=RUN, help="Folder for the network's versions and its report."),
        Option(["--test"], metavar="DATA", section=RUN, help="Data to measure the network on at the end."),
        Option(["--resume"], is_flag=True, section=RUN, help="Go on from TABLE's last version."),
        Option(["--overwrite"], is_flag=True, section=RUN, help="Remove the table that is there, and begin anew."),
        Option(["--runner"], metavar="|".join(RUNNERS), default="local", section=RUN,
               help="What carries the rounds out.  [default: local]"),
        Option(["--workers"], type=click.IntRange(min=1), metavar="N", section=RUN,
               help="Worker processes; default: the shards, at most the processors. They do not change the weights."),
        Option(["--threads"], type=click.IntRange(min=1), metavar="N", section=RUN,
               help="Threads a worker; default: all processors shared out. They do not change the weights."),
        Option(["--no-report"], is_flag=True, section=RUN, help="Make no TABLE/report.html."),
        Option(["--quiet", "-q"], is_flag=True, section=RUN, help="Show no progress."),
        Option(["--dry-run"], is_flag=True, section=RUN, help="Print the validated spec as JSON and stop."),
    ]  # fmt: skip
    return command


@spec_options
@data_options
@_run_options
@click.command(cls=Command)
@click.argument("data", metavar="DATA")
def train_(data: str, out: str | None, **values: Any) -> None:
    """Train a network on DATA and keep its versions in a table.

    DATA is a Parquet, CSV, TSV, libsvm, npy, npz or idx file, a folder or glob of them, a folder of
    images by class, or X,Y for features and labels apart. A folder with MNIST's four files is one
    dataset, its test part FOLDER:test.

    \b
    hdl train digits.csv --out model
    hdl train mnist --out model --test mnist:test --net 784-100-32-10 --shards 4 --workers 2
    """
    run = {name: values.pop(name) for name in RUN_NAMES}
    base, reading = _stored(out) if run["resume"] and out else (None, None)
    spec = take_spec(values, base, run["workers"] or 1)
    options = take_data_options(values, reading)
    if run["dry_run"]:
        click.echo(json.dumps(spec.model_dump(mode="json"), indent=2))
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    if out == "":
        raise SpecError("--out: expected the name of a folder (given '')")
    _train(data, out, spec, options, **run)


def _stored(out: str) -> tuple[Any, dict[str, Any]]:
    """Spec and options of reading of the table that is resumed: flags only say what changes."""
    from hdl.spec import parse
    from hdl.table import Table

    table = Table(out)
    if not table.numbers():
        raise TableError(f"{out}: no table to resume; without --resume a new one begins here")
    return parse(table.header()["spec"]), table.header(0)["about"]["options"]


def _train(
    data: str, out: str, spec: Any, options: Any, *, test: str | None, resume: bool, overwrite: bool, runner: str,
    workers: int | None, threads: int | None, no_report: bool, quiet: bool, dry_run: bool
) -> None:  # fmt: skip
    from hdl import driver
    from hdl.data import open_source
    from hdl.runners.base import Job

    made = make_runner(runner, workers, threads, spec.shards)
    open_source(data, options)  # a wrong path is told before anything is removed or made
    if test is not None:
        open_source(test, options)
    _prepare(out, resume, overwrite)
    with progress.show(quiet=quiet) as display, _stoppable(), made:
        told = progress.Teller(display, out, made.workers)
        try:
            outcome = driver.train(Job(data, out, spec, options, resume), made, told)
        except KeyboardInterrupt:
            display.close()
            raise Interrupted(_how_to_resume(data, out)) from None
        display.close()
        if outcome.reason in ENDS:
            display.say(ENDS[outcome.reason])
    try:
        _finish(data, out, options, outcome, test, no_report, threads)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while measuring; the network in {out} is complete") from None


def make_runner(name: str, workers: int | None, threads: int | None, shards: int) -> Any:
    """The runner of a name; without a number of workers one a shard, but of the local one at most the processors.

    Raises
    ------
    SpecError
        There is no such runner.
    Unavailable
        It is not part of this hdl.
    """
    if name not in RUNNERS:
        raise SpecError(f"--runner: expected one of {', '.join(RUNNERS)} (given {name!r})")
    module, attribute = RUNNERS[name]
    if importlib.util.find_spec(module) is None:
        raise Unavailable(f"--runner {name}: this version of hdl has no such runner yet; there is: local")
    workers = workers or (min(cores(), shards) if name == "local" else shards)
    return getattr(importlib.import_module(module), attribute)(workers=workers, threads=threads)


def _prepare(out: str, resume: bool, overwrite: bool) -> None:
    """See to it that the table's folder is as the user wants it."""
    from hdl import fs
    from hdl.table import Table

    if resume and overwrite:
        raise SpecError("--resume goes on with the table and --overwrite removes it: give one of them")
    if fs.exists(out) and not fs.isdir(out):
        raise TableError(f"{out}: is a file; expected a folder for the table")
    table = Table(out)
    numbers = table.numbers()
    if not numbers or resume:
        return
    if not overwrite:
        raise TableError(
            f"{out}: a table is there already (version {numbers[-1]}); "
            "go on with --resume, or remove it with --overwrite"
        )
    for path in [*map(table.file, reversed(numbers)), *table.row_files(), *(fs.join(out, name) for name in OWN_FILES)]:
        if fs.exists(path):
            fs.remove(path)


def _how_to_resume(data: str, out: str) -> str:
    from hdl.table import Table

    numbers = Table(out).numbers()
    if not numbers:
        return "interrupted before the first version; nothing was written"
    command = shlex.join(["hdl", "train", data, "--out", out, "--resume"])
    return f"interrupted; version {numbers[-1]} is kept. Go on with: {command}"


@contextmanager
def _stoppable() -> Iterator[None]:
    """While training, a request to terminate is heard like Ctrl-C: workers end, the last version stays."""

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


def _finish(
    data: str, out: str, options: Any, outcome: Any, test: str | None, no_report: bool, threads: int | None
) -> None:
    """Measure, make the report, tell the results on standard output; what fails here leaves the network as it is."""
    from hdl.predict import Model
    from hdl.report import gather

    failed: Exception | None = None
    measured = []
    model = Model(out, threads=threads or cores())
    try:
        if test is not None:
            measured.append(measure(model, test, options, "Test", test))
        elif not no_report and model.schema.samples <= SCORED:
            measured.append(measure(model, data, options, "Training", data))
    except HdlError as error:
        failed = error
    lines = []
    for seen in measured:
        if seen.accuracy is not None:
            lines.append((f"{seen.kind.lower()} accuracy", percent(seen.accuracy)))
        lines.append((f"{seen.kind.lower()} cost", f"{seen.cost:.6f}"))
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
    """What a network scores on data, for the report."""
    from hdl.data import open_source
    from hdl.report import Measured

    score = model.evaluate(open_source(path, options, model.schema))
    return Measured(source, kind, score.samples, score.cost, score.accuracy, score.confusion)
