"""The loop over rounds, and the only writer of the weight table.

Whatever decides the next weights is in the last version: so a run that was killed at any point resumes to the same
bytes as one that was not.

A version's row of metrics holds version, parent, round, samples, batches, cost and accuracy as seen while training,
val_samples, val_cost and val_accuracy *of the parent*, seconds {round, merge, workers}, time (Unix), final, and in
genetic mode the lineage. The closing version of a run with validation has its parent's weights; its row, marked
final, only measures them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import data, fs, keys, step, versions
from hdl import spec as specs
from hdl import table as tables
from hdl.data import Portion, Schema, Source, csr
from hdl.errors import DataError, Interrupted, SpecError, TableError
from hdl.publisher import Publisher
from hdl.runners.base import Job, Notify, Plan, Runner
from hdl.rows import Rows
from hdl.spec import Spec
from hdl.sync import gradient
from hdl.table import Table, Version

# What a resumed run may change: none of it decides the weights of the rounds that are done.
CHANGEABLE = ("epochs", "keep", "patience")


@dataclass(frozen=True)
class Stage:
    """An event: what the driver turns to: 'summarise', 'common', 'train' or 'measure'."""

    name: str


@dataclass(frozen=True)
class Started:
    """An event: rounds begin.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    samples : int
        Of the dataset, validation included.
    rounds : int
        Of the whole training, at most.
    version : int
        That it starts from: above 0 if resumed.
    """

    spec: Spec
    samples: int
    rounds: int
    version: int


@dataclass(frozen=True)
class Round:
    """An event: a round is merged, and its version is being published."""

    row: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Parameters
    ----------
    table : str
    version, best : int
        The last version, and the best by validation.
    spec : Spec
    rows : list of dict
    reason : {'rounds', 'patience', 'converged'}
        Why it ended.
    """

    table: str
    version: int
    best: int
    spec: Spec
    rows: list[dict[str, Any]]
    reason: str


def train(job: Job, runner: Runner, on_event: Callable[[Any], None] | None = None) -> Outcome:
    """Trains as the job says; the runner is closed at the end.

    Parameters
    ----------
    job : Job
    runner : Runner
    on_event : function of an event, optional
        Called with Stage, Started, Progress, Replaced and Round in this process's thread.

    Raises
    ------
    TableError
        The table is there and `resume` is not set, or is not there and it is; its last version is damaged.
    VersionExists
        Another driver writes to this table.
    DataError, SpecError
        The data or the spec is wrong, or not what the table was made with.
    NonFinite, WorkerError, DeadlineError
        Training failed; the last version is whole.
    Interrupted
        Ctrl-C; the last version is whole.
    """
    notify = on_event or (lambda event: None)
    weights_of = Table(job.table)
    try:
        with runner:
            return _train(job, runner, weights_of, notify)
    except KeyboardInterrupt:
        numbers = weights_of.numbers()
        kept = f"{job.table} holds version {numbers[-1]}; --resume goes on from it" if numbers else "nothing was kept"
        raise Interrupted(f"stopped; {kept}") from None


def _train(job: Job, runner: Runner, table: Table, notify: Notify) -> Outcome:
    asked = job.spec and job.spec.sync.mode == "async"
    if asked and not runner.asynchronous:
        raise SpecError(f"sync.mode: runner {runner.name} has no async; --runner yarn does")
    there = table.latest() is not None
    if there and not job.resume:
        raise TableError(f"{job.table}: there is a table already; --resume goes on with it, another name starts anew")
    if not there and job.resume:
        raise TableError(f"{job.table}: no table to resume")
    source = data.open_source(job.data, job.options)
    if there:
        plan, version = _resume(job, runner, table, source, notify)
    else:
        plan, version = _begin(job, runner, table, source, notify)
    runner.prepare(plan)
    total = step.rounds(plan.spec, plan.schema.samples)
    notify(Started(plan.spec, plan.schema.samples, total, version.number))
    with Publisher(table, plan.spec.keep, job.publish_every, runner) as publisher:
        while (todo := _todo(plan.spec, version, total))[0]:
            notify(Stage(todo[0]))
            version = _round(plan.spec, runner, version, final=todo[0] == "measure")
            publisher.offer(version)
            notify(Round(version.rows[-1]))
    best = tables.best(version.rows, table.numbers())
    best = version.number if best is None else best
    return Outcome(job.table, version.number, best, plan.spec, version.rows, todo[1])


def _begin(job: Job, runner: Runner, table: Table, source: Source, notify: Notify) -> tuple[Plan, Version]:
    """Summarises the data, fills in the spec, publishes version 0."""
    if job.spec is None:
        raise SpecError("spec: expected one to start a training")
    cuts = source.portions(job.spec.shards)
    runner.open(job, cuts, notify)
    notify(Stage("summarise"))
    summary = runner.summarise()
    isa = runner.isa()
    spec, schema, version = versions.first(job.data, job.options, job.spec, summary, cuts, isa, runner.device)
    plan = Plan(spec, schema, job.table, isa)
    if spec.sync.mode == "genetic":
        notify(Stage("common"))
        _publish_common(plan, source, cuts, table)
    table.publish(version)
    return plan, version


