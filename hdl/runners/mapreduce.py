"""MapReduce through pydoop: `train_shard` as the mapper, the tree's joining as combiner and reducer, bytes throughout.

The module is also the program of a job that is submitted by hand::

    pydoop submit --do-not-use-java-record-reader --do-not-use-java-record-writer --num-reducers 1 \\
        -D hdl.table=hdfs:///model hdl.runners.mapreduce INPUT OUTPUT

makes one round: OUTPUT is a weight table with the versions 0 and n + 1. See docs/hadoop.md.
"""

from __future__ import annotations

import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hdl import data, fs, prediction_writer, strict_json, versions, wire
from hdl import spec as specs
from hdl.data import FileSplit
from hdl.envpack import UNPACKED
from hdl.errors import HdlError, SpecError, Unavailable
from hdl.models import stack
from hdl.predict import Model
from hdl.runners import platform, splits
from hdl.runners.base import Job, groups
from hdl.runners.hadoop import UBER, HadoopRunner
from hdl.runners.job import TASK_LOG, hadoop
from hdl.runners.task import (
    PREFIX,
    Order,
    Task,
    act_for_submitter,
    joined,
    negotiate,
    note_of,
    sorted_out,
    summary_of,
    told,
    versions_of,
)
from hdl.table import Table

try:
    import pydoop
    from pydoop.mapreduce import api, pipes
except ImportError as error:
    raise Unavailable(f"the mapreduce runner needs pydoop ({error}); `./build.sh hadoop` builds it") from None

PREDICT_BYTES = 64 << 20  # of data for one map task
# bash, as other shells drop variables with a dot in their names, which is how Hadoop tells the task its port. Inside of
# the application master pydoop would put standard error where YARN collects no logs; the master's own file is written
# by Java, at its own offset.
PROGRAM = """#!/bin/bash
[ -d "${{LOG_DIRS%%,*}}" ] && exec 2>> "${{LOG_DIRS%%,*}}/{log}"
PYTHONPATH={path} exec {python} -P -m hdl.runners.mapreduce
"""


class MapReduceRunner(HadoopRunner):
    """Carries each round out as one MapReduce job of this module's classes; parameters as `HadoopRunner`'s.

    Examples
    --------
    >>> with MapReduceRunner() as runner:  # doctest: +SKIP
    ...     outcome = hdl.driver.train(Job("hdfs:///digits", "hdfs:///model", Spec(shards=4)), runner)
    """

    name = "mapreduce"

    def _prepare_data(self) -> None:
        """Shards become input splits, each with the hosts that hold most of it."""
        lengths: dict[str, int] = {}  # in the reader's unit
        for path, start, length in (split for own in self._splits for split in own):
            lengths[path] = max(lengths.get(path, 0), start + length)
        scale = {path: fs.size(path) / length for path, length in lengths.items()}  # bytes a unit
        found = []
        for own in groups(len(self._splits), self.workers):
            held: Counter[str] = Counter()
            for path, start, length in (split for shard in own for split in self._splits[shard]):
                size = int(length * scale[path])
                for place, host in enumerate(fs.hosts(path, int(start * scale[path]), size)):
                    held[host] += size >> place
            found.append(
                ({"cuts": [[shard, self._splits[shard]] for shard in own]}, [h for h, _ in held.most_common()])
            )
        self._put("splits", splits.encode(found))
        whole = {"cuts": [*enumerate(self._splits)]}
        self._put("one-split", splits.encode([(whole, [])]))  # for tasks that would run one after the other anyway

    def _command(self, properties: dict[str, Any], out: str) -> tuple[list[str], dict[str, str]]:
        if "program" not in self._sent_files:
            path = UNPACKED if self._environment() else ""
            self._put("program", PROGRAM.format(path=path, python=self._python(), log=TASK_LOG).encode())
        one = UBER.items() <= properties.items() and properties[PREFIX + "stage"] != "predict"
        if one:  # a task that has all shards joins their updates itself: there is nothing left to reduce
            properties = {**properties, "mapreduce.job.reduces": 0}
        given = {
            **properties,
            splits.URI: self._sent_files["one-split" if one else "splits"],
            "mapreduce.pipes.isjavarecordreader": "false",
            "mapreduce.pipes.isjavarecordwriter": "false",
            "mapreduce.job.cache.files": self._cache(),
        }
        if sent := self._environment():
            given["mapreduce.job.cache.archives"] = sent
        jar = pydoop.jar_path()
        words = [word for name, value in given.items() for word in ("-D", f"{name}={value}")]
        command = [hadoop(), "it.crs4.pydoop.mapreduce.pipes.Submitter", *words, "-libjars", jar]
        return [*command, "-output", out, "-program", self._sent_files["program"]], {"HADOOP_CLASSPATH": jar}

    def _collect(self, out: str) -> Iterator[bytes]:
        for name in fs.list(out):
            if name.startswith("part-"):
                with fs.open(fs.join(out, name)) as file:
                    while length := file.read(8):
                        yield file.read(struct.unpack("<Q", length)[0])


