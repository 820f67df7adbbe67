"""Blocks of samples as readers give them, and the count of bad records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.csr import Csr
from hdl.data.tabular.frame import Frame
from hdl.errors import DataError

OVERFLOW = 2.0**128 - 2.0**103  # from here on, float64 rounds to an infinite float32
PLACES = 20  # bad records remembered by place; the others are only counted


@dataclass
class Block:
    """Some consecutive samples as a reader gives them.

    Attributes
    ----------
    x : uint8, float32 or float64 [n, I], Csr, or Frame
        float64 where the files hold more than float32 can; whoever keeps samples rounds. Of a table NaN says that a
        value is missing, and a `Frame` holds columns that are no numbers.
    y : None, int64 [n], uint64 [n], float64 [n], bool [n], object [n] (text, as written), or float32 [n, O] (targets)
    where : function of a row number
        Keyword arguments of DataError that say where row i came from (file and line, or offset).
    weight, offset : float64 [n] or None
        As the columns that the options name have them.
    kept : pyarrow.RecordBatch [n] or None
        Columns that predictions carry over.
    rows : int64 [n] or None
        Number of each row among all records of its split, bad ones too. None: all of them follow the last block's.
    seen : int or None
        Records of the split up to the end of this block, bad ones behind its last row too. None: its last row is the
        last record.
    held : bool [n] or None
        Which rows are held out of training; None: none are by what a row itself says.
    lost : (int64 [m], pyarrow.RecordBatch [m]) or None
        Of rows that were dropped as bad: their numbers, and the columns that predictions carry over all the same.
    """

    x: Any
    y: Any
    where: Callable[[int], dict[str, Any]]
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    kept: Any = None
    rows: np.ndarray | None = None
    seen: int | None = None
    lost: tuple[np.ndarray, Any] | None = None
    held: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def none(cls, seen: int) -> Block:
        """Makes a block without rows: all records of the split since the last block, up to `seen` of them, are bad."""
        return cls(np.empty((0, 0), np.float32), None, lambda i: {}, rows=np.empty(0, np.int64), seen=seen)

    def keep(self, mask: np.ndarray, lose: bool = True) -> Block:
        """Keeps the rows where `mask` [n] is true; what is carried over of the others is `lost`, unless told not to."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        kept = self.take(rows, lambda i: self.where(int(rows[i])))
        lost = self._dropped(np.flatnonzero(~mask)) if lose else self.lost
        return replace(kept, seen=self.seen, lost=lost)

    def _dropped(self, rows: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Gives the numbers and kept columns of rows that are dropped, and of those that were before."""
        if self.kept is None or self.rows is None:
            return self.lost
        numbers, kept = self.rows[rows], self.kept.take(rows)
        if self.lost is None:
            return numbers, kept
        return np.concatenate([self.lost[0], numbers]), joined(self.lost[1], kept)

    def after(self, count: int) -> Block:
        """Numbers the rows on after so many records of the split."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        seen = len(self) if self.seen is None else self.seen
        lost = None if self.lost is None else (self.lost[0] + count, self.lost[1])
        return replace(self, rows=rows + count, seen=seen + count, lost=lost)

    def slice(self, lo: int, hi: int) -> Block:
        """Takes the rows [lo, hi)."""
        return self.take(slice(lo, hi), lambda i: self.where(lo + i))

    def take(self, rows: Any, where: Callable[[int], dict[str, Any]]) -> Block:
        """Takes rows by a slice or by their numbers."""
        x, y, weight, offset, numbers, held = (
            None if part is None else part[rows]
            for part in (self.x, self.y, self.weight, self.offset, self.rows, self.held)
        )
        kept = self.kept
        if kept is not None:
            kept = kept.slice(rows.start, rows.stop - rows.start) if isinstance(rows, slice) else kept.take(rows)
        return Block(x, y, where, weight, offset, kept, numbers, held=held)


def joined(first: Any, second: Any) -> Any:
    """Puts the rows of a record batch behind those of another one of the same columns."""
    arrays = [pa.concat_arrays([a, b]) for a, b in zip(first.columns, second.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=first.schema)


@dataclass
class Bad:
    """Counts bad records: up to `limit` are skipped, the next one is raised.

    The limit is the dataset's: a reader that has only a shard raises when the shard alone passes it, and
    `Summary.join` adds the counts, so that `fit` refuses a dataset whose shards together pass it.
    """

    limit: int = 0
    count: int = 0
    places: list[str] = field(default_factory=list)
    unlabelled: int = 0  # rows without a label, which are dropped and are not bad
    dropped: int = 0  # rows that miss a number, where the model leaves these out
    unseen: dict[str, int] = field(default_factory=dict)  # by column, cells with a level that training had not seen

    def add(self, error: DataError) -> None:
        """Counts one bad record, or raises its error."""
        if self.limit == 0:
            raise error
        self.count += 1
        if len(self.places) < PLACES:
            self.places.append(str(error))
        if self.count > self.limit:
            raise self.overflow()

    def overflow(self) -> DataError:
        """Makes the error of a dataset with more bad records than it may have."""
        listed = "".join(f"\n  {place}" for place in self.places)
        return DataError(f"{self.count} bad records, expected at most {self.limit} (max_bad_records):{listed}")


def finite(block: Block, bad: Bad, names: Sequence[str] | None = None, table: bool = False) -> Block:
    """Drops the rows of a block that hold NaN, infinity or what float32 cannot hold, and gives each to `bad`.

    Of a table NaN is a missing value.
    """
    good: Any = np.ones(len(block), bool)
    sparse = isinstance(block.x, Csr)
    values = block.x.data if sparse else block.x.numbers if isinstance(block.x, Frame) else block.x
    if values.dtype != np.uint8 and not fits_float32(values):
        if table and values.dtype.kind == "f":
            values = np.where(np.isnan(values), 0, values)
        if sparse:
            good[np.searchsorted(block.x.indptr, np.flatnonzero(~_finite(values)), "right") - 1] = False
        else:
            good = _finite(values).all(axis=1)
    y = block.y
    if y is not None and y.dtype.kind == "f":
        good &= np.isfinite(y) if y.ndim == 1 else np.isfinite(y).all(axis=1)
    for i in np.flatnonzero(~good):
        row = block.x[i : i + 1].dense()[0] if sparse else values[i]
        wrong = np.flatnonzero(~_finite(row))
        if len(wrong):
            name, value = f"{names[wrong[0]]!r}" if names else wrong[0] + 1, row[wrong[0]]
            what = f"feature {name} is {value}; expected a finite {'float32 ' if np.isfinite(value) else ''}number"
        else:
            what = "the label is NaN or infinite; expected a finite number"
        bad.add(DataError(what, **block.where(int(i))))
    return block.keep(good)


def _finite(values: np.ndarray) -> np.ndarray:
    """Tells which values are finite, also as float32."""
    return np.isfinite(values) if values.dtype != np.float64 else np.abs(values) < OVERFLOW


def fits_float32(values: np.ndarray) -> bool:
    """Tell whether all values of a float array are finite, and of float64 also within float32's range."""
    # NaN is neither below nor above anything; two passes by vectors, and no array of flags
    return not values.size or bool(float(values.max()) < OVERFLOW and float(values.min()) > -OVERFLOW)
