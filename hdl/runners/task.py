"""What a task of a Hadoop job does, whichever engine started it: from shards to messages, and messages joined.

A task finds what it starts from in a folder, most often its working folder, where the distributed cache has put it:
the driver's `plan`, `weights` and `common`, or, of a job submitted by hand, the files of a weight table. What it hands
on are messages of `hdl.wire`: an update or a summary a shard, a note of what it did and when, and, where the driver
asked for it, an error that would be the same at any attempt.
"""

from __future__ import annotations

import io
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field, Json, ValidationError

from hdl import data, fs, prediction_writer, sync, wire
from hdl import spec as specs
from hdl.data import FileSplit, Options, Schema, Source, Summary
from hdl.errors import HdlError, SpecError, WorkerError
from hdl.predict import Model
from hdl.runners import platform
from hdl.runners.base import Plan
from hdl.runners.messages import error_from, error_message, read_plan
from hdl.runners.work import Beat, Host, Watched
from hdl.spec import Part
from hdl.table import Table, Version
from hdl.wire import Update, Weights

PLAN, WEIGHTS = "plan", "weights"
PREFIX = "hdl."


class Order(Part):
    """What the owner of a job asks of its tasks: the job's properties that begin with ``hdl.``.

    Parameters
    ----------
    stage : {'round', 'summarise', 'predict'}
    table : str
        The folder with what a task starts from.
    data : str
        Path of the dataset, for tasks that read it themselves.
    options : dict, as JSON
        How to read the data; None: as version 0 of the table says.
    spec : dict, as JSON
        For `summarise` by hand: what version 0 is made from.
    version : int
        Of the table, for `predict`.
    suffix : str
        Of the files that `predict` writes.
    codes : bool
        `predict` writes codes and no answers, of `layer` (None: the usual one).
    evaluate_only, combiner, labels_only : bool
    threads : int
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int
        Bytes of decoded features that a task keeps in memory.
    driver : bool
        A driver waits: updates go to it, and errors of hdl as messages, so that a sample that is wrong is told at
        once. Without one a task with an error fails, and pydoop's reducer makes the next version itself.
    typed : bool
        Streaming: samples come as typed bytes.
    """

    stage: str = Field("round", pattern="^(round|summarise|predict)$")
    table: str = "."
    data: str = ""
    options: Json[dict[str, Any]] | None = None
    spec: Json[dict[str, Any]] | None = None
    version: int | None = None
    suffix: str = ".csv"
    codes: bool = False
    layer: int | None = None
    evaluate_only: bool = False
    labels_only: bool = False
    combiner: bool = True
    threads: int = Field(1, ge=1)
    device: str = "cpu"
    memory: int = Field(256 << 20, ge=0)
    driver: bool = False
    typed: bool = False

    @classmethod
    def of(cls, properties: Mapping[str, str], prefix: str = PREFIX) -> Order:
        """The order in a job's properties, or in an environment that Streaming has copied them to.

        Raises
        ------
        SpecError
            Naming each property that is wrong.
        """
        given = {name: properties[prefix + name] for name in cls.model_fields if properties.get(prefix + name)}
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise SpecError("; ".join(prefix + specs._sentence(item) for item in error.errors())) from None


class Task:
    """One attempt at some shards.

    Parameters
    ----------
    order : Order
    path : str
        The dataset, as `hdl.data.open_source` takes it.
    splits : mapping of int to list of FileSplit
        The shards of this task.
    source : Source, optional
        The dataset, where it is open already.
    """

    def __init__(
        self, order: Order, path: str, splits: Mapping[int, Sequence[FileSplit]], source: Source | None = None
    ):
        self.order, self.began = order, time.time()
        self.plan, self.weights, options = start(order) if order.stage == "round" else (None, None, order.options)
        self.host = Host(path, Options.make(options), splits, order.threads, order.device, order.memory)
        self.host._source = source
        if self.plan:
            self.host.prepare(self.plan)
        self.note = {"shards": [*splits], "samples": 0, "batches": 0, "bad": 0, "read": 0.0, "compute": 0.0}

    def read(self, number: int, beat: Beat) -> None:
        """Decodes a shard, which `message` then finds."""
        began = time.perf_counter()
        if self.order.stage == "round":
            self.host.shard(number, beat)
        self.note["read"] += time.perf_counter() - began

    def message(self, number: int, beat: Beat) -> bytes:
        """What comes of a shard: its update, or its summary."""
        began, note = time.perf_counter(), self.note
        if self.order.stage == "summarise":
            note |= platform.capabilities(self.order.device)
            (summary,) = self.host.summarise([number], beat)
            note["read"] += time.perf_counter() - began
            note["samples"] += summary.samples
            note["bad"] += summary.bad
            fields, tensors = summary.to_parts()
            return wire.pack("part", {"shard": number, "summary": fields}, tensors)
        self.read(number, beat)
        began = time.perf_counter()
        (update,) = self.host.round(self.weights, [number], self.order.evaluate_only, beat)
        note["compute"] += time.perf_counter() - began
        note["samples"] += int(update.sums.get("samples", 0))
        note["batches"] += int(update.sums.get("batches", 0))
        note["bad"] += self.host.shard(number, beat).bad.count
        return wire.encode(update)

    def answers(self, number: int, beat: Beat) -> bytes:
        """The file of answers to a shard's samples, or of their codes, in their order."""
        began, order = time.perf_counter(), self.order
        model = Model(order.table, order.version, order.threads, order.device)
        source = data.open_source(self.host.path, self.host.options, model.schema, labels=order.codes)
        bad, file = data.Bad(self.host.options.max_bad_records), io.BytesIO()
        part = ShardSource(source, number, beat, self.host.splits[number])
        if order.codes:
            coded, width = model.encode(part, order.layer, bad), model.encoder(order.layer).width
            self.note["samples"] += prediction_writer.write_codes(file, order.suffix, coded, width)
        else:
            found = model.predict(part, bad)
            self.note["samples"] += prediction_writer.write(file, order.suffix, model, found, order.labels_only)
        self.note["bad"] += bad.count
        self.note["compute"] += time.perf_counter() - began
        return file.getvalue()

    def key(self, number: int, lanes: int) -> bytes:
        """Under which the message of a shard travels: its lane."""
        return str(lane(self.plan.spec.shards, number, lanes) if self.plan else 0).encode()

    def closing(self) -> bytes:
        """The note of what was done here, and when."""
        return note_of("map", self.began, **self.note)


