"""`hdl train`."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdl.cli import grid, progress
from hdl.cli.common import Command, DeviceName, Option, cores, data_options, percent, take_data_options
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
YARN = "YARN (--runner yarn)"
RUN_NAMES = ("test", "resume", "overwrite", "runner", "workers", "threads", "device", "no_report", "quiet", "dry_run")
# The flags of the YARN runner alone: field of its settings by name
YARN_NAMES = {
    "worker_memory": "memory", "worker_vcores": "vcores", "worker_gpus": "gpus", "master_memory": "master_memory",
    "queue": "queue", "node_label": "label", "publish_every": "publish_every", "worker_timeout": "silence_seconds",
    "gather_timeout": "gather_seconds", "replace_stragglers": "straggler", "detach": "detach",
}  # fmt: skip
# In a table's folder, besides the versions.
OWN_FILES = re.compile(
    r"common\.safetensors|report\.html|measured\.json|(features\d*|reconstructions|samples|activations)\.png"
)


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
        Option(["--device"], type=DeviceName(), metavar="NAME", default="cpu", section=RUN,
               help="What each worker computes on: cpu, cuda (its first GPU), cuda:N, or auto (GPUs where all workers "
                    "have one).  [default: cpu]"),
        Option(["--no-report"], is_flag=True, section=RUN, help="Make no TABLE/report.html."),
        Option(["--quiet", "-q"], is_flag=True, section=RUN, help="Show no progress."),
        Option(["--dry-run"], is_flag=True, section=RUN, help="Print the validated spec as JSON and stop."),
        Option(["--grid"], multiple=True, metavar="NAME=V1,V2,…", section=RUN,
               help="Train every combination of the values of flags, such as lr=0.1,0.01; again for another flag."),
    ]  # fmt: skip
    return command


class Memory(click.ParamType):
    """An amount of memory, 2g or 1536m, as MiB."""

    name = "memory"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mg])(?:i?b)?", str(value).strip().lower())
        if isinstance(value, int) or not found:
            self.fail(f"expected an amount like 2g or 1536m (given {value!r})", param, ctx)
        return round(float(found[1]) * (1024 if found[2] == "g" else 1))


def _yarn_options(command: click.Command) -> click.Command:
    """The flags of the YARN runner. They do not change the weights."""
    seconds = click.FloatRange(min=0, min_open=True)
    command.params[12:12] = [
        Option(["--worker-memory"], type=Memory(), metavar="SIZE", section=YARN,
               help="Of a worker's container, as 2g or 1536m.  [default: 1g]"),
        Option(["--worker-vcores"], type=click.IntRange(min=1), metavar="N", section=YARN,
               help="Processors of a worker's container.  [default: 1]"),
        Option(["--worker-gpus"], type=click.IntRange(min=0), metavar="N", section=YARN,
               help="GPUs of a worker's container; default: 1 with --device cuda, else 0."),
        Option(["--master-memory"], type=Memory(), metavar="SIZE", section=YARN,
               help="Of the master's container.  [default: 1g]"),
        Option(["--queue"], metavar="NAME", section=YARN, help="YARN's queue; default: the cluster's own."),
        Option(["--node-label"], metavar="NAME", section=YARN, help="Run on nodes of this label only."),
        Option(["--publish-every"], type=click.IntRange(min=0), metavar="ROUNDS", section=YARN,
               help="Rounds between two versions in TABLE; 0: as HDFS keeps up, at most one a second.  [default: 0]"),
        Option(["--worker-timeout"], type=seconds, metavar="SECONDS", section=YARN,
               help="Silence after which a worker is replaced.  [default: 20]"),
        Option(["--gather-timeout"], type=seconds, metavar="SECONDS", section=YARN,
               help="Wait for all workers' containers.  [default: 180]"),
        Option(["--replace-stragglers"], type=click.FloatRange(min=1), metavar="FACTOR", section=YARN,
               help="Replace a worker that computes FACTOR times longer than the others, two rounds in a row."),
        Option(["--detach"], is_flag=True, default=None, section=YARN,
               help="Submit, print the application's id, and return."),
    ]  # fmt: skip
    return command


@spec_options
@data_options
@_yarn_options
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
    settings = {name: values.pop(name) for name in YARN_NAMES}
    run["settings"] = _yarn_settings(run["runner"], settings, starts=not run["dry_run"])
    texts, before = values.pop("grid"), grid.kept(out, run["resume"])
    if texts or before:
        grid.train(data, out, texts, before, values, run)
        return
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


def _yarn_settings(runner: str, given: dict[str, Any], starts: bool) -> dict[str, Any]:
    """The YARN runner's own settings; with it the virtual machine, which must be there before HDFS is looked at."""
    given = {name: value for name, value in given.items() if value is not None}
    if runner != "yarn":
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise SpecError(f"{flags}: for --runner yarn only (given --runner {runner})")
        return {}
    if starts:
        from hdl.yarn.client import client
        from hdl.yarn.resource_manager import java

        java.start()
        client.warm()
    return {YARN_NAMES[name]: value for name, value in given.items()}


