"""A task of a Hadoop job, whichever engine started it: from its shards to messages.

A task finds what it starts from in a folder, most often its working folder, where the distributed cache has put it:
the driver's `plan`, `weights` and `common`, or, of a job submitted by hand, the files of a weight table. What it hands
on are messages of `hdl.wire`: an update or a summary a shard, its statistics (`task_stats`), and, where the driver
asked for it, an error that would be the same at any attempt (`task_messages`).
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hdl import answers, data, fs, identity, prediction_files, sync, wire
from hdl import spec as specs
from hdl.data import FileSplit, Options, Schema, Source
from hdl.errors import HdlError
from hdl.passes import Pass
from hdl.predict import Model
from hdl.runners import platform
from hdl.runners.base import Plan
from hdl.runners.messages import read_plan
from hdl.runners.task_config import TaskConfig
from hdl.runners.task_stats import TaskStats
from hdl.runners.work import Beat, Host, WatchedSource
from hdl.table import Table, Version
from hdl.wire import Weights

PLAN, WEIGHTS, PASS = "plan", "weights", "pass"  # the driver's files


class Task:
    """Attempts the work of a job on some shards.

    Parameters
    ----------
    config : TaskConfig
    path : str
        The dataset, as `hdl.data.open_source` takes it.
    splits : mapping of int to list of FileSplit
        The shards of this task.
    source : Source, optional
        The dataset, where it is open already.
    name : str, optional
        What the file of the splits is called where it comes from.

    Attributes
    ----------
    stats : TaskStats
    """

    def __init__(
        self, config: TaskConfig, path: str, splits: Mapping[int, Sequence[FileSplit]], source: Source | None = None,
        name: str | None = None,
    ):  # fmt: skip
        self.config, self.name = config, name
        self.stats = TaskStats("map", time.time(), shards=[*splits])
        self.start = starting_point(config) if config.stage == "round" else None
        options = Options.make(self.start.options if self.start else config.options)
        self.host = Host(path, options, splits, config.threads, config.device, config.memory, source)
        if self.start:
            self.host.prepare(self.start.plan)

    def decode(self, number: int, beat: Beat) -> None:
        """Decode a shard of a round; `message` then takes it from memory."""
        began = time.perf_counter()
        if self.config.stage == "round":
            self.host.shard(number, beat)
        self.stats.read += time.perf_counter() - began

    def message(self, number: int, beat: Beat) -> bytes:
        """Make the message of a shard: its update, its summary, or what a pass found in it."""
        if self.config.stage == "measure":
            return self._partial(number, beat)
        return self._update(number, beat) if self.start else self._summary(number, beat)

    def _partial(self, number: int, beat: Beat) -> bytes:
        began, stats, config = time.perf_counter(), self.stats, self.config
        asked = replace(Pass.unpack(_bytes(fs.join(config.table, PASS))), table=config.table)
        (found,) = self.host.measure(asked, [number], beat)
        stats.compute += time.perf_counter() - began
        if "measures" in found.values:
            stats.samples += found.values["measures"].samples
        stats.bad += found.bad.count
        found.bad.places = self._named(found.bad.places)
        return b"".join(found.pack())

    def _named(self, places: Sequence[str]) -> list[str]:
        """Say of places of bad records where they come from."""
        paths = {split.path for own in self.host.splits.values() for split in own} if self.name else set()
        return [next((place.replace(path, str(self.name)) for path in paths if path in place), place)
                for place in places]  # fmt: skip

    def _summary(self, number: int, beat: Beat) -> bytes:
        began, stats = time.perf_counter(), self.stats
        stats.capabilities = platform.capabilities(self.config.device)
        (summary,) = self.host.summarise([number], beat)
        stats.read += time.perf_counter() - began
        stats.samples += summary.samples
        stats.bad += summary.bad
        fields, tensors = replace(summary, places=tuple(self._named(summary.places))).to_parts()
        return wire.pack("part", {"shard": number, "summary": fields}, tensors)

    def _update(self, number: int, beat: Beat) -> bytes:
        assert self.start is not None
        self.decode(number, beat)
        began, stats = time.perf_counter(), self.stats
        (update,) = self.host.round(self.start.weights, [number], self.config.evaluate_only, beat)
        stats.compute += time.perf_counter() - began
        stats.samples += int(update.sums.get("samples", 0))
        stats.batches += int(update.sums.get("batches", 0))
        stats.bad += self.host.shard(number, beat).bad.count
        return wire.encode(update)

    def predict(self, number: int, beat: Beat) -> tuple[bytes, dict[str, Any]]:
        """Make the file of answers to a shard's records, or of their codes, in their order.

        Returns
        -------
        bytes, dict
            The file, and what is to be said of it: `rows`, how many of them are `empty`, first `places` of these.
        """
        began, config, options = time.perf_counter(), self.config, self.host.options
        model = Model(config.table, config.version, config.threads, config.device)
        if config.codes:
            source, label_kept = answers.open_for_codes(self.host.path, options, model.schema)
        else:
            source, label_kept = data.open_source(self.host.path, options, model.schema, labels=False), False
        bad, file = data.Bad(sys.maxsize), io.BytesIO()  # all of the dataset's are counted by the driver
        shard = ShardSource(source, number, beat, self.host.splits[number])
        kept = source.kept_schema
        if config.codes:
            coded, width = model.encode(shard, config.layer, bad, label_kept), model.encoder(config.layer).width
            kept = answers.without_label(kept) if label_kept else kept
            lines = prediction_files.write_codes(file, config.suffix, coded, width, kept)
        else:
            found = model.predict(shard, bad, config.threshold)
            lines = prediction_files.write(file, config.suffix, model, found, config.labels_only, kept)
        self.stats.samples += lines.records - lines.empty
        self.stats.bad += lines.empty
        self.stats.compute += time.perf_counter() - began
        return file.getvalue(), {"rows": lines.records, "empty": lines.empty, "places": bad.places}

    def key(self, number: int, partitions: int) -> bytes:
        """Give the key that the message of a shard travels under: the number of its partition."""
        return str(partition(self.start.plan.spec.shards, number, partitions) if self.start else 0).encode()


class ShardSource(WatchedSource):
    """Reads a shard of a dataset as if it were the whole."""

    def __init__(self, source: Source, number: int, beat: Beat, shard: Sequence[FileSplit]):
        super().__init__(source, number, beat)
        self.shard = shard

    def splits(self, shards: int) -> list[list[FileSplit]]:
        return [list(self.shard)]


class Start(NamedTuple):
    """Holds what a round starts from.

    Attributes
    ----------
    plan : Plan
    weights : Weights
    options : dict
        How the data is read.
    """

    plan: Plan
    weights: Weights
    options: dict[str, Any]


def starting_point(config: TaskConfig) -> Start:
    """Read what a round starts from: of the driver's files, or of a table's."""
    folder, options = config.table, config.options
    if fs.exists(fs.join(folder, WEIGHTS)):
        _, fields, tensors = wire.unpack(_bytes(fs.join(folder, PLAN)))
        weights = wire.decode_as(Weights, _bytes(fs.join(folder, WEIGHTS)))
        return Start(replace(read_plan(fields, tensors), table=folder), weights, options or {})
    zero, version = versions_of(folder)
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    plan = Plan(specs.parse(version.spec), schema, folder, zero.about["isa"], zero.about.get("validation"))
    found = zero.about.get("settled") or zero.about["options"]
    return Start(plan, version.weights, found if options is None else options)


def versions_of(folder: str) -> tuple[Version, Version]:
    """Read the first and the last version of a table."""
    return Table(folder).with_zero("last")


def partition(shards: int, number: int, partitions: int) -> int:
    """Choose the reducer of a shard's update: each gets whole subtrees of the fixed tree, so that it can join.

    Examples
    --------
    >>> [partition(5, number, 2) for number in range(5)]
    [0, 0, 0, 0, 1]
    """
    low, high, chosen, parts = 0, shards, 0, 1
    while parts < partitions and high - low > 1:
        middle = sync.split(low, high)
        right = number >= middle
        low, high = (middle, high) if right else (low, middle)
        chosen, parts = 2 * chosen + right, 2 * parts
    return min(chosen, partitions - 1)


def act_for_submitter() -> None:
    """Let HDFS know this task by the name of the job's submitter, for the virtual machine that is started later.

    Where nobody has to prove who they are, YARN's usual executor runs all containers as the NodeManager's own user, to
    whom the submitter's files are closed. With Kerberos Hadoop does not look at this name.
    """
    if submitter := identity.submitter():
        os.environ.setdefault("HADOOP_USER_NAME", submitter)


def report_error(error: HdlError) -> None:
    """Write an error to standard error at once: Hadoop may end the task before Python's buffer is written."""
    print(f"hdl: error: {error}", file=sys.stderr, flush=True)


def _bytes(path: str) -> bytes:
    with fs.open(path) as file:
        return file.read()
