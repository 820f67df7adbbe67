"""The autoencoder in NumPy: the mathematical truth that its kernels are tested against.

Letters: B batch, I inputs, H hidden units, P parameters, Q statistics; x̃ is x with some inputs set to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops import NO_KEY, Key, Progress, Result, Samples, rules
from hdl.ops import layout as layouts
from hdl.ops.reference.dense import _BLOCK, ACTIVATIONS, Reference, _sigmoid, dropout

if TYPE_CHECKING:
    from hdl.spec import Spec

# f''/f' as a function of f's own value; 0 for the activations that are straight wherever they have a derivative.
_BENDS = {
    "sigmoid": lambda a: 1 - 2 * a,
    "tanh": lambda a: -2 * a,
    "lecun_tanh": lambda a: (-4 / 3 / 1.7159) * a,
}


class AutoencoderReference(Reference):
    """The operations of one autoencoder (`hdl.spec.Autoencoder` has its cost).

    Parameters
    ----------
    spec : Spec
        With its net filled in: (I, H, I).

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> ops = AutoencoderReference(Spec(model="autoencoder", net="2-1-2"))
    >>> ops.encode(np.zeros(7), Samples(np.ones((1, 2), np.float32))).tolist()
    [[0.5]]
    """

    def __init__(self, spec: Spec):
        self.spec, self.part = spec, spec.autoencoder
        self.layout = layouts.of(spec)
        self.activate, self.derive = ACTIVATIONS[spec.activation]
        self.state_vectors = rules.VECTORS.get(spec.optimizer.name, 0)

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Statistics [Q]: the gradient of the cost summed over samples, without regulariser and sparsity, and what
        `layout.combine` needs for the latter; corrupted as in step 0."""
        rows = np.arange(len(samples)) if order is None else order
        sums = np.zeros(self.layout.statistics, w.dtype)
        seen, codes, result = self._backward(w, samples, rows, key or NO_KEY, 0, sums)
        if self.part.beta:
            size, encoder, hidden = self.layout.size, self.layout.encoder, self.layout.widths[1]
            slope = self.derive(codes, w.dtype.type(self.spec.leak))
            sums[size : size + encoder - hidden] = (seen.T @ slope).ravel()
            sums[size + encoder - hidden : size + encoder] = slope.sum(axis=0)
            sums[size + encoder :] = codes.sum(axis=0)
        return sums, result

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Reconstructions [n, I] of what was not corrupted; the cost is Σ ½‖r − x‖² and nothing else."""
        rows = np.arange(len(samples)) if order is None else order
        out, total = np.empty((len(rows), self.layout.outputs), w.dtype), Result(samples=len(rows))
        for start in range(0, len(rows), _BLOCK):
            x = self._inputs(samples, rows[start : start + _BLOCK], w.dtype)
            r = out[start : start + _BLOCK] = self.down(w, self.up(w, x))
            total.cost += float(0.5 * ((r - x) ** 2).sum())
        return out, total

    def encode(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray:
        """Codes [n, H] of what was not corrupted."""
        rows = np.arange(len(samples)) if order is None else order
        out = np.empty((len(rows), self.layout.widths[1]), w.dtype)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            out[start : start + _BLOCK] = self.up(w, self._inputs(samples, block, w.dtype))
        return out

    def up(self, w: NDArray, x: NDArray) -> NDArray:
        """Codes [B, H] of x [B, I]."""
        weights, bias = self.layout.split(w)[0]
        return self.activate(x @ weights + bias, w.dtype.type(self.spec.leak))

    def down(self, w: NDArray, codes: NDArray) -> NDArray:
        """Reconstructions [B, I] of codes [B, H]."""
        weights, bias = self.layout.split(w)[1]
        z = codes @ weights + bias
        return _sigmoid(z) if self.part.decoder == "sigmoid" else z

    def _pass(self, w: NDArray, samples: Samples, rows: NDArray, key: Key, step: int) -> tuple[NDArray, Result]:
        """A mini-batch's summed gradient [P], sparsity included; ρ̂ in w moves first."""
        gradient = np.zeros_like(w)
        _, _, result = self._backward(w, samples, rows, key, step, gradient, moving=True)
        return gradient, result

    def _backward(
        self, w: NDArray, samples: Samples, rows: NDArray, key: Key, step: int, out: NDArray, moving: bool = False
    ) -> tuple[NDArray, NDArray, Result]:
        """Forward and backward over rows [B]: x̃, codes and result; the summed gradient [P] goes into `out`."""
        part, real = self.part, w.dtype.type
        x = seen = self._inputs(samples, rows, w.dtype)
        if part.corruption:
            seen = x * (dropout(key, step, 0, x.shape, part.corruption) > 0)
        (weights, _), (back, _) = self.layout.split(w)
        codes = self.up(w, seen)
        r = self.down(w, codes)
        cost = 0.5 * ((r - x) ** 2).sum()
        delta2 = (r - x) * (r * (1 - r) if part.decoder == "sigmoid" else 1)
        slope = self.derive(codes, real(self.spec.leak))
        inner = delta2 @ back.T
        if moving and part.beta:
            mean = w[self.layout.running :]
            mean[:] = real(part.memory) * mean + real(1 - part.memory) * codes.mean(axis=0)
            inner = inner + self.layout.penalty(mean)[1].astype(w.dtype)
        delta1 = inner * slope
        encoder = seen.T @ delta1
        if part.contractive:
            norms, strength = (weights * weights).sum(axis=0), real(part.contractive)
            cost += 0.5 * strength * (slope * slope * norms).sum()
            bend = _BENDS.get(self.spec.activation, np.zeros_like)(codes)
            bent = strength * slope * slope * bend * norms
            delta1 = delta1 + bent
            encoder = encoder + seen.T @ bent + strength * weights * (slope * slope).sum(axis=0)
        at = self.layout.running
        out[: encoder.size] = encoder.ravel()
        out[encoder.size : self.layout.encoder] = delta1.sum(axis=0)
        if part.tied:
            out[: encoder.size] += (delta2.T @ codes).ravel()
        else:
            out[self.layout.encoder : at - x.shape[1]] = (codes.T @ delta2).ravel()
        out[at - x.shape[1] : at] = delta2.sum(axis=0)
        return seen, codes, Result(float(cost), 0, len(rows))
