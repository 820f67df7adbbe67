"""Levels of a category and how often each is there: exact while they fit, then the frequent ones within a bound."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa, pc
from hdl.data.tabular.hashing import hashes, utf8

MOST = 65_536  # levels that are counted at the same time
LONGEST = 256  # bytes of a level; longer texts are counted together
SMALLEST = 1024  # hashes that tell how many levels there are: within 3 % (one standard deviation)
ROWS = 1 << 17  # after so many rows of a shard only `MOST` levels go on

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Levels:
    """Counts of the levels of one category.

    Attributes
    ----------
    texts : pyarrow.StringArray [L]
        Levels, ascending by their UTF-8 bytes; at most `MOST`, each of at most `LONGEST` bytes.
    counts : int64 [L]
        Rows that have each level, but for up to `lost` of them.
    n, missing : int
        Rows with a level, and without one.
    lost : int
        The most by which a count is too small, and the most rows of a level that is not among `texts`. 0: all levels
        are here, each with all its rows.
    long : int
        Rows with a text of more than `LONGEST` bytes; they are in `n` and in no count.
    characters, longest : int
        Of all rows' texts together, and of the longest text.
    smallest : uint64 [at most `SMALLEST`]
        The smallest hashes of all levels, ascending; empty while nothing is lost.

    Notes
    -----
    Beyond `MOST` levels this is the sketch of Misra & Gries (1982), joined as by Agarwal et al. (2012): counts are
    added, the (M + 1)-th largest is subtracted from all, and what is not above 0 goes. With M = `MOST` counters and n
    rows, `lost` is at most n/(M + 1), whatever the order. Ties change nothing. The number of levels is told from the
    smallest hashes (Bar-Yossef et al. 2002).

    Examples
    --------
    >>> colours = pa.array(["red", "blue", None, "red"]).dictionary_encode()
    >>> levels = Levels.of(colours).join(Levels.of(colours))
    >>> levels.items(), levels.missing, levels.distinct
    ([('red', 4), ('blue', 2)], 2, 2)
    """

    texts: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    counts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    n: int = 0
    missing: int = 0
    lost: int = 0
    long: int = 0
    characters: int = 0
    longest: int = 0
    smallest: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    @classmethod
    def of(cls, array: pa.Array) -> Levels:
        """Count the levels of one array [n] of dictionary-encoded text; null is missing."""
        counter = Counter()
        for lo in range(0, len(array), ROWS):
            counter.put(array.slice(lo, ROWS))
            counter.cut()
        return counter.levels()

    @property
    def exact(self) -> bool:
        """Tell whether every level is here, with all its rows."""
        return not self.lost and not self.long

    @property
    def distinct(self) -> int:
        """Give the number of levels of at most `LONGEST` bytes: exact while nothing is lost, then estimated."""
        if not self.lost:
            return len(self.texts)
        share = (float(self.smallest[-1]) + 1) / 2.0**64
        return max(len(self.texts), round((len(self.smallest) - 1) / share))

    def items(self) -> list[tuple[str, int]]:
        """List levels and counts, the most frequent first, equal ones by their text."""
        order = np.argsort(-self.counts, kind="stable")
        return list(zip(self.texts.take(pa.array(order)).to_pylist(), self.counts[order].tolist(), strict=True))

    def join(self, other: Levels) -> Levels:
        """Count both; beyond `MOST` levels the order of joins counts: it is that of the tree."""
        texts, counts = _grouped([self.texts, other.texts], [self.counts, other.counts])
        smallest = self.smallest
        if self.lost or other.lost:
            smallest = _fewest(_hashes_of(self), _hashes_of(other))
        both = replace(
            self,
            n=self.n + other.n,
            missing=self.missing + other.missing,
            lost=self.lost + other.lost,
            long=self.long + other.long,
            characters=self.characters + other.characters,
            longest=max(self.longest, other.longest),
            smallest=smallest,
        )
        return _ordered(_reduced(replace(both, texts=texts, counts=counts)))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Split the counts into plain values and tensors, for the wire."""
        plain = {name: int(getattr(self, name)) for name in _PLAIN}
        ends, data = utf8(self.texts)
        return plain, {"text": data, "ends": ends[1:], "counts": self.counts, "smallest": self.smallest}

    @classmethod
    def from_parts(cls, plain: dict[str, Any], tensors: dict[str, np.ndarray]) -> Levels:
        """Rebuild the counts from what `to_parts` made.

        Raises
        ------
        ValueError
            The parts do not fit each other.
        """
        numbers = {name: int(plain[name]) for name in _PLAIN}
        text, ends, counts, smallest = (tensors[name] for name in ("text", "ends", "counts", "smallest"))
        if [part.dtype for part in (text, ends, counts, smallest)] != [np.uint8, np.int64, np.int64, np.uint64]:
            raise ValueError("levels with tensors of other types")
        sizes = np.diff(ends, prepend=0)
        if len(ends) > MOST or len(ends) != len(counts) or (sizes < 0).any() or (sizes > LONGEST).any():
            raise ValueError(f"{len(ends)} levels with {len(counts)} counts, or with wrong lengths")
        if len(text) != (ends[-1] if len(ends) else 0) or len(smallest) > SMALLEST or (np.diff(smallest) == 0).any():
            raise ValueError("levels with too much text, or with equal hashes")
        if min(numbers.values()) < 0 or (counts < 1).any() or int(counts.sum()) + numbers["long"] > numbers["n"]:
            raise ValueError("levels with counts that are none")
        if bool(numbers["lost"]) != bool(len(smallest)) or (smallest[1:] < smallest[:-1]).any():
            raise ValueError("levels with hashes that do not belong to them")
        buffers = [None, *(pa.py_buffer(np.ascontiguousarray(part)) for part in (_offsets(ends), text))]
        texts = pa.Array.from_buffers(pa.string(), len(ends), buffers)
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise ValueError(f"levels that are no UTF-8: {error}") from None
        if len(texts) > 1 and not pc.all(pc.less(texts[:-1], texts[1:])).as_py():
            raise ValueError("levels out of order")
        return cls(texts, np.array(counts), smallest=np.array(smallest), **numbers)


