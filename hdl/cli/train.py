"""`hdl train`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click

from hdl import session, strict_json
from hdl.cli import folds, grid, progress, yarn_flags
from hdl.cli.access import access_options, take_access
from hdl.cli.common import Command, DeviceName, Option, hadoop_options, log_option, spill_option
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.cli.flags import spec_options, take_spec
from hdl.cli.session_flags import session_option, take_session
from hdl.cli.training import ENDS, RUNNERS, finish, make_runner, prepare_table, stoppable
from hdl.cli.yarn_flags import WorkerCount, workers_of
from hdl.errors import Interrupted, SpecError, TableError
from hdl.models import stack

RUN = "Run"
YARN = yarn_flags.SECTION
RUN_NAMES = ("test", "resume", "strict", "overwrite", "runner", "workers", "threads", "device", "no_report", "quiet",
             "dry_run", "logs", "session")  # fmt: skip
FOLD_NAMES = ("folds", "oof", "final")
# The flags of the YARN runner alone: field of its settings by name
YARN_NAMES = {
    "worker_memory": "memory", "worker_vcores": "vcores", "worker_gpus": "gpus", "master_memory": "master_memory",
    "queue": "queue", "node_label": "label", "publish_every": "publish_every", "worker_timeout": "silence_seconds",
    "gather_timeout": "gather_seconds", "replace_stragglers": "straggler", "detach": "detach", **yarn_flags.NAMES,
}  # fmt: skip
FEWEST = {"fewest_workers": "fewest"}  # A of --workers A:B


def _run_options(command: click.Command) -> click.Command:
    """Add the flags of the run, which do not change the weights."""
    command.params[:0] = [
        Option(["--out"], metavar="TABLE", section=RUN, help="Folder for the network's versions and its report."),
        Option(["--init-from"], metavar="TABLE", section=RUN,
               help="A network that has learned, whose weights, classes and scaling the training starts from."),
        Option(["--test"], metavar="DATA", section=RUN, help="Data to measure the network on at the end."),
        Option(["--resume"], is_flag=True, section=RUN,
               help="Go on from TABLE's last version that is whole; a run that still writes there stops."),
        Option(["--strict"], is_flag=True, section=RUN,
               help="With --resume: refuse a table whose last version is damaged, in place of the one before."),
        Option(["--overwrite"], is_flag=True, section=RUN, help="Remove the table that is there, and begin anew."),
        Option(["--runner"], metavar="|".join(RUNNERS), default="local", section=RUN,
               help="What carries the rounds out.  [default: local]"),
        Option(["--workers"], type=WorkerCount(), metavar="N|A:B", section=RUN,
               help="Worker processes; default: the shards, at most the processors. They do not change the weights. A:B"
                    " with --runner yarn: A begin, and there may be up to B as containers come and go."),
        Option(["--threads"], type=click.IntRange(min=1), metavar="N", section=RUN,
               help="Threads a worker; default: all processors shared out. They do not change the weights."),
        Option(["--device"], type=DeviceName(), metavar="NAME", default="cpu", section=RUN,
               help="What each worker computes on: cpu, cuda (its first GPU), cuda:N, or auto (GPUs where all workers "
                    "have one).  [default: cpu]"),
        session_option(RUN),
        spill_option(RUN),
        Option(["--no-report"], is_flag=True, section=RUN, help="Make no TABLE/report.html."),
        Option(["--quiet", "-q"], is_flag=True, section=RUN, help="Show no progress."),
        log_option(section=RUN),
        Option(["--dry-run"], is_flag=True, section=RUN, help="Print the validated spec as JSON and stop."),
        Option(["--grid"], multiple=True, metavar="NAME=V1,V2,…", section=RUN,
               help="Train every combination of the values of flags, such as lr=0.1,0.01; again for another flag."),
        Option(["--folds"], metavar="K|column:NAME", section=RUN,
               help="Cross-validation: a training for each of K folds, or of a column's values, that holds it out."),
        Option(["--oof"], metavar="FILE", section=RUN,
               help="Where --folds writes each row's answer by the network that has not seen it, .csv or .parquet.  "
                    "[default: TABLE/oof.parquet]"),
        Option(["--final"], is_flag=True, section=RUN,
               help="After --folds, train on all rows into TABLE/final."),
    ]  # fmt: skip
    return command


def _yarn_options(command: click.Command) -> click.Command:
    """Add the flags of the YARN runner, which do not change the weights."""
    seconds = click.FloatRange(min=0, min_open=True)
    command.params[14:14] = [
        *yarn_flags.container_options(YARN),
        Option(["--worker-gpus"], type=click.IntRange(min=0), metavar="N", section=YARN,
               help="GPUs of a worker's container; default: 1 with --device cuda, else 0."),
        Option(["--node-label"], metavar="NAME", section=YARN, help="Run on nodes of this label only."),
        Option(["--publish-every"], type=click.IntRange(min=0), metavar="ROUNDS", section=YARN,
               help="Rounds between two versions in TABLE; 0: as HDFS keeps up, at most one a second.  [default: 0]"),
        Option(["--worker-timeout"], type=seconds, metavar="SECONDS", section=YARN,
               help="Silence after which a worker is replaced.  [default: 20]"),
        Option(["--gather-timeout"], type=seconds, metavar="SECONDS", section=YARN,
               help="Wait for all workers' containers.  [default: 180]"),
        Option(["--replace-stragglers"], type=click.FloatRange(min=1), metavar="FACTOR", section=YARN,
               help="Replace a worker that computes FACTOR times longer than the others, two rounds in a row."),
        *yarn_flags.failure_options(),
        Option(["--detach"], is_flag=True, default=None, section=YARN,
               help="Submit, print the application's id, and return."),
    ]  # fmt: skip
    return command


@hadoop_options
@spec_options
@data_options(WEIGHTS, OFFSET)
@access_options
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
    named = run.pop("session")
    if run["strict"] and not run["resume"]:
        raise SpecError("--strict: is about the version that --resume goes on from; give both, or leave it out")
    settings = {name: values.pop(name) for name in YARN_NAMES}
    reach = take_access(values, run["runner"])
    run["workers"], settings["fewest_workers"] = workers_of(run["workers"], run["runner"])
    take_session(named, run, settings)
    run["settings"] = _yarn_settings(run["runner"], settings, starts=not run["dry_run"]) | reach
    run["init_from"] = values.pop("init_from") or ""
    texts, before = values.pop("grid"), grid.stored_grid(out, run["resume"])
    asked = {name: values.pop(name) for name in FOLD_NAMES}
    if (asked["folds"] is not None) + bool(texts or before) > 1:
        raise SpecError("--grid and --folds: give one of them")
    if run["init_from"] and run["resume"]:
        raise SpecError(
            f"--init-from {run['init_from']}: is not for --resume, as version 0 has its weights; leave it out"
        )
    start = _started(run["init_from"], values, run["workers"] or 1) if run["init_from"] else None
    if texts or before:
        grid.train(data, out, texts, before, values, run, start)
        return
    cut = folds.stored_folds(out, run["resume"])
    if asked["folds"] is not None or cut:
        folds.train(data, out, asked, cut, values, run, start)
        return
    if asked["oof"] is not None or asked["final"]:
        raise SpecError(f"{'--oof' if asked['oof'] is not None else '--final'}: goes with --folds")
    base, reading = _stored_spec_and_options(out) if run["resume"] and out else (None, None)
    spec = take_spec(values, base or start, run["workers"] or 1)
    options = take_data_options(values, reading)
    if reading is None and not stack.labelled(spec):
        options = options.make(options, judged=False)
    if run["dry_run"]:
        click.echo(strict_json.dumps(spec.model_dump(mode="json"), indent=2))
        return
    if out is None:
        raise click.UsageError("Missing option '--out'.", click.get_current_context())
    if out == "":
        raise SpecError("--out: expected the name of a folder (given '')")
    _train(data, out, spec, options, **run)


def _yarn_settings(runner: str, given: dict[str, Any], starts: bool) -> dict[str, Any]:
    """Return the YARN runner's own settings, and start its Java machine, which must be there before HDFS is read."""
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if runner != "yarn":
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise SpecError(f"{flags}: for --runner yarn only (given --runner {runner})")
        return {}
    if starts:
        from hdl.yarn.client import connection

        connection.warm()
        connection.prepare()
    return {(YARN_NAMES | FEWEST)[name]: value for name, value in given.items()}


