"""Joins of arrays along a tree, each number read and written once: in the compiled core, else by NumPy, equally.

A sum is a + b, a mean a + (b - a)·share, every operation rounded to float32: the bytes do not depend on who computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

try:
    from hdl._cpu import join as _join
except ImportError:  # not compiled
    _join = None

PAIR = (0, 1, -1)


def join(
    arrays: Sequence[NDArray], program: Sequence[int], shares: Sequence[float] | None = None, out: NDArray | None = None
) -> NDArray:
    """Joins arrays of one shape along a tree, in one pass over their memory.

    Parameters
    ----------
    arrays : list of ndarray
        float32; their last axis should be contiguous.
    program : list of int
        The tree in postfix order: numbers of arrays, and -1, which joins the last two.
    shares : list of float, optional
        Of each joint, as float32: the second one's part in the mean. Without, arrays add up.
    out : ndarray, optional
        For the result; may be one of the arrays.

    Examples
    --------
    >>> a, b, c = (np.full(2, number, np.float32) for number in (1, 3, 10))
    >>> join([a, b, c], [0, 1, -1, 2, -1])
    array([14., 14.], dtype=float32)
    >>> join([a, b], PAIR, [0.25])
    array([1.5, 1.5], dtype=float32)
    """
    first = arrays[0]
    plain = all(array.dtype == np.float32 and array.shape == first.shape for array in arrays)
    if _join is None or not plain or first.ndim > 2:
        found = _by_numpy(arrays, program, shares)
        return found if out is None else _copied(out, found)
    if out is None:
        out = np.empty(first.shape, np.float32)
    if all(array.flags.c_contiguous for array in (*arrays, out)):
        _join([array.reshape(-1) for array in arrays], program, shares, out.reshape(-1))
    else:  # slices of the rule's vectors
        for rows in zip(out, *arrays, strict=True):
            _join(rows[1:], program, shares, rows[0])
    return out


def add(a: NDArray, b: NDArray) -> NDArray:
    """Computes a + b."""
    return join([a, b], PAIR)


def mean(a: NDArray, b: NDArray, share: float) -> NDArray:
    """Computes a + (b - a)·share, with one rounding an operation, so the same on every machine."""
    return join([a, b], PAIR, [share])


def _by_numpy(arrays: Sequence[NDArray], program: Sequence[int], shares: Sequence[float] | None) -> NDArray:
    waiting: list[NDArray] = []
    left = iter(shares or ())
    for step in program:
        if step >= 0:
            waiting.append(arrays[step])
            continue
        b, a = waiting.pop(), waiting.pop()
        if shares is None:
            waiting.append(a + b)
        else:
            out = b - a
            out *= np.float32(next(left))
            out += a
            waiting.append(out)
    (found,) = waiting
    return found


def _copied(out: NDArray, found: NDArray) -> NDArray:
    out[...] = found
    return out
