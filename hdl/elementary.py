"""Elementary functions made of IEEE operations alone, so that every machine gives the same bits.

NumPy's own sine and cosine differ in their last bit between instruction sets, and a cluster's workers must agree on
what a cell is to the net. `hdl.rng.log` is the logarithm.
"""

from __future__ import annotations

import numpy as np

from hdl.rng import log

_SIN = tuple((-1) ** k / np.prod(np.arange(1.0, 2 * k + 2)) for k in range(8))  # |angle| up to pi/4
_COS = tuple((-1) ** k / np.prod(np.arange(1.0, 2 * k + 1)) for k in range(9))


_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10  # log 2 as a sum, whose first part has few digits
_EXP = tuple(1 / np.prod(np.arange(1.0, k + 1)) for k in range(15))


def exp(x: np.ndarray) -> np.ndarray:
    """Take e^x, of |x| up to 700: 2^k·e^r with |r| up to log(2)/2, and e^r by its series.

    Examples
    --------
    >>> exp(np.array([0.0, 1.0])).round(12).tolist()
    [1.0, 2.718281828459]
    """
    k = np.rint(x / (_LN2[0] + _LN2[1]))
    return np.ldexp(_series(_EXP, (x - k * _LN2[0]) - k * _LN2[1]), k.astype(np.int32))


def power(x: np.ndarray, exponent: float) -> np.ndarray:
    """Take x^exponent of x above 0."""
    return exp(exponent * log(x))


def log1p(x: np.ndarray) -> np.ndarray:
    """Take the logarithm of 1 + x for x of at least 0, exact for small x too (Kahan's correction)."""
    above = 1 + x
    rest = above - 1
    return np.where(rest == 0, x, log(above) * (x / np.where(rest == 0, 1, rest)))


def signed_log(x: np.ndarray) -> np.ndarray:
    """Take sign(x)·log(1 + |x|): rises everywhere, and is x around 0.

    Examples
    --------
    >>> signed_log(np.array([-9.0, 0.0, 9.0])).round(6).tolist()
    [-2.302585, 0.0, 2.302585]
    """
    return np.copysign(log1p(np.abs(x)), x)


def sin_cos(turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take sine and cosine of angles in turns: of 2π·turns.

    Examples
    --------
    >>> [part.round(12).tolist() for part in sin_cos(np.array([0.25, 0.5]))]
    [[1.0, 0.0], [0.0, -1.0]]
    """
    quarter = np.rint(turns * 4)
    angle = (turns - quarter / 4) * (2 * np.pi)
    square = angle * angle
    sine, cosine = angle * _series(_SIN, square), _series(_COS, square)
    number = np.mod(quarter, 4)
    odd = (number == 1) | (number == 3)
    sin, cos = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    return np.where(number >= 2, -sin, sin) + 0.0, np.where((number == 1) | (number == 2), -cos, cos) + 0.0


def _series(terms: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    """Sum terms[k]·x^k by Horner's rule; NumPy multiplies and adds in two steps, which no machine fuses."""
    out = np.full_like(x, terms[-1])
    for term in terms[-2::-1]:
        out *= x
        out += term
    return out
