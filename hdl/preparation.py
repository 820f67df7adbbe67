"""Prepares a training before its first round: from its data or, where it is resumed, from what version 0 tells."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hdl import data, deciding, recipe, resume, starting, unpacked, validation_data
from hdl import table as tables
from hdl.data import FileSplit, Schema, Source, content, holdout, weights
from hdl.errors import SpecError
from hdl.events import Stage
from hdl.runners.base import Job, Notify, RoundRunner
from hdl.spec import Spec
from hdl.table import Table
from hdl.validation_data import ValidationData


@dataclass(frozen=True)
class Prepared:
    """A job whose data has been summarised, or whose table read: the spec is filled in, the workers have a platform."""

    job: Job
    source: Source
    spec: Spec
    schema: Schema
    splits: list[list[FileSplit]]
    platform: str
    places: tuple[str, ...] = ()  # of records that were skipped, the first ones
    validation: ValidationData | None = None
    start: starting.Start | None = None


def from_data(job: Job, runner: RoundRunner, notify: Notify) -> Prepared:
    """Summarises the data and fills in the spec."""
    given = job.spec
    if given is None:
        raise SpecError("spec: expected one to start a training")
    start = starting.read(job.init_from) if job.init_from else None
    starting.check(start, given)
    job = replace(job, options=holdout.reading(job.options, given))
    source = data.open_source(job.data, job.options)
    validation_data.check(given, job.data, runner.name)
    weights.check(given, source.options)
    if source.options.offset:  # it is added before a link: whoever has one has a loss in mind
        given = recipe.without(given, "loss")
    opening, splits = _cut(job, source, given.shards, runner, notify)
    runner.open(opening, splits, notify)
    notify(Stage("summarise"))
    # Workers were told what the driver found out, and so know less of how.
    summary = replace(runner.summarise(), meta=source.describe())
    unpacked.end()
    given, schema = starting.fitted(start, summary, given) if start else (given, data.fit(summary, given))
    spec = data.resolve(given, schema)
    data.check_targets(summary, schema, source, [split for shard in splits for split in shard])
    weights.check(spec, source.options)
    deciding.check(spec)
    other = _validation(job, spec, schema, source)
    if other is not None:
        schema = replace(schema, reading={**(schema.reading or {}), "held": other.told(schema)})
    return Prepared(job, source, spec, schema, splits, runner.platform_of(spec), summary.places, other, start)


def _cut(
    job: Job, source: Source, shards: int, runner: RoundRunner, notify: Notify
) -> tuple[Job, list[list[FileSplit]]]:
    """Cuts the data into shards, and says how the runner opens them; lines that it can count itself, it counts."""
    opening = replace(job, options=source.settled())
    if (cut := source.uncounted()) and (counts := runner.count(opening, cut, shards, notify)) is not None:
        source.take_counts(cut, counts)
    splits = source.splits(shards)
    kept = content.of(source.every_file()) if runner.keeps else ""
    return replace(opening, marks=source.marks(), content=kept), splits


def _validation(job: Job, spec: Spec, schema: Schema, source: Source) -> ValidationData | None:
    """Opens the data of its own that is the validation part, where it is such."""
    if not spec.holdout.path:
        return None
    return ValidationData(spec.holdout.path, job.options, source, schema, spec.shards)


def from_table(job: Job, runner: RoundRunner, notify: Notify) -> Prepared:
    """Reads from version 0 what `from_data` learns from the data, if data, spec and device are still the same."""
    zero = next(iter(tables.layers(job.table)), Table(job.table)).read(0)
    spec = resume.stored_spec(zero, job.spec)
    job = replace(job, options=holdout.reading(job.options, spec))
    source = data.open_source(job.data, resume.options(zero.about, job.options))
    opening, splits = _cut(job, source, spec.shards, runner, notify)
    resume.same_data(zero.about, splits, job.data, job.options, job.table)
    resume.same_device(zero.about, runner.device, job.table)
    runner.open(opening, splits, notify)
    spec = job.spec if job.spec and "stack" not in zero.about else spec
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    other = _validation(job, spec, schema, source)
    if other is not None:
        resume.same_validation(zero.about, other.splits, other.path, job.table)
    return Prepared(job, source, spec, schema, splits, zero.about["isa"], validation=other)
