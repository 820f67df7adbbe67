"""Updates of all shards as one, made by the workers among themselves.

Reduce-scatter and all-gather over slices of the parameters: rank r owns the r-th of n equal slices, is sent that slice
of every update, joins them along the fixed tree over shard numbers (`sync.whole`) and sends the result to all. The tree
does not know of ranks, so the bytes are the local runner's for any number of workers.

Traffic: where each worker holds one node of the tree (shards and workers match, or each worker's shards are siblings),
it sends and receives 2(n-1)/n of the update's bytes; each further node that it holds adds (n-1)/n. An update that is
small, or joins by shard and not number by number (`genetic`, chains), goes whole to everybody: one exchange instead of
two, n-1 times the bytes.

Letters: n workers, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hdl import sync, wire
from hdl.errors import WorkerError
from hdl.spec import Spec
from hdl.wire import Buffer, Update
from hdl.yarn.comm.mesh import Mesh

SMALL = 256 << 10  # bytes of an update that go whole to everybody: below, two exchanges cost more than the bytes


def slices(parameters: int, size: int) -> list[tuple[int, int]]:
    """Cut the parameters into the slice [lo, hi) that each rank owns.

    Examples
    --------
    >>> slices(10, 4)
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    return [(rank * parameters // size, (rank + 1) * parameters // size) for rank in range(size)]


def allreduce(mesh: Mesh | None, spec: Spec, updates: Sequence[Update], parameters: int, small: int = SMALL) -> Update:
    """Join the updates of all shards, on every worker.

    Parameters
    ----------
    mesh : Mesh or None
        None: this worker has all shards.
    spec : Spec
    updates : list of Update
        Of this worker's shards, joined as far as they are siblings.
    parameters : int
        P, or the statistics that stand for them.
    small : int
        Bytes up to which they go whole to everybody.

    Returns
    -------
    Update
        What the shards measured is in that of rank 0 alone.

    Raises
    ------
    PeerLost
    SyncError
        Shards are missing.
    """
    if mesh is None:
        return sync.complete(spec, updates)
    if not sync.separable(spec) or parameters * 4 <= small or updates[0].mode == "evaluate":
        return sync.complete(spec, _shared(mesh, updates))
    own = reduce_scatter(mesh, spec, updates, parameters)
    pieces = {mesh.rank: own}
    for message in mesh.share([wire.parts("slice", {"rank": mesh.rank}, own.tensors)], reuse=True):
        _, fields, tensors = _unpacked(message, "slice")
        pieces[fields["rank"]] = _like(own, tensors)
    if sorted(pieces) != list(range(mesh.size)):
        raise WorkerError(f"slices of ranks {sorted(pieces)}; expected all of {mesh.size}")
    return sync.concatenate_updates([pieces[rank] for rank in range(mesh.size)])


def reduce_scatter(mesh: Mesh, spec: Spec, updates: Sequence[Update], parameters: int) -> Update:
    """Join the updates of all shards on the slice that this worker owns."""
    spans = slices(parameters, mesh.size)
    outgoing = {
        rank: [wire.encode_parts(sync.slice_update(update, *spans[rank])) for update in updates]
        for rank in range(mesh.size)
        if rank != mesh.rank
    }
    mine = [sync.slice_update(update, *spans[mesh.rank]) for update in updates]
    total = sync.complete(spec, [*mine, *_updates(mesh.exchange(outgoing, reuse=True))])
    # What joins nothing passes through as it came; the next exchange would overwrite it.
    return replace(total, tensors={name: np.array(tensor) for name, tensor in total.tensors.items()})


def _shared(mesh: Mesh, updates: Sequence[Update]) -> list[Update]:
    """Give every worker all updates; what they measured goes to the first one alone, who tells of the round."""
    bare = [replace(update, measures=None) for update in updates]
    whole, without = ([wire.encode_parts(update) for update in some] for some in (updates, bare))
    outgoing = {rank: without if rank else whole for rank in range(mesh.size) if rank != mesh.rank}
    return [*(bare if mesh.rank else updates), *_updates(mesh.exchange(outgoing))]


def _updates(messages: Iterable[Buffer]) -> list[Update]:
    updates = [wire.decode(message) for message in messages]
    if not all(isinstance(update, Update) for update in updates):
        raise WorkerError("a peer sent something that is no update")
    return updates  # type: ignore[return-value]


def _unpacked(message: Buffer, expected: str) -> tuple[str, dict[str, Any], Any]:
    kind, fields, tensors = wire.unpack(message)
    if kind != expected:
        raise WorkerError(f"a peer sent {kind[:40]!r}; expected {expected!r}")
    return kind, fields, tensors


def _like(update: Update, tensors: Any) -> Update:
    """Copy an update's fields to another slice, but for its measures, of which the first slice has those of all."""
    return replace(update, tensors=tensors, measures=None)
