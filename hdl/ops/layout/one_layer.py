"""Layouts of autoencoders and RBMs, and how sums over all samples become their gradients.

Letters: I inputs, H hidden units, P all parameters, Q statistics, m samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops.layout.dense import Layout


@dataclass(frozen=True)
class AutoencoderLayout(Layout):
    """W1 [I, H], b1 [H], W2 [H, I] unless tied, b2 [I]; with a sparsity term the running mean ρ̂ [H], no parameter.

    The statistics are the gradient of the data cost [P] (0 at ρ̂) and, with a sparsity term, Σ x f'(z)ᵀ [I, H],
    Σ f'(z) [H] and Σ a [H]: the term's gradient is linear in c, which needs ρ̂ over all samples.

    Parameters
    ----------
    widths : (I, H, I)
    tied : bool
    rho, beta : float
    """

    tied: bool = False
    rho: float = 0.05
    beta: float = 0.0

    @property
    def running(self) -> int:
        """Return the offset of ρ̂."""
        inputs, hidden, _ = self.widths
        return self.encoder + (0 if self.tied else hidden * inputs) + inputs

    @property
    def size(self) -> int:
        return self.running + (self.widths[1] if self.beta else 0)

    @property
    def statistics(self) -> int:
        return self.size + (self.encoder + self.widths[1] if self.beta else 0)

    def penalty(self, mean: NDArray) -> tuple[float, NDArray]:
        """Compute β·Σ KL(ρ‖ρ̂) at average activations ρ̂ [H], and its derivative c [H] by each of them (Ng 2011, UFLDL).

        ρ̂ is kept off 0 and 1 by 1e-6, where float32 activations saturate.
        """
        mean = np.clip(mean.astype(np.float64), 1e-6, 1 - 1e-6)
        rho, beta = self.rho, self.beta
        cost = beta * float((rho * rng.log(rho / mean) + (1 - rho) * rng.log((1 - rho) / (1 - mean))).sum())
        return cost, beta * ((1 - rho) / (1 - mean) - rho / mean)

    def combine(self, sums: NDArray, samples: float) -> tuple[NDArray, float]:
        if not self.beta:
            return sums, 0.0
        hidden, size, encoder = self.widths[1], self.size, self.encoder
        cost, c = self.penalty(sums[size + encoder :].astype(np.float64) / samples)
        gradient = sums[:size].copy()
        slope = sums[size : size + encoder].reshape(-1, hidden)  # x f'(z) above, f'(z) as the last row: as W1, b1 lie
        gradient[:encoder] += (slope * c.astype(sums.dtype)).ravel()
        return gradient, samples * cost

    @property
    def names(self) -> tuple[str, ...]:
        return ("W1", "b1", *(() if self.tied else ("W2",)), "b2", *(("rho_hat",) if self.beta else ()))

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """Split w into (W1, b1), (W2, b2), views; W2 of tied weights is W1 transposed."""
        inputs, hidden, _ = self.widths
        first = w[: inputs * hidden].reshape(inputs, hidden)
        second = first.T if self.tied else w[self.encoder : self.running - inputs].reshape(hidden, inputs)
        return [(first, w[inputs * hidden : self.encoder]), (second, w[self.running - inputs : self.running])]


@dataclass(frozen=True)
class RbmLayout(Layout):
    """W [I, H], hidden biases [H], visible biases [I].

    The statistics are minus the estimated gradient of the log-likelihood [P] and, with a sparsity target, Σ p(h|v) [H].

    Parameters
    ----------
    widths : (I, H)
    rho, beta : float
    """

    rho: float = 0.05
    beta: float = 0.0

    @property
    def outputs(self) -> int:
        return self.widths[0]

    @property
    def size(self) -> int:
        return self.encoder + self.widths[0]

    @property
    def statistics(self) -> int:
        return self.size + (self.widths[1] if self.beta else 0)

    def combine(self, sums: NDArray, samples: float) -> tuple[NDArray, float]:
        """Add, with a sparsity target, β·(mean activation − ρ) to the hidden biases' gradient (Lee et al. 2008)."""
        if not self.beta:
            return sums, 0.0
        inputs, hidden = self.widths
        gradient = sums[: self.size].copy()
        missed = sums[self.size :].astype(np.float64) - samples * self.rho
        gradient[inputs * hidden : self.encoder] += (self.beta * missed).astype(sums.dtype)
        return gradient, 0.0

    @property
    def names(self) -> tuple[str, ...]:
        return ("W", "b_h", "b_v")

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """Split w into (W, b_h) and (Wᵀ, b_v), views: up, and down."""
        inputs, hidden = self.widths
        weights = w[: inputs * hidden].reshape(inputs, hidden)
        return [(weights, w[inputs * hidden : self.encoder]), (weights.T, w[self.encoder :])]