_PLAIN = ("n", "missing", "lost", "long", "characters", "longest")


class Counter:
    """Counts the levels of one category of a shard, array by array, in bounded memory.

    Whoever calls `cut` after every `ROWS` rows gets the same counts however the rows come in arrays.
    """

    def __init__(self) -> None:
        self.whole = Levels()
        self.waiting: list[tuple[pa.Array, Ints]] = []  # texts, which may be there twice, and their rows
        self.size = 0  # of the texts that wait

    def put(self, array: pa.Array) -> None:
        """Count an array [n] of dictionary-encoded text."""
        indices, texts = array.indices, array.dictionary
        there = indices.drop_null() if indices.null_count else indices
        self.whole = replace(
            self.whole, n=self.whole.n + len(there), missing=self.whole.missing + len(array) - len(there)
        )
        if not len(there):
            return
        if len(texts) <= 2 * len(there):
            counts = np.bincount(there.to_numpy(), minlength=len(texts))
        else:  # of the dictionary of a whole file a few
            found = pc.value_counts(there)
            texts, counts = texts.take(found.field(0)), found.field(1).to_numpy()
        if self.waiting and _same(self.waiting[-1][0], texts):
            self.waiting[-1][1][:] += counts
            return
        self.waiting.append((texts, counts.astype(np.int64)))
        self.size += len(texts)
        if self.size > 4 * MOST:
            self._gather()

    def cut(self) -> None:
        """Let at most `MOST` levels go on."""
        if len(self.whole.texts) + self.size > MOST:
            self._gather()
            self.whole = _reduced(self.whole)

    def levels(self) -> Levels:
        """Give what was counted since the counter was made."""
        self._gather()
        return _ordered(_reduced(self.whole))

    def _gather(self) -> None:
        """Put those that wait to the others."""
        if not self.waiting:
            return
        texts = pa.concat_arrays([text for text, _ in self.waiting])
        counts = np.concatenate([count for _, count in self.waiting])
        self.waiting, self.size, whole = [], 0, self.whole
        there = counts > 0
        if texts.null_count:
            empty = np.asarray(texts.is_null())
            lacking = int(counts[empty].sum())
            whole = replace(whole, n=whole.n - lacking, missing=whole.missing + lacking)
            there &= ~empty
        if not there.all():
            texts, counts = texts.filter(pa.array(there)), counts[there]
        size, width = (function(texts).to_numpy() for function in (pc.binary_length, pc.utf8_length))
        short = size <= LONGEST
        if not short.all():
            texts, kept = texts.filter(pa.array(short)), counts[short]
        else:
            kept = counts
        together, total = _grouped([whole.texts, texts], [whole.counts, kept])
        self.whole = replace(
            whole,
            texts=together,
            counts=total,
            characters=whole.characters + int(np.dot(width.astype(np.int64), counts)),
            longest=max(whole.longest, int(width.max(initial=0))),
            long=whole.long + int(counts[~short].sum()),
            smallest=_fewest(whole.smallest, hashes(texts)) if whole.lost else whole.smallest,
        )