def _stored(out: str) -> tuple[Any, dict[str, Any]]:
    """Spec and options of reading of the table that is resumed: flags only say what changes."""
    from hdl.driver import begun
    from hdl.spec import parse

    table = begun(out)
    if table is None:
        raise TableError(f"{out}: no table to resume; without --resume a new one begins here")
    about = table.header(0)["about"]
    return parse(about.get("stack") or table.header()["spec"]), about["options"]


def _train(
    data: str, out: str, spec: Any, options: Any, *, test: str | None, resume: bool, overwrite: bool, runner: str,
    workers: int | None, threads: int | None, device: str, no_report: bool, quiet: bool, dry_run: bool,
    settings: dict[str, Any],
) -> None:  # fmt: skip
    from hdl import driver
    from hdl.data import open_source
    from hdl.runners.base import Job

    made = make_runner(runner, workers, threads, spec.shards, device=device, **settings)
    open_source(data, options)  # a wrong path is told before anything is removed or made
    if test is not None:
        open_source(test, options)
    prepare_table(out, resume, overwrite)
    with progress.show(quiet=quiet) as display, stoppable(), made:
        told = progress.Teller(display, out, made.workers)
        job = Job(data, out, spec, options, resume)
        try:
            outcome = driver.train(job, made, told)
        except KeyboardInterrupt:
            display.close()
            raise Interrupted(_how_to_resume(data, out, runner, device)) from None
        display.close()
        if outcome is None:
            click.echo(made.application)
            click.echo(f"submitted; follow it with: hdl attach {made.application}", err=True)
            return
        if outcome.reason in ENDS:
            display.say(ENDS[outcome.reason])
    try:
        here = device if runner == "local" else "cpu"  # the cluster's GPUs are not this machine's
        finish(data, out, options, outcome, test, no_report, threads, here)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while measuring; the network in {out} is complete") from None


def make_runner(name: str, workers: int | None, threads: int | None, shards: int, **settings: Any) -> Any:
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
    return getattr(importlib.import_module(module), attribute)(workers=workers, threads=threads, **settings)


def prepare_table(out: str, resume: bool, overwrite: bool) -> None:
    """See to it that a table's folder is as the user wants it."""
    from hdl import fs
    from hdl.table import Table

    if resume and overwrite:
        raise SpecError("--resume goes on with the table and --overwrite removes it: give one of them")
    if fs.exists(out) and not fs.isdir(out):
        raise TableError(f"{out}: is a file; expected a folder for the table")
    tables = [Table(out)]
    while fs.isdir(layer := f"{out.rstrip('/')}/layer{len(tables)}"):
        tables.append(Table(layer))
    numbers = [number for table in tables for number in table.numbers()]
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


def _how_to_resume(data: str, out: str, runner: str, device: str) -> str:
    from hdl.driver import begun

    table = begun(out)
    if table is None:
        return "interrupted before the first version; nothing was written"
    carried = [] if runner == "local" else ["--runner", runner]
    carried += [] if device == "cpu" else ["--device", device]
    command = shlex.join(["hdl", "train", data, "--out", out, "--resume", *carried])
    return f"interrupted; version {table.numbers()[-1]} is kept. Go on with: {command}"


@contextmanager
def stoppable() -> Iterator[None]:
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


def finish(
    data: str, out: str, options: Any, outcome: Any, test: str | None, no_report: bool, threads: int | None,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Measure, make the report, tell the results on standard output; what fails here leaves the network as it is."""
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
