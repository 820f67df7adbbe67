"""Sums of float64 that are exact: they depend on which numbers were added, and on no order.

A finite float64 is a whole multiple of 2^-1074, so its sum is an integer in that unit; Python's integers hold any. A
quotient of two such sums is rounded once, at its end. (Superaccumulators: Kulisch 2002; binned here by the exponent.)

Letters: n numbers, G sums.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BITS = 53  # of a float64's mantissa
UNIT = 1073 + _BITS  # numbers are held in 2^-UNIT, in which also the mantissas of the smallest are whole
_HALF = 26  # bits of the lower part of a mantissa, so that sums of 2^25 parts are exact in float64
_CHUNK = 1 << 17
_TEXT = re.compile(r"-?[0-9a-f]{1,800}p[0-9]{1,4}")
_MOST = 1 << (UNIT + 1024 + 64)  # 2^64 of the largest numbers


class Sums:
    """Exact sums of float64.

    Parameters
    ----------
    size : int
        G.

    Attributes
    ----------
    totals : list of int [G]
        The sums, in the unit 2^-UNIT.

    Examples
    --------
    >>> sums = Sums(1)
    >>> sums.add(np.array([1e300, 1.0, -1e300]))
    >>> sums.floats()
    [1.0]
    """

    def __init__(self, size: int = 1):
        self.totals = [0] * size

    def add(self, values: NDArray[np.float64], groups: NDArray[np.int64] | None = None) -> None:
        """Add finite numbers [n], to the sums of the numbers [n], or all to the first sum."""
        for low in range(0, len(values), _CHUNK):
            self._add(values[low : low + _CHUNK], None if groups is None else groups[low : low + _CHUNK])

    def _add(self, values: NDArray[np.float64], groups: NDArray[np.int64] | None) -> None:
        mantissa, exponent = np.frexp(values)
        if not np.isfinite(mantissa).all():
            raise ValueError("a number that is not finite was to be summed")
        lowest = int(exponent.min())
        bins = exponent.astype(np.int64) - lowest
        span = int(bins.max()) + 1
        if groups is not None:
            bins += groups * span
        mantissa *= 2.0 ** (_BITS - _HALF)
        upper = np.floor(mantissa)
        mantissa -= upper
        mantissa *= 2.0**_HALF
        high, low = np.bincount(bins, upper), np.bincount(bins, mantissa)
        for place in np.flatnonzero((high != 0) | (low != 0)).tolist():
            group, above = divmod(place, span)
            shift = lowest + above - _BITS + UNIT
            self.totals[group] += ((int(high[place]) << _HALF) + int(low[place])) << shift

    def count(self, counts: NDArray[np.integer]) -> None:
        """Add whole numbers [G], each to its sum."""
        for group in np.flatnonzero(counts).tolist():
            self.totals[group] += int(counts[group]) << UNIT

    def joined(self, other: Sums) -> Sums:
        """Give the sums of both's numbers; both stay as they are."""
        out = Sums(0)
        out.totals = [own + its for own, its in zip(self.totals, other.totals, strict=True)]
        return out

    @property
    def total(self) -> int:
        """The first sum, in the unit 2^-UNIT."""
        return self.totals[0]

    def floats(self) -> list[float]:
        """Give the sums, each rounded once, to the nearest float64."""
        return [ratio(total, 1 << UNIT) for total in self.totals]

    def plain(self) -> list[str]:
        """Give the sums as texts: hexadecimal digits, p, and by how many bits they are shifted."""
        return [_text(total) for total in self.totals]

    @classmethod
    def from_plain(cls, value: Any, size: int) -> Sums:
        """Read what `plain` gave of so many sums; ValueError where it is none."""
        if not isinstance(value, list) or len(value) != size:
            raise ValueError(f"sums {value!r:.80}; expected {size} of them")
        out = cls(0)
        out.totals = [_number(text) for text in value]
        return out


def ratio(above: int, below: int) -> float:
    """Divide two integers, rounded once; an infinity where the quotient is too large for a float64."""
    try:
        return above / below
    except OverflowError:
        return float("inf") if (above < 0) == (below < 0) else -float("inf")


def _text(total: int) -> str:
    shift = (total & -total).bit_length() - 1 if total else 0
    return f"{total >> shift:x}p{shift}"


def _number(text: Any) -> int:
    if not isinstance(text, str) or not _TEXT.fullmatch(text):
        raise ValueError(f"a sum {text!r:.80}; expected hexadecimal digits, p and a shift")
    digits, _, shift = text.partition("p")
    total = int(digits, 16) << int(shift)
    if abs(total) >= _MOST:
        raise ValueError(f"a sum {text!r:.80}; expected a smaller one")
    return total
