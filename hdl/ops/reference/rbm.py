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

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import SpecError
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, rules
from hdl.ops.layout import of
from hdl.ops.reference.autoencoder import AutoencoderReference
from hdl.ops.reference.dense import _sigmoid

if TYPE_CHECKING:
    from hdl.spec import Spec

_GIBBS, _CHAINS = 0x67696262, 0x63686169  # HDL_RNG_GIBBS, HDL_RNG_CHAINS of the core


class RbmReference(AutoencoderReference):
    """The operations of one RBM.

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
        self.spec = spec
        self.layout = of(spec)
        self.gaussian = spec.rbm.visible == "gaussian"
        self.state_vectors = rules.VECTORS.get(spec.optimizer.name, 0)

    def train(self, *arguments: Any, chains: NDArray | None = None, **options: Any) -> Result:
        """As `Reference.train`; with `rbm.persistent` chains [C, I] are overwritten too, whole steps at a time.

        Its cost is Σ ½‖v − v_neg‖² with the mean reconstruction of the first Gibbs step from the data.
        """
        return super().train(*arguments, chains=self._checked(chains), **options)

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Statistics [Q] summed over samples: minus the estimated gradient of the log-likelihood [P], without
        regulariser; with a sparsity target then Σ p(h|v_pos) [H].

        Draws are those of step 0 of one mini-batch of all samples: each is named by its sample's place in `order`.
        The mean over the chains, moved by k Gibbs steps, counts once for each sample.
        """
        if order is None:
            order = np.arange(len(samples))
        return self._statistics(w, samples, order, key or NO_KEY, 0, self._checked(chains))

    def up(self, w: NDArray, v: NDArray) -> NDArray:
        """p(h = 1|v) [B, H]."""
        weights, bias = self.layout.split(w)[0]
        return _sigmoid(v @ weights + bias)

    def down(self, w: NDArray, h: NDArray) -> NDArray:
        """Means of p(v|h) [B, I]."""
        weights, bias = self.layout.split(w)[1]
        return h @ weights + bias if self.gaussian else _sigmoid(h @ weights + bias)

    def _pass(
        self, w: NDArray, samples: Samples, rows: NDArray, key: Key, step: int, chains: NDArray | None = None
    ) -> tuple[NDArray, Result]:
        """A mini-batch's summed gradient [P], the sparsity target included; chains take their steps."""
        sums, result = self._statistics(w, samples, rows, key, step, chains)
        return self.layout.combine(sums, len(rows))[0], result

    def _statistics(
        self, w: NDArray, samples: Samples, rows: NDArray, key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Both phases of rows [B]: statistics [Q] and result; chains take their steps."""
        inputs, hidden = self.layout.widths
        draw = Draws(key, _GIBBS, step)
        v_pos = self._inputs(samples, rows, w.dtype)
        h_pos = self.up(w, v_pos)
        h = draw.binary(h_pos, 0)
        v_neg = first = self.down(w, h)
        weight = w.dtype.type(1)
        if chains is None:
            h_neg = self.up(w, v_neg)
            for t in range(1, self.spec.rbm.k):
                v_neg = self.down(w, draw.binary(h_neg, 2 * t))
                h_neg = self.up(w, v_neg)
        else:
            v_neg, h_neg = self._advance(w, chains.astype(w.dtype), key, step)
            chains[:] = v_neg
            weight = w.dtype.type(len(rows) / len(chains))
        sums = np.empty(self.layout.statistics, w.dtype)
        sums[: inputs * hidden] = (weight * (v_neg.T @ h_neg) - v_pos.T @ h_pos).ravel()
        sums[inputs * hidden : self.layout.encoder] = weight * h_neg.sum(axis=0) - h_pos.sum(axis=0)
        sums[self.layout.encoder : self.layout.size] = weight * v_neg.sum(axis=0) - v_pos.sum(axis=0)
        sums[self.layout.size :] = h_pos.sum(axis=0)[: self.layout.statistics - self.layout.size]
        return sums, Result(float(0.5 * ((v_pos - first) ** 2).sum()), 0, len(rows))

    def _advance(self, w: NDArray, v: NDArray, key: Key, step: int) -> tuple[NDArray, NDArray]:
        """Chains v [C, I] after k Gibbs steps, and their p(h|v) [C, H]."""
        draw = Draws(key, _CHAINS, step)
        for t in range(self.spec.rbm.k):
            h = draw.binary(self.up(w, v), 2 * t)
            mean = self.down(w, h)
            v = draw.gaussian(mean, 2 * t + 1) if self.gaussian else draw.binary(mean, 2 * t + 1)
        return v, self.up(w, v)

    def _checked(self, chains: NDArray | None) -> NDArray | None:
        part, inputs = self.spec.rbm, self.layout.widths[0]
        if not part.persistent:
            if chains is not None:
                raise SpecError("chains are for persistent contrastive divergence: this RBM keeps none")
        elif chains is None:
            raise SpecError(f"chains is missing, expected {part.chains} particles of {inputs} units")
        elif chains.shape != (part.chains, inputs):
            raise SpecError(f"chains has shape {chains.shape}, expected {(part.chains, inputs)}")
        return chains


class Draws:
    """The draws of one step: csrc/rng.h has the counters.

    Parameters
    ----------
    key : Key
    purpose : int
        Of samples or of chains.
    step : int
    """

    def __init__(self, key: Key, purpose: int, step: int):
        low, high = rng.words(key.seed, key.round, key.shard, purpose, 0, 2).tolist()
        self.key, self.step = high << 32 | low, step & 0xFFFFFFFF

    def uniform(self, shape: tuple[int, int], what: int) -> NDArray[np.float64]:
        """Uniform numbers [B, n] of layer and Gibbs step `what`: (word // 512 + ½) / 2²³, exact in float32."""
        rows, units = shape
        blocks = 16 * -(-units // 64)
        counter = np.empty((4, rows, blocks), np.uint64)
        counter[0] = np.arange(blocks)
        counter[1] = np.arange(rows)[:, None]
        counter[2], counter[3] = self.step, what
        words = rng.philox(self.key, counter.reshape(4, -1)).reshape(4, rows, blocks)
        numbers = words.transpose(1, 0, 2).reshape(rows, -1)[:, :units] >> np.uint64(9)
        return (numbers.astype(np.float64) + 0.5) * 2.0**-23

    def binary(self, p: NDArray, what: int) -> NDArray:
        """1 with probability p [B, n], else 0."""
        return (self.uniform(p.shape, what) < p).astype(p.dtype)

    def gaussian(self, mean: NDArray, what: int) -> NDArray:
        """Normal numbers [B, n] of variance 1 about `mean`."""
        return mean + rng.normal(self.uniform(mean.shape, what)).astype(mean.dtype)
