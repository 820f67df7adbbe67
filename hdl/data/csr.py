"""Sparse rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Csr:
    """Sparse rows: row i has `data[indptr[i]:indptr[i + 1]]` in the columns `indices[...]`, ascending, from 0.

    Parameters
    ----------
    data : float32 or float64 [Z]
    indices : int32 [Z]
    indptr : int64 [N + 1]
        Starts at 0.
    columns : int
        I; every index is below it.

    Examples
    --------
    >>> rows = Csr(np.float32([5, 6]), np.int32([0, 2]), np.int64([0, 1, 2]), 3)
    >>> rows[1:].dense()
    array([[0., 0., 6.]], dtype=float32)
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.columns

    @property
    def nbytes(self) -> int:
        return self.data.nbytes + self.indices.nbytes + self.indptr.nbytes

    def __getitem__(self, rows: slice | np.ndarray) -> Csr:
        """Select rows by slice (data and indices are views) or by index or mask (copies)."""
        if isinstance(rows, slice):
            lo, hi, step = rows.indices(len(self))
            if step == 1:
                hi = max(lo, hi)
                a, b = self.indptr[lo], self.indptr[hi]
                return Csr(self.data[a:b], self.indices[a:b], self.indptr[lo : hi + 1] - a, self.columns)
        rows = np.arange(len(self))[rows]
        counts = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        take = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], counts)
        return Csr(self.data[take], self.indices[take], indptr, self.columns)

    def dense(self) -> np.ndarray:
        """Return all values [N, I], of the type of `data`."""
        out = np.zeros(self.shape, self.data.dtype)
        out[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.indices] = self.data
        return out
