"""The operations of a restricted Boltzmann machine on a GPU, and its learning programs for the CUDA core.

Letters: B rows of a mini-batch, I visible units, H hidden units, C chains, Q statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops.cuda import program as op
from hdl.ops.cuda.one_layer import OneLayerCuda
from hdl.ops.draws import CHAINS, GIBBS, key_words
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples

if TYPE_CHECKING:
    from hdl.spec import Spec


class RbmCuda(OneLayerCuda):
    """The operations of one RBM on one device.

    `forward` gives mean reconstructions and `encode` p(h = 1|v), as `RbmReference` does.

    Parameters
    ----------
    spec : Spec
        Of model `rbm`, with its net filled in: (I, H).
    device : str
    """

    def __init__(self, spec: Spec, device: str = "cuda:0"):
        super().__init__(spec, device)
        self.tied, self.visible_bias = True, self.layout.encoder

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """Sum statistics [Q]: see `RbmReference.gradient`."""
        self._check_chains(chains)
        out = np.zeros(self.layout.statistics, np.float32)
        count = len(samples) if order is None else len(order)
        if chains is not None and count:  # they move once, whatever the number of blocks that the samples come in
            both = np.concatenate([out, chains.ravel()])
            none = Samples(np.zeros((1, self.layout.widths[0]), np.float32))
            self._accumulate("chains", w, none, None, key, None, both)
            out[:], chains[:] = count * both[: out.size], both[out.size :].reshape(chains.shape)
        return out, self._accumulate("gradient", w, samples, order, key, progress, out)

    def _key_words(self, key: Key | None) -> list[int]:
        return [word for purpose in (GIBBS, CHAINS) for word in key_words(key or NO_KEY, purpose)]

    def _code_function(self) -> dict[str, Any]:
        return {"function": op.ACTIVATIONS["sigmoid"]}

    def _visible_function(self) -> dict[str, Any]:
        """Name the function whose values are the means of visible units: fields of an operation."""
        return {"function": op.ACTIVATIONS["linear" if self.spec.rbm.visible == "gaussian" else "sigmoid"]}

    def _reconstruction_loss(self) -> int:
        return op.LOSSES["squared" if self.spec.rbm.visible == "gaussian" else "sigmoid_squared"]

    def _learn(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out `train`, `gradient` or, of persistent chains, `chains`: the mean of one sample's negative phase.

        The statistics are sums over the rows of both phases, v and h: those of the data have h negative. Beside v is 1,
        beside h the row's weight.
        """
        (self._persist if self.spec.rbm.persistent else self._contrast)(program, task, buffers)

    def _contrast(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out contrastive divergence; a sample's two phases are rows one after the other."""
        (inputs, hidden), k = self.layout.widths, self.spec.rbm.k
        wide, tall = op.padded(inputs + 1), op.padded(hidden + 1)
        v, h, drawn = program.matrix(2 * wide, buffers), program.matrix(2 * tall), program.matrix(hidden)
        model, negative = v.column(wide), h.column(tall)
        program.column(model.column(inputs), 1.0)
        program.column(negative.column(hidden), 1.0)
        sparsity = self._positive(program, task, v, h, drawn, model, 1)
        for t in range(1, k + 1):  # h is drawn but at the end, v never
            last = t == k
            up = self._up(negative, model, epilogue=op.DRAW, scalar=1.0, d=None if last else drawn, layer=2 * t)
            program.lay([up], 2 * t + 1)
            if not last:
                program.lay([self._down(model, drawn, **self._visible_function())], 2 * t + 2)
        self._statistics(program, task, v.halves(), h.halves(), sparsity, k=-2)
        program.gather(v, inputs)

    def _persist(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out persistent chains: their rows lie before the samples', and move during the positive phase."""
        (inputs, hidden), part = self.layout.widths, self.spec.rbm
        chains, rows = 0 if task == "gradient" else part.chains, 0 if task == "chains" else program.rows
        wide, tall, both = op.padded(inputs + 1), op.padded(hidden + 1), chains + rows
        v, h, drawn = (program.matrix(width, rows=both) for width in (wide, tall, hidden))
        program.column(v.column(inputs), 1.0, both)
        sparsity = None
        if rows:
            data = v.row(chains)
            program.lay([{"kind": op.GATHER, "c": data, "m": -1, "n": inputs}])
            sparsity = self._positive(program, task, data, h.row(chains), drawn.row(chains), program.matrix(inputs), 2)
        if chains:
            own = {"m": chains, "epilogue": op.DRAW, "chains": 1}
            for t in range(part.k):
                down = self._down(None, drawn, d=v, layer=2 * t + 1, **own, **self._visible_function())
                program.lay([self._up(None, v, d=drawn, layer=2 * t, **own), down], 2 * t + 1)
            # They stand for the model's rows, as many as the samples'.
            program.lay([self._up(h, v, scalar=1 / chains, **own)], 2 * part.k + 1)
            program.add(op.FILL, h.column(hidden), at=1, m=chains, n=1, scalar=1 / chains, chains=1)
        self._statistics(program, task, v, h, sparsity, k=-1 if rows else 0, extra_k=chains)
        if chains:
            kept = op.Matrix(0 if task == "train" else self.layout.statistics, inputs, op.G)
            program.add(op.FILL, v, at=0, a=kept, m=chains, n=inputs)
            program.add(op.FILL, kept, a=v, m=chains, n=inputs)

    def _positive(
        self, program: op.Program, task: str, v: op.Matrix, h: op.Matrix, drawn: op.Matrix, first: op.Matrix, at: int
    ) -> op.Matrix | None:
        """Lay out from phase `at` on: −h of the samples v, the cost of reconstructing them, the sparsity gradient."""
        (inputs, hidden), part, sparsity = self.layout.widths, self.spec.rbm, None
        program.column(h.column(hidden), -1.0)
        up = self._up(h, v, epilogue=op.DRAW, scalar=-1.0, d=drawn)
        program.lay([up, self._down(first, drawn, **self._visible_function())], at)
        program.lay([{"kind": op.LOSS, "a": first, "b": v, "m": -1, "n": inputs, "function": op.LOSSES["squared"]}],
                    at + 2)  # fmt: skip
        if part.beta:
            active = {"kind": op.TN, "a": h.column(hidden), "b": h, "m": 1, "n": hidden, "k": -1}
            if task == "train":
                sparsity = program.matrix(hidden, rows=1)
                active |= {"c": sparsity, "epilogue": op.SPARSITY, "rho": part.rho, "beta": part.beta}
            else:
                active |= {"c": op.Matrix(self.layout.size, hidden, op.G), "epilogue": op.ADD}
            program.lay([active], at + 2)
        return sparsity

    def _statistics(
        self, program: op.Program, task: str, v: op.Matrix, h: op.Matrix, sparsity: op.Matrix | None, **extent: int
    ) -> None:
        """Lay out the statistics of [W|b_h] and of b_v, in a phase of their own."""
        (inputs, hidden), train = self.layout.widths, task == "train"
        program.phase()
        self._sum(program, train, 0, hidden, a=v, b=h, m=inputs + 1, penalised_rows=inputs, bias=sparsity, **extent)
        self._sum(program, train, self.visible_bias, inputs, a=h.column(hidden), b=v, **extent)
