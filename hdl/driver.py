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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hdl import common_samples, data, resume, step, versions
from hdl import spec as specs
from hdl import stack as stacks
from hdl import table as tables
from hdl.data import FileSplit, Schema, Source
from hdl.errors import Interrupted, SpecError, TableError
from hdl.metrics_log import MetricsLog
from hdl.models import stack
from hdl.publisher import Publisher
from hdl.runners.base import Job, Notify, Plan, RoundRunner, Runner
from hdl.spec import Spec
from hdl.sync import gradient
from hdl.table import Table, Version


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
    rows : sequence of dict
    reason : {'rounds', 'patience', 'converged'}
        Why it ended.
    """

    table: str
    version: int
    best: int
    spec: Spec
    rows: Sequence[dict[str, Any]]
    reason: str


@dataclass(frozen=True)
class _Known:
    """What is known once the data has been looked at: the spec is filled in, and all workers have the platform."""

    job: Job
    source: Source
    spec: Spec
    schema: Schema
    splits: list[list[FileSplit]]
    platform: str
    places: tuple[str, ...] = ()  # of records that were skipped, the first ones


def train(job: Job, runner: Runner, on_event: Callable[[Any], None] | None = None) -> Any:
    """Trains as the job says; the runner is closed at the end.

    A stacked autoencoder and a deep belief network are trainings one after the other, each with a weight table of its
    own: TABLE/layer1, TABLE/layer2, …, and TABLE, the network that the layers begin.

    Parameters
    ----------
    job : Job
    runner : Runner
    on_event : function of an event, optional
        Called with Stage, Started, Progress, Replaced and Round in this process's thread.

    Returns
    -------
    Outcome or None
        None if the runner has handed the training over (`--detach`).

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
    try:
        with runner:
            return runner.train(job, _train, notify)
    except KeyboardInterrupt:
        last = begun(job.table)
        kept = f"{last.path} holds version {last.latest()}; --resume goes on from it" if last else "nothing was kept"
        raise Interrupted(f"stopped; {kept}") from None


def begun(table: str) -> Table | None:
    """The weight table that a training in the folder `table` writes to at present, of a stack the last one of its
    layers that has begun; None before the first version."""
    whole = Table(table)
    return whole if whole.latest() is not None else next(reversed(tables.layers(table)), None)


def _train(job: Job, runner: RoundRunner, notify: Notify) -> Outcome:
    if job.spec and job.spec.sync.mode == "async" and not runner.asynchronous:
        raise SpecError(f"sync.mode: runner {runner.name} has no async; --runner yarn does")
    if job.spec:
        stack.check(job.spec)
    own = Table(job.table)
    if own.latest() is not None and own.header(0)["spec"].get("layer"):
        raise TableError(f"{job.table}: a layer of a stack; the folder above it is what can be trained further")
    there = begun(job.table) is not None
    if there and not job.resume:
        raise TableError(f"{job.table}: there is a table already; --resume goes on with it, another name starts anew")
    if not there and job.resume:
        raise TableError(f"{job.table}: no table to resume")
    source = data.open_source(job.data, job.options)
    known = (_resume if there else _begin)(job, runner, source, notify)

    def train_one(stage: Spec, table: Table, below: list[stack.Layer], settled: bool) -> Outcome:
        plan = Plan(stage, known.schema, table.path, known.platform)
        if table.latest() is None:
            version = _first(known, plan, below, table, notify)
        else:
            version, plan = _continued(known, plan, table)
        if settled:
            return Outcome(job.table, version.number, table.best(), plan.spec, version.rows, "rounds")
        if stage.model == "mlp" and known.spec.finetune == "none":
            return Outcome(job.table, version.number, version.number, stage, version.rows, "rounds")
        return _rounds(job, plan, version, runner, table, notify)

    return stacks.train_stages(known.spec, job.table, train_one)


def _rounds(job: Job, plan: Plan, version: Version, runner: RoundRunner, table: Table, notify: Notify) -> Outcome:
    """One training, from a version to its end."""
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


def _begin(job: Job, runner: RoundRunner, source: Source, notify: Notify) -> _Known:
    """Summarises the data and fills in the spec."""
    if job.spec is None:
        raise SpecError("spec: expected one to start a training")
    splits = source.splits(job.spec.shards)
    runner.open(job, splits, notify)
    notify(Stage("summarise"))
    summary = runner.summarise()
    schema = data.fit(summary, job.spec)
    return _Known(job, source, data.resolve(job.spec, schema), schema, splits, runner.platform(), summary.places)


def _resume(job: Job, runner: RoundRunner, source: Source, notify: Notify) -> _Known:
    """Takes from the first table that was begun what `_begin` finds out, if data and spec are still the same."""
    zero = next(iter(tables.layers(job.table)), Table(job.table)).read(0)
    spec = resume.stored_spec(zero, job.spec)
    splits = source.splits(spec.shards)
    resume.same_data(zero.about, splits, job.data, job.options, job.table)
    resume.same_device(zero.about, runner.device, job.table)
    runner.open(job, splits, notify)
    spec = job.spec if job.spec and "stack" not in zero.about else spec
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    return _Known(job, source, spec, schema, splits, zero.about["isa"])


def _first(known: _Known, plan: Plan, below: list[stack.Layer], table: Table, notify: Notify) -> Version:
    """Publishes version 0 of a training, and before it what all of its rounds share."""
    job, spec = known.job, plan.spec
    about: dict[str, Any] = {"places": [*known.places]} if known.places else {}
    if spec is not known.spec:
        about["stack"] = known.spec.model_dump(mode="json")
    if spec.sync.mode == "genetic":
        notify(Stage("common"))
        common_samples.publish(spec, plan.schema, known.source, known.splits, table)
    w = stacks.first_weights(spec, table, below)
    version = versions.zero(
        job.data, job.options, spec, plan.schema, known.splits, plan.platform, plan.device, w, **about
    )
    table.publish(version)
    return version


def _continued(known: _Known, plan: Plan, table: Table) -> tuple[Version, Plan]:
    """Reads the last version of a training, and its plan with what a resumed run may change."""
    version, stage = table.read(), plan.spec
    if version.run != table.header(0)["run"]:
        raise TableError(f"{table.file(version.number)}: of another run than version 0")
    asked = stage if known.job.spec or stage is not known.spec else None
    plan = replace(plan, spec=resume.same_spec(specs.parse(version.spec), asked, version.weights.round))
    if stage.sync.mode == "genetic":
        common_samples.publish(plan.spec, plan.schema, known.source, known.splits, table)
    return version, plan


def _todo(spec: Spec, version: Version, total: int) -> tuple[str | None, str]:
    """What comes next, 'train', 'measure' or None, and why training is over: a function of the version alone."""
    rows = version.rows
    if version.weights.round >= total:
        reason = "rounds"
    elif spec.patience and MetricsLog.of(rows).stale() >= spec.patience:
        reason = "patience"
    elif spec.sync.mode == "gradient" and gradient.finished(spec, version.weights):
        reason = "converged"
    else:
        return "train", ""
    measured = not spec.validation or not version.number or rows[-1]["final"]
    return (None if measured else "measure"), reason


def _round(spec: Spec, runner: RoundRunner, version: Version, final: bool) -> Version:
    """One round, or the closing measurement, as the next version."""
    began = time.perf_counter()
    weights, row = runner.advance(spec, version.weights, final)
    merge = runner.merge_seconds
    seconds = {"round": time.perf_counter() - began - merge, "merge": merge, **runner.phases()}
    return versions.succeeding(version, weights, row, final, seconds | {"workers": runner.timings()}, spec)
