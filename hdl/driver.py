"""The loop over rounds, and the only writer of the weight table.

The last version holds everything that decides the next weights: so a run that was killed at any point resumes to the
same bytes as one that was not.

A version's row of metrics holds version, parent, round, samples, batches, cost and accuracy as seen while training,
val_samples, val_cost, val_accuracy and what else `hdl.metrics` names, such as val_auc, *of the parent*, seconds {round,
merge, workers}, time (Unix), final, and in genetic mode the lineage. The closing version of a run with validation has
its parent's weights; its row, marked final, only measures them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from hdl import common_samples, deciding, preparation, resume, stages, starting, step, versions
from hdl import spec as specs
from hdl import table as tables
from hdl.errors import Damaged, Interrupted, SpecError, TableError
from hdl.events import Outcome, Round, Stage, Started
from hdl.metrics_log import MetricsLog
from hdl.models import stack
from hdl.preparation import Prepared
from hdl.publisher import Publisher
from hdl.runners.base import Job, Log, Notify, Plan, RoundRunner, Runner
from hdl.spec import Spec
from hdl.sync import gradient
from hdl.table import Table, Version
from hdl.table.claims import Claims


class _Next(NamedTuple):
    """The next round of a training: 'train', 'measure' or None; and, unless 'train', why the training is over."""

    stage: str | None
    reason: str = ""


def train(job: Job, runner: Runner, on_event: Callable[[Any], None] | None = None) -> Any:
    """Trains a model as the job says, and closes the runner at the end.

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
        The table is there and `resume` is not set, or is not there and it is.
    Damaged
        The table's last version is damaged and the job is strict; or all versions are.
    Fenced
        Another run has taken the table over.
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
    """Finds the weight table that a training in the folder `table` has written to last: a stack writes its layers'
    tables one after the other, then its own. None before the first version."""
    whole = Table(table)
    return whole if whole.latest() is not None else next(reversed(tables.layers(table)), None)


def _train(job: Job, runner: RoundRunner, notify: Notify) -> Outcome:
    seen = tables.epochs(job.table)  # before all else is looked at: who claims a table after it is noticed
    resumed = _check(job, runner)
    prepared = (preparation.from_table if resumed else preparation.from_data)(job, runner, notify)
    stages = stack.stages(prepared.spec)
    claims = Claims([stack.folder(job.table, stage) for stage in stages], seen)
    below: list[stack.Layer] = []
    for stage, table in zip(stages, claims.tables, strict=True):
        outcome = _train_stage(prepared, stage, below, table, claims, runner, notify)
        if stage.layer:
            below.append((outcome.spec, table.read(outcome.best).weights.w))
    return outcome


def _check(job: Job, runner: RoundRunner) -> bool:
    """Refuses a job that cannot be carried out; tells whether it resumes a training."""
    if job.spec and job.spec.sync.mode == "async" and not runner.asynchronous:
        raise SpecError(f"sync.mode: runner {runner.name} has no async; --runner yarn does")
    if job.spec:
        stack.check(job.spec)
    table = Table(job.table)
    if table.latest() is not None and table.header(0)["spec"].get("layer"):
        raise TableError(f"{job.table}: a layer of a stack; the folder above it is what can be trained further")
    resumable = begun(job.table) is not None
    if resumable and not job.resume:
        raise TableError(f"{job.table}: there is a table already; --resume goes on with it, another name starts anew")
    if not resumable and job.resume:
        raise TableError(f"{job.table}: no table to resume")
    return resumable


def _train_stage(
    prepared: Prepared, stage: Spec, below: list[stack.Layer], table: Table, claims: Claims, runner: RoundRunner,
    notify: Notify,
) -> Outcome:  # fmt: skip
    """Trains a model, or one stage of a stack, from its first version or its last one to its end."""
    other = prepared.validation
    plan = Plan(stage, prepared.schema, table.path, prepared.platform, other.plain() if other is not None else None)
    write: Callable[[], None] | None = None  # puts version 0 into the table, where that is still to be done
    if table.latest() is None:
        version, write = _first(prepared, plan, below, table, claims, notify)
        if not runner.begins_before_zero:
            write = write()
    else:
        version, plan = _continued(prepared, plan, table, notify)
    if stage.layer and stages.later_has_begun(prepared.spec, stage, prepared.job.table):
        return Outcome(prepared.job.table, version.number, table.best(), plan.spec, version.rows, "rounds", version.run)
    if stage.model == "mlp" and prepared.spec.finetune == "none":
        if write:
            write()
        return Outcome(prepared.job.table, version.number, version.number, stage, version.rows, "rounds", version.run)
    if not write and not table.owner and _next(plan.spec, version, step.rounds(plan.spec, plan.schema.samples)).stage:
        claims.take(table, version)
        if stage.sync.mode == "genetic":
            _publish_common(prepared, plan, table)
    return _rounds(prepared.job, plan, version, runner, table, notify, write)


