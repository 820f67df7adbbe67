"""Models of one layer of codes in NumPy: up to the codes, and down to reconstructions.

Letters: B samples of a mini-batch, n samples asked for, I inputs, H hidden units, P parameters.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from hdl.ops.base import check_weights
from hdl.ops.reference.base import BLOCK, Reference, all_of
from hdl.ops.types import Progress, Result, Samples


class OneLayerReference(Reference):
    """An autoencoder's or RBM's outputs and codes; the subclass has its units."""

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute reconstructions [n, I] of what was not corrupted; the cost is Σ ½‖r − x‖² and nothing else."""
        check_weights(self.spec, samples)
        order = all_of(samples, order)
        out, total = np.empty((len(order), self.layout.outputs), w.dtype), Result(samples=len(order))
        for start in range(0, len(order), BLOCK):
            x = self._inputs(samples, order[start : start + BLOCK], w.dtype)
            r = out[start : start + BLOCK] = self.down(w, self.up(w, x))
            total.cost += float(0.5 * ((r - x) ** 2).sum())
        return out, total

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Compute codes [n, H] of what was not corrupted."""
        check_weights(self.spec, samples)
        order = all_of(samples, order)
        out = np.empty((len(order), self.layout.widths[1]), w.dtype)
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            out[start : start + BLOCK] = self.up(w, self._inputs(samples, block, w.dtype))
        return out

    @abstractmethod
    def up(self, w: NDArray, x: NDArray) -> NDArray:
        """Compute codes [B, H] of x [B, I]."""

    @abstractmethod
    def down(self, w: NDArray, codes: NDArray) -> NDArray:
        """Compute reconstructions [B, I] of codes [B, H]."""
