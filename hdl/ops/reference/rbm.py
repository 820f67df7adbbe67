"""The restricted Boltzmann machine in NumPy: the mathematical truth that its kernels are tested against.

It computes in the type of the weights it is given: float64 weights give float64 results.

Energy, with v and h of 0 and 1: E(v, h) = −vᵀWh − b_vᵀv − b_hᵀh (Smolensky 1986; Hinton 2002); with gaussian visible
units of variance 1: ½‖v − b_v‖² − vᵀWh − b_hᵀh (Hinton 2012, section 13.2). Hence

    p(h = 1|v) = σ(vW + b_h);   p(v = 1|h) = σ(hWᵀ + b_v), or v|h ~ N(b_v + hWᵀ, 1).

CD-k (Hinton 2002, 2012 section 3): h is drawn from p(h|v_pos) to drive the reconstruction; reconstructions are the
means of p(v|h), probabilities or values without noise, and are not drawn; hidden units are drawn except in the last
step, whose p(h|v_neg) enters the statistics. PCD-k (Tieleman 2008): `chains` particles, whose visible and hidden units
are all drawn, noise included, make k Gibbs steps for each mini-batch; their mean statistics stand for the model's.

Draws are a function of (seed, round, shard), step, row of the mini-batch (or chain) and Gibbs step alone; csrc/rng.h
says which number belongs to which unit. The core draws from the same numbers, so its samples are these except where
rounding takes a probability across a number: the chance is the rounding itself, some 1e-7 to 1e-6 a draw.

Letters: B batch, I visible units, H hidden units, C chains; v_pos, h_pos, v_neg, h_neg the two phases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops.base import check_chains, check_weights
from hdl.ops.draws import CHAINS, GIBBS, GibbsDraws
from hdl.ops.reference.activations import sigmoid
from hdl.ops.reference.base import all_of
from hdl.ops.reference.one_layer import OneLayerReference
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples

if TYPE_CHECKING:
    from hdl.spec import Spec


class RbmReference(OneLayerReference):
    """The operations of one RBM in NumPy.

    The cost of `train` and `gradient` is Σ ½‖v − v_neg‖² with the mean reconstruction of the first Gibbs step from the
    data. With `rbm.persistent` both need chains [C, I] and overwrite them, whole steps at a time.

    Parameters
    ----------
    spec : Spec
        Of model `rbm`, with net filled in.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> ops = RbmReference(Spec(model="rbm", net="3-2", loss="squared"))
    >>> ops.encode(np.zeros(11), Samples(np.ones((1, 3), np.float32))).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.gaussian = spec.rbm.visible == "gaussian"

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum statistics [Q]: minus the estimated gradient of the log-likelihood [P], without regulariser; with a
        sparsity target then Σ p(h|v_pos) [H].

        Draws are those of step 0 of one mini-batch of all samples: each is named by its sample's place in `order`.
        The mean over the chains, moved by k Gibbs steps, counts once for each sample.
        """
        check_chains(self.spec, chains)
        check_weights(self.spec, samples)
        return self._statistics(w, samples, all_of(samples, order), key or NO_KEY, 0, chains)

    def up(self, w: NDArray, x: NDArray) -> NDArray:
        """Compute p(h = 1|v) [B, H] of v = x [B, I]."""
        weights, bias = self.layout.split(w)[0]
        return sigmoid(x @ weights + bias)

    def down(self, w: NDArray, codes: NDArray) -> NDArray:
        """Compute means of p(v|h) [B, I] of h = codes [B, H]."""
        weights, bias = self.layout.split(w)[1]
        z = codes @ weights + bias
        return z if self.gaussian else sigmoid(z)

    def _summed_gradient(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Sum a mini-batch's gradient [P], the sparsity target included; chains take their steps."""
        sums, result = self._statistics(w, samples, minibatch, key, step, chains)
        return self.layout.combine(sums, len(minibatch))[0], result

    def _statistics(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Sum both phases of a mini-batch [B]: statistics [Q] and result; chains take their steps."""
        inputs, hidden = self.layout.widths
        draws = GibbsDraws(key, GIBBS, step)
        v_pos = self._inputs(samples, minibatch, w.dtype)
        h_pos = self.up(w, v_pos)
        h = draws.binary(h_pos, 0)
        v_neg = first = self.down(w, h)
        weight = w.dtype.type(1)
        if chains is None:
            h_neg = self.up(w, v_neg)
            for t in range(1, self.spec.rbm.k):
                v_neg = self.down(w, draws.binary(h_neg, 2 * t))
                h_neg = self.up(w, v_neg)
        else:
            v_neg, h_neg = self._advance(w, chains.astype(w.dtype), key, step)
            chains[:] = v_neg
            weight = w.dtype.type(len(minibatch) / len(chains))
        sums = np.empty(self.layout.statistics, w.dtype)
        sums[: inputs * hidden] = (weight * (v_neg.T @ h_neg) - v_pos.T @ h_pos).ravel()
        sums[inputs * hidden : self.layout.encoder] = weight * h_neg.sum(axis=0) - h_pos.sum(axis=0)
        sums[self.layout.encoder : self.layout.size] = weight * v_neg.sum(axis=0) - v_pos.sum(axis=0)
        sums[self.layout.size :] = h_pos.sum(axis=0)[: self.layout.statistics - self.layout.size]
        return sums, Result(float(0.5 * ((v_pos - first) ** 2).sum()), 0, len(minibatch))

    def _advance(self, w: NDArray, v: NDArray, key: Key, step: int) -> tuple[NDArray, NDArray]:
        """Move chains v [C, I] by k Gibbs steps: v, and their p(h|v) [C, H]."""
        draws = GibbsDraws(key, CHAINS, step)
        for t in range(self.spec.rbm.k):
            h = draws.binary(self.up(w, v), 2 * t)
            mean = self.down(w, h)
            v = draws.gaussian(mean, 2 * t + 1) if self.gaussian else draws.binary(mean, 2 * t + 1)
        return v, self.up(w, v)
