"""Sums of float64 that are exact: they depend on which numbers were added, and on no order.

A finite float64 is a whole multiple of 2^-1074, so its sum is an integer in a small enough unit; Python's integers hold
any. Of many numbers the upper bits are split off, so few that float64 adds them without rounding in any order, then the
next ones, until nothing is left (Rump, Ogita & Oishi 2008, "Accurate floating-point summation"). A quotient of two sums
is rounded once, at its end.

Letters: n numbers, G sums.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNIT = 1126  # sums are held in 2^-UNIT, in which also the 53 bits of a mantissa of the smallest numbers are whole
_CHUNK = 1 << 14  # numbers that are split together, in the processor's cache
_FAR = 2.0**900  # beyond, and below its inverse, numbers are scaled before they are split
_SCALED = 200  # bits
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

    def _add(self, values: NDArray[np.float64], groups: NDArray[np.int64] | None, shift: int = UNIT) -> None:
        """Add some numbers in the unit of the sums times 2^shift."""
        most = max(float(values.max()), -float(values.min()))
        if not math.isfinite(most):
            raise ValueError("a number that is not finite was to be summed")
        if most > _FAR:
            far = np.abs(values) > _FAR
            self._add(values[far] * 2.0**-_SCALED, None if groups is None else groups[far], shift + _SCALED)
            values = np.where(far, 0.0, values)
            most = max(float(values.max()), -float(values.min()))
        # Sums of n numbers below 2^e, each a multiple of 2^(e + room - 52), are exact if 2^room is 2·n or more.
        room = (2 * len(values)).bit_length()
        while most:
            if most < 1 / _FAR:
                values, most, shift = values * 2.0**_SCALED, most * 2.0**_SCALED, shift - _SCALED
            magnet = math.ldexp(1.0, math.frexp(most)[1] + room)
            upper = values + magnet
            upper -= magnet
            values = values - upper
            if groups is None:
                self.totals[0] += _whole(float(upper.sum()), shift)
            else:
                for group, total in enumerate(np.bincount(groups, upper).tolist()):
                    if total:
                        self.totals[group] += _whole(total, shift)
            most = max(float(values.max()), -float(values.min()))

    def count(self, counts: NDArray[np.integer]) -> None:
        """Add whole numbers [G], each to its sum."""
        for group in np.flatnonzero(counts).tolist():
            self.totals[group] += int(counts[group]) << UNIT

    def increase(self, totals: Iterable[int]) -> None:
        """Add sums [G] in their unit, each to its own."""
        self.totals = [own + its for own, its in zip(self.totals, totals, strict=True)]

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


def _whole(value: float, shift: int) -> int:
    """Give value·2^shift, which is whole."""
    mantissa, exponent = math.frexp(value)
    bits = exponent - 53 + shift
    whole = int(mantissa * 2.0**53)
    return whole << bits if bits >= 0 else whole >> -bits


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