class ShardSource(Watched):
    """A part of a dataset, taken for the whole."""

    def __init__(self, source: Source, number: int, beat: Beat, part: Sequence[FileSplit]):
        super().__init__(source, number, beat)
        self.part = part

    def splits(self, shards: int) -> list[list[FileSplit]]:
        return [list(self.part)]


def act_for_submitter() -> None:
    """Let HDFS know this task by the name of the job's submitter, for the virtual machine that is started later.

    Where nobody has to prove who they are, YARN's usual executor runs all containers as the NodeManager's own user, to
    whom the submitter's files are closed. With Kerberos Hadoop does not look at this name.
    """
    if "CONTAINER_ID" in os.environ and os.environ.get("USER"):  # YARN sets both
        os.environ.setdefault("HADOOP_USER_NAME", os.environ["USER"])


def start(order: Order) -> tuple[Plan, Weights, dict[str, Any]]:
    """What a round starts from, and how the data is read: of the driver's files, or of a table's."""
    folder, options = order.table, order.options
    if fs.exists(fs.join(folder, WEIGHTS)):
        _, fields, tensors = wire.unpack(_bytes(fs.join(folder, PLAN)))
        weights = wire.decode(_bytes(fs.join(folder, WEIGHTS)))
        return replace(read_plan(fields, tensors), table=folder), weights, options or {}
    zero, version = versions_of(folder)
    schema = Schema.from_parts(zero.about["schema"], zero.schema)
    plan = Plan(specs.parse(version.spec), schema, folder, zero.about["isa"])
    return plan, version.weights, zero.about["options"] if options is None else options


def versions_of(folder: str) -> tuple[Version, Version]:
    """The first and the last version of a table."""
    table = Table(folder)
    return table.read(0), table.read()


def lane(shards: int, number: int, lanes: int) -> int:
    """Which of several reducers gets a shard's update: each has whole subtrees of the fixed tree, so that it can join.

    Examples
    --------
    >>> [lane(5, number, 2) for number in range(5)]
    [0, 0, 0, 0, 1]
    """
    low, high, found, wide = 0, shards, 0, 1
    while wide < lanes and high - low > 1:
        middle = sync.split(low, high)
        right = number >= middle
        low, high = (middle, high) if right else (low, middle)
        found, wide = 2 * found + right, 2 * wide
    return min(found, lanes - 1)


def note_of(kind: str, began: float, **fields: Any) -> bytes:
    """A note that ends now; `kind` is map or reduce, times are Unix'."""
    return wire.pack(
        "note", {**fields, "kind": kind, "began": began, "ended": time.time(), "host": socket.gethostname()}
    )


def joined(messages: Iterable[bytes], order: Order) -> Iterator[bytes]:
    """The messages with all updates that are siblings of the tree joined; others pass as they are.

    Joining as they come keeps as many updates as the tree is deep, not as many as there are shards.
    """
    held: list[Update] = []
    spec = None
    for message in messages:
        if wire.header(message, len(message))[0] == "update":
            spec = spec or start(order)[0].spec
            held = sync.join_siblings(spec, [*held, wire.decode(message)])
        else:
            yield message
    yield from map(wire.encode, held)


def sorted_out(messages: Iterable[bytes]) -> tuple[list[bytes], list[dict[str, Any]]]:
    """The updates or parts among messages, and the notes.

    Raises
    ------
    HdlError
        One of them is an error: as it was raised in its task.
    """
    results, notes = [], []
    for message in messages:
        kind, fields = wire.header(message, len(message))
        if kind == "error":
            raise error_from(fields, "a task")
        if kind == "note":
            notes.append(fields)
        else:
            results.append(message)
    return results, notes


def told(make: Callable[[], Iterable[bytes]], order: Order) -> list[bytes]:
    """What `make` makes; if a driver waits for it, an error of hdl as a message."""
    try:
        return list(make())
    except HdlError as error:
        if not order.driver:
            raise
        return [error_message(error)]


def summary_of(parts: Iterable[bytes], shards: int) -> Summary:
    """The summary of the dataset from those of its shards.

    Raises
    ------
    WorkerError
        There is none of a shard.
    """
    found = {}
    for part in parts:
        _, fields, tensors = wire.unpack(part)
        found[fields["shard"]] = Summary.from_parts(fields["summary"], tensors)
    if missing := [shard for shard in range(shards) if shard not in found]:
        raise WorkerError(f"the tasks gave no summary of shards {missing}")
    return sync.tree_reduce([found[shard] for shard in range(shards)], lambda a, b: a.join(b))


def negotiate(notes: Iterable[dict[str, Any]], device: str, tell: Callable[[str], Any] = lambda text: None) -> str:
    """Agree on a platform, from the notes of the tasks that summarised; raises as `platform.negotiate` does."""
    offers = [(f"{note['host']} (shards {note['shards']})", note) for note in notes if note["kind"] == "map"]
    return platform.negotiate(offers, device, tell)


def _bytes(path: str) -> bytes:
    with fs.open(path) as file:
        return file.read()
