"""What any worker keeps between rounds, whoever started it: the opened dataset, decoded shards, the core."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hdl import data, ops, predict, step, sync
from hdl.data import Block, FileSplit, Options, Shard, Source, Summary, csr
from hdl.ops import Samples
from hdl.runners import platform
from hdl.runners.base import Plan
from hdl.spec import Spec
from hdl.table import Table
from hdl.wire import Update, Weights

_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
Beat = Callable[[int, float], Any]  # (shard, share done): a sign of life; a true answer stops the work


class Host:
    """Does the work of a worker on the shards that it is asked for.

    Parameters
    ----------
    path : str
        The dataset.
    options : Options
    splits : mapping of int to list of FileSplit
        The shards that it may be asked for.
    threads : int
        Of the core.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int
        Bytes of decoded samples that may stay in memory; shards beyond go to temporary files.
    """

    def __init__(
        self,
        path: str,
        options: Options,
        splits: Mapping[int, Sequence[FileSplit]],
        threads: int = 1,
        device: str = "cpu",
        memory: int | None = None,
    ):
        self.path, self.options, self.splits = path, options, splits
        self.threads, self.device = threads, device
        self.memory = physical_memory() // 2 if memory is None else memory
        self.plan: Plan | None = None
        self.ops: Any = None
        self.common: Samples | None = None
        self._source: Source | None = None
        self._read: dict[int, list[Block]] = {}  # what `summarise` read, if it is small, so that it is decoded once
        self._shards: dict[int, Shard] = {}

    @property
    def source(self) -> Source:
        """The dataset, opened when first needed."""
        if self._source is None:
            self._source = data.open_source(self.path, self.options)
        return self._source

    def summarise(self, numbers: Sequence[int], beat: Beat) -> list[Summary]:
        """The summary of each shard."""
        found, left = [], self.memory // 4
        for number in numbers:
            source = Watched(self.source, number, beat, spare=left)
            found.append(data.summarise(source, self.splits[number]))
            if source.kept is not None:
                self._read[number] = source.kept
                left = source.spare
        return found

    def prepare(self, plan: Plan) -> None:
        """Takes what all rounds share."""
        if self.plan is None or not same_samples(self.plan, plan):
            self._shards = {}
        self.plan, self.common = plan, None
        self.ops = self.operations(plan)
        if plan.spec.sync.mode == "genetic":
            self.common = common_samples(plan)

    def operations(self, plan: Plan) -> ops.Operations:
        """What computes."""
        return operations(plan, self.device, self.threads)

    def shard(self, number: int, beat: Beat) -> Shard:
        """A shard, decoded when first needed and then kept."""
        if number not in self._shards:
            plan = self.plan
            self._shards[number] = data.load(
                Watched(self.source, number, beat, self._read.pop(number, None)),
                self.splits[number],
                plan.schema,
                plan.spec.seed,
                number,
                plan.spec.validation,
                self.memory // max(1, len(self.splits)),
            )
        return self._shards[number]

    def round(self, weights: Weights, numbers: Sequence[int], evaluate_only: bool, beat: Beat) -> list[Update]:
        """`train_shard` of the shards, joined along the tree as far as they are siblings."""
        spec, held = self.plan.spec, []
        together = self.ops.together(spec.batch)
        for first in range(0, len(numbers), together):
            some, shards, loaded = numbers[first : first + together], {}, {}
            for number in some:
                began = time.perf_counter()
                beat(number, 0.0)
                shards[number] = self.shard(number, beat)
                loaded[number] = time.perf_counter() - began
                beat(number, 0.0)

            def progress(done: int, total: int, number: int = some[-1]) -> Any:
                return beat(number, done / max(1, total))

            updates = step.train_shards(spec, weights, shards, self.ops, progress, self.common, evaluate_only)
            for number, update in zip(some, updates, strict=True):
                update.seconds["load"] = loaded[number]
            # Joining at once keeps as many updates as the tree is deep, not as many as there are shards.
            held = sync.join_siblings(spec, [*held, *updates])
        return held


class Watched:
    """A source that gives a sign of life for every block that is read.

    Parameters
    ----------
    given : list of Block, optional
        Read these instead of the files.
    spare : int
        Bytes of features that `kept` may hold; it is None if there were more.
    """

    def __init__(self, source: Source, number: int, beat: Beat, given: list[Block] | None = None, spare: int = 0):
        self.source, self.number, self.beat, self.given, self.spare = source, number, beat, given, spare
        self.kept: list[Block] | None = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def read(self, splits: Sequence[FileSplit], *rest: Any) -> Iterator[Block]:
        for block in self.source.read(splits, *rest) if self.given is None else self.given:
            self.beat(self.number, 0.0)
            self.spare -= block.x.nbytes
            if self.spare < 0:
                self.kept = None
            if self.kept is not None:
                self.kept.append(block)
            yield block


def operations(plan: Plan, device: str = "cpu", threads: int = 1) -> ops.Operations:
    """The operations of a plan: of a layer of a stack, above those that are learned already."""
    backend, isa = platform.backend(plan.platform, device)

    def make(spec: Spec) -> ops.Operations:
        return ops.make(spec, backend, threads, isa)

    return predict.operations(plan.spec, make, predict.layers_below(plan.spec, Table(plan.table)))


def same_samples(a: Plan, b: Plan) -> bool:
    """Whether shards that were decoded for one plan are those of another."""
    (fields, tensors), (others, more) = a.schema.to_parts(), b.schema.to_parts()
    same = json.dumps(fields) == json.dumps(others) and tensors.keys() == more.keys()
    same = same and all(np.array_equal(tensors[name], more[name]) for name in tensors)
    return same and (a.spec.seed, a.spec.validation) == (b.spec.seed, b.spec.validation)


def common_samples(plan: Plan) -> Samples:
    """Genetic mode's common samples, from the table's folder."""
    _, tensors = Table(plan.table).common()
    x = csr.from_tensors(tensors, plan.schema.inputs)
    return Samples(x, tensors.get("y"), plan.schema.scale, plan.schema.shift)


def physical_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process may not grow out of."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:  # of control groups, version 2 and 1; a container sees its own there
        with suppress(OSError, ValueError), open(path) as file:
            sizes.append(int(file.read()))  # "max" is no number
    return min(sizes)
