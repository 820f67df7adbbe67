"""The autoencoder in NumPy: the mathematical truth that its kernels are tested against.

Letters: B samples of a mini-batch, I inputs, H hidden units, P parameters, Q statistics; x̃ is x with some inputs set
to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops.base import check_chains, check_weights
from hdl.ops.draws import dropout
from hdl.ops.layout import AutoencoderLayout
from hdl.ops.precision import product
from hdl.ops.reference.activations import ACTIVATIONS, curvature, sigmoid
from hdl.ops.reference.base import all_of
from hdl.ops.reference.one_layer import OneLayerReference
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples

if TYPE_CHECKING:
    from hdl.spec import Spec


class AutoencoderReference(OneLayerReference):
    """The operations of one autoencoder in NumPy (`hdl.spec.Autoencoder` has its cost).

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

    layout: AutoencoderLayout

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.activate, self.derive = ACTIVATIONS[spec.activation]

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum statistics [Q]: the gradient of the cost, without regulariser and sparsity, and what
        `layout.combine` needs for the latter; corrupted as in step 0."""
        check_chains(self.spec, chains)
        check_weights(self.spec, samples)
        sums = np.zeros(self.layout.statistics, w.dtype)
        seen, codes, result = self._backward(w, samples, all_of(samples, order), key or NO_KEY, 0, sums)
        if self.spec.autoencoder.beta:
            size, encoder, hidden = self.layout.size, self.layout.encoder, self.layout.widths[1]
            slope = self.derive(codes, w.dtype.type(self.spec.leak))
            sums[size : size + encoder - hidden] = (seen.T @ slope).ravel()
            sums[size + encoder - hidden : size + encoder] = slope.sum(axis=0)
            sums[size + encoder :] = codes.sum(axis=0)
        return sums, result

    def up(self, w: NDArray, x: NDArray) -> NDArray:
        """Compute codes [B, H] of x [B, I]."""
        weights, bias = self.layout.split(w)[0]
        return self.activate(product(self.spec, x, weights, bias), w.dtype.type(self.spec.leak))

    def down(self, w: NDArray, codes: NDArray) -> NDArray:
        """Compute reconstructions [B, I] of codes [B, H]."""
        weights, bias = self.layout.split(w)[1]
        z = product(self.spec, codes, weights, bias)
        return sigmoid(z) if self.spec.autoencoder.decoder == "sigmoid" else z

    def _summed_gradient(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Sum a mini-batch's gradient [P], sparsity included; ρ̂ in w moves first."""
        gradient = np.zeros_like(w)
        _, _, result = self._backward(w, samples, minibatch, key, step, gradient, moving=True)
        return gradient, result

    def _backward(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, out: NDArray,
        moving: bool = False,
    ) -> tuple[NDArray, NDArray, Result]:  # fmt: skip
        """Go forward and backward over a mini-batch [B]: x̃ [B, I], codes [B, H] and result.

        The summed gradient [P] goes into `out`; if `moving`, ρ̂ in w moves and the sparsity term is added.
        """
        part, real = self.spec.autoencoder, w.dtype.type
        x = seen = self._inputs(samples, minibatch, w.dtype)
        if part.corruption:
            seen = x * (dropout(key, step, 0, x.shape, part.corruption) > 0)
        (weights, _), (back, _) = self.layout.split(w)
        codes = self.up(w, seen)
        r = self.down(w, codes)
        cost = 0.5 * ((r - x) ** 2).sum()
        delta2 = (r - x) * (r * (1 - r) if part.decoder == "sigmoid" else 1)
        slope = self.derive(codes, real(self.spec.leak))
        inner = product(self.spec, delta2, back.T)
        if moving and part.beta:
            mean = w[self.layout.running :]
            mean[:] = real(part.memory) * mean + real(1 - part.memory) * codes.mean(axis=0)
            inner = inner + self.layout.penalty(mean)[1].astype(w.dtype)
        delta1 = inner * slope
        if part.contractive:
            norms, strength = (weights * weights).sum(axis=0), real(part.contractive)
            cost += 0.5 * strength * (slope * slope * norms).sum()
            contractive = strength * slope * slope * curvature(self.spec.activation, codes) * norms
            delta1 = delta1 + contractive
        encoder = product(self.spec, seen.T, delta1)
        if part.contractive:
            encoder = encoder + strength * weights * (slope * slope).sum(axis=0)
        end, inputs = self.layout.running, x.shape[1]
        out[: encoder.size] = encoder.ravel()
        out[encoder.size : self.layout.encoder] = delta1.sum(axis=0)
        if part.tied:
            out[: encoder.size] += product(self.spec, delta2.T, codes).ravel()
        else:
            out[self.layout.encoder : end - inputs] = product(self.spec, codes.T, delta2).ravel()
        out[end - inputs : end] = delta2.sum(axis=0)
        return seen, codes, Result(float(cost), 0, len(minibatch))
