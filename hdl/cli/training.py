"""Parts that `hdl train` and its grid share: runners by name, the table's folder, the end of a training."""

from __future__ import annotations

import importlib
import importlib.util
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdl.cli.common import aligned, count, percent
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
SHORTLY = ("AUC", "PR-AUC", "log loss", "balanced accuracy", "R²", "RMSE", "MAE", "deviance")  # told after a training
# In a table's folder, besides the versions.
OWN_FILES = re.compile(
    r"report\.html|measured\.json|start-[0-9a-f]{32}\.hdl|(features\d*|reconstructions|samples|activations)\.png"
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
    from hdl import session
    from hdl.devices import cores

    if session.current is not None:
        return session.current.runner()
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
    from hdl.table import Table, epochs

    if resume and overwrite:
        raise SpecError("--resume goes on with the table and --overwrite removes it: give one of them")
    if fs.exists(out) and not fs.isdir(out):
        raise TableError(f"{out}: is a file; expected a folder for the table")
    seen, tables = epochs(out), [Table(out)]
    while fs.isdir(layer := f"{out.rstrip('/')}/layer{len(tables)}"):
        tables.append(Table(layer))
    try:
        numbers = [number for table in tables for number in table.numbers()]
    except TableError:  # nobody knows which versions count, as with a damaged owner's file
        if not overwrite:
            raise
        numbers = [0]
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
        table.empty(seen.get(table.path, 0))
        for path in [fs.join(table.path, name) for name in fs.list(table.path) if OWN_FILES.fullmatch(name)]:
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
    from hdl.cli.scores import warning
    from hdl.devices import cores
    from hdl.predict import Model

    failed: Exception | None = None
    score = effects = None
    model = Model(out, None, threads or cores(), device)
    trained = getattr(outcome, "run", "")  # one of several that have been compared names none
    if trained not in ("", model.version.run):
        raise TableError(f"{out}: another run has taken the table over since this one ended; nothing is told of it")
    kind, source = ("Training", data) if test is None else ("Test", test)
    try:
        if model.measurable and (test is not None or (not no_report and model.schema.samples <= SCORED)):
            score, effects = score_of(model, source, options, effects=not no_report)
    except HdlError as error:
        failed = error
    measured = [] if score is None else [measured_of(score, kind, source, effects)]
    lines = validation_lines(model)
    lines += [] if score is None else score_lines(score, kind.lower(), model.schema.classes)
    lines.append(("table", f"{out} (version {outcome.version}, best {outcome.best})"))
    lines.append(("sha256", f"{model.version.signature}  (version {model.version.number})"))
    if measured or not no_report:
        from hdl.report import gather  # a page's pieces are many modules
    if measured:
        gather.save_measured(out, model.version.signature, measured)
    told = aligned(lines)
    click.echo(told)  # before the report is made: nobody has to wait for it
    if not no_report:
        sys.stdout.flush()
        try:
            report = gather.write(out)
        except Unavailable as error:  # no matplotlib here: no fault of the training
            report = f"none: {error}"
        click.echo(aligned([*lines, ("report", report)])[len(told) + 1 :])
    if score is not None and (said := warning(score, model.schema.classes)):
        click.echo(f"Beware: {said}", err=True)
    if failed is not None:
        raise failed


def validation_lines(model: Any) -> list[tuple[str, str]]:
    """Write how the samples held out were answered by a version; nothing where there are none."""
    from hdl.cli.scores import measures_of, validated
    from hdl.table import Table

    number = model.version.number
    row = next((row for row in Table(model.path).rows() if row["parent"] == number and "val_cost" in row), {})
    if row.get("val_cost") is None:
        return []
    said = validated(measures_of(row, model.spec.metric), titled=True)
    return [("validation", f"{', '.join(said)}  ({count(row['val_samples'], 'sample')})")]


def score_lines(score: Any, kind: str, classes: Any) -> list[tuple[str, str]]:
    """Write the measures that are told at the end of a training: some of those of `hdl evaluate`."""
    from hdl.cli.scores import measures

    lines = [("accuracy", percent(score.accuracy))] if score.accuracy is not None else []
    told = [(name, said) for name, said in measures(score, classes) if name in SHORTLY]
    lines += [(name, said.rpartition(";")[0] if "; " in said else said.split("   ")[0]) for name, said in told]
    if score.loss is not None and score.loss[0] not in dict(lines):
        lines.append((score.loss[0], f"{score.loss[1]:.6g}"))
    lines.append(("cost", f"{score.cost:.6f}"))
    return [(f"{kind} {name}", value) for name, value in lines]


def measure(model: Any, path: str, options: Any, kind: str, source: str) -> Any:
    """Measure a network on data, for the report."""
    score, effects = score_of(model, path, options, effects=True)
    return measured_of(score, kind, source, effects)


def score_of(model: Any, path: str, options: Any, effects: bool) -> tuple[Any, Any]:
    """Measure a network on data, and if that is wanted its columns' effects on a few rows, None where it has none."""
    from hdl import importance, passes
    from hdl.data import open_source
    from hdl.report.gather import image_of

    source = open_source(path, options, model.schema, labels=model.schema.encoding != "none")
    if not effects or image_of(model.about.get("schema") or {}):  # no single pixel matters
        return model.evaluate(source), None
    whole, found = importance.brief(model, source)
    return passes.score(model, whole, path, options.weights), found


def measured_of(score: Any, kind: str, source: str, effects: Any = None) -> Any:
    """Make of a score, and of columns' effects, what the report shows and keeps."""
    from hdl.report import Measured

    return Measured.of(score, source, kind, effects)
