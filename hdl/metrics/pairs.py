"""Some of a regression's samples for a picture: true and predicted values, drawn by themselves alone.

Of all different pairs those are kept whose 64 bits, mixed, are the smallest numbers (bottom-k sampling: Cohen & Kaplan
2007), each with how often it came. The mix is a bijection (the last step of SplitMix64: Steele, Lea & Flood 2014), so
no two pairs have the same number, and what is kept depends on the multiset of samples alone.

Letters: k pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST = 2000
_LATER = 1 << 15  # pairs that are gathered before they are cut


class Pairs:
    """Draws pairs of float32: the true value and the predicted one.

    Examples
    --------
    >>> seen = Pairs()
    >>> seen.add(np.array([1, 1, 3], np.float32), np.array([2, 2, 5], np.float32))
    >>> sorted(seen.rows().tolist())
    [[1.0, 2.0, 2.0], [3.0, 5.0, 1.0]]
    """

    def __init__(self, keys: NDArray[np.uint64] | None = None, counts: NDArray[np.int64] | None = None):
        self._keys = [np.empty(0, np.uint64) if keys is None else keys]
        self._counts = [np.empty(0, np.int64) if counts is None else counts]

    def add(self, true: NDArray[np.float32], predicted: NDArray[np.float32]) -> None:
        """Add samples [n] of finite values."""
        both = np.stack([true, predicted], axis=1).astype("<f4") + np.float32(0)  # no negative zero
        bits = np.ascontiguousarray(both, "<f4").view("<u8").ravel()
        keys, counts = np.unique(_mixed(bits), return_counts=True)
        self._keys.append(keys[:MOST])
        self._counts.append(counts[:MOST].astype(np.int64))
        if sum(map(len, self._keys)) > _LATER:
            self._cut()

    def joined(self, other: Pairs) -> Pairs:
        """Give the pairs of both's samples; both stay as they are."""
        out = Pairs()
        out._keys, out._counts = [*self._keys, *other._keys], [*self._counts, *other._counts]
        out._cut()
        return out

    def rows(self) -> NDArray[np.float64]:
        """Give true value, predicted value and count of each pair [k, 3], in the order of their draw."""
        self._cut()
        pairs = _unmixed(self._keys[0]).astype("<u8").view("<f4").reshape(-1, 2)
        return np.column_stack([pairs.astype(np.float64), self._counts[0]])

    def to_arrays(self) -> dict[str, NDArray]:
        """Give all as arrays by their names."""
        self._cut()
        return {"keys": self._keys[0].view(np.int64), "counts": self._counts[0]}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Pairs:
        """Read what `to_arrays` gave; ValueError where it is none."""
        keys, counts = arrays["keys"], arrays["counts"]
        if set(arrays) != {"keys", "counts"} or any(
            each.dtype != np.int64 or each.ndim != 1 for each in arrays.values()
        ):
            raise ValueError("pairs that are none")
        keys = keys.view(np.uint64)
        ordered = len(keys) == len(counts) <= MOST and (keys[1:] > keys[:-1]).all() and (counts > 0).all()
        found = cls(keys, counts)
        if not ordered or not np.isfinite(found.rows()).all():
            raise ValueError("pairs that are none")
        return found

    def _cut(self) -> None:
        """Keep the first pairs in the order of their mixed bits; equal ones become one."""
        if len(self._keys) == 1:
            return
        keys, places = np.unique(np.concatenate(self._keys), return_inverse=True)
        counts = np.zeros(len(keys), np.int64)
        np.add.at(counts, places, np.concatenate(self._counts))
        self._keys, self._counts = [keys[:MOST]], [counts[:MOST]]


_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # odd, so each has an inverse modulo 2^64


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = bits.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_FIRST)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_SECOND)
    return x ^ (x >> np.uint64(31))


def _unmixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = _unshifted(x, 31) * np.uint64(pow(_SECOND, -1, 1 << 64))
    x = _unshifted(x, 27) * np.uint64(pow(_FIRST, -1, 1 << 64))
    return _unshifted(x, 30)


def _unshifted(x: NDArray[np.uint64], by: int) -> NDArray[np.uint64]:
    """Undo x ^ (x >> by)."""
    out = x
    for _ in range(64 // by):
        out = x ^ (out >> np.uint64(by))
    return out
