"""The schedule by which many workers join their updates: recursive halving and doubling along the fixed tree.

Reduce-scatter by recursive halving and all-gather by recursive doubling (Rabenseifner 2004; Thakur, Rabenseifner &
Gropp 2005, section 4.5): in each step two halves of a group exchange what the other one is to keep of the vector, so
that nearest neighbours begin, with half of it, and the two halves of all workers end, with the least. Each worker then
has one slice of the whole sum; the same steps backwards give everybody all slices.

Any number of workers: a group need not have equal halves. The workers of its second half, which is the smaller one, own
wider slices than those of the first; joined, all own equal ones, for which each cuts its own and gives what is over to
those whose slices it overlaps: one to three peers in place of one. A group is cut where the shards of its workers are
parted highest in the fixed tree, no half being more than twice the other, so that siblings meet as early as they can.

Few workers exchange directly: each is sent its slice of all updates by the others, and sends them the joined slice;
that is one step of the same kind.

All of it is a pure function of two numbers; whose shards are where does not matter to what is right, only to how many
nodes of the tree travel unjoined.

Letters: n workers, K shards, m workers of a group, a and b of its halves.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

DIRECT = 4  # workers up to whom all exchange with all in one step: few connections, and fewer waits for each other
Span = tuple[Fraction, Fraction]  # [lo, hi) of a vector, as shares of it


@dataclass(frozen=True)
class Swap:
    """Describes what a worker exchanges with a peer in a step.

    Attributes
    ----------
    peer : int
        Its place.
    sends, takes : (Fraction, Fraction) or None
        Shares of the vector: of halving; of doubling it is the other way round. None: nothing.
    """

    peer: int
    sends: Span | None
    takes: Span | None


@dataclass(frozen=True)
class Step:
    """Describes one step of a worker: two halves of a group become one.

    Attributes
    ----------
    level : int
        0: nearest neighbours; the last one joins the two halves of all workers.
    holds, keeps : (Fraction, Fraction)
        The worker's slice of the sum over its own half before, and of that over the group after the step of halving.
    swaps : tuple of Swap
    sources : tuple of int
        Peers from whom this worker takes what is not sliced: one of the other half; all in a direct exchange.
    readers : tuple of int
        Peers who take what is not sliced from this worker.
    """

    level: int
    holds: Span
    keeps: Span
    swaps: tuple[Swap, ...]
    sources: tuple[int, ...]
    readers: tuple[int, ...]


def schedule(workers: int, shards: int, direct: int = DIRECT) -> list[tuple[Step, ...]]:
    """Plan the steps of all workers, by place: see `steps`.

    Examples
    --------
    >>> [[[swap.peer for swap in step.swaps] for step in own] for own in schedule(3, 3, direct=0)]
    [[[1], [2]], [[0], [2]], [[0, 1]]]
    """
    return [steps(workers, shards, place, direct) for place in range(workers)]


@lru_cache(maxsize=2048)
def steps(workers: int, shards: int, place: int, direct: int = DIRECT) -> tuple[Step, ...]:
    """Plan the steps of one worker.

    Parameters
    ----------
    workers, shards : int
        n and K: the k-th worker is taken to have neighbouring shards from k K // n on.
    place : int
        Of the worker.
    direct : int
        Workers up to whom all exchange with all, in one step.

    Returns
    -------
    tuple of Step
        Of halving in order; of doubling in reverse. At most ceil(log2 n). The worker at place 0 ends with the slice
        that begins the vector.

    Examples
    --------
    >>> [(step.level, step.swaps[0].peer) for step in steps(4, 8, 2, direct=0)]
    [(0, 3), (1, 0)]
    """
    if workers <= direct:
        return _everybody(workers, place)
    found: list[Step] = []
    lo, hi = 0, workers
    while hi - lo > 1:
        middle = bisect(lo, hi, workers, shards)
        found.insert(0, _group(lo, middle, hi, workers, shards).step(place))
        lo, hi = (lo, middle) if place < middle else (middle, hi)
    return tuple(found)


def spans(parameters: int, workers: int, shards: int, direct: int = DIRECT) -> list[tuple[int, int]]:
    """Cut a vector into the slice [lo, hi) that each worker ends with, by place.

    Examples
    --------
    >>> spans(10, 4, 4, direct=0)
    [(0, 2), (5, 7), (2, 5), (7, 10)]
    """
    cuts = list[tuple[int, int]]([(0, 0)]) * workers
    for at, place in enumerate(owners(workers, shards, direct)):
        cuts[place] = at * parameters // workers, (at + 1) * parameters // workers
    return cuts


def owners(workers: int, shards: int, direct: int = DIRECT) -> tuple[int, ...]:
    """List the places in the order of the slices that they end with; the first one's is first."""
    return tuple(range(workers)) if workers <= direct else order(0, workers, workers, shards)