def _stored_spec_and_options(out: str) -> tuple[Any, dict[str, Any]]:
    """Read the spec and the options of reading of the table that is resumed: flags only say what changes."""
    from hdl.driver import begun
    from hdl.spec import parse

    table = begun(out)
    if table is None:
        raise TableError(f"{out}: no table to resume; without --resume a new one begins here")
    about = table.header(0)["about"]
    return parse(about.get("stack") or table.last_header()["spec"]), about["options"]


def _started(path: str, values: dict[str, Any], shards: int) -> Any:
    """Make the spec of a network that a training starts from: what neither flags nor file say."""
    from hdl import starting
    from hdl.spec import parse

    start = starting.read(path)
    for name in start.unsaid:
        if values[f"spec_{name}"] is None and values["spec"] is None:
            raise SpecError(
                f"--init-from {path}: it does not say which {name} its hidden layers have; --{name} names it"
            )
    return parse({**starting.network(start, values["spec_head"] or "keep"), "shards": shards})


def _train(
    data: str, out: str, spec: Any, options: Any, *, init_from: str, test: str | None, resume: bool, strict: bool,
    overwrite: bool, runner: str, workers: int | None, threads: int | None, device: str, no_report: bool,
    quiet: bool, dry_run: bool, settings: dict[str, Any], logs: tuple[str, ...],
) -> None:  # fmt: skip
    from hdl import driver
    from hdl.data import open_source
    from hdl.loggers import open_log
    from hdl.runners.base import Job

    if logs and settings.get("detach"):
        raise SpecError("--log: is written by who follows the training; leave out --detach, or: hdl attach APP --log …")
    job_runner = make_runner(runner, workers, threads, spec.shards, device=device, **settings)
    open_source(data, options)  # a wrong path is reported before anything is removed or made
    if test is not None:
        open_source(test, options)
    log = open_log(logs, out, progress.warn, overwrite)
    prepare_table(out, resume, overwrite)
    if not (no_report or settings.get("detach")):
        from hdl.report import figures

        figures.warm()
    with progress.show(quiet=quiet) as display, stoppable(), job_runner:
        teller = progress.Teller(display, out, job_runner.workers, settings.get("fewest", 0))
        job = Job(data, out, spec, options, resume, strict=strict, init_from=init_from)
        try:
            with log:
                outcome = driver.train(job, job_runner, progress.both(teller, log))
        except KeyboardInterrupt:
            display.close()
            raise Interrupted(_how_to_resume(data, out, runner, device, log.shown)) from None
        display.close()
        if outcome is None:
            click.echo(job_runner.application)
            click.echo(f"submitted; follow it with: hdl attach {job_runner.application}", err=True)
            return
        if outcome.reason in ENDS:
            display.say(ENDS[outcome.reason])
    try:
        measuring_device = device if runner == "local" else "cpu"  # the cluster's GPUs are not this machine's
        finish(data, out, options, outcome, test, no_report, threads, measuring_device)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted while measuring; the network in {out} is complete") from None


def _how_to_resume(data: str, out: str, runner: str, device: str, logs: Sequence[str]) -> str:
    from hdl.driver import begun

    table = begun(out)
    if table is None:
        return "interrupted before the first version; nothing was written"
    carried = [] if runner == "local" else ["--runner", runner]
    carried += [] if device == "cpu" else ["--device", device]
    carried = ["--session", session.name] if session.name else carried
    carried += [word for shown in logs for word in ("--log", shown)]
    command = shlex.join(["hdl", "train", data, "--out", out, "--resume", *carried])
    return f"interrupted; version {table.numbers()[-1]} is kept. Go on with: {command}"
