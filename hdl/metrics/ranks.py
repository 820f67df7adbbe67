"""The multiset of (score, class, weight) that samples of two classes make, from which all that depends on ranks comes.

A row is one key of 64 bits: those of the score, turned so that greater ones come first; those of the weight, without
its sign; the class. So rows are sorted as integers, and equal ones are counted.

Letters: n samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdl.metrics.runs import FileRun, Keys, Run, merged, run_of, streamed
from hdl.metrics.sums import Sums

PENDING = 1 << 18  # rows that wait unsorted
IN_MEMORY = 1 << 22  # distinct rows of all ranks of a task in memory, of 16 bytes; above, they go to files
MOST_COUNT = 1 << 53
_SIGN = np.uint32(0x80000000)

Kind = TypeVar("Kind", Run, FileRun)


class Rows(NamedTuple):
    """Some distinct rows, of descending scores: score float32 [n], class bool [n], weight and times float64 [n]."""

    score: NDArray[np.float32]
    positive: NDArray[np.bool_]
    weight: NDArray[np.float64]
    times: NDArray[np.float64]


class Ranks:
    """The multiset of (score, class, weight).

    Parameters
    ----------
    in_memory : int
        Distinct rows that are held in memory; more go to scratch files.

    Attributes
    ----------
    totals : Sums [2]
        Weight of the samples of class 0 and 1.

    Examples
    --------
    >>> ranks = Ranks()
    >>> ranks.add(np.array([0.5, 0.25, 0.5], np.float32), np.array([True, False, True]))
    >>> [rows.times.tolist() for rows in ranks.rows()]
    [[2.0, 1.0]]
    """

    def __init__(self, in_memory: int = IN_MEMORY):
        self.totals = Sums(2)
        self._pending: list[Keys] = []
        self._waiting = 0
        self._runs: list[Run] = []
        self._files: list[FileRun] = []
        self._in_memory, self._most_waiting = in_memory, min(PENDING, max(1, in_memory // 2))

    def add(
        self, score: NDArray[np.float32], positive: NDArray[np.bool_], weight: NDArray[np.float32] | None = None
    ) -> None:
        """Add samples: finite scores [n], whether each is of class 1 [n], and weights of at least 0 [n]."""
        if weight is None:
            high = int(np.count_nonzero(positive))
            self.totals.count(np.array([len(positive) - high, high]))
        else:
            self.totals.add(weight.astype(np.float64), positive.astype(np.int64))
        if not len(score):
            return
        self._pending.append(_keys(score, positive, weight))
        self._waiting += len(score)
        if self._waiting >= self._most_waiting:
            self._settle()

    def joined(self, other: Ranks) -> Ranks:
        """Give the multiset of both's rows; both stay as they are."""
        out = Ranks(self._in_memory)
        out.totals = self.totals.joined(other.totals)
        out._pending = self._pending + other._pending
        out._waiting = self._waiting + other._waiting
        out._runs, out._files = self._runs + other._runs, self._files + other._files
        if out._waiting >= out._most_waiting or sum(map(len, out._runs)) > out._in_memory:
            out._settle()
        return out

    def _settle(self) -> None:
        """Sort what waits, and keep runs few; where there are too many rows they go to a file."""
        if self._pending:
            self._runs.append(run_of(self._pending))
            self._pending, self._waiting = [], 0
        self._runs = _few(self._runs, merged)
        if sum(map(len, self._runs)) > self._in_memory:
            self._files.append(FileRun(streamed(self._runs)))
            self._runs = []
        self._files = _few(self._files, lambda files: FileRun(streamed(files)))

    def __len__(self) -> int:
        """Count the distinct rows, at most."""
        return self._waiting + sum(map(len, self._runs)) + sum(map(len, self._files))

    def run(self) -> Run | None:
        """Give all rows as one run; None where they are in files."""
        self._settle()
        if self._files:
            return None
        self._runs = [merged(self._runs)] if self._runs else []
        return self._runs[0] if self._runs else Run(np.empty(0, np.uint64))

    def _all(self) -> Iterator[tuple[Keys, NDArray[np.int64] | None]]:
        self.run()
        return streamed([*self._files, *self._runs])

    def rows(self) -> Iterator[Rows]:
        """Give the distinct rows in the order of descending scores, some at a time; a score's rows may be torn."""
        for keys, counts in self._all():
            positive = (keys & np.uint64(1)).astype(bool)
            weight = ((keys & np.uint64(0xFFFFFFFF)) >> np.uint64(1)).astype(np.uint32).view(np.float32)
            times = np.ones(len(keys)) if counts is None else counts.astype(np.float64)
            yield Rows(_scores(keys), positive, weight.astype(np.float64), times)

    def to_arrays(self) -> dict[str, NDArray]:
        """Give the distinct rows as arrays: `keys`, and `counts` where a row is there more than once."""
        blocks = self._all()
        if self._files:
            if len(self._files) > 1 or self._runs:
                self._files, self._runs = [FileRun(blocks)], []
            keys, counts = self._files[0].mapped()
            return {"keys": keys, "counts": counts}
        if not self._runs:
            return {"keys": np.empty(0, np.uint64)}
        run = self._runs[0]
        if run.counts is None:
            return {"keys": run.keys}
        return {"keys": run.keys, "counts": run.counts.astype(np.min_scalar_type(int(run.counts.max())))}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray], in_memory: int = IN_MEMORY) -> Ranks:
        """Read what `to_arrays` gave; ValueError where it is none."""
        keys, counts = arrays.get("keys"), arrays.get("counts")
        if keys is None or keys.dtype != np.uint64 or keys.ndim != 1 or (keys[1:] <= keys[:-1]).any():
            raise ValueError("keys of ranks that do not ascend, or no uint64 [n]")
        out = cls(in_memory)
        if counts is not None:
            if counts.dtype.kind not in "ui" or counts.shape != keys.shape:
                raise ValueError("counts of ranks that are no integers, one a key")
            if len(counts) and (int(counts.min()) < 1 or counts.astype(np.float64).sum() >= MOST_COUNT):
                raise ValueError("counts of ranks below 1, or more than there can be")
            counts = counts.astype(np.int64)
        run = Run(keys, counts)
        out._runs = [run] if len(keys) else []
        for rows in out.rows():
            if not np.isfinite(rows.score).all() or not np.isfinite(rows.weight).all():
                raise ValueError("ranks with a score that is not finite, or a weight that is none")
            if (rows.score.view(np.uint32) == _SIGN).any():
                raise ValueError("ranks with a score of -0, which is held as 0")
            low = np.mod(rows.times, 1 << 24)  # products of 24 bits and 24 are exact
            for times in (low, rows.times - low):
                out.totals.add(rows.weight * times, rows.positive.astype(np.int64))
        return out


