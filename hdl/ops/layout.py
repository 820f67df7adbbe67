"""Where a dense network's parameters lie in one flat vector.

Letters: L layers, I inputs and O outputs of a layer, P all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in the flat vector [P]: W_l [I, O] row-major, then b_l [O], layer after layer.

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
        """Of W_l and b_l, for each layer."""
        result, at = [], 0
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            result.append((at, at + inputs * outputs))
            at += (inputs + 1) * outputs
        return tuple(result)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum((inputs + 1) * outputs for inputs, outputs in zip(self.widths, self.widths[1:], strict=False))

    @property
    def names(self) -> tuple[str, ...]:
        """W1, b1, W2, b2, …"""
        return tuple(f"{letter}{layer}" for layer in range(1, len(self.widths)) for letter in "Wb")

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """The layers' (W [I, O], b [O]) as views of the flat vector w [P]."""
        return [
            (w[at : at + inputs * outputs].reshape(inputs, outputs), w[bias : bias + outputs])
            for (at, bias), inputs, outputs in zip(self.offsets, self.widths, self.widths[1:], strict=False)
        ]

    @cached_property
    def mask(self) -> NDArray[np.float32]:
        """[P]: 1 at weights, 0 at biases, which no regulariser touches."""
        mask = np.zeros(self.size, np.float32)
        for weights, _ in self.split(mask):
            weights[:] = 1
        mask.flags.writeable = False
        return mask
