"""Facts of a table's columns by one pass: what is missing, quantiles, levels. Those of shards join into the whole's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.tabular.column_facts import PARSE, Dates, Numbers, dates_of, numbers_of
from hdl.data.tabular.frame import Column, Frame
from hdl.data.tabular.histogram import Histogram
from hdl.data.tabular.levels import ROWS, Counter, Levels
from hdl.errors import DataError

WIDE = 256  # number columns that have histograms; of more none has one: wide data need not pay for them
HELD = 1 << 21  # numbers and dates that are counted at a time: each time costs as much as some thousand of them

Part = Numbers | Dates | Levels


@dataclass(frozen=True)
class Facts:
    """Facts of the columns of some rows.

    Attributes
    ----------
    columns : tuple of Column
    parts : tuple of Numbers, Levels or Dates
        One a column, as its kind is.

    Notes
    -----
    Numbers and dates depend on the rows alone, and so do levels while there are few (see `Levels`); with more they
    depend on how rows are cut into shards, and along the tree on nothing else. Histograms are made for at most `WIDE`
    columns of numbers.

    Examples
    --------
    >>> ages = np.array([[31.0], [np.nan], [54.5]])
    >>> facts = Facts.of(ages, [Column("age")])
    >>> facts["age"].missing, facts["age"].whole, facts["age"].histogram.median
    (1, False, 42.75)
    """

    columns: tuple[Column, ...]
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, x: np.ndarray | Frame, columns: Sequence[Column]) -> Facts:
        """Find the facts of a matrix [n, I] of numbers, or of a frame, with these columns."""
        gathering = Gathering(columns)
        gathering.put(x)
        return gathering.facts()

    def __getitem__(self, name: str) -> Any:
        """Give the facts of a column by its name."""
        return self.parts[[column.name for column in self.columns].index(name)]

    def __iter__(self) -> Iterator[tuple[Column, Any]]:
        """Go through the columns and their facts."""
        return iter(zip(self.columns, self.parts, strict=True))

    def join(self, other: Facts) -> Facts:
        """Join the facts of two parts, `self` before `other`."""
        ours, theirs = ([(column.name, column.kind) for column in part.columns] for part in (self, other))
        if ours != theirs:
            one, two = next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), (len(ours), len(theirs)))
            raise DataError(f"columns are {one} in one part of the data and {two} in another")
        parts: list[Any] = [_join(a, b) for a, b in zip(self.parts, other.parts, strict=True)]
        return Facts(self.columns, tuple(parts))

    def to_parts(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Split the facts into plain values and tensors, for the wire."""
        plain: list[dict[str, Any]] = []
        tensors: dict[str, list[np.ndarray]] = {}
        for column, part in self:
            if isinstance(part, Levels):
                values, own = part.to_parts()
            elif part.histogram is None:
                values, own = {"missing": part.missing, "whole": part.whole}, {}
            else:
                h = part.histogram
                values = {name: value for name, value in part.__dict__.items() if name != "histogram"}
                values["level"] = h.level
                own = {"keys": h.keys, "filled": h.counts, "range": np.array([h.low, h.high])}
            plain.append({"column": list(column), **values, "sizes": {name: len(own[name]) for name in own}})
            for name, tensor in own.items():
                tensors.setdefault(name, []).append(tensor)
        return {"columns": plain}, {name: np.concatenate(some) for name, some in tensors.items()}

    @classmethod
    def from_parts(cls, plain: dict[str, Any], tensors: dict[str, np.ndarray]) -> Facts:
        """Rebuild the facts from what `to_parts` made.

        Raises
        ------
        ValueError
            The parts do not fit each other.
        """
        at = dict.fromkeys(tensors, 0)
        columns, parts = [], []
        for values in plain["columns"]:
            own = {}
            for name, size in values["sizes"].items():
                if not isinstance(size, int) or size < 0 or at[name] + size > len(tensors[name]):
                    raise ValueError(f"facts with {size} more of {name}, of {len(tensors[name])}")
                own[name] = tensors[name][at[name] : at[name] + size]
                at[name] += size
            columns.append(Column(*map(str, values["column"])))
            parts.append(PARSE[columns[-1].kind](values, own))
        if any(at[name] != len(tensor) or tensor.ndim != 1 for name, tensor in tensors.items()):
            raise ValueError("facts with tensors of other lengths")
        return cls(tuple(columns), tuple(parts))


def _join(a: Any, b: Any) -> Part:
    """Join the facts of a column, whose kind both parts share."""
    return a.join(b)


class Gathering:
    """Facts of the rows that were put so far.

    Parameters
    ----------
    columns : sequence of Column
        Of all rows.

    Notes
    -----
    Memory: `HELD` numbers of 8 bytes, a histogram of at most 64 KiB a number column, and a category's levels and those
    of `ROWS` more rows: with levels of 20 bytes about 10 MB a category, at most (256 bytes) 100 MB.
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)
        at = {
            kind: [i for i, c in enumerate(self.columns) if c.kind == kind] for kind in ("number", "date", "category")
        }
        self.places = at
        self.others = [i for i, c in enumerate(self.columns) if c.kind != "number"]  # as a frame has them
        empty = Histogram.empty() if len(at["number"]) <= WIDE else None
        self.numbers = [Numbers(histogram=empty) for _ in at["number"]]
        self.dates = [Dates() for _ in at["date"]]
        self.counters = [Counter() for _ in at["category"]]
        self.held: list[np.ndarray] = []  # [K, n] each
        self.moments: list[list[pa.Array]] = []
        self.waiting = 0  # rows that are held
        self.rows = 0

    def put(self, x: np.ndarray | Frame) -> None:
        """Take rows: a matrix [n, I] of numbers, or a frame."""
        numbers = x.numbers if isinstance(x, Frame) else x
        others = dict(zip(self.others, x.others, strict=True)) if isinstance(x, Frame) else {}
        self.held.append(np.ascontiguousarray(numbers.T))
        self.moments.append([others[i] for i in self.places["date"]])
        self.waiting += len(numbers)
        if self.waiting * max(1, len(self.numbers) + len(self.dates)) >= HELD:
            self._count()
        lo = 0
        while lo < len(numbers) and self.counters:
            step = min(len(numbers) - lo, ROWS - self.rows % ROWS)
            for counter, i in zip(self.counters, self.places["category"], strict=True):
                counter.put(others[i].slice(lo, step))
            self.rows, lo = self.rows + step, lo + step
            if self.rows % ROWS == 0:
                for counter in self.counters:
                    counter.cut()

    def _count(self) -> None:
        """Count the numbers and dates that are held."""
        for j, known in enumerate(self.numbers):
            values = np.concatenate([part[j] for part in self.held])
            level = None if known.histogram is None else known.histogram.level
            self.numbers[j] = known.join(numbers_of(values, level, known.whole))
        for j, dates in enumerate(self.dates):
            arrays = [part[j] for part in self.moments]
            self.dates[j] = dates.join(dates_of(pa.concat_arrays(arrays), dates.histogram.level))
        self.held, self.moments, self.waiting = [], [], 0

    def facts(self) -> Facts:
        """Give the facts of all rows."""
        if self.held:
            self._count()
        parts: dict[str, Iterator[Any]] = {
            "number": iter(self.numbers),
            "date": iter(self.dates),
            "category": iter(counter.levels() for counter in self.counters),
        }
        return Facts(self.columns, tuple(next(parts[column.kind]) for column in self.columns))
