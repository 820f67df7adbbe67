"""Numbers of any type and order as rows of float32, rounded and looked at in one pass: by the core, else by NumPy.

Letters: n samples, I columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

try:
    from hdl._cpu import NUMBERS as TYPES
    from hdl._cpu import rows as _rows
except ImportError:  # not compiled
    _rows = None
    TYPES = frozenset(map(np.dtype, ("float32", "float64", "uint8", "bool", "int32", "int64")))


class Numbers:
    """Numbers [n, I] where they lie, of which the core reads what it needs: nothing is copied.

    Parameters
    ----------
    parts : sequence of ndarray [n, ...] or [n]
        Matrices, or single columns, side by side.

    Examples
    --------
    >>> x = Numbers([np.zeros((2, 3)), np.arange(2)])
    >>> x.shape, x[:1].shape, x.readable
    ((2, 4), (1, 4), True)
    """

    def __init__(self, parts: Sequence[NDArray]):
        self.parts = tuple(parts)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.parts[0]), sum(part.shape[1] if part.ndim == 2 else 1 for part in self.parts)

    @property
    def kinds(self) -> set[np.dtype]:
        """The types that they have."""
        return {part.dtype for part in self.parts}

    @property
    def readable(self) -> bool:
        """Tell whether the core reads all of them where they lie."""
        return self.kinds <= TYPES and all(part.flags.aligned for part in self.parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: slice) -> Numbers:
        return Numbers([part[rows] for part in self.parts])


def lay(x: NDArray | Numbers, out: NDArray[np.float32] | None = None) -> bool:
    """Lay numbers in rows of float32 where there is room for them, and tell whether all of them are finite there.

    Parameters
    ----------
    x : ndarray [n, I] or Numbers
        Of types of `TYPES`, in any order.
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
    lying = x.parts if isinstance(x, Numbers) else (x,)
    parts = [part if part.flags.aligned else part.copy() for part in lying]
    if _rows is not None:
        return _rows(parts, out)
    finite, column = True, 0
    for part in parts:
        part = part.reshape(len(part), -1)
        with np.errstate(over="ignore"):  # what float32 cannot hold is a double before, as in the core
            wide = part.astype(np.float64) if part.dtype.itemsize > 4 else part
            rounded = wide.astype(np.float32, copy=False)
        if out is not None:
            out[:, column : column + part.shape[1]] = rounded
        column += part.shape[1]
        finite &= bool(np.isfinite(rounded).all())
    return finite
