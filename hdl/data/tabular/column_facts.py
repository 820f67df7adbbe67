"""Facts of one column, of numbers or of dates: what is missing, and a histogram of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.tabular.histogram import Histogram
from hdl.data.tabular.levels import Levels

DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Numbers:
    """Facts of a column of numbers: cells `missing`, whether all others are `whole` numbers, and their `histogram`."""

    missing: int = 0
    whole: bool = True
    histogram: Histogram | None = None

    def join(self, other: Numbers) -> Numbers:
        """Join the facts of both parts."""
        return Numbers(
            self.missing + other.missing, self.whole and other.whole, _joined(self.histogram, other.histogram)
        )


@dataclass(frozen=True)
class Dates:
    """Facts of a column of dates.

    Attributes
    ----------
    missing : int
    low, high : int or None
        The first and the last moment, in microseconds since 1970 UTC; None without any.
    times : bool
        Whether any is not midnight.
    histogram : Histogram
        Of these microseconds, as float64.
    """

    missing: int = 0
    low: int | None = None
    high: int | None = None
    times: bool = False
    histogram: Histogram = Histogram.empty()  # noqa: RUF009, frozen

    @property
    def n(self) -> int:
        """Count the dates that are there."""
        return self.histogram.n

    def join(self, other: Dates) -> Dates:
        """Join the facts of both parts."""
        lows, highs = ([e for e in ends if e is not None] for ends in ((self.low, other.low), (self.high, other.high)))
        return Dates(
            self.missing + other.missing,
            min(lows, default=None),
            max(highs, default=None),
            self.times or other.times,
            self.histogram.join(other.histogram),
        )


def _histogram(values: dict[str, Any], own: dict[str, np.ndarray]) -> Histogram:
    low, high = own["range"].tolist()
    if (own["keys"].dtype, own["filled"].dtype, own["range"].dtype) != (np.int64, np.int64, np.float64):
        raise ValueError("a histogram with tensors of other types")
    return Histogram(int(values["level"]), np.array(own["keys"]), np.array(own["filled"]), low, high).check()


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"a count of {value!r}")
    return value


def _numbers(values: dict[str, Any], own: dict[str, np.ndarray]) -> Numbers:
    return Numbers(_count(values["missing"]), bool(values["whole"]), _histogram(values, own) if own else None)


def _dates(values: dict[str, Any], own: dict[str, np.ndarray]) -> Dates:
    low, high = (None if values[end] is None else int(values[end]) for end in ("low", "high"))
    dates = Dates(_count(values["missing"]), low, high, bool(values["times"]), _histogram(values, own))
    if (low is None, high is None) != (not dates.n,) * 2 or (low or 0) > (high or 0):
        raise ValueError(f"{dates.n} dates from {low} to {high}")
    return dates


PARSE: dict[str, Any] = {"number": _numbers, "date": _dates, "category": Levels.from_parts}


def _joined(a: Histogram | None, b: Histogram | None) -> Histogram | None:
    return None if a is None or b is None else a.join(b)


def numbers_of(values: np.ndarray, level: int | None, whole: bool = True) -> Numbers:
    """Find the facts of numbers [n].

    Parameters
    ----------
    level : int or None
        At least of the histogram, see `Histogram.of`; None: without one.
    whole : bool
        False where it is known that not all are whole numbers.
    """
    present = values[~np.isnan(values)] if values.dtype.kind == "f" and np.isnan(values.sum()) else values
    whole = whole and (values.dtype.kind != "f" or bool((np.floor(present) == present).all()))
    histogram = None if level is None else Histogram.of(present.astype(np.float64, copy=False), level)
    return Numbers(len(values) - len(present), whole, histogram)


def dates_of(moments: pa.Array, level: int) -> Dates:
    """Find the facts of moments [n] in microseconds; `level` is at least the histogram's, see `Histogram.of`."""
    there = moments.drop_null() if moments.null_count else moments
    values = there.cast(pa.int64()).to_numpy()
    if not len(values):
        return Dates(len(moments), histogram=Histogram.of(np.empty(0), level))
    times = bool((values % DAY).any())
    histogram = Histogram.of(values.astype(np.float64), level)
    return Dates(len(moments) - len(values), int(values.min()), int(values.max()), times, histogram)
