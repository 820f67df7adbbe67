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

import numpy as np

from hdl import data, fs, models, resume, rng, step, versions
from hdl import spec as specs
from hdl import table as tables
from hdl.data import FileSplit, Schema, Source, csr
from hdl.errors import Interrupted, SpecError, TableError
from hdl.metrics_log import MetricsLog
from hdl.models import stack
from hdl.publisher import Publisher
from hdl.runners.base import Job, Notify, Plan, RoundRunner, Runner
from hdl.spec import Spec
from hdl.sync import gradient
from hdl.table import Table, Version

Begun = tuple[Spec, Schema, list[list[FileSplit]], str]  # spec, schema, shards, kind of core of all workers


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
    spec, schema, cuts, platform = (_resume if there else _begin)(job, runner, source, notify)
    below: list[stack.Layer] = []
    for stage in stack.stages(spec):
        table = Table(stack.folder(job.table, stage))
        plan = Plan(stage, schema, table.path, platform)
        if table.latest() is None:
            version = _first(job, plan, spec, source, cuts, below, table, notify)
        else:
            version = table.read()
            if version.run != table.header(0)["run"]:
                raise TableError(f"{table.file(version.number)}: of another run than version 0")
            asked = stage if job.spec or stage is not spec else None
            plan = replace(plan, spec=resume.same_spec(specs.parse(version.spec), asked, version.weights.round))
            if stage.sync.mode == "genetic":
                _publish_common(plan, source, cuts, table)
        if stage.layer and _later(job, spec, stage):  # what stands on it was made of it as it is
            below.append((plan.spec, table.read(table.best()).weights.w))
            continue
        if stage.model == "mlp" and spec.finetune == "none":
            return Outcome(job.table, version.number, version.number, stage, version.rows, "rounds")
        outcome = _rounds(job, plan, version, runner, table, notify)
        if stage.layer:
            below.append((stage, table.read(outcome.best).weights.w))
    return outcome


def _later(job: Job, spec: Spec, stage: Spec) -> bool:
    """Whether a later stage has begun."""
    later = (other for other in stack.stages(spec) if not other.layer or other.layer > stage.layer)
    return any(Table(stack.folder(job.table, other)).latest() is not None for other in later)


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


def _begin(job: Job, runner: RoundRunner, source: Source, notify: Notify) -> Begun:
    """Summarises the data and fills in the spec."""
    if job.spec is None:
        raise SpecError("spec: expected one to start a training")
    cuts = source.portions(job.spec.shards)
    runner.open(job, cuts, notify)
    notify(Stage("summarise"))
    summary = runner.summarise()
    schema = data.fit(summary, job.spec)
    return data.resolve(job.spec, schema), schema, cuts, runner.platform()


def _first(
    job: Job, plan: Plan, whole: Spec, source: Source, cuts: list[list[FileSplit]], below: list[stack.Layer],
    table: Table, notify: Notify,
) -> Version:  # fmt: skip
    """Publishes version 0 of a training, and before it what all of its rounds share."""
    spec, about = plan.spec, {}
    if spec is not whole:
        about["stack"] = whole.model_dump(mode="json")
    if spec.sync.mode == "genetic":
        notify(Stage("common"))
        _publish_common(plan, source, cuts, table)
    if spec.layer > 1:
        table.publish_common(
            {"layers": [layer.model_dump(mode="json") for layer, _ in below]},
            {f"w{number}": w for number, (_, w) in enumerate(below)},
        )
    w = stack.start(spec, below) if below and not spec.layer else models.initial(spec)
    version = versions.zero(job.data, job.options, spec, plan.schema, cuts, plan.platform, plan.device, w, **about)
    table.publish(version)
    return version


def _resume(job: Job, runner: RoundRunner, source: Source, notify: Notify) -> Begun:
    """What `_begin` gives, from the first table that was begun, if data and spec are still the same."""
    zero = next(iter(tables.layers(job.table)), Table(job.table)).read(0)
    spec = specs.parse(zero.about.get("stack", zero.spec))
    if "stack" in zero.about:
        spec = resume.same_spec(spec, job.spec, 0)
    cuts = source.portions(spec.shards)
    resume.same_data(zero.about, cuts, job.data, job.options, job.table)
    made, asked = zero.about["device"], runner.device.partition(":")[0]
    if asked not in (made, "auto"):
        raise TableError(
            f"{job.table}: made on {made}; {asked} would not give the same bytes: --device {made} goes on with it"
        )
    runner.open(job, cuts, notify)
    spec = job.spec if job.spec and "stack" not in zero.about else spec
    return spec, Schema.from_parts(zero.about["schema"], zero.schema), cuts, zero.about["isa"]


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


def _publish_common(plan: Plan, source: Source, cuts: list[list[FileSplit]], table: Table) -> None:
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
        draws = rng.words(rng.derive(spec.seed, rng.FITNESS), number, n=len(samples))
        chosen = np.sort(np.argsort(draws, kind="stable")[:quota])
        x.append(samples.x[chosen])
        if samples.y is not None:
            y.append(samples.y[chosen])
    labels = {"y": np.concatenate(y)} if y else {}
    table.publish_common({}, csr.to_tensors(csr.stack(x)) | labels)
