"""Histogram of any real numbers in bounded memory: quantiles that join and depend on the set of values alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa, pc

BINS = 4096  # at level 52 a bin is a power of two, and finite float64 of both signs have 4,094 of these
MOST = 52  # the level that is never passed
FIRST = 8192  # values whose level spares the others a search at full precision
_MAGNITUDE = np.int64(2**63 - 1)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts float64 values in bins of adaptive width.

    A value's key is its bit pattern as an integer, turned so that keys are ordered as the values are. A bin of level L
    holds the 2^L neighbouring float64 whose keys agree but for their last L bits. The level is the smallest at which
    at most `BINS` bins are filled: at level 0 every value is held exactly.

    Attributes
    ----------
    level : int
        From 0 (exact) to 52.
    keys : int64 [B]
        Of the filled bins, ascending: keys of their values, shifted to the right by `level`.
    counts : int64 [B]
        Values in each bin, at least 1.
    low, high : float
        The least and the greatest value, exact; NaN without values.

    Notes
    -----
    Whatever is added only fills more bins at a level, so the level of a union is at least that of its parts, and the
    result depends on the values alone: not on their order, nor on blocks, shards or who joined what.

    Error: the histogram's order statistics lie in the bin of the true ones, which is at most 2^(level − 52) times as
    wide as the magnitude of its values: none at level 0, and 1/64 at level 46, which ten million normally distributed
    values need. Columns on one side of zero, or far from it, have finer bins. Inside a bin values are taken to be
    evenly spread; those of zero's bin are taken to be 0, which they are to within 2^-1022.

    Examples
    --------
    >>> values = np.random.default_rng(0).permutation(np.arange(1.0, 100_001.0))
    >>> whole = Histogram.of(values[:70_000]).join(Histogram.of(values[70_000:]))
    >>> whole.n, whole.level, round(float(whole.quantile(0.25)))
    (100000, 44, 25001)
    """

    level: int
    keys: Ints
    counts: Ints
    low: float = np.nan
    high: float = np.nan

    @classmethod
    def empty(cls) -> Histogram:
        """Make the histogram of no values."""
        return cls(0, np.empty(0, np.int64), np.empty(0, np.int64))

    @classmethod
    def of(cls, values: Floats, level: int = 0) -> Histogram:
        """Count values.

        Parameters
        ----------
        values : float64 [n]
            Finite; −0.0 counts as 0.0.
        level : int
            One that the result needs anyway, because what it will be joined with has it: spares time.
        """
        # part by part: what the first ones need, all need, and coarse keys are counted fast
        whole, at, size = replace(cls.empty(), level=level), 0, FIRST
        while at < len(values):
            whole = whole.join(_counted(values[at : at + size], whole.level))
            at, size = at + size, size * 4
        return whole

    @property
    def n(self) -> int:
        """Count the values."""
        return int(self.counts.sum())

    @property
    def exact(self) -> bool:
        """Tell whether every value is held exactly."""
        return self.level == 0

    @property
    def distinct(self) -> int:
        """Count the filled bins: different values if `exact`, else at most as many."""
        return len(self.keys)

    def join(self, other: Histogram) -> Histogram:
        """Count the values of both."""
        level = max(self.level, other.level)
        keys = np.concatenate([part.keys >> (level - part.level) for part in (self, other)])
        counts = np.concatenate([self.counts, other.counts])
        order = np.argsort(keys, kind="stable")  # merges two ascending runs
        keys, counts = _summed(keys[order], counts[order])
        more = _shift(keys)
        if more:
            keys, counts = _summed(keys >> more, counts)
        low, high = np.fmin(self.low, other.low), np.fmax(self.high, other.high)
        return Histogram(level + more, keys, counts, float(low), float(high))

    def ends(self) -> tuple[Floats, Floats]:
        """Give the least and the greatest value that each bin can hold, float64 [B]."""
        low = _values(self.keys << self.level)
        high = _values(((self.keys + 1) << self.level) - 1)
        high[self.keys == 0] = 0.0  # zeros, which are many, and not the subnormal numbers of their bin, which are none
        return np.maximum(low, self.low), np.maximum(np.minimum(high, self.high), self.low)

    def ranked(self, ranks: Ints) -> Floats:
        """Give the values of some ranks, counted from 0 in ascending order.

        Parameters
        ----------
        ranks : int64 [R]
            From 0 to n − 1.

        Returns
        -------
        float64 [R]
        """
        after = np.cumsum(self.counts)
        bins = np.searchsorted(after, ranks, "right")
        low, high = (end[bins] for end in self.ends())
        count = self.counts[bins]
        place = (ranks - (after[bins] - count) + 0.5) / count
        values = low + (high - low) * place
        return np.where(ranks == 0, self.low, np.where(ranks == self.n - 1, self.high, values))

    def quantile(self, q: float | Floats) -> Floats:
        """Estimate quantiles, between two values linearly as `numpy.quantile` does.

        Parameters
        ----------
        q : float or float64 [Q]
            From 0 to 1.

        Returns
        -------
        float64, of the shape of q
            NaN without values.
        """
        shares = np.asarray(q, np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"quantiles {q}: expected numbers from 0 to 1")
        if not self.n:
            return np.full(shares.shape, np.nan)
        place = shares.ravel() * (self.n - 1)
        rank = np.minimum(np.floor(place).astype(np.int64), self.n - 1)
        low, high = self.ranked(rank), self.ranked(np.minimum(rank + 1, self.n - 1))
        share = place - rank
        out = low * (1 - share) + high * share  # a difference could overflow
        return np.clip(np.where(share == 0, low, out), low, high).reshape(shares.shape)

    @property
    def median(self) -> float:
        """Estimate the median; NaN without values."""
        return float(self.quantile(0.5))

    def cdf(self, values: Floats) -> Floats:
        """Estimate which share of the values is at most as great as each of some others.

        Parameters
        ----------
        values : float64 [n]

        Returns
        -------
        float64 [n]
        """
        values = np.asarray(values, np.float64)
        if not self.n:
            return np.full(values.shape, np.nan)
        low, high = self.ends()
        before = np.concatenate([[0], np.cumsum(self.counts)])
        bins = np.maximum(np.searchsorted(low, values, "right") - 1, 0)
        width = high[bins] - low[bins]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            inside = np.where(width > 0, (values - low[bins]) / width, 1.0)
        share = (before[bins] + self.counts[bins] * np.clip(inside, 0, 1)) / self.n
        return np.where(values < self.low, 0.0, np.where(values >= self.high, 1.0, share))

    def edges(self, bins: int) -> Floats:
        """Cut the values into bins of about equal counts, as piecewise linear encoding does (Gorishniy et al. 2022).

        Parameters
        ----------
        bins : int
            How many are wanted; values that are there very often make them fewer.

        Returns
        -------
        float64 [at most bins + 1]
            Ascending, each only once, from the least value to the greatest; of one different value that value alone.
        """
        return np.unique(self.quantile(np.linspace(0, 1, bins + 1))) if self.n else np.empty(0)

    def check(self) -> Histogram:
        """Return the histogram itself, after one look at parts that came from elsewhere.

        Raises
        ------
        ValueError
            The parts do not fit each other.
        """
        if not 0 <= self.level <= MOST or self.keys.shape != self.counts.shape or self.keys.ndim != 1:
            raise ValueError(
                f"a histogram of level {self.level} with {self.keys.shape} keys, {self.counts.shape} counts"
            )
        if len(self.keys) > BINS or (self.counts < 1).any() or (self.keys[1:] <= self.keys[:-1]).any() or self.n < 0:
            raise ValueError(f"a histogram with {len(self.keys)} keys, unordered or with counts that are none")
        ends = np.array([self.low, self.high])
        if not len(self.keys):
            if not np.isnan(ends).all():
                raise ValueError("a histogram of no values with a least one")
        elif (
            not np.isfinite(ends).all() or ends[0] > ends[1] or (_keys(ends) >> self.level != self.keys[[0, -1]]).any()
        ):
            raise ValueError(f"a histogram with ends {self.low} and {self.high} outside of its bins")
        return self


