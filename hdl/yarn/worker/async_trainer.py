"""Trains without waiting for other workers: mode `async`.

A worker trains on its shards in rounds of `every` epochs or mini-batches. After each it publishes its weights and
merges those that the others have published since, each weighted by its samples, or the sum of their weights, halved for
every round it is behind:

    w = (n w + Σ_j n_j 2^-s_j w_j) / (n + Σ_j n_j 2^-s_j),    s_j = max(0, own round - round of j),  s_j <= staleness

A round is made of chunks of mini-batches; between two of them the worker adopts the master's merge of all, if one has
come. So all get the same weights without any worker standing still. Optimiser state is each worker's own.

The scheme: asynchronous data-parallel pre-training of deep belief networks on Spark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hdl import ops as operations
from hdl import step, sync, wire
from hdl.metrics import Measures
from hdl.runners.work import Beat, Host
from hdl.sync import average, tuned
from hdl.wire import Update, Weights
from hdl.yarn.comm.async_exchange import AsyncExchange
from hdl.yarn.comm.faults import Faults
from hdl.yarn.comm.mailbox import Mailbox, decode_as
from hdl.yarn.comm.mesh import Mesh
from hdl.yarn.protocol import ASYNC_UPDATE, MERGED, AsyncReport

CHUNK = 64  # mini-batches between two looks at what has come, at most an eighth of an epoch


@dataclass(frozen=True)
class Context:
    """Gives an async trainer what it uses of the worker that it runs in.

    Parameters
    ----------
    host : Host
        The shards and the core.
    mailbox : Mailbox
    faults : Faults
    beat : function of a shard and the share of it that is done
        Notes progress.
    send : function of a report
        Sends it to the master.
    interrupted : function of seconds
        Tells whether a command comes within so many seconds, or the master is gone.
    """

    host: Host
    mailbox: Mailbox
    faults: Faults
    beat: Beat
    send: Callable[[AsyncReport], Any]
    interrupted: Callable[[float], bool]


class AsyncTrainer:
    """Trains a worker's shards asynchronously, on and on while other workers are lost and replaced.

    Parameters
    ----------
    context : Context
    weights : Weights
        Weights to begin from, with the optimiser's state at its beginning.
    done : int
        Rounds that the training has behind it: streams of mini-batches and schedules go on from there.
    """

    def __init__(self, context: Context, weights: Weights, done: int = 0):
        self.context = context
        self.weights = weights
        self.rounds = done
        self.adopted = True  # the weights are the master's, and have not been measured
        self.sums: dict[str, float] = {"samples": 0}
        self.measures: Measures | None = None  # of the master's weights that were adopted last
        self.staleness: list[int] = []
        self.late = 0  # messages that were too stale
        host = context.host
        spec = host.plan.spec
        lengths = [len(host.shard(number, context.beat).train) for number in host.splits]
        per_epoch = max(operations.steps(n, spec.batch or 0) for n in lengths)
        wanted = spec.sync.every * (per_epoch if spec.sync.unit == "epochs" else 1)
        self.per_round = max(1, -(-wanted // max(1, min(CHUNK, -(-wanted // 8)))))
        self.chunks = done * self.per_round
        # In chunks the stream of mini-batches is that of `average`.
        every = -(-wanted // self.per_round)
        sync = spec.sync.model_copy(update={"mode": "average", "unit": "batches", "every": every})
        self.spec = spec.with_(sync=sync)
        self.warm = done > 0 and spec.optimizer.name == "adam"

    def run(self, last: int, mesh: Mesh | None, generation: int) -> None:
        """Train until a command comes.

        Parameters
        ----------
        last : int
            Rounds after which it only waits for the command.
        mesh : Mesh or None
            Connects all workers; closed at the end. None: there is one worker.
        generation : int
            Of the worker group.
        """
        exchange = AsyncExchange(mesh) if mesh else None
        self._publish()
        self._report(generation)  # reports without a master, or in another generation, were not heard
        try:
            while not self.context.interrupted(0.0 if self.rounds < last else 0.2):
                if merged := self.context.mailbox.poll(MERGED):
                    self.weights = replace(self.weights, w=decode_as(Weights, merged).w)
                    self.adopted = True
                if self.rounds < last:
                    if self.warm:
                        self._warm()
                    self._chunk()
                    if self.chunks % self.per_round == 0:
                        self._end_round(exchange, generation)
        finally:
            if exchange:
                exchange.stop()

    def _warm(self) -> None:
        """Estimate Adam's means by now, from the gradients of some mini-batches whose steps are not kept.

        Its correction for means that begin at 0 counts all steps of the training: so late the first steps would be
        many times too long.
        """
        self.warm = False
        host, rule = self.context.host, self.spec.optimizer
        for number in host.splits:
            shard = host.shard(number, self.context.beat)
            start = Weights(0, self.weights.w, self.weights.state)
            update = step.train_shard(self.spec, start, shard, number, host.ops)
            if steps := update.sums["batches"]:
                mean, square = update.tensors["rule"]
                means = np.stack([mean / np.float32(1 - rule.beta1**steps), square / np.float32(1 - rule.beta2**steps)])
                self.weights = replace(self.weights, state={**self.weights.state, "rule": means})
                return

    def _chunk(self) -> None:
        """Train some mini-batches on each shard, and take the mean of the resulting weights."""
        host, weights = self.context.host, Weights(self.chunks, self.weights.w, self.weights.state)
        whole: Update | None = None
        for number in host.splits:
            shard = host.shard(number, self.context.beat)
            if not self.adopted and len(shard.validation):  # only weights that all share are validated
                shard = replace(shard, validation=shard.validation.take(np.arange(0)))
            self.context.beat(number, self.chunks % self.per_round / self.per_round)
            own = step.train_shard(self.spec, weights, shard, number, host.ops)
            self._add(own.sums)
            if whole is not None:
                sums, measures = sync.add_sums(whole.sums, own.sums), sync.join_measures(whole, own)
                own = replace(own, tensors=average.join(whole, own), sums=sums, measures=measures)
            whole = own
        assert whole is not None
        if self.adopted:
            self.measures = whole.measures
        state = {name: tensor for name, tensor in whole.tensors.items() if name != "w"}
        state, w = tuned.merged(self.spec, self.weights, state, whole.tensors["w"])
        self.weights = Weights(self.rounds, w, state)
        self.chunks, self.adopted = self.chunks + 1, False

    def _end_round(self, exchange: AsyncExchange | None, generation: int) -> None:
        """End a round: publish, merge what the others have published, report to the master."""
        own = wire.total_weight(self.sums)
        self.rounds += 1
        self.context.faults.round = self.rounds
        if exchange:
            fields = {"round": self.rounds, "samples": own}
            exchange.publish(wire.parts("published", fields, {"w": self.weights.w}))
            share, total = own, self.weights.w * np.float32(own)
            for message in exchange.latest().values():
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
                _, w = tuned.merged(self.spec, self.weights, {}, total / np.float32(share))
                self.weights = replace(self.weights, w=w)
        self._publish()
        self._report(generation)

    def _report(self, generation: int) -> None:
        merged, stalest = len(self.staleness), max(self.staleness, default=0)
        self.context.send(AsyncReport(generation, self.rounds, merged, sum(self.staleness), stalest, self.late))

    def _publish(self) -> None:
        """Let the master pull the present weights."""
        shards = [*self.context.host.splits]
        tensors, sums = {"w": self.weights.w}, dict(self.sums)
        update = Update("average", self.rounds, shards[0], shards[-1] + 1, tensors, sums, measures=self.measures)
        self.context.mailbox.publish({ASYNC_UPDATE: wire.encode_parts(update)})

    def _add(self, sums: dict[str, Any]) -> None:
        self.sums = sync.add_sums(self.sums, sums)