def predict(
    table: str, model: Model, path: str, source: data.Source, out: str, workers: int | None, device: str = "cpu",
    **asked: Any,
) -> int:  # fmt: skip
    """A network's answers to a dataset on HDFS, or its codes, by a map-only job; how many files there are.

    File k answers part k of the dataset, in input order; the parts follow each other as the files' names do.
    ``_lineage.json`` says which samples and which weights made each file; it comes last.

    Parameters
    ----------
    table : str
        Folder of the model's table.
    model : Model
    path : str
        Of the dataset.
    source : Source
        The dataset.
    out : str
        A new folder on HDFS; files are of the format that its name ends with, CSV if it does not.
    workers : int, optional
        Files and map tasks; None: one for 64 MiB of data.
    device : str
        Of the tasks, 'auto' of each for itself.
    asked :
        What else `Order` says: `labels_only`, or `codes` and `layer`.
    """
    if not out.startswith("hdfs://") or fs.exists(out):
        raise SpecError(f"{out}: expected a new folder on HDFS")
    suffix = next(
        (end for end in prediction_writer.SUFFIXES if out.rstrip("/").endswith(end)), prediction_writer.SUFFIXES[0]
    )
    splits = source.splits(workers or 1 + sum(map(fs.size, source.paths)) // PREDICT_BYTES)
    number = model.version.number
    with MapReduceRunner(device=device, settings={"mapreduce.job.reduces": 0}) as runner:
        runner.open(Job(path, table, None, source.options), splits, lambda event: None)
        runner.take_table(table, {0, number})
        order = {"version": number, "suffix": suffix, "driver": False}
        order |= {name: value for name, value in asked.items() if value is not None}
        try:
            runner.run("predict", order, out)
        except BaseException:
            with suppress(OSError, HdlError):
                fs.remove(out)
            raise
    files = [{"file": part_name(k, suffix), "portions": own} for k, own in enumerate(splits)]
    lineage = {"table": table, "version": number, "sha256": model.version.signature, "data": path, "files": files}
    fs.publish(fs.join(out, "_lineage.json"), strict_json.dumps(lineage, indent=1).encode())
    return len(files)


def part_name(number: int, suffix: str) -> str:
    """The file of a part's answers."""
    return f"part-{number:05d}{suffix}"


class Reader(api.RecordReader):
    """Decodes the split's shards: a record is a shard's number, and the error if it cannot be read."""

    def __init__(self, context: pipes.TaskContext):
        super().__init__(context)
        self.order = Order.of(context.job_conf)
        path, splits = _shards(context, self.order)
        self.left, self.count = [*splits], len(splits)
        self.task = Task(self.order, path, splits)

    def next(self) -> tuple[int, list[bytes]]:
        if not self.left:
            raise StopIteration
        number = self.left.pop(0)
        return number, told(lambda: self.task.read(number, self.beat) or [], self.order)

    def beat(self, number: int, share: float) -> None:
        """A sign of life, sent at most once a second: a long epoch is not taken for a hung task."""
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
        self.lanes = max(1, context.job_conf.get_int("mapreduce.job.reduces", 1))
        names = {"samples": "samples", "batches": "batches", "bad": "bad records", "bytes": "bytes of updates"}
        self.counters = {name: context.get_counter("hdl", label) for name, label in names.items()}

    def map(self, context: pipes.TaskContext) -> None:
        reader, number = self.reader, context.key
        if reader.order.stage == "predict":
            try:
                context.emit(str(number).encode(), reader.task.answers(number, reader.beat))
            except HdlError as error:  # Hadoop may end the task before Python has told it
                print(f"hdl: error: {error}", file=sys.stderr, flush=True)
                raise
            return
        messages = context.value or told(lambda: [reader.task.message(number, reader.beat)], reader.order)
        for message in messages:
            self._count("bytes", len(message))
            context.emit(reader.task.key(number, self.lanes), message)

    def close(self) -> None:
        task = self.reader.task
        for name in "samples", "batches", "bad":
            self._count(name, task.note[name])
        if task.order.stage != "predict":
            self.context.emit(task.key(0, self.lanes), task.closing())

    def _count(self, name: str, amount: int) -> None:
        self.context.increment_counter(self.counters[name], amount)


class Combiner(api.Combiner):
    """Joins what one map task made: less travels, and the result is the same whether it runs never, once or twice."""

    def reduce(self, context: pipes.TaskContext) -> None:
        for message in joined(context.values, Order.of(context.job_conf)):
            context.emit(context.key, message)


class Partitioner(api.Partitioner):
    """Keys are lanes already: whole subtrees, so that each reducer can join what it gets."""

    def partition(self, key: bytes, n_reduces: int) -> int:
        return int(key) % n_reduces


class Reducer(api.Reducer):
    """Joins the updates of all shards of its lane; the Writer hands them to the driver, or merges them."""

    def reduce(self, context: pipes.TaskContext) -> None:
        began = time.time()
        for message in joined(context.values, Order.of(context.job_conf)):
            context.emit(context.key, message)
        context.emit(context.key, note_of("reduce", began))


class Writer(api.RecordWriter):
    """Writes into the attempt's own folder, which Hadoop makes the job's output once, for one attempt."""

    def __init__(self, context: pipes.TaskContext):
        super().__init__(context)
        self.order, self.messages = Order.of(context.job_conf), []

    def emit(self, key: bytes, value: bytes) -> None:
        if self.order.stage == "predict":
            folder = self.context.get_work_path()
            fs.mkdir(folder)
            fs.publish(fs.join(folder, part_name(int(key), self.order.suffix)), value)
        else:
            self.messages.append(value)

    def close(self) -> None:
        if self.order.stage == "predict":
            return
        folder = self.context.get_work_path()
        fs.mkdir(folder)
        if self.order.driver:
            messages = joined(self.messages, self.order)
            content = b"".join(struct.pack("<Q", len(message)) + message for message in messages)
            fs.publish(self.context.get_default_work_file(), content)
        else:
            _publish(self.order, self.context, self.messages, Table(folder))


class Factory(pipes.Factory):
    """Makes a combiner only where there is something to combine for."""

    def create_combiner(self, context: pipes.TaskContext) -> api.Combiner | None:
        reduces = context.job_conf.get_int("mapreduce.job.reduces", 1)
        return Combiner(context) if reduces and Order.of(context.job_conf).combiner else None


def _shards(context: pipes.TaskContext, order: Order) -> tuple[str, dict[int, list[FileSplit]]]:
    """The dataset's path and this task's shards: of a driver's split, or of a whole file of a job submitted by hand."""
    conf = context.job_conf
    if splits.URI in conf:
        found = splits.decode(context.get_input_split(raw=True))
        return order.data, {number: [FileSplit(*split) for split in own] for number, own in found["cuts"]}
    file = context.input_split
    path, source = _by_hand(conf, order)
    names = [name.rsplit("/", 1)[-1] for name in source.paths]
    number = names.index(file.filename.rsplit("/", 1)[-1])
    if file.offset:
        raise SpecError(
            f"{file.filename} was split; a file is a shard: -D mapreduce.input.fileinputformat.split.minsize={1 << 62}"
        )
    return path, {number: [FileSplit(source.paths[number], 0, source.lengths()[number])]}


def _by_hand(conf: api.JobConf, order: Order) -> tuple[str, data.Source]:
    """INPUT, and the dataset in it."""
    path = conf["mapreduce.input.fileinputformat.inputdir"].replace("\\,", ",")
    options = order.options
    if options is None and order.stage == "round":
        options = Table(order.table).read(0).about["options"]
    return path, data.open_source(path, options)


def _publish(order: Order, context: pipes.TaskContext, messages: list[bytes], out: Table) -> None:
    """The versions that a job submitted by hand makes: 0 of a summary, or 0 and the next one of a round."""
    if context.job_conf.get_int("mapreduce.job.reduces", 1) != 1:
        raise SpecError("one reducer makes the version: --num-reducers 1")
    results, notes = sorted_out(messages)
    if order.stage == "round":
        zero, last = versions_of(order.table)
        if fs.exists(Table(order.table).common_file):
            out.publish_common(*Table(order.table).common())
        out.publish(zero)
        out.publish(versions.following(last, map(wire.decode, results)))
        return
    path, source = _by_hand(context.job_conf, order)
    spec = specs.parse({**(order.spec or {}), "shards": len(source.paths)})
    if spec.model in stack.STACKS:
        raise SpecError(f"{spec.model} is several trainings, one after the other: `hdl train` makes them")
    if spec.sync.mode == "genetic":
        raise SpecError(
            "genetic mode measures on samples that `hdl train` draws from all shards: begin the table with it"
        )
    platform_name = negotiate(notes, order.device)
    splits = [[FileSplit(name, 0, length)] for name, length in zip(source.paths, source.lengths(), strict=True)]
    summary, device = summary_of(results, len(splits)), platform.device_class(platform_name)
    _, _, version = versions.first(path, source.options, spec, summary, splits, platform_name, device)
    out.publish(version)


def __main__() -> None:  # the name that `pydoop submit` calls
    """Runs one task; Hadoop tells which over a socket."""
    act_for_submitter()
    factory = Factory(Mapper, Reducer, Combiner, Partitioner, Writer, Reader)
    pipes.run_task(factory, private_encoding=False, auto_serialize=False)


if __name__ == "__main__":
    __main__()
