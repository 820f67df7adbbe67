"""Updates of all shards as one, made by the workers among themselves along the fixed tree over shard numbers.

Reduce-scatter by recursive halving and all-gather by recursive doubling, as `hdl.sync.schedule` plans them: in each
step a worker joins the nodes of the tree that it holds with those that come (`sync.join_siblings`), on the part of
the parameters that it keeps. What joins with what follows from shard numbers alone, so the bytes are the local runner's
for any number of workers and whoever has which shards.

Traffic: where each worker's shards are a node of the tree (shards and workers match, or each worker's shards are
siblings), it sends 2(n-1)/n of the update's bytes, and receives as many; each further node that it holds, and that
finds no sibling in the first steps, adds up to (n-1)/n. An update that is small, or joins by shard and not number by
number (`genetic`, chains), goes whole, by recursive doubling: as many steps as one of the two has.

Letters: n workers, P parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hdl import sync, wire
from hdl.errors import WorkerError
from hdl.spec import Spec
from hdl.sync.schedule import Span, cut
from hdl.wire import Buffer, Tensors, Update
from hdl.yarn.comm.mesh import Mesh

SMALL = 256 << 10  # bytes of an update that goes whole: below, twice as many steps cost more than the bytes


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
        Bytes up to which they go whole.

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
        return sync.complete(spec, _whole(mesh, spec, updates))
    own = reduce_scatter(mesh, spec, updates, parameters)
    # An empty slice may begin where the first one does, and have the measures too.
    measures = None if mesh.rank else own.measures
    return replace(own, tensors=all_gather(mesh, own.tensors, parameters), measures=measures)


def reduce_scatter(mesh: Mesh, spec: Spec, updates: Sequence[Update], parameters: int) -> Update:
    """Join the updates of all shards on the slice that this worker owns, by recursive halving."""
    held = list(updates)
    mesh.begin()
    for step in mesh.steps:
        (lo, hi), kept = cut(step.holds, parameters), cut(step.keeps, parameters)
        outgoing = {
            swap.peer: [wire.encode_parts(_sliced(update, lo, cut(swap.sends, parameters))) for update in held]
            for swap in step.swaps
            if swap.sends
        }
        takes = {swap.peer: cut(swap.takes, parameters)[0] for swap in step.swaps if swap.takes}
        received = mesh.step(f"halving{step.level}", outgoing, [*takes], reuse=True)
        mine = max(lo, kept[0]), min(hi, kept[1])
        pieces = [(mine[0], _sliced(update, lo, mine)) for update in held] if mine[0] <= mine[1] else []
        pieces += [(takes[peer], update) for peer, messages in received.items() for update in _updates(messages)]
        held = sync.join_siblings(spec, _put_together(pieces, kept[1] - kept[0]))
    total = sync.complete(spec, held)
    # What joins nothing passes through as it came; the next exchange would overwrite it.
    return replace(total, tensors={name: np.array(tensor) for name, tensor in total.tensors.items()})


def all_gather(mesh: Mesh, tensors: Mapping[str, NDArray], parameters: int) -> Tensors:
    """Put vectors together of which each worker owns a slice, by recursive doubling: the steps of halving in reverse.

    Parameters
    ----------
    mesh : Mesh
    tensors : mapping of str to array [..., slice]
        The same names, types and first axes on all workers.
    parameters : int
        P, the length of the last axis.

    Returns
    -------
    dict of str to array [..., P]
    """
    whole = {name: np.empty((*tensor.shape[:-1], parameters), tensor.dtype) for name, tensor in tensors.items()}
    rows = [(name, row) for name in sorted(whole) for row in np.ndindex(whole[name].shape[:-1])]
    lo, hi = cut(mesh.steps[-1].keeps, parameters)
    for name, tensor in tensors.items():
        whole[name][..., lo:hi] = tensor

    def parts(span: Span) -> list[memoryview]:
        lo, hi = cut(span, parameters)
        return [whole[name][row][lo:hi].view(np.uint8).data for name, row in rows]

    mesh.begin()
    for step in reversed(mesh.steps):
        outgoing = {swap.peer: [[part] for part in parts(swap.takes)] for swap in step.swaps if swap.takes}
        into = {swap.peer: parts(swap.sends) for swap in step.swaps if swap.sends}
        mesh.step(f"doubling{step.level}", outgoing, [*into], into=into)
    return whole


def _whole(mesh: Mesh, spec: Spec, updates: Sequence[Update]) -> list[Update]:
    """Give every worker all updates, joined on the way, by recursive doubling.

    What they measured goes to the first worker alone, who tells of the round: each hands it on to its parent.
    """
    held, measuring = list(updates), True
    mesh.begin()
    for step in mesh.steps:
        measured = any(update.measures is not None for update in held)
        bare = [replace(update, measures=None) for update in held] if measured else held
        without = [wire.encode_parts(update) for update in bare]
        outgoing = dict.fromkeys(step.readers, without)
        if mesh.parent in step.readers:
            if measured:
                outgoing[mesh.parent] = [wire.encode_parts(update) for update in held]
            measuring = False
        received = mesh.step(f"doubling{step.level}", outgoing, step.sources)
        held = sync.join_siblings(
            spec, [*(held if measuring else bare), *(update for each in received.values() for update in _updates(each))]
        )
    return held


def _sliced(update: Update, lo: int, span: tuple[int, int]) -> Update:
    """Slice an update, of which this worker has the numbers from `lo` on, to a span of all of them."""
    return sync.slice_update(update, span[0] - lo, span[1] - lo)


def _put_together(pieces: Sequence[tuple[int, Update]], length: int) -> list[Update]:
    """Put the nodes of the tree together whose slices came from several peers; each piece has its beginning beside it.

    Raises
    ------
    WorkerError
        A node has another length.
    """
    nodes: dict[tuple[int, int], list[tuple[int, Update]]] = {}
    for begin, update in pieces:
        nodes.setdefault((update.lo, update.hi), []).append((begin, update))
    found = []
    for parts in nodes.values():
        ordered = [update for _, update in sorted(parts, key=lambda part: part[0])]
        node = sync.concatenate_updates(ordered) if len(ordered) > 1 else ordered[0]
        if lengths := {tensor.shape[-1] for tensor in node.tensors.values()} - {length}:
            raise WorkerError(f"a slice of shards [{node.lo}, {node.hi}) has {min(lengths)} numbers; expected {length}")
        found.append(node)
    return found


def _updates(messages: Iterable[Buffer]) -> list[Update]:
    updates = [wire.decode(message) for message in messages]
    if not all(isinstance(update, Update) for update in updates):
        raise WorkerError("a peer sent something that is no update")
    return updates  # type: ignore[return-value]
