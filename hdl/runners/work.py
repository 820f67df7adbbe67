"""Keeps a worker's dataset, decoded shards and operations between rounds, whichever runner started the worker."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hdl import data, ops, passes, predict, scratch, step, sync
from hdl.data import Block, FileSplit, Options, Shard, Source, Summary, features
from hdl.ops import Operations, Samples
from hdl.ops.decrypted import Decrypted
from hdl.passes import Partial, Pass
from hdl.predict import Model
from hdl.runners import counting, platform
from hdl.runners.base import Plan
from hdl.runners.watched import Beat, WatchedSource
from hdl.spec import Spec
from hdl.table import Table
from hdl.wire import Update, Weights

_LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


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
        Bytes of decoded samples that may stay in memory; shards beyond go to temporary files. None: half of the
        machine's.
    source : Source, optional
        The dataset, where it is open already.
    """

    def __init__(
        self,
        path: str,
        options: Options,
        splits: Mapping[int, Sequence[FileSplit]],
        threads: int = 1,
        device: str = "cpu",
        memory: int | None = None,
        source: Source | None = None,
    ):
        self.path, self.options, self.splits = path, options, splits
        self.threads, self.device = threads, device
        self.memory = physical_memory() // 2 if memory is None else memory
        self.blocks: dict[int, list[Block]] = {}  # by shard: what `summarise` read, if it is small, to decode it once
        self._plan: Plan | None = None
        self._ops: Operations | None = None
        self._common: Samples | None = None
        self._source = source
        self._marks: dict[str, list[list[int]]] | None = None
        self._validation: Source | None = None  # where it is data of its own
        self._shards: dict[int, Shard] = {}
        self._measuring: tuple[tuple[str, int, str], Model] | None = None

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> Host:
        """Make a host from the fields of a command `open`: see `hdl.runners.messages.open_fields`."""
        splits = {shard: [FileSplit(*split) for split in own] for shard, own in fields["cuts"]}
        options = Options.make(fields["options"])
        if fields.get("encrypt_spill"):
            scratch.encrypt()
        host = cls(fields["path"], options, splits, fields["threads"], fields["device"], fields["memory"])
        host._marks = fields.get("marks")
        return host

    @property
    def marks(self) -> dict[str, list[list[int]]] | None:
        """Where the lines of texts are, if it was told."""
        return self._marks

    @property
    def plan(self) -> Plan:
        """The plan that `prepare` was given."""
        assert self._plan is not None, "no plan: `prepare` comes before any round"
        return self._plan

    @property
    def ops(self) -> Operations:
        """The operations of the plan."""
        assert self._ops is not None, "no operations: `prepare` comes before any round"
        return self._ops

    @property
    def source(self) -> Source:
        """The dataset, opened when first needed."""
        if self._source is None:
            self._source = data.open_source(self.path, self.options)
            if self._marks:
                self._source.take_marks(self._marks)
        return self._source

    def hold(self, splits: Mapping[int, Sequence[FileSplit]], marks: dict[str, list[list[int]]] | None = None) -> None:
        """Take these shards from now on; of those that stay, what was decoded is kept.

        Parameters
        ----------
        marks : dict, optional
            Where the lines of texts are: see `Source.marks`.
        """
        if marks:
            self._marks = marks
            if self._source is not None:
                self._source.take_marks(marks)
        for kept in (self._shards, self.blocks):
            for number in [number for number in kept if splits.get(number) != self.splits.get(number)]:
                del kept[number]
        self.splits = splits

    @property
    def spilled(self) -> int:
        """Count the decoded shards that are in files, as they do not fit into memory."""
        return sum(decoded_bytes(shard)[1] > 0 for shard in self._shards.values())

    def _room(self) -> int:
        """Tell how many bytes of the next shard may stay in memory: an equal part, or of what the others have left."""
        held = sum(decoded_bytes(shard)[0] for shard in self._shards.values())
        left = max(0, self.memory - held) // max(1, len(self.splits) - len(self._shards))
        return min(left, self.memory // max(1, len(self.splits)))

    def summarise(self, numbers: Sequence[int], beat: Beat) -> list[Summary]:
        """Summarise each shard; what was read is kept up to half of the memory, so as to be decoded once.

        It goes, block by block, as the shard is made of it, which takes at most as much again.
        """
        summaries, left = [], self.memory // 2
        with self.source.in_turn():
            for number in numbers:
                source = WatchedSource(self.source, number, beat, spare=left)
                summaries.append(data.summarise(source, self.splits[number], number))
                if source.kept is not None:
                    self.blocks[number] = source.kept
                    left = source.spare
        self.source.forget()
        return summaries

    def measure(self, asked: Pass, numbers: Sequence[int], beat: Beat) -> list[Partial]:
        """Carry a pass out over some parts of the data; what is found is joined along the tree as far as they are
        siblings."""
        found = list[Partial]()
        if asked.kind == counting.KIND:
            for number in numbers:
                beat(number, 0.0)
                found.append(counting.part(self.source, self.splits[number], number, asked.parts, self.memory // 2))
            return passes.join_siblings(found)
        model = self._model(asked)
        for number in numbers:
            beat(number, 0.0)
            found = passes.join_siblings([*found, self._measured(model, asked, number, beat)])
        return found

    def _measured(self, model: Model, asked: Pass, number: int, beat: Beat) -> Partial:
        if asked.kind != "evaluate":
            from hdl import importance  # few trainings ask for it

            return importance.part(model, asked, number, beat)
        if self._source is None:
            labels = model.schema.encoding != "none"
            self._source = data.open_source(self.path, self.options, model.schema, labels=labels)
        watched = WatchedSource(self._source, number, beat)
        return passes.evaluate(model, watched, self.splits[number], number, asked.parts, asked.fields["rows"])

    def _model(self, asked: Pass) -> Model:
        """Read the network that a pass asks about, once."""
        key = asked.table, asked.version, asked.platform
        if self._measuring is None or self._measuring[0] != key:
            device, isa = platform.backend(asked.platform, self.device) if asked.platform else (self.device, None)
            self._measuring = key, Model(asked.table, asked.version, self.threads, device, isa)
        return self._measuring[1]

    def prepare(self, plan: Plan) -> None:
        """Take the plan that all rounds share; decoded shards stay if they are the plan's."""
        if self._plan is None or not same_samples(self._plan, plan):
            self._shards, self._validation = {}, None
        self._plan, self._ops = plan, self.operations(plan)
        if scratch.encrypting():
            self._ops = Decrypted(self._ops, self.memory)
        self._common = common_samples(plan) if plan.spec.sync.mode == "genetic" else None

    def operations(self, plan: Plan) -> Operations:
        """Make the operations of a plan on this worker's device."""
        return operations(plan, self.device, self.threads)

    def shard(self, number: int, beat: Beat) -> Shard:
        """Decode a shard when it is first needed; then it is kept."""
        if number not in self._shards:
            plan = self.plan
            self._shards[number] = data.load(
                WatchedSource(self.source, number, beat, self.blocks.pop(number, None)),
                self.splits[number],
                plan.schema,
                plan.spec.seed,
                number,
                plan.spec.validation,
                self._room(),
                stratified=bool(plan.spec.holdout.stratified),
                other=self._other(number, beat),
            )
        return self._shards[number]

    def _other(self, number: int, beat: Beat) -> tuple[Source, Sequence[FileSplit]] | None:
        """Open the data of its own that is the validation part, if it is such, and find a shard's part of it."""
        found = self.plan.validation
        if found is None:
            return None
        if self._validation is None:
            self._validation = data.open_source(found["data"], found["options"], self.plan.schema)
        splits = [FileSplit(*split) for split in found["cuts"][number]]
        return WatchedSource(self._validation, number, beat), splits

    def round(self, weights: Weights, numbers: Sequence[int], evaluate_only: bool, beat: Beat) -> list[Update]:
        """Train the shards, and join their updates along the tree as far as they are siblings."""
        spec = self.plan.spec
        joined: list[Update] = []
        together = self.ops.together(spec.batch_size)
        for first in range(0, len(numbers), together):
            some = numbers[first : first + together]
            shards: dict[int, Shard] = {}
            loaded: dict[int, float] = {}  # seconds
            for number in some:
                began = time.perf_counter()
                beat(number, 0.0)
                shards[number] = self.shard(number, beat)
                loaded[number] = time.perf_counter() - began
                beat(number, 0.0)

            def progress(done: int, total: int, number: int = some[-1]) -> Any:
                return beat(number, done / max(1, total))

            updates = step.train_shards(spec, weights, shards, self.ops, progress, self._common, evaluate_only)
            for number, update in zip(some, updates, strict=True):
                update.seconds["load"] = loaded[number]
            # Joining at once keeps as many updates as the tree is deep, not as many as there are shards.
            joined = sync.join_siblings(spec, [*joined, *updates])
        return joined


def decoded_bytes(shard: Shard) -> tuple[int, int]:
    """Count a decoded shard's bytes in memory and those in files."""
    held = [0, 0]
    for samples in (shard.train, shard.validation):
        x = samples.x
        parts = [getattr(x, name, None) for name in ("data", "indices", "indptr", "numbers", "codes")]
        for part in (x, *parts, samples.y, samples.weight, samples.offset):
            if isinstance(part, np.ndarray):
                held[isinstance(part, np.memmap)] += part.nbytes
    return held[0], held[1]


def operations(plan: Plan, device: str = "cpu", threads: int = 1) -> Operations:
    """Make the operations of a plan: of a layer of a stack, above those that are learned already."""
    backend, isa = platform.backend(plan.platform, device)

    def make(spec: Spec) -> Operations:
        return ops.make(spec, backend, threads, isa)

    return predict.operations(plan.spec, make, predict.layers_below(plan.spec, Table(plan.table)))


def same_samples(a: Plan, b: Plan) -> bool:
    """Tell whether shards that were decoded for one plan are those of another."""
    (fields, tensors), (others, more) = a.schema.to_parts(), b.schema.to_parts()
    same = json.dumps(fields) == json.dumps(others) and tensors.keys() == more.keys()
    same = same and all(np.array_equal(tensors[name], more[name]) for name in tensors)
    chosen = [(plan.spec.seed, plan.spec.validation, plan.spec.holdout, plan.validation) for plan in (a, b)]
    return same and chosen[0] == chosen[1]


def common_samples(plan: Plan) -> Samples:
    """Read genetic mode's common samples from the table's folder."""
    _, tensors = Table(plan.table).common()
    x = features.from_tensors(tensors, plan.schema.inputs)
    rest = {name: tensors.get(name) for name in ("y", "weight", "offset")}
    return Samples(x, scale=plan.schema.scale, shift=plan.schema.shift, **rest)


def physical_memory() -> int:
    """Count the bytes of memory of this machine, or of the container that this process may not grow out of."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:  # of control groups, version 2 and 1; a container sees its own there
        with suppress(OSError, ValueError), open(path) as file:
            sizes.append(int(file.read()))  # "max" is no number
    return min(sizes)
