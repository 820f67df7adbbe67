"""Raw rows of a table: numbers as one matrix, every other column as an Arrow array.

Every format's reader gives the same: a number is float64 and NaN where it is missing; a category is its text, a date a
moment of UTC in microseconds, and both are null where they are missing. So a model that was trained on one format
answers another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hdl.arrow import pa

KINDS = ("number", "category", "date")


@cache
def category_type() -> pa.DataType:
    """Return Arrow's type of a category: its text, each level once."""
    return pa.dictionary(pa.int32(), pa.string())


@cache
def date_type() -> pa.DataType:
    """Return Arrow's type of a moment of UTC."""
    return pa.timestamp("us")


def type_of(kind: str) -> pa.DataType | None:
    """Return Arrow's type of a kind of column; None of numbers, which are a matrix."""
    return {"category": category_type, "date": date_type}[kind]() if kind != "number" else None


def value_type(kind: str) -> pa.DataType:
    """Return Arrow's type of one value of a kind of column, as keys of folders and filters have it."""
    return {"number": pa.float64, "category": pa.string, "date": date_type}[kind]()


class Column(NamedTuple):
    """A feature's column: its name, its kind (one of `KINDS`), and by what that is known: type, values or flag."""

    name: str
    kind: str = "number"
    by: str = "type"


@dataclass(frozen=True)
class Frame:
    """Raw rows of some columns.

    Parameters
    ----------
    numbers : float32 or float64 [n, K]
        The columns of kind number, in their order; NaN where a value is missing.
    others : sequence of pyarrow.Array [n]
        All other columns, in their order, each of its kind's type (see `type_of`); null where a value is missing.
    columns : sequence of Column
        All of them, in the order of the table.

    Examples
    --------
    >>> colours = pa.array(["red", None]).dictionary_encode()
    >>> frame = Frame(np.array([[1.0], [2.0]]), (colours,), (Column("size"), Column("colour", "category")))
    >>> frame.shape, frame[np.array([1])]["colour"].to_pylist()
    ((2, 2), [None])
    """

    numbers: np.ndarray
    others: Sequence[pa.Array]
    columns: Sequence[Column]

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), len(self.columns)

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + sum(array.nbytes for array in self.others)

    def __getitem__(self, rows: Any) -> Any:
        """Select rows by slice (views), by index or by mask (copies), or one column by its name."""
        if isinstance(rows, str):
            return self._column(rows)
        if isinstance(rows, slice):
            lo, hi, step = rows.indices(len(self))
            if step == 1:
                others = [array.slice(lo, max(0, hi - lo)) for array in self.others]
                return Frame(self.numbers[lo:hi], others, self.columns)
        index = np.arange(len(self))[rows]
        taken = pa.array(index)
        return Frame(self.numbers[index], [array.take(taken) for array in self.others], self.columns)

    def _column(self, name: str) -> Any:
        """Give a column: an Arrow array, or of a number its float values [n]."""
        number = other = 0
        for column in self.columns:
            if column.name == name:
                return self.numbers[:, number] if column.kind == "number" else self.others[other]
            number, other = (number + 1, other) if column.kind == "number" else (number, other + 1)
        raise KeyError(name)


def concatenated(frames: Sequence[Frame]) -> Frame:
    """Put frames of the same columns one after another."""
    if len(frames) == 1:
        return frames[0]
    first = frames[0]
    others = []
    for arrays in zip(*(frame.others for frame in frames), strict=True):
        chunked = pa.chunked_array(list(arrays))
        if pa.types.is_dictionary(chunked.type):
            chunked = chunked.unify_dictionaries()
        whole = chunked.combine_chunks()
        others.append(whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks))
    return Frame(np.concatenate([frame.numbers for frame in frames]), others, first.columns)