def cut(span: Span, parameters: int) -> tuple[int, int]:
    """Round a span down to numbers of a vector: spans that follow each other still do."""
    lo, hi = span
    return lo.numerator * parameters // lo.denominator, hi.numerator * parameters // hi.denominator


def peers(workers: int, shards: int, place: int, direct: int = DIRECT) -> list[int]:
    """List the peers of a worker, those of all its steps, in rising order."""
    return sorted({swap.peer for step in steps(workers, shards, place, direct) for swap in step.swaps})


@lru_cache(maxsize=8)
def parents(workers: int, shards: int, direct: int = DIRECT) -> tuple[int | None, ...]:
    """Give each worker's parent in a tree of the same groups, by place; None: of place 0, the root.

    The first worker of a group's second half is a child of the first half's first. Both are peers, and the tree is
    ceil(log2 n) deep at most.

    Examples
    --------
    >>> parents(5, 5, direct=0)
    (None, 0, 0, 0, 3)
    """
    if workers <= direct:
        return None, *[0] * (workers - 1)
    found: list[int | None] = [None] * workers
    groups = [(0, workers)]
    while groups:
        lo, hi = groups.pop()
        if hi - lo > 1:
            middle = bisect(lo, hi, workers, shards)
            found[middle] = lo
            groups += [(lo, middle), (middle, hi)]
    return tuple(found)


