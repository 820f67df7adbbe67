"""A job that is submitted by hand: its shards are whole files of INPUT, and its reducer makes OUTPUT a weight table."""

from __future__ import annotations

from pydoop.mapreduce import api, pipes

from hdl import data, fs, versions, wire
from hdl import spec as specs
from hdl.data import FileSplit
from hdl.errors import SpecError
from hdl.models import stack
from hdl.runners import platform
from hdl.runners.task import versions_of
from hdl.runners.task_config import TaskConfig
from hdl.runners.task_messages import join_summaries, separate
from hdl.runners.task_stats import negotiate
from hdl.table import Table


def shards(context: pipes.TaskContext, config: TaskConfig) -> tuple[str, dict[int, list[FileSplit]]]:
    """Find INPUT and the one shard of this task: a whole file.

    Raises
    ------
    SpecError
        Hadoop has split the file.
    """
    file = context.input_split
    path, source = open_input(context.job_conf, config)
    names = [name.rsplit("/", 1)[-1] for name in source.paths]
    number = names.index(file.filename.rsplit("/", 1)[-1])
    if file.offset:
        raise SpecError(
            f"{file.filename} was split; a file is a shard: -D mapreduce.input.fileinputformat.split.minsize={1 << 62}"
        )
    return path, {number: [FileSplit(source.paths[number], 0, source.lengths()[number])]}


def open_input(conf: api.JobConf, config: TaskConfig) -> tuple[str, data.Source]:
    """Open the dataset in INPUT; return both."""
    path = conf["mapreduce.input.fileinputformat.inputdir"].replace("\\,", ",")
    options = config.options
    if options is None and config.stage == "round":
        options = Table(config.table).read(0).about["options"]
    return path, data.open_source(path, options)


def publish(config: TaskConfig, conf: api.JobConf, messages: list[bytes], out: Table) -> None:
    """Publish the versions that the job makes: 0 of a summary, or 0 and the next one of a round.

    Raises
    ------
    SpecError
        There is not one reducer, or `hdl train` must begin such a table.
    """
    if conf.get_int("mapreduce.job.reduces", 1) != 1:
        raise SpecError("one reducer makes the version: --num-reducers 1")
    results, stats = separate(messages)
    if config.stage == "round":
        zero, last = versions_of(config.table)
        if fs.exists(Table(config.table).common_file):
            out.publish_common(*Table(config.table).common())
        out.publish(zero)
        schema = data.Schema.from_parts(zero.about["schema"], zero.schema)
        out.publish(versions.following(last, [wire.decode_as(wire.Update, result) for result in results], schema))
        return
    path, source = open_input(conf, config)
    spec = specs.parse({**(config.spec or {}), "shards": len(source.paths)})
    if spec.model in stack.STACKS:
        raise SpecError(f"{spec.model} is several trainings, one after the other: `hdl train` makes them")
    if spec.holdout.validates:
        raise SpecError("holdout: rows are marked, and data of its own is cut, by `hdl train`: begin the table with it")
    if spec.sync.mode == "genetic":
        raise SpecError(
            "genetic mode measures on samples that `hdl train` draws from all shards: begin the table with it"
        )
    platform_name = platform.of(spec, negotiate(stats, config.device))
    splits = [[FileSplit(name, 0, length)] for name, length in zip(source.paths, source.lengths(), strict=True)]
    summary, device = join_summaries(results, len(splits)), platform.device_class(platform_name)
    _, _, version = versions.first(path, source.options, spec, summary, splits, platform_name, device)
    out.publish(version)
