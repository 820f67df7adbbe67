"""The loop over mini-batches in NumPy, which all models share.

It computes in the type of the weights it is given: float64 weights give float64 results.

Letters: B samples of a mini-batch, I inputs, O outputs, P parameters, C chains.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted, NonFinite
from hdl.ops import tuning
from hdl.ops.base import Operations, check_chains, check_weights
from hdl.ops.schedule import steps
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples

BLOCK = 8192  # samples of one forward pass


class Reference(Operations):
    """The operations of one model in NumPy; a subclass has its gradient.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    """

    platform = "reference"

    def train(
        self,
        w: NDArray,
        state: NDArray,
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> Result:
        """Take mini-batch steps over `order`: see `Operations.train`."""
        check_chains(self.spec, chains)
        check_weights(self.spec, samples)
        spec = self.spec
        overwritten = [array for array in (w, state, chains) if array is not None]
        before, total = [array.copy() for array in overwritten], Result()
        count = steps(len(order), batch)
        for step in range(count):
            if progress is not None and progress(step, count):
                raise Interrupted(f"stopped after {step} of {count} steps")
            minibatch = order[step * batch : (step + 1) * batch]
            with np.errstate(all="ignore"):
                g, result = self._summed_gradient(w, samples, minibatch, key or NO_KEY, first_step + step, chains)
                g = g / w.dtype.type(result.weight or 1)
                if np.isfinite(result.cost):
                    tuning.step(spec, self.layout, w, state, g, float(lr[step]), first_step + step + 1)
            if not np.isfinite(result.cost):
                for array, old in zip(overwritten, before, strict=True):
                    array[:] = old
                raise NonFinite(f"the cost became {result.cost} at step {first_step + step}: a smaller lr may help")
            total += result
        total.steps = count
        return total

    @abstractmethod
    def _summed_gradient(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Sum the gradient [P] over a mini-batch [B], all terms of the cost but the regulariser included."""

    @staticmethod
    def _sum(samples: Samples, order: NDArray[np.int64], values: NDArray) -> float:
        """Sum values [n] or [n, O] of some samples, each times its sample's weight."""
        if samples.weight is None:
            return values.sum().item()
        weight = samples.weight[order].astype(np.float64)
        return float((values * (weight[:, None] if values.ndim == 2 else weight)).sum())

    @staticmethod
    def _inputs(samples: Samples, order: NDArray[np.int64], dtype: Any) -> NDArray:
        """Read samples as the net sees them: scaled and dense [B, I]."""
        x = _dense(samples.x, order).astype(dtype)
        if samples.scale is not None:
            x = x * samples.scale.astype(dtype)
        if samples.shift is not None:
            x = x + samples.shift.astype(dtype)
        return x


def all_of(samples: Samples, order: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Give the order [n], which is that of the samples where there is none."""
    return np.arange(len(samples)) if order is None else order


def _dense(x: Any, order: NDArray[np.int64]) -> NDArray:
    """Read rows [B, I] of an array, of encoded rows, or of a CSR matrix."""
    if isinstance(x, np.ndarray):
        return x[order]
    if hasattr(x, "codes"):
        return x[order].dense()
    dense = np.zeros((len(order), x.shape[1]), x.data.dtype)
    for i, row in enumerate(order):
        part = slice(x.indptr[row], x.indptr[row + 1])
        dense[i, x.indices[part]] = x.data[part]
    return dense