def bisect(lo: int, hi: int, workers: int, shards: int) -> int:
    """Compute the place at which the group [lo, hi) of workers is cut into halves.

    The first half is not the smaller one, nor more than twice the other, nor so large that the group would take more
    than ceil(log2 m) steps. Of the places that are left that one is taken at which the fixed tree over shards splits
    highest; of equal ones the most even.

    Examples
    --------
    >>> bisect(0, 8, 8, 64), bisect(0, 7, 7, 7), bisect(0, 6, 6, 64)
    (4, 4, 3)
    """
    size = hi - lo
    least = -(-size // 2)
    most = min(1 << ((size - 1).bit_length() - 1), max(least, 2 * size // 3))

    def height(place: int) -> int:
        at = place * shards // workers
        return at & -at  # the node that splits at this shard has as many below it at least

    return min(range(lo + least, lo + most + 1), key=lambda place: (-height(place), place))


@lru_cache(maxsize=4096)
def order(lo: int, hi: int, workers: int, shards: int) -> tuple[int, ...]:
    """List the workers of the group [lo, hi) in the order of the slices that they own of the group's sum.

    Those of the halves are merged by the middles of the slices that they owned before; of equal ones the first half's
    comes first.

    Examples
    --------
    >>> order(0, 4, 4, 4), order(0, 3, 3, 3)
    ((0, 2, 1, 3), (0, 2, 1))
    """
    if hi - lo == 1:
        return (lo,)
    middle = bisect(lo, hi, workers, shards)
    halves = order(lo, middle, workers, shards), order(middle, hi, workers, shards)
    a, b = map(len, halves)
    units = ((2 * k + 1) * other for half, other in zip(halves, (b, a), strict=True) for k in range(len(half)))  # 1/2ab
    return tuple(
        place for _, place in sorted(zip(units, [*halves[0], *halves[1]], strict=True), key=lambda pair: pair[0])
    )


class _Group:
    """Plans the step in which the halves [lo, middle) and [middle, hi) of a group become one."""

    def __init__(self, lo: int, middle: int, hi: int, workers: int, shards: int):
        self.lo, self.middle = lo, middle
        self.halves = order(lo, middle, workers, shards), order(middle, hi, workers, shards)
        self.owners = order(lo, hi, workers, shards)
        self.level = max(len(half) - 1 for half in self.halves).bit_length()
        self._held = {place: k for half in self.halves for k, place in enumerate(half)}
        self._kept = {place: k for k, place in enumerate(self.owners)}

    def step(self, place: int) -> Step:
        sends, takes = self._sends(place), self._takes(place)
        swaps = tuple(Swap(peer, sends.get(peer), takes.get(peer)) for peer in sorted({*sends, *takes}))
        readers = tuple(peer for peer in sorted(sends) if self._source(peer) == place)
        return Step(self.level, self._holds(place), self._keeps(place), swaps, (self._source(place),), readers)

    def _half(self, place: int) -> tuple[int, ...]:
        return self.halves[place >= self.middle]

    def _holds(self, place: int) -> Span:
        return _part(self._held[place], len(self._half(place)))

    def _keeps(self, place: int) -> Span:
        return _part(self._kept[place], len(self.owners))

    def _sends(self, place: int) -> dict[int, Span]:
        """Compute what a worker gives to whom: its slice, but for what it keeps itself."""
        mine = self._holds(place)
        return _shared(mine, [(peer, self._keeps(peer)) for peer in _over(mine, self.owners) if peer != place])

    def _takes(self, place: int) -> dict[int, Span]:
        """Compute what a worker takes from whom: of each half the slice that it is to keep, but for what it has."""
        mine = self._keeps(place)
        return _shared(
            mine, [(peer, self._holds(peer)) for half in self.halves for peer in _over(mine, half) if peer != place]
        )

    def _source(self, place: int) -> int:
        """Choose of the other half the peer from whom a worker takes most; of equal ones the first."""
        takes, other = self._takes(place), self.halves[place < self.middle]
        return max((peer for peer in other if peer in takes), key=lambda peer: takes[peer][1] - takes[peer][0])


@lru_cache(maxsize=2048)
def _group(lo: int, middle: int, hi: int, workers: int, shards: int) -> _Group:
    return _Group(lo, middle, hi, workers, shards)


def _everybody(workers: int, place: int) -> tuple[Step, ...]:
    """Plan the one step of a direct exchange: each owns the slice of its place, and is sent it by all."""
    if workers == 1:
        return ()
    others = tuple((place + step) % workers for step in range(1, workers))  # in a ring: not all turn to one at first
    mine = _part(place, workers)
    swaps = tuple(Swap(peer, _part(peer, workers), mine) for peer in others)
    return (Step(0, (Fraction(0), Fraction(1)), mine, swaps, others, others),)


def _part(at: int, of: int) -> Span:
    return Fraction(at, of), Fraction(at + 1, of)


def _over(span: Span, owners: tuple[int, ...]) -> tuple[int, ...]:
    """List the owners of equal slices that overlap a span."""
    size = len(owners)
    return owners[cut(span, size)[0] : -(-span[1].numerator * size // span[1].denominator)]


def _shared(span: Span, others: list[tuple[int, Span]]) -> dict[int, Span]:
    both = {peer: (max(span[0], lo), min(span[1], hi)) for peer, (lo, hi) in others}
    return {peer: (lo, hi) for peer, (lo, hi) in both.items() if lo < hi}