def _first(
    prepared: Prepared, plan: Plan, below: list[stack.Layer], table: Table, claims: Claims, notify: Notify
) -> tuple[Version, Callable[[], None]]:
    """Makes version 0 of a training, and a function that claims the table and publishes it.

    Where rounds read the table, it is claimed at once, and the common file that they read is published.
    """
    job, spec = prepared.job, plan.spec
    about: dict[str, Any] = {"places": [*prepared.places]} if prepared.places else {}
    if (settled := prepared.source.settled()) != job.options:
        about["settled"] = settled.model_dump(mode="json")
    if plan.validation is not None:
        about["validation"] = plan.validation
    if spec is not prepared.spec:
        about["stack"] = prepared.spec.model_dump(mode="json")
    table.begin()
    if spec.sync.mode == "genetic" or spec.layer > 1:
        claims.take(table)
    if spec.sync.mode == "genetic":
        notify(Stage("common"))
        _publish_common(prepared, plan, table)
    anchor = None
    if prepared.start is not None:
        w, anchor = starting.weights(prepared.start, spec, prepared.schema)
        about["start"] = starting.about(prepared.start)
    else:
        w = stages.first_weights(spec, table, below)
    version = versions.zero(
        job.data,
        job.options,
        spec,
        plan.schema,
        prepared.splits,
        plan.platform,
        plan.device,
        w,
        table.run,
        anchor,
        **about,
    )

    def write() -> None:
        claims.take(table, run=version.run)
        table.publish(version)

    return version, write


def _continued(prepared: Prepared, plan: Plan, table: Table, notify: Notify) -> tuple[Version, Plan]:
    """Reads the last version of a training that is whole, and makes its plan, with what a resumed run may change."""
    (version, damaged), stage = table.last_whole(), plan.spec
    if damaged and prepared.job.strict:
        whole = f"--resume goes on from version {version.number}, which is whole"
        raise Damaged(f"{damaged[0]}; --strict: nothing was changed; without it {whole}")
    for error in reversed(damaged):
        notify(Log(time.time(), f"beware: {error}; going on from version {version.number}, which is whole"))
    given = stage if prepared.job.spec or stage is not prepared.spec else None
    return version, replace(plan, spec=resume.same_spec(specs.parse(version.spec), given, version.weights.round))


def _publish_common(prepared: Prepared, plan: Plan, table: Table) -> None:
    """Draws the samples on which genetic mode measures."""
    other = prepared.validation
    held = None if other is None else (other.source, other.splits)
    common_samples.publish(plan.spec, plan.schema, prepared.source, prepared.splits, table, held)


def _rounds(
    job: Job, plan: Plan, version: Version, runner: RoundRunner, table: Table, notify: Notify,
    write: Callable[[], None] | None = None,
) -> Outcome:  # fmt: skip
    """Carries out rounds, from a version until they are over; `write` puts the version into the table meanwhile."""
    runner.deviation, told = plan.schema.target_deviation, False
    total = _paused(step.rounds(plan.spec, plan.schema.samples), job.until)
    with Publisher(table, plan.spec.keep, job.publish_every, runner) as publisher:
        if write:
            publisher.begin(write)
        runner.prepare(plan)
        notify(Started(plan.spec, plan.schema.samples, total, version.number))
        publisher.check()
        while (todo := _next(plan.spec, version, total)).stage:
            notify(Stage(todo.stage))
            version = _round(plan.spec, runner, version, final=todo.stage == "measure")
            publisher.offer(version)
            row = version.rows[-1]
            if not told and (undefined := deciding.undefined(plan.spec, row)):
                told = True
                notify(Log(row["time"], undefined))
            notify(Round(row))
    best = tables.best(version.rows, table.numbers())
    best = version.number if best is None else best
    return Outcome(job.table, version.number, best, plan.spec, version.rows, todo.reason, version.run)


def _paused(rounds: int, until: float) -> int:
    """Counts the rounds of a share of a training, at least one: all of them, or so many as its pause allows."""
    return rounds if until >= 1 else max(1, math.ceil(round(rounds * until, 6)))


def _next(spec: Spec, version: Version, total: int) -> _Next:
    """Decides what follows a version: a function of the version alone, so that a resumed run decides the same."""
    rows = version.rows
    if version.weights.round >= total:
        reason = "rounds"
    elif spec.patience and MetricsLog.of(rows).stale() >= spec.patience:
        reason = "patience"
    elif spec.sync.mode == "gradient" and gradient.finished(spec, version.weights):
        reason = "converged"
    else:
        return _Next("train")
    measured = not spec.validated or not version.number or rows[-1]["final"]
    return _Next(None if measured else "measure", reason)


def _round(spec: Spec, runner: RoundRunner, version: Version, final: bool) -> Version:
    """Carries out one round, or the closing measurement; makes the next version of it."""
    began = time.perf_counter()
    weights, row = runner.advance(spec, version.weights, final)
    merge, took = runner.merge_seconds, runner.round_seconds
    took = time.perf_counter() - began if took is None else took
    seconds = {"round": took - merge, "merge": merge, **runner.phases()}
    return versions.succeeding(version, weights, row, final, seconds | {"workers": runner.timings()}, spec)
