"""A worker's rounds: it trains its shards, merges with the others, and keeps what a round done again needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hdl import optim, sync, wire
from hdl.runners.work import Host
from hdl.wire import Update, Weights
from hdl.yarn.comm.allreduce import all_gather, allreduce, reduce_scatter
from hdl.yarn.comm.faults import Faults
from hdl.yarn.comm.mailbox import Mailbox, decode_as
from hdl.yarn.comm.mesh import Mesh
from hdl.yarn.protocol import UPDATE_SLICE, RunRound, weights_name


class Rounds:
    """Keeps the weights of the last rounds and the updates that were made last.

    Parameters
    ----------
    faults : Faults
    mailbox : Mailbox
        The master pulls weights from it.
    payload : function of a name
        Waits for a payload of the present command.
    publish : function of results by name
        Publishes those that the master will pull from all workers.
    beat : function of shard and share
        Is told what is being worked on.

    Attributes
    ----------
    weights : dict of int to Weights
        By round.
    number : int
        Of the round that is being done, or was last.
    """

    def __init__(
        self, faults: Faults, mailbox: Mailbox, payload: Callable[[str], bytearray],
        publish: Callable[[dict[str, Sequence[wire.Buffer]]], None], beat: Callable[[int, float], None],
    ):  # fmt: skip
        self._faults, self._mailbox, self._payload, self._publish, self._beat = faults, mailbox, payload, publish, beat
        self.number = 0
        self.forget()

    def forget(self) -> None:
        """Forget all rounds: the data or the plan is another one."""
        self.weights: dict[int, Weights] = {}
        self._updates: tuple[tuple[int, bool], list[Update]] | None = None  # of a round, measured only or not

    def run(self, command: RunRound, host: Host, mesh: Mesh | None) -> tuple[dict[str, Any] | None, dict[str, float]]:
        """Do a round: train the host's shards, then merge with the others; `central`: publish a slice of the update.

        Parameters
        ----------
        command : RunRound
        host : Host
            Of this worker's shards.
        mesh : Mesh or None
            Of all workers; None where there is one.

        Returns
        -------
        dict or None, dict
            The row of metrics, of the first worker alone; and seconds by what they were spent on.
        """
        number, evaluate_only, began = command.round, command.evaluate_only, time.perf_counter()
        self._faults.round = self.number = number
        weights = self._weights_of(command, mesh)
        spec, updates = host.plan.spec, self._computed(weights, evaluate_only, host)
        computed = time.perf_counter()
        seconds = {name: sum(update.seconds.get(name, 0.0) for update in updates) for name in updates[0].seconds}
        size = max((tensor.shape[-1] for tensor in updates[0].tensors.values()), default=0)
        if command.central:
            own = reduce_scatter(mesh, spec, updates, size) if mesh else None
            self._publish({UPDATE_SLICE: wire.encode_parts(own or sync.complete(spec, updates))})
            row: dict[str, Any] = {}
        else:
            total = allreduce(mesh, spec, updates, size)
            merging = time.perf_counter()
            self._faults.at("merging")
            after, row = sync.advance(spec, weights, [total], evaluate_only, host.plan.schema.target_deviation)
            seconds["merge"] = time.perf_counter() - merging
            since = number if command.since is None else command.since
            self.weights = {
                n: held
                for n, held in {**self.weights, after.round: after}.items()
                if since <= n <= after.round or n in command.keep
            }
            encoded = {weights_name(n): partial(wire.encode_parts, held) for n, held in self.weights.items()}
            self._mailbox.publish(encoded)
        exchange = time.perf_counter() - computed - seconds.get("merge", 0.0)
        first = mesh is None or mesh.rank == 0
        return row if first else None, {**seconds, "compute": computed - began, "exchange": exchange}

    def _computed(self, weights: Weights, evaluate_only: bool, host: Host) -> list[Update]:
        """Compute the host's shards, but for those whose updates are there: the round is done again for a lost worker,
        some of whose shards may be the host's now.
        """
        key, shards = (weights.round, evaluate_only), [*host.splits]
        before = self._updates[1] if self._updates is not None and self._updates[0] == key else []
        there = {shard for update in before for shard in range(update.lo, update.hi)}
        if not there <= set(shards):
            before, there = [], set()
        missing = [shard for shard in shards if shard not in there]
        updates = host.round(weights, missing, evaluate_only, self._beat)
        if before:
            updates = sync.join_siblings(host.plan.spec, [*before, *updates])
        self._updates = key, updates
        return updates

    def _weights_of(self, command: RunRound, mesh: Mesh | None) -> Weights:
        """Return the round's weights: held from the round before, given whole, or in slices that the workers share."""
        if not command.given:
            return self.weights[command.round]
        content = self._payload(weights_name(command.round))
        if command.given == "slice":
            weights = _gather_slices(command.round, content, mesh)
        else:
            weights = decode_as(Weights, content)
        self.weights[command.round] = weights
        return weights


def _gather_slices(number: int, own: bytearray, mesh: Mesh | None) -> Weights:
    """Put together the weights of a line search's trial, of which each worker was given its slice."""
    _, fields, whole = wire.unpack(own)
    if mesh:
        whole = all_gather(mesh, whole, int(fields["parameters"]))
    return Weights(number, whole.get("w", whole["trial"]), optim.trying(whole["trial"]))
