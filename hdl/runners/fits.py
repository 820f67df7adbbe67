"""Carries estimators' fits out by a runner's workers, as a pass whose parts are files that each ask for one.

A worker trains its own part as the estimator would have trained it where it is: by `hdl.fitting.rounds.run`.
"""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hdl import fs, ops, passes
from hdl.data import Bad, FileSplit, Shard
from hdl.fitting.order import Made, Order, read_samples
from hdl.fitting.rounds import run
from hdl.ops import Samples
from hdl.passes import Partial, Pass
from hdl.runners import platform

if TYPE_CHECKING:
    from hdl.runners.base import Job, Notify, RoundRunner
    from hdl.runners.watched import Beat
    from hdl.runners.work import Host

KIND = "fit"
KEPT_SHARE = 0.5  # of a worker's memory for decoded data, for samples that were read from afar
_kept: OrderedDict[str, Samples] = OrderedDict()  # what was used last at the end


def gather(job: Job, runner: RoundRunner, notify: Notify) -> Partial:
    """Have the fits made whose files the job's `asked` names, as parts that share the workers out.

    Where each worker has to have a part, `parts` of `asked` says how many there are: those without a file do nothing.
    """
    asked = job.asked or {}
    splits = [[FileSplit(path, 0, fs.size(path))] for path in asked[KIND]]
    splits += [[] for _ in range(asked.get("parts", 0) - len(splits))]
    runner.open(job, splits, notify)
    return passes.complete(runner.measure(Pass(KIND, job.table, 0, len(splits))), passes.make)


def part(splits: Sequence[FileSplit], number: int, of: int, host: Host, beat: Beat) -> Partial:
    """Make the fit of a part's file, if it has one, with a worker's threads and device."""
    found = Made()
    for split in splits:
        beat(number, 0.0)
        with fs.open(split.path) as file:
            order = Order.unpack(file.read())
        found = found.join(_fit(order, number, host, beat))
    return Partial(number, number + 1, of, Bad(), {KIND: found})


def _fit(order: Order, number: int, host: Host, beat: Beat) -> Made:
    train = samples(order.train, host.memory)
    held = samples(order.held, host.memory) if order.held else train.take(slice(0, 0))
    backend, isa = platform.backend(order.platform, host.device)
    limits, spec = order.limits, order.spec

    def progress(*_: Any) -> None:
        beat(number, 0.5)  # of how many epochs there will be nobody knows

    limits.told = progress  # of short ones the core tells nothing

    try:
        worker = ops.make(spec, backend, host.threads, isa)
        trained = run(spec, order.weights, Shard(train, held), worker, limits, progress)
    except Exception as error:
        return Made.failed(error)
    return Made(((trained, limits.pace),))


def samples(path: str, memory: int) -> Samples:
    """Read a file of samples: here where it lies, from afar whole, and kept beside others as far as they fit."""
    if not fs.is_remote(path):
        with open(path, "rb") as file:
            return read_samples(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    if path not in _kept:
        with fs.open(path) as file:
            _kept[path] = read_samples(file.read())
    _kept.move_to_end(path)
    while len(_kept) > 1 and sum(one.x.nbytes for one in _kept.values()) > KEPT_SHARE * memory:
        _kept.popitem(last=False)
    return _kept[path]
