"""How many samples each shard has of each label, which decides what a stratified share of each holds out."""

from __future__ import annotations

from typing import Any

from hdl.data.labels import Labels

COUNTED = 10_000  # labels of all shards that are counted a shard

# Of each shard its samples, and of each label how many have it; None of more labels than are worth their memory.
Counts = tuple[tuple[int, tuple[tuple[Any, int], ...]], ...] | None


def of(samples: int, labels: Labels) -> Counts:
    """Count the labels of one shard.

    Examples
    --------
    >>> import numpy as np
    >>> of(3, Labels.of(np.array([1, 0, 1])))
    ((3, ((0, 1), (1, 2))),)
    """
    if labels.values is None or labels.counts is None:
        return None
    return join(((samples, tuple(zip(labels.values, labels.counts, strict=True))),))


def join(*parts: Counts) -> Counts:
    """Put the counts of shards one behind the other; None beyond a bound, which depends on all of them alone."""
    shards = tuple(shard for part in parts for shard in part or ())
    if any(part is None for part in parts):
        return None
    return shards if sum(len(own) for _, own in shards) <= COUNTED else None


def from_plain(shards: Any) -> Counts:
    """Rebuild counts from what JSON makes of them."""
    if shards is None:
        return None
    return tuple((int(n), tuple((value, int(k)) for value, k in own)) for n, own in shards)