def _counted(values: Floats, level: int) -> Histogram:
    """Count some values at a level, however many bins they fill."""
    keys = _keys(values)
    first, last = keys.min(), keys.max()
    low, high = _values(np.array([first, last])).tolist()
    keys >>= level
    first, last = int(first) >> level, int(last) >> level
    if last - first < 4 * len(keys):
        return Histogram(level, *_filled(keys, first), low, high)
    if first < 0 <= last and level:  # between the signs there may be a gap
        parts = keys[keys < 0], keys[keys >= 0]
        spans = [(int(part.min()), int(part.max())) for part in parts]
        if sum(end - start for start, end in spans) < 4 * len(keys):
            counted = [_filled(part, start) for part, (start, _) in zip(parts, spans, strict=True)]
            different, counts = (np.concatenate(part) for part in zip(*counted, strict=True))
            return Histogram(level, different, counts, low, high)
    # Arrow's hash table is the fastest for few different keys, and gives them in the order of their coming
    table = pc.value_counts(pa.array(keys))
    different, counts = (table.field(i).to_numpy() for i in range(2))
    order = np.argsort(different)
    return Histogram(level, different[order], counts[order].astype(np.int64), low, high)


def _filled(keys: Ints, first: int) -> tuple[Ints, Ints]:
    """Count keys that are close together, the least being `first`: different ones, ascending, and their counts."""
    found = np.bincount(keys - first)
    filled = np.flatnonzero(found)
    return filled + first, found[filled].astype(np.int64)


def _keys(values: Floats) -> Ints:
    """Turn values into integers of the same order; −0.0 and 0.0 are both 0."""
    bits = (np.ascontiguousarray(values, np.float64) + 0.0).view(np.int64)
    return bits ^ ((bits >> 63) & _MAGNITUDE)


def _values(keys: Ints) -> Floats:
    """Turn keys back into values."""
    return (keys ^ ((keys >> 63) & _MAGNITUDE)).view(np.float64)


def _summed(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Add the counts of equal keys; they are in ascending order."""
    if not len(keys):
        return keys, counts
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return (keys, counts) if len(first) == len(keys) else (keys[first], np.add.reduceat(counts, first))


def _shift(keys: Ints) -> int:
    """Find the fewest last bits without which at most `BINS` of some ascending, different keys are different."""
    if len(keys) <= BINS:
        return 0
    differ = (keys[1:] ^ keys[:-1]).view(np.uint64)
    leading = differ & ~(differ >> np.uint64(1))  # keeps the first bit, and float64 cannot round it up
    bits = np.frexp(leading.astype(np.float64))[1]
    above = len(bits) - np.cumsum(np.bincount(bits, minlength=65))
    return int(np.flatnonzero(1 + above <= BINS)[0])
