"""Encoded rows of a table: numbers, and of each category the one input that is 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.data.csr import Csr


@dataclass(frozen=True)
class Mixed:
    """Rows of I inputs, of which K are numbers, and each of C categories has one input that is 1, or none.

    Parameters
    ----------
    numbers : float32 [N, K]
        The first K inputs.
    codes : int32 [N, C]
        Of each category the number of its input, in [K, I), or -1 for none. Category c owns the inputs that follow
        those of category c - 1, so that codes rise along a row.
    columns : int
        I.

    Examples
    --------
    >>> rows = Mixed(np.float32([[5], [6]]), np.int32([[2, 3], [1, -1]]), 5)
    >>> rows.dense()
    array([[5., 0., 1., 1., 0.],
           [6., 1., 0., 0., 0.]], dtype=float32)
    >>> rows[1:].csr().indices
    array([0, 1], dtype=int32)
    """

    numbers: np.ndarray
    codes: np.ndarray
    columns: int

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.columns

    @property
    def nbytes(self) -> int:
        return self.numbers.nbytes + self.codes.nbytes

    def __getitem__(self, rows: Any) -> Mixed:
        return Mixed(self.numbers[rows], self.codes[rows], self.columns)

    def csr(self) -> Csr:
        """Return the same rows as sparse ones; the numbers are there whatever they are."""
        n, k = self.numbers.shape
        indices = np.hstack([np.broadcast_to(np.arange(k, dtype=np.int32), (n, k)), self.codes])
        data = np.hstack([self.numbers, np.ones(self.codes.shape, np.float32)])
        there = indices >= 0
        indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))]).astype(np.int64)
        return Csr(data[there], indices[there], indptr, self.columns)

    def dense(self) -> np.ndarray:
        """Return all inputs, float32 [N, I]."""
        return self.csr().dense()
