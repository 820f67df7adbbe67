"""hdl's own exchange as a schedule of the simulation: made by the very functions that the workers go by."""

from __future__ import annotations

from collections.abc import Iterator

from hdl import sync
from hdl.sync import schedule
from hdl.yarn.comm.allreduce import SMALL
from tests.bench.scaling.schedules import Listed, Send


def halving(n: int, shards: int, size: int, small: int = SMALL, direct: int = schedule.DIRECT) -> Listed:
    """Plan recursive halving and doubling over workers with neighbouring shards; up to `direct`, all among all.

    An update of at most `small` bytes goes whole, and is joined on the way (recursive doubling). Siblings of the fixed
    tree are joined wherever they meet; what does not join yet travels side by side, so that a message has the bytes of
    each node of the tree that its sender holds.
    """
    return Listed(n, _transfers(n, shards, size, small, direct))


def _transfers(n: int, shards: int, size: int, small: int, direct: int) -> Iterator[tuple[int, int, Send]]:
    deepest = (n - 1).bit_length()
    for place in range(n):
        halves = [(place, place + 1)] if n <= direct else _halves(n, shards, place)
        for (lo, hi), step in zip(halves, schedule.steps(n, shards, place, direct), strict=True):
            nodes = covered(lo * shards // n, hi * shards // n, shards)
            if size <= small:
                for peer in step.readers:
                    yield step.level, place, Send(peer, nodes * size, True)
                continue
            for swap in step.swaps:
                if swap.sends:
                    yield step.level, place, Send(swap.peer, nodes * _length(swap.sends, size), True)
                if swap.takes:  # backwards: what was taken of the sum is given back whole
                    yield 2 * deepest - 1 - step.level, place, Send(swap.peer, _length(swap.takes, size), False)


def _halves(n: int, shards: int, place: int) -> list[tuple[int, int]]:
    """List the groups of workers that a worker's is joined from, the smallest first."""
    found, (lo, hi) = list[tuple[int, int]](), (0, n)
    while hi - lo > 1:
        middle = schedule.bisect(lo, hi, n, shards)
        lo, hi = (lo, middle) if place < middle else (middle, hi)
        found.insert(0, (lo, hi))
    return found


def _length(span: schedule.Span, size: int) -> int:
    lo, hi = schedule.cut(span, size // 4)
    return 4 * (hi - lo)


def covered(lo: int, hi: int, shards: int) -> int:
    """Count the fewest nodes of the fixed tree that hold the shards [lo, hi).

    Examples
    --------
    >>> covered(0, 4, 8), covered(3, 5, 8), covered(4, 7, 7)
    (1, 2, 1)
    """

    def count(low: int, high: int) -> int:
        if high <= lo or hi <= low:
            return 0
        if lo <= low and high <= hi:
            return 1
        middle = sync.split(low, high)
        return count(low, middle) + count(middle, high)

    return count(0, shards)
