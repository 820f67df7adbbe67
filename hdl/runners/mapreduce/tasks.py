"""The tasks of a MapReduce job, as pydoop's classes."""

from __future__ import annotations

import json
import time

from pydoop.mapreduce import api, pipes

from hdl import fs
from hdl.data import FileSplit
from hdl.errors import HdlError
from hdl.runners import frames, splits
from hdl.runners.mapreduce import by_hand
from hdl.runners.task import Task, act_for_submitter, report_error
from hdl.runners.task_config import TaskConfig
from hdl.runners.task_messages import join_updates, messages_or_error
from hdl.runners.task_stats import TaskStats
from hdl.table import Table


class Reader(api.RecordReader):
    """Decodes the split's shards: a record is a shard's number, and the error if it cannot be read."""

    def __init__(self, context: pipes.TaskContext):
        super().__init__(context)
        self.config = TaskConfig.of(context.job_conf)
        shards = _shards if splits.URI in context.job_conf else by_hand.shards
        path, own = shards(context, self.config)
        self.left, self.count = [*own], len(own)
        self.task = Task(self.config, path, own)

    def next(self) -> tuple[int, list[bytes]]:
        if not self.left:
            raise StopIteration
        number = self.left.pop(0)

        def decode() -> list[bytes]:
            self.task.decode(number, self.beat)
            return []

        return number, messages_or_error(decode, self.config)

    def beat(self, number: int, share: float) -> None:
        """Give a sign of life, sent at most once a second: a long epoch is not taken for a hung task."""
        self.context.progress_value = (self.count - len(self.left) - 1 + share) / self.count
        self.context.set_status(f"shard {number}: {share:.0%}")

    def get_progress(self) -> float:
        return (self.count - len(self.left)) / self.count


class Mapper(api.Mapper):
    """Carries the training step out on each shard: forward, backward and update per mini-batch, all in the core.

    What a combiner may do only where Hadoop runs it once, the local update, is part of the step: at the shard's end.
    """

    def __init__(self, context: pipes.TaskContext):
        super().__init__(context)
        self.reader: Reader = context.record_reader
        self.partitions = max(1, context.job_conf.get_int("mapreduce.job.reduces", 1))
        names = {"samples": "samples", "batches": "batches", "bad": "bad records", "bytes": "bytes of updates"}
        self.counters = {name: context.get_counter("hdl", label) for name, label in names.items()}

    def map(self, context: pipes.TaskContext) -> None:
        reader, number = self.reader, context.key
        if reader.config.stage == "predict":
            try:
                content, about = reader.task.predict(number, reader.beat)
            except HdlError as error:
                report_error(error)
                raise
            context.emit(part_name(number, reader.config.suffix).encode(), content)
            context.emit(about_name(number).encode(), json.dumps(about).encode())
            return
        messages = context.value or messages_or_error(lambda: [reader.task.message(number, reader.beat)], reader.config)
        for message in messages:
            self._count("bytes", len(message))
            context.emit(reader.task.key(number, self.partitions), message)

    def close(self) -> None:
        task = self.reader.task
        self._count("samples", task.stats.samples)
        self._count("batches", task.stats.batches)
        self._count("bad", task.stats.bad)
        if task.config.stage != "predict":
            self.context.emit(task.key(0, self.partitions), task.stats.end())

    def _count(self, name: str, amount: int) -> None:
        self.context.increment_counter(self.counters[name], amount)


class Combiner(api.Combiner):
    """Joins what one map task made: less travels, and the result is the same whether it runs never, once or twice."""

    def reduce(self, context: pipes.TaskContext) -> None:
        for message in join_updates(context.values, TaskConfig.of(context.job_conf)):
            context.emit(context.key, message)


class Partitioner(api.Partitioner):
    """Takes keys as they are, since they are partitions: whole subtrees, so that each reducer can join what it gets."""

    def partition(self, key: bytes, n_reduces: int) -> int:
        return int(key) % n_reduces


class Reducer(api.Reducer):
    """Joins the updates of all shards of its partition; the Writer hands them to the driver, or merges them."""

    def reduce(self, context: pipes.TaskContext) -> None:
        stats = TaskStats("reduce", time.time())
        for message in join_updates(context.values, TaskConfig.of(context.job_conf)):
            context.emit(context.key, message)
        context.emit(context.key, stats.end())


class Writer(api.RecordWriter):
    """Writes into the attempt's own folder, which Hadoop makes the job's output once, for one attempt."""

    def __init__(self, context: pipes.TaskContext):
        super().__init__(context)
        self.config = TaskConfig.of(context.job_conf)
        self.messages: list[bytes] = []

    def emit(self, key: bytes, value: bytes) -> None:
        if self.config.stage == "predict":
            folder = self.context.get_work_path()
            fs.mkdir(folder)
            fs.publish(fs.join(folder, key.decode()), value)
        else:
            self.messages.append(value)

    def close(self) -> None:
        if self.config.stage == "predict":
            return
        folder = self.context.get_work_path()
        fs.mkdir(folder)
        if self.config.driver:
            content = frames.pack(join_updates(self.messages, self.config))
            fs.publish(self.context.get_default_work_file(), content)
        else:
            by_hand.publish(self.config, self.context.job_conf, self.messages, Table(folder))


class Factory(pipes.Factory):
    """Makes a combiner only where there is something to combine for."""

    def create_combiner(self, context: pipes.TaskContext) -> api.Combiner | None:
        reduces = context.job_conf.get_int("mapreduce.job.reduces", 1)
        return Combiner(context) if reduces and TaskConfig.of(context.job_conf).combiner else None


def run() -> None:
    """Run one task; Hadoop says which over a socket."""
    act_for_submitter()
    factory = Factory(Mapper, Reducer, Combiner, Partitioner, Writer, Reader)
    pipes.run_task(factory, private_encoding=False, auto_serialize=False)


def part_name(number: int, suffix: str) -> str:
    """Name the file of a part's answers."""
    return f"part-{number:05d}{suffix}"


def about_name(number: int) -> str:
    """Name the file that says how many of a part's answers are empty, for whoever submitted the job."""
    return f"_part-{number:05d}.json"


def _shards(context: pipes.TaskContext, config: TaskConfig) -> tuple[str, dict[int, list[FileSplit]]]:
    """Read the dataset's path and this task's shards, as the driver has put them into its split."""
    payload = splits.decode(context.get_input_split(raw=True))
    return config.data, {number: [FileSplit(*split) for split in own] for number, own in payload["cuts"]}
