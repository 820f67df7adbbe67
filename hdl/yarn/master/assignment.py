"""Assigns shards to workers: evenly, and with as few moves as can be.

The sum follows shards, so who has which changes no byte of the weights; it decides what has to be read again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hdl.runners.base import groups


def assign(claims: Mapping[int, Sequence[int]], shards: int) -> dict[int, list[int]]:
    """Share all shards out among some workers, so that no two differ by more than one.

    Parameters
    ----------
    claims : mapping of int to sequence of int
        By worker, the shards that it has; of a shard that two claim the first one keeps it.
    shards : int
        How many there are: at least one a worker.

    Returns
    -------
    dict of int to list of int
        By worker, in the order of the claims. A worker keeps what it claims up to its share; what is left over goes to
        who has its nearest relatives in the tree over shards, since it sends siblings as one.

    Examples
    --------
    >>> assign({0: [], 1: []}, 4)
    {0: [0, 1], 1: [2, 3]}
    >>> assign({0: [0], 1: [1]}, 4)  # two others are gone
    {0: [0, 3], 1: [1, 2]}
    >>> assign({0: [0, 3], 1: [1, 2], 2: []}, 4)  # one has come
    {0: [0, 3], 1: [1], 2: [2]}
    """
    held: dict[int, list[int]] = {}
    taken: set[int] = set()
    for worker, claimed in claims.items():
        held[worker] = sorted({shard for shard in claimed if 0 <= shard < shards} - taken)
        taken.update(held[worker])
    if not taken:
        return {worker: [*own] for worker, own in zip(held, groups(shards, len(held)), strict=True)}
    least, more = divmod(shards, len(held))
    by_size = sorted(held, key=lambda worker: -len(held[worker]))  # who has most keeps one more than the others
    share = {worker: least + (place < more) for place, worker in enumerate(by_size)}
    for worker, own in held.items():
        taken.difference_update(own[share[worker] :])
        del own[share[worker] :]
    for shard in sorted(set(range(shards)) - taken):
        room = [worker for worker, own in held.items() if len(own) < share[worker]]
        held[min(room, key=lambda worker: _distance(shard, held[worker], shards))].append(shard)
    return {worker: sorted(own) for worker, own in held.items()}


def _distance(shard: int, held: Sequence[int], shards: int) -> tuple[int, int]:
    """Tell how far a shard is from the nearest that a worker has: up the tree to the node over both, then in number."""
    return min((((shard ^ other).bit_length(), abs(shard - other)) for other in held), default=(shards.bit_length(), 0))
