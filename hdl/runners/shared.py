"""Local trainings of one process that read the same data: it is decoded once, and on a GPU they may go side by side."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from hdl import ops
from hdl.data import Block, FileSplit, Shard, Summary
from hdl.ops.batching import BatchingBarrier
from hdl.runners import platform
from hdl.runners.base import Job, Plan
from hdl.runners.local import LocalRunner
from hdl.runners.work import Beat, Host, same_samples
from hdl.spec import Spec


class Shared:
    """Keeps what trainings on one dataset have read: the first one reads, the others wait for it.

    Parameters
    ----------
    kept : int
        How many ways to cut and hold out samples are remembered at once; the one used longest ago is forgotten.
    """

    def __init__(self, kept: int = 1):
        self.kept, self.lock = kept, threading.RLock()
        # by the number of shards and what is held out
        self.summaries: dict[tuple[int, tuple[str, ...]], list[Summary]] = {}
        self.blocks: dict[tuple[int, tuple[str, ...]], dict[int, list[Block]]] = {}  # … by shard: read on the way
        self._shards: list[tuple[Plan, dict[int, Shard]]] = []

    def shards(self, plan: Plan) -> dict[int, Shard]:
        """Look up the decoded shards of a plan; those that are missing are added by the caller, under the lock."""
        count = plan.spec.shards
        place = next((at for at, (known, _) in enumerate(self._shards) if known.spec.shards == count
                      and same_samples(known, plan)), None)  # fmt: skip
        self._shards.append((plan, {}) if place is None else self._shards.pop(place))
        del self._shards[: -self.kept]
        return self._shards[-1][1]


class SharedRunner(LocalRunner):
    """Carries rounds out in this process, beside others of its kind that read the same data.

    Parameters
    ----------
    shared : Shared
        Of all trainings on the same data.
    barrier : BatchingBarrier, optional
        Where the mini-batches of trainings in other threads are met.
    threads, device : as LocalRunner's
    """

    def __init__(
        self, shared: Shared, barrier: BatchingBarrier | None = None, threads: int | None = None, device: str = "cpu"
    ):
        super().__init__(1, threads, device=device)
        self.shared, self.barrier = shared, barrier

    def host(self, job: Job, splits: Mapping[int, Sequence[FileSplit]]) -> Host:
        memory = self.memory // self.shared.kept
        host = _SharedHost(job.data, job.options, splits, self.threads, self.device, memory)
        host.shared, host.barrier = self.shared, self.barrier
        host.blocks = self.shared.blocks.setdefault((len(splits), job.options.held), {})
        return host


class _SharedHost(Host):
    """Does a worker's work without reading what another host has read."""

    shared: Shared
    barrier: BatchingBarrier | None

    def operations(self, plan: Plan) -> ops.Operations:
        if self.barrier is None:
            return super().operations(plan)
        platform.backend(plan.platform, self.device)  # one that is resumed may have begun on a GPU of another kind
        return self.barrier.join(plan.spec)

    def summarise(self, numbers: Sequence[int], beat: Beat) -> list[Summary]:
        with self.shared.lock:
            key = len(self.splits), self.options.held
            if key not in self.shared.summaries:
                self.shared.summaries[key] = super().summarise(numbers, beat)
            return self.shared.summaries[key]

    def shard(self, number: int, beat: Beat) -> Shard:
        with self.shared.lock:
            if number not in self._shards:
                known = self.shared.shards(self.plan)
                if number not in known:
                    known[number] = super().shard(number, beat)
                self._shards[number] = known[number]
            return self._shards[number]


def batching_barrier(members: int, device: str, threads: int = 1) -> BatchingBarrier:
    """Make a barrier on a GPU: see `hdl.ops.batching`.

    Parameters
    ----------
    members : int
    device : {'cuda', 'cuda:N'}
    """

    def make(spec: Spec) -> ops.Operations:
        return ops.make(spec, platform.backend(platform.CUDA, device)[0], threads)

    return BatchingBarrier(members, make)


def ways(specs: Sequence[Spec]) -> int:
    """Count the different samples that trainings read: see `Shared`."""
    return len({(spec.seed, spec.validation, spec.holdout, spec.shards, spec.scale, spec.model) for spec in specs})
