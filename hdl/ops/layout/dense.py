"""Layouts of dense networks: where parameters lie in one flat vector.

Letters: L layers, I inputs and O outputs of a layer, K numbers, P all parameters, Q statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Maps each layer to its place in the flat vector [P]: W_l [I, O] row-major, then b_l [O], layer after layer.

    Parameters
    ----------
    widths : tuple of int [L + 1]
        Inputs and outputs included.

    Examples
    --------
    >>> layout = Layout((4, 3, 2))
    >>> layout.size, layout.names
    (23, ('W1', 'b1', 'W2', 'b2'))
    >>> [part.shape for part in layout.split(np.zeros(23))[0]]
    [(4, 3), (3,)]
    """

    widths: tuple[int, ...]

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Return the offsets of W_l and b_l, for each layer."""
        result, at = [], 0
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            result.append((at, at + inputs * outputs))
            at += (inputs + 1) * outputs
        return tuple(result)

    @property
    def size(self) -> int:
        """Count the parameters: P."""
        return sum((inputs + 1) * outputs for inputs, outputs in zip(self.widths, self.widths[1:], strict=False))

    @property
    def encoder(self) -> int:
        """Count the numbers of the first layer's weights and biases, which come first."""
        return (self.widths[0] + 1) * self.widths[1]

    @property
    def outputs(self) -> int:
        """Count the numbers that `forward` gives of a sample."""
        return self.widths[-1]

    @property
    def statistics(self) -> int:
        """Count the sums Q that `Operations.gradient` gives: P, and those that `combine` needs beside."""
        return self.size

    def combine(self, sums: NDArray, samples: float) -> tuple[NDArray, float]:
        """Turn the statistics [Q] of all samples into the gradient [P] and a cost that is no sum over samples.

        Both are sums: the mean is taken by the caller. `sums` is left as it is.
        """
        return sums, 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Name the parameters: W1, b1, W2, b2, …"""
        return tuple(f"{letter}{layer}" for layer in range(1, len(self.widths)) for letter in "Wb")

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """Split w into the layers' (W [I, O], b [O]), views of the flat vector w [P]."""
        return [
            (w[at : at + inputs * outputs].reshape(inputs, outputs), w[bias : bias + outputs])
            for (at, bias), inputs, outputs in zip(self.offsets, self.widths, self.widths[1:], strict=False)
        ]

    def tables(self, w: NDArray) -> list[NDArray]:
        """Split w into the tables [levels, d] of embedded categories, views: there are none."""
        return []

    @cached_property
    def mask(self) -> NDArray[np.float32]:
        """Mark weights [P]: 1 at weights, 0 at biases and tables of embeddings, which no regulariser touches."""
        mask = np.zeros(self.size, np.float32)
        for weights, _ in self.split(mask):
            weights[:] = 1
        mask.flags.writeable = False
        return mask


@dataclass(frozen=True)
class EmbeddingLayout(Layout):
    """E_c [levels, d] of each category, then W_l, b_l as of a network whose first inputs are numbers and vectors.

    A level's vector is an input wherever its code occurs (Guo & Berkhahn 2016). No regulariser touches the tables: a
    penalty would pull the vectors of rare levels to 0 between any two of their samples.

    Parameters
    ----------
    widths : tuple of int [L + 1]
        Beginning with the numbers and all levels, as the data has them.
    numbers : int
        K, of the inputs.
    embeddings : tuple of (levels, d)
        Of each category.

    Examples
    --------
    >>> layout = EmbeddingLayout((7, 3, 1), 2, ((5, 2),))
    >>> layout.dense, layout.size, layout.names
    ((4, 3, 1), 29, ('E1', 'W1', 'b1', 'W2', 'b2'))
    >>> layout.tables(np.zeros(29))[0].shape
    (5, 2)
    """

    numbers: int = 0
    embeddings: tuple[tuple[int, int], ...] = ()

    @cached_property
    def dense(self) -> tuple[int, ...]:
        """Return the widths of the layers above the tables: numbers and vectors, hidden layers, outputs."""
        return (self.numbers + sum(d for _, d in self.embeddings), *self.widths[1:])

    @cached_property
    def embedded(self) -> int:
        """Count the numbers of all tables, which come first."""
        return sum(levels * d for levels, d in self.embeddings)

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        return tuple((self.embedded + w, self.embedded + b) for w, b in Layout(self.dense).offsets)

    @property
    def size(self) -> int:
        return self.embedded + Layout(self.dense).size

    @property
    def encoder(self) -> int:
        return self.embedded + (self.dense[0] + 1) * self.dense[1]

    @cached_property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Return the first input of each category, and the one after its last."""
        ends = np.cumsum([self.numbers, *(levels for levels, _ in self.embeddings)]).tolist()
        return tuple(pairwise(ends))

    @property
    def names(self) -> tuple[str, ...]:
        tables = tuple(f"E{category}" for category in range(1, len(self.embeddings) + 1))
        return (*tables, *Layout(self.dense).names)

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """Split w into the layers' (W, b) above the tables, views."""
        return Layout(self.dense).split(w[self.embedded :])

    def tables(self, w: NDArray) -> list[NDArray]:
        """Split w into the tables E_c [levels, d], views."""
        ends = np.cumsum([levels * d for levels, d in self.embeddings])
        return [w[end - rows * d : end].reshape(rows, d) for end, (rows, d) in zip(ends, self.embeddings, strict=True)]

    def expand(self, w: NDArray) -> NDArray:
        """Make the matrix [I, K + Σ d] that turns inputs as the data has them into those of the first layer."""
        matrix = np.zeros((self.widths[0], self.dense[0]), w.dtype)
        matrix[: self.numbers, : self.numbers] = np.eye(self.numbers)
        row = column = self.numbers
        for table in self.tables(w):
            matrix[row : row + len(table), column : column + table.shape[1]] = table
            row, column = row + len(table), column + table.shape[1]
        return matrix
