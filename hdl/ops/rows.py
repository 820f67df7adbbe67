"""Matrices of any order as rows of float32, rounded and looked at in one pass: in the compiled core, else by NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from hdl._cpu import rows as _rows
except ImportError:  # not compiled
    _rows = None


def lay(x: NDArray[np.floating], out: NDArray[np.float32] | None = None) -> bool:
    """Lay a matrix in rows of float32 where there is room for them, and tell whether all of it is finite there.

    Parameters
    ----------
    x : float32 or float64 [n, I]
        In any order.
    out : contiguous float32 [n, I], optional
        What is beyond float32's range becomes infinite. None: x is only looked at.

    Examples
    --------
    >>> out = np.empty((2, 2), np.float32)
    >>> lay(np.array([[1, 3], [2, 4]], np.float64).T, out), out.tolist()
    (True, [[1.0, 2.0], [3.0, 4.0]])
    >>> lay(np.array([[1e39]]))
    False
    """
    if _rows is not None:
        return _rows(x if x.flags.aligned else x.copy(), out)
    with np.errstate(over="ignore"):
        rounded = x.astype(np.float32, copy=False)
    if out is not None:
        out[...] = rounded
    return bool(np.isfinite(rounded).all())