def _same(a: pa.Array, b: pa.Array) -> bool:
    """Tell whether two dictionaries are surely the same, without a long look."""
    if len(a) != len(b):
        return False
    places = [[part.offset, *(buffer and buffer.address for buffer in part.buffers())] for part in (a, b)]
    return places[0] == places[1] or (len(a) <= 1024 and a.equals(b))


def _grouped(texts: list[pa.Array], counts: list[Ints]) -> tuple[pa.Array, Ints]:
    """Add the counts of equal texts."""
    encoded = pc.dictionary_encode(pa.concat_arrays(texts))
    # float64 adds whole numbers exactly up to 2^53
    total = np.bincount(encoded.indices.to_numpy(), np.concatenate(counts), len(encoded.dictionary))
    return encoded.dictionary, total.astype(np.int64)


def _reduced(levels: Levels) -> Levels:
    """Subtract the (M + 1)-th largest count from all, if there are so many, and drop what is not above 0."""
    surplus = len(levels.texts) - MOST
    if surplus <= 0:
        return levels
    smallest = levels.smallest if levels.lost else _fewest(hashes(levels.texts))
    less = _ascending(levels.counts, surplus - 1)
    rest = levels.counts > less
    texts, counts = levels.texts.filter(pa.array(rest)), levels.counts[rest] - less
    return replace(levels, texts=texts, counts=counts, lost=levels.lost + less, smallest=smallest)


def _ascending(counts: Ints, rank: int) -> int:
    """Find the count of a rank, from 0; of a million levels most are there a few times."""
    few = np.bincount(np.minimum(counts, 4096))
    found = int(np.searchsorted(np.cumsum(few), rank, "right"))
    return found if found < 4096 else int(np.partition(counts, rank)[rank])


def _ordered(levels: Levels) -> Levels:
    """Sort the levels by their bytes."""
    order = pc.sort_indices(levels.texts)
    return replace(levels, texts=levels.texts.take(order), counts=levels.counts[order.to_numpy()])


def _hashes_of(levels: Levels) -> NDArray[np.uint64]:
    return levels.smallest if levels.lost else hashes(levels.texts)


def _fewest(*parts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Give the smallest different hashes of some."""
    some = np.concatenate(parts)
    if len(parts[0]) == SMALLEST and parts[0].dtype == np.uint64:  # most others are above
        some = some[some <= parts[0].max()]
    return np.unique(some)[:SMALLEST]


def _offsets(ends: Ints) -> NDArray[np.int32]:
    return np.concatenate([[0], ends]).astype(np.int32)