def _resume(job: Job, runner: Runner, table: Table, source: Source, notify: Notify) -> tuple[Plan, Version]:
    """The table's last version and its plan, if data and spec are still the same."""
    zero, version = table.read(0), table.read()
    if version.run != zero.run:
        raise TableError(f"{table.file(version.number)}: of run {version.run}, but version 0 is of run {zero.run}")
    spec = _same_spec(specs.parse(version.spec), job.spec, version.weights.round)
    cuts = source.portions(spec.shards)
    _same_data(zero.about, cuts, job)
    if zero.about["device"] != runner.device:
        raise TableError(f"{job.table}: made on {zero.about['device']}; {runner.device} would not give the same bytes")
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    plan = Plan(spec, schema, job.table, zero.about["isa"])
    runner.open(job, cuts, notify)
    if spec.sync.mode == "genetic":
        _publish_common(plan, source, cuts, table)
    return plan, version


def _same_spec(stored: Spec, given: Spec | None, done: int) -> Spec:
    """The stored spec, of which so many rounds are done, with what may change taken from the given one.

    Raises
    ------
    SpecError
        The given one says otherwise.
    """
    if given is None:
        return stored
    old, new = stored.model_dump(), given.model_dump()
    # What was left to the data agrees with whatever the data said.
    for name in ("loss", "net", "batch"):
        if new[name] is None:
            new[name] = old[name]
    if len(new["net"]) == len(old["net"]):
        new["net"] = tuple(b or a for a, b in zip(old["net"], new["net"], strict=True))
    wrong = [name for name in old if name not in CHANGEABLE and old[name] != new[name]]
    if wrong:
        listed = "; ".join(f"{name} was {old[name]}, given {new[name]}" for name in wrong)
        raise SpecError(f"the table was made with another spec: {listed}")
    every = stored.sync.every
    cut = stored.sync.mode != "gradient" and stored.sync.unit == "epochs" and stored.epochs % every
    if cut and done >= stored.epochs // every + 1 and new["epochs"] > stored.epochs:
        raise SpecError(
            f"epochs: the table's last round was cut short at epoch {stored.epochs}, between two merges of {every} "
            f"epochs; a longer training would have gone on. Start a new table for {new['epochs']} epochs"
        )
    return stored.with_(**{name: new[name] for name in CHANGEABLE})


def _same_data(about: dict[str, Any], cuts: list[list[Portion]], job: Job) -> None:
    """Refuses a dataset whose files' names or lengths are not those of version 0."""
    old, new = _files(about["cuts"]), _files(cuts)
    if old != new:
        paths = sorted({path for path, _ in set(old.items()) ^ set(new.items())})
        first = paths[0]
        raise DataError(
            f"{job.data}: not the data that {job.table} was trained on: {first} had length {old.get(first, 'none')}, "
            f"now {new.get(first, 'none')} ({len(paths)} files differ)"
        )
    if about["options"] != job.options.model_dump(mode="json"):
        raise SpecError(f"the table was made with other options of reading: {about['options']}")


def _files(cuts: Any) -> dict[str, int]:
    """Name and length of each file in the cuts, in the unit of its portions."""
    files: dict[str, int] = {}
    for portions in cuts:
        for path, _, length in portions:
            files[path] = files.get(path, 0) + length
    return files


def _todo(spec: Spec, version: Version, total: int) -> tuple[str | None, str]:
    """What comes next, 'train', 'measure' or None, and why training is over: a function of the version alone."""
    rows = version.rows
    if version.weights.round >= total:
        reason = "rounds"
    elif spec.patience and Rows.of(rows).stale() >= spec.patience:
        reason = "patience"
    elif spec.sync.mode == "gradient" and gradient.finished(spec, version.weights):
        reason = "converged"
    else:
        return "train", ""
    measured = not spec.validation or not version.number or rows[-1]["final"]
    return (None if measured else "measure"), reason


def _round(spec: Spec, runner: Runner, version: Version, final: bool) -> Version:
    """One round, or the closing measurement, as the next version."""
    began = time.perf_counter()
    weights, row = runner.turn(spec, version.weights, final)
    merge = runner.merge_seconds
    seconds = {"round": time.perf_counter() - began - merge, "merge": merge, **runner.phases()}
    return versions.succeeding(version, weights, row, final, seconds | {"workers": runner.timings()}, spec)


def _publish_common(plan: Plan, source: Source, cuts: list[list[Portion]], table: Table) -> None:
    """Draws genetic mode's common samples in one pass over the dataset, and stores them beside the versions.

    From each shard come those with the lowest keyed draws: of its validation part if there is one. They keep their
    order.
    """
    if fs.exists(table.common_file):
        return
    spec = plan.spec
    quota = -(-spec.sync.genetic.fitness_samples // spec.shards)
    x, y = [], []
    for number, portions in enumerate(cuts):
        shard = data.load(source, portions, plan.schema, spec.seed, number, spec.validation)
        samples = shard.validation if len(shard.validation) else shard.train
        draws = keys.words(keys.derive(spec.seed, keys.FITNESS), number, n=len(samples))
        chosen = np.sort(np.argsort(draws, kind="stable")[:quota])
        assert samples.y is not None  # a schema without labels was refused
        x.append(samples.x[chosen])
        y.append(samples.y[chosen])
    table.publish_common({}, {**csr.to_tensors(csr.stack(x)), "y": np.concatenate(y)})
