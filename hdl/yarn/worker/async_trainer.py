"""A worker that waits for nobody: mode `async`.

It trains on its shards in rounds of `every` epochs or mini-batches. After each it publishes its weights and merges what
the others have published since, each with the weight of its samples halved for every round that it is behind:

    w = (n w + Σ_j n_j 2^-s_j w_j) / (n + Σ_j n_j 2^-s_j),    s_j = max(0, own round - round of j),  s_j <= staleness

A round is made of chunks of mini-batches; between two of them the worker adopts the master's merge of all, if one has
come. So all are made equal without anybody standing still. Optimiser state is each worker's own.

The scheme: asynchronous data-parallel pre-training of deep belief networks on Spark.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hdl import ops as operations
from hdl import step, wire
from hdl.sync import average
from hdl.wire import Update, Weights
from hdl.yarn.comm.async_exchange import Gossip
from hdl.yarn.comm.mailbox import decoded

if TYPE_CHECKING:
    from hdl.yarn.worker.worker import Worker

CHUNK = 64  # mini-batches between two looks at what has come, at most an eighth of an epoch


class AsyncTrainer:
    """What a worker keeps while it runs freely, also over the loss of others.

    Parameters
    ----------
    worker : Worker
    weights : Weights
        To begin from, with the optimiser's state at its beginning.
    done : int
        Rounds that the training has behind it: streams of mini-batches and schedules go on from there.
    """

    def __init__(self, worker: Worker, weights: Weights, done: int = 0):
        self.worker = worker
        self.weights = weights
        self.rounds = done
        self.adopted = True  # the weights are the master's, and have not been measured
        self.sums: dict[str, float] = {"samples": 0}
        self.staleness: list[int] = []
        self.late = 0  # messages that were too stale
        assert worker.host.plan is not None
        spec = worker.host.plan.spec
        lengths = [len(worker.host.shard(number, worker.beat).train) for number in worker.host.cuts]
        per_epoch = max(operations.steps(n, spec.batch or 0) for n in lengths)
        wanted = spec.sync.every * (per_epoch if spec.sync.unit == "epochs" else 1)
        self.per_round = max(1, -(-wanted // max(1, min(CHUNK, -(-wanted // 8)))))
        self.chunks = done * self.per_round
        # In chunks the stream of mini-batches is that of `average`.
        every = -(-wanted // self.per_round)
        sync = spec.sync.model_copy(update={"mode": "average", "unit": "batches", "every": every})
        self.spec = spec.with_(sync=sync)
        self.warm = done > 0 and spec.optimizer.name == "adam"

    def run(self, last: int) -> None:
        """Trains until a command comes; after `last` rounds it only waits for one."""
        worker = self.worker
        gossip = Gossip(worker.mesh) if worker.mesh else None
        self._offer(worker)
        self._tell(worker)  # what it said while it had no master, or another crew, nobody has heard
        try:
            while worker.next_command(0.0 if self.rounds < last else 0.2) is None:
                if equal := worker.desk.came("equal"):
                    self.weights = replace(self.weights, w=decoded(Weights, equal).w)
                    self.adopted = True
                if self.rounds < last:
                    if self.warm:
                        self._warm()
                    self._chunk()
                    if self.chunks % self.per_round == 0:
                        self._round(gossip)
        finally:
            if gossip:
                gossip.stop()
            worker.mesh = None

    def _warm(self) -> None:
        """Adam's means as they would be by now, from the gradients of some mini-batches whose steps are not kept.

        Its correction for means that begin at 0 counts all steps of the training: so late the first steps would be
        many times too long.
        """
        self.warm = False
        host, rule = self.worker.host, self.spec.optimizer
        for number in host.cuts:
            shard = host.shard(number, self.worker.beat)
            found = step.train_shard(self.spec, Weights(0, self.weights.w, self.weights.state), shard, number, host.ops)
            if steps := found.sums["batches"]:
                mean, square = found.tensors["rule"]
                means = np.stack([mean / np.float32(1 - rule.beta1**steps), square / np.float32(1 - rule.beta2**steps)])
                self.weights = replace(self.weights, state={**self.weights.state, "rule": means})
                return

    def _chunk(self) -> None:
        """Some mini-batches on each shard, and the mean of what comes of them."""
        host, weights = self.worker.host, Weights(self.chunks, self.weights.w, self.weights.state)
        whole: Update | None = None
        for number in host.cuts:
            shard = host.shard(number, self.worker.beat)
            if not self.adopted and len(shard.validation):  # it is measured on what all have in common, not more often
                none, held = np.arange(0), shard.validation
                y = None if held.y is None else held.y[none]
                shard = replace(shard, validation=replace(held, x=held.x[none], y=y))
            self.worker.beat(number, self.chunks % self.per_round / self.per_round)
            own = step.train_shard(self.spec, weights, shard, number, host.ops)
            self._add(own.sums)
            whole = own if whole is None else replace(own, tensors=average.join(whole, own), sums=_sum(whole, own))
        assert whole is not None
        state = {name: tensor for name, tensor in whole.tensors.items() if name != "w"}
        self.weights = Weights(self.rounds, whole.tensors["w"], state)
        self.chunks, self.adopted = self.chunks + 1, False

    def _round(self, gossip: Gossip | None) -> None:
        """The end of a round: publish, merge what the others have published, tell the master."""
        worker, samples = self.worker, self.sums["samples"]
        self.rounds += 1
        worker.faults.round = self.rounds
        if gossip:
            fields = {"round": self.rounds, "samples": samples}
            gossip.publish(wire.parts("published", fields, {"w": self.weights.w}))
            share, total = samples, self.weights.w * np.float32(samples)
            for message in gossip.heard().values():
                _, fields, tensors = wire.unpack(message)
                stale = max(0, self.rounds - int(fields["round"]))
                if stale > self.spec.sync.staleness:
                    self.late += 1
                    continue
                self.staleness.append(stale)
                weight = float(fields["samples"]) * 0.5**stale
                total += np.float32(weight) * tensors["w"]
                share += weight
            if share:
                self.weights = replace(self.weights, w=total / np.float32(share))
        self._offer(worker)
        self._tell(worker)

    def _tell(self, worker: Worker) -> None:
        told = {"kind": "free", "generation": worker.generation, "round": self.rounds, "merged": len(self.staleness)}
        told |= {"staleness": sum(self.staleness), "stalest": max(self.staleness, default=0), "late": self.late}
        worker.work.send(told)

    def _offer(self, worker: Worker) -> None:
        shards = [*worker.host.cuts]
        update = Update("average", self.rounds, shards[0], shards[-1] + 1, {"w": self.weights.w}, dict(self.sums))
        worker.desk.offer({"free": wire.encode_parts(update)})

    def _add(self, sums: dict[str, Any]) -> None:
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0) + value


def _sum(a: Update, b: Update) -> dict[str, float]:
    return {name: a.sums.get(name, 0) + b.sums.get(name, 0) for name in {*a.sums, *b.sums}}