def _few(runs: list[Kind], join: Callable[[list[Kind]], Kind]) -> list[Kind]:
    """Join runs until each is at least twice as long as the next."""
    runs = sorted(runs, key=len, reverse=True)
    while len(runs) > 1 and len(runs[-2]) < 2 * len(runs[-1]):
        runs[-2:] = [join(runs[-2:])]
        runs.sort(key=len, reverse=True)
    return runs


def _keys(score: NDArray, positive: NDArray[np.bool_], weight: NDArray[np.float32] | None) -> Keys:
    bits = (np.ascontiguousarray(score, np.float32) + np.float32(0)).view(np.uint32)  # -0 is 0
    # Ascending with the score: negative ones turned whole, others by their sign. Turned once more: descending.
    bits ^= np.where(bits >= _SIGN, np.uint32(0), np.uint32(0x7FFFFFFF))
    keys = bits.astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= positive.astype(np.uint64)
    own = np.float32(1).view(np.uint32) if weight is None else np.ascontiguousarray(weight, np.float32).view(np.uint32)
    keys |= own.astype(np.uint64) << np.uint64(1)
    return keys


def _scores(keys: Keys) -> NDArray[np.float32]:
    bits = (keys >> np.uint64(32)).astype(np.uint32)
    bits ^= np.where(bits >= _SIGN, np.uint32(0), np.uint32(0x7FFFFFFF))
    return bits.view(np.float32)
