"""The operations of a restricted Boltzmann machine carried out on a GPU, and its programs for the CUDA core.

Letters: B rows of a mini-batch, I visible units, H hidden units, C chains, Q statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import SpecError
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, Work
from hdl.ops.cuda import program as op
from hdl.ops.cuda.autoencoder import AutoencoderCuda
from hdl.ops.reference.rbm import _CHAINS, _GIBBS, RbmReference


class RbmCuda(AutoencoderCuda):
    """The operations of one RBM on one device.

    `forward` gives mean reconstructions and `encode` p(h = 1|v), as `RbmReference` does; `train` and `gradient` take
    its `chains`.

    Parameters
    ----------
    spec : Spec
        Of model `rbm`, with its net filled in: (I, H).
    device : str
    """

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        for work in works:
            self._checked(work.more.get("chains"))
        kept = [{name: part for name, part in work.more.items() if part is not None} for work in works]
        works = [work._replace(more=more) for work, more in zip(works, kept, strict=True)]
        return super().train_all(works, batch, progress)

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """As `RbmReference.gradient`."""
        self._checked(chains)
        out = np.zeros(self.layout.statistics, np.float32)
        count = len(samples) if order is None else len(order)
        if chains is not None and count:  # they move once, whatever the number of blocks that the samples come in
            both = np.concatenate([out, chains.ravel()])
            self._pass("chains", w, Samples(np.zeros((1, self.layout.widths[0]), np.float32)), None, key, None, both)
            out[:], chains[:] = count * both[: out.size], both[out.size :].reshape(chains.shape)
        return out, self._pass("gradient", w, samples, order, key, progress, out)

    def _checked(self, chains: NDArray | None) -> None:
        RbmReference._checked(self, chains)  # type: ignore[arg-type]
        if chains is not None and (chains.dtype != np.float32 or not chains.flags.c_contiguous):
            raise SpecError(f"chains is {chains.dtype}, expected float32 in the order of C")

    def _words(self, key: Key | None) -> list[int]:
        return [word for purpose in (_GIBBS, _CHAINS) for word in rng.words(*(key or NO_KEY), purpose, 0, 2).tolist()]

    @property
    def _code(self) -> dict[str, Any]:
        return {"function": op.ACTIVATIONS["sigmoid"]}

    @property
    def _mean(self) -> dict[str, Any]:
        """Fields of an operation: the function whose values are the means of visible units."""
        return {"function": op.ACTIVATIONS["linear" if self.spec.rbm.visible == "gaussian" else "sigmoid"]}

    @property
    def _loss(self) -> int:
        return op.LOSSES["squared" if self.spec.rbm.visible == "gaussian" else "sigmoid_squared"]

    @property
    def _tied(self) -> bool:
        return True

    @property
    def _bias(self) -> int:
        return self.layout.encoder

    def _learn(self, program: op.Program, what: str, buffers: int) -> None:
        """`train`, `gradient` and, of persistent chains, `chains`: what one sample's negative phase has as its mean.

        The statistics are sums over the rows of both phases, v and h: those of the data have h negative. Beside v is 1,
        beside h the row's weight.
        """
        (self._persist if self.spec.rbm.persistent else self._contrast)(program, what, buffers)

    def _contrast(self, program: op.Program, what: str, buffers: int) -> None:
        """Contrastive divergence; a sample's two phases are rows one after the other."""
        (inputs, hidden), k = self.layout.widths, self.spec.rbm.k
        wide, tall = op.padded(inputs + 1), op.padded(hidden + 1)
        v, h, drawn = program.matrix(2 * wide, buffers), program.matrix(2 * tall), program.matrix(hidden)
        model, negative = v.column(wide), h.column(tall)
        program.column(model.column(inputs), 1.0)
        program.column(negative.column(hidden), 1.0)
        sparsity = self._positive(program, what, v, h, drawn, model, 1)
        for t in range(1, k + 1):  # h is drawn but at the end, v never
            last = t == k
            program.lay([self._up(negative, model, epilogue=op.DRAW, x=1.0, d=None if last else drawn, layer=2 * t)],
                        2 * t + 1)  # fmt: skip
            if not last:
                program.lay([self._down(model, drawn, **self._mean)], 2 * t + 2)
        self._statistics(program, what, v.halves(), h.halves(), sparsity, k=-2)
        program.gather(v, inputs)

    def _persist(self, program: op.Program, what: str, buffers: int) -> None:
        """Persistent chains; their rows lie before the samples', and move while those have their positive phase."""
        (inputs, hidden), part = self.layout.widths, self.spec.rbm
        chains, rows = 0 if what == "gradient" else part.chains, 0 if what == "chains" else program.rows
        wide, tall, both = op.padded(inputs + 1), op.padded(hidden + 1), chains + rows
        v, h, drawn = (program.matrix(width, rows=both) for width in (wide, tall, hidden))
        program.column(v.column(inputs), 1.0, both)
        sparsity = None
        if rows:
            data = v.row(chains)
            program.lay([{"kind": op.GATHER, "c": data, "m": -1, "n": inputs}])
            sparsity = self._positive(program, what, data, h.row(chains), drawn.row(chains), program.matrix(inputs), 2)
        if chains:
            own = {"m": chains, "epilogue": op.DRAW, "chains": 1}
            for t in range(part.k):
                down = self._down(None, drawn, d=v, layer=2 * t + 1, **own, **self._mean)
                program.lay([self._up(None, v, d=drawn, layer=2 * t, **own), down], 2 * t + 1)
            # They stand for the model's rows, as many as the samples'.
            program.lay([self._up(h, v, x=1 / chains, **own)], 2 * part.k + 1)
            program.add(op.FILL, h.column(hidden), at=1, m=chains, n=1, x=1 / chains, chains=1)
        self._statistics(program, what, v, h, sparsity, k=-1 if rows else 0, more=chains)
        if chains:
            kept = op.Matrix(0 if what == "train" else self.layout.statistics, inputs, op.G)
            program.add(op.FILL, v, at=0, a=kept, m=chains, n=inputs)
            program.add(op.FILL, kept, a=v, m=chains, n=inputs)

    def _positive(
        self, program: op.Program, what: str, v: op.Matrix, h: op.Matrix, drawn: op.Matrix, first: op.Matrix, at: int
    ) -> op.Matrix | None:
        """From phase `at` on: −h of the samples v, what reconstructing them costs, and what pushes h's biases."""
        (inputs, hidden), part, sparsity = self.layout.widths, self.spec.rbm, None
        program.column(h.column(hidden), -1.0)
        program.lay([self._up(h, v, epilogue=op.DRAW, x=-1.0, d=drawn), self._down(first, drawn, **self._mean)], at)
        program.lay([{"kind": op.LOSS, "a": first, "b": v, "m": -1, "n": inputs, "function": op.LOSSES["squared"]}],
                    at + 2)  # fmt: skip
        if part.beta:
            active = {"kind": op.TN, "a": h.column(hidden), "b": h, "m": 1, "n": hidden, "k": -1}
            if what == "train":
                sparsity = program.matrix(hidden, rows=1)
                active |= {"c": sparsity, "epilogue": op.SPARSITY, "rho": part.rho, "beta": part.beta}
            else:
                active |= {"c": op.Matrix(self.layout.size, hidden, op.G), "epilogue": op.ADD}
            program.lay([active], at + 2)
        return sparsity

    def _statistics(
        self, program: op.Program, what: str, v: op.Matrix, h: op.Matrix, sparsity: op.Matrix | None, **extent: int
    ) -> None:
        """In a phase of their own: of [W|b_h], and of b_v."""
        (inputs, hidden), train = self.layout.widths, what == "train"
        program.phase()
        self._sum(program, train, 0, hidden, a=v, b=h, m=inputs + 1, decays=inputs, bias=sparsity, **extent)
        self._sum(program, train, self._bias, inputs, a=h.column(hidden), b=v, **extent)
