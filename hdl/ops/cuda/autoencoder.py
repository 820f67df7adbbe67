"""The operations of an autoencoder carried out on a GPU, and its programs for the CUDA core.

Letters: B rows of a mini-batch, I inputs, H hidden units; x̃ is x with some inputs set to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import Progress, Result, Samples, Work
from hdl.ops.cuda import program as op
from hdl.ops.cuda.dense import Cuda


class AutoencoderCuda(Cuda):
    """The operations of one autoencoder on one device.

    Parameters
    ----------
    spec : Spec
        With its net filled in: (I, H, I).
    device : str
    """

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        return super().train_all([work._replace(samples=_plain(work.samples)) for work in works], batch, progress)

    def encode(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """As `AutoencoderReference.encode`."""
        return self._rows("encode", self.layout.widths[1], w, samples, order, progress)[0]

    def _pass(self, what: str, w: NDArray, samples: Samples, *rest: Any) -> Any:
        return super()._pass(what, w, _plain(samples), *rest)

    def _program(self, what: str, rows: int) -> op.Program:
        def made(buffers: int) -> op.Program:
            program = op.Program(rows)
            (self._read if what in ("forward", "encode") else self._learn)(program, what, buffers)
            program.settle(self.layout.size * (1 + self.state_vectors))
            return program

        return op.fitted(made)

    @property
    def _code(self) -> dict[str, Any]:
        """Fields of an operation: the function of codes."""
        return {"function": op.ACTIVATIONS[self.spec.activation], "leak": self.spec.leak}

    @property
    def _loss(self) -> int:
        return op.LOSSES["sigmoid_squared" if self.spec.autoencoder.decoder == "sigmoid" else "squared"]

    @property
    def _tied(self) -> bool:
        return self.spec.autoencoder.tied

    @property
    def _bias(self) -> int:
        """Where the biases of reconstructions begin."""
        return self.layout.running - self.layout.widths[0]

    @property
    def _back(self) -> op.Matrix:
        """The weights of reconstructions: [H, I], or tied [I, H]."""
        inputs, hidden = self.layout.widths[:2]
        return op.Matrix(0, hidden, op.W) if self._tied else op.Matrix(self.layout.encoder, inputs, op.W)

    def _up(self, c: op.Matrix | None, v: op.Matrix, m: int = -1, **how: Any) -> dict[str, Any]:
        """The operation that leads to codes."""
        inputs, hidden = self.layout.widths[:2]
        weights, bias = op.Matrix(0, hidden, op.W), op.Matrix(inputs * hidden, hidden, op.W)
        found = {"kind": op.NN, "a": v, "b": weights, "bias": bias, "m": m, "n": hidden, "k": inputs}
        return {**found, "c": c, "epilogue": op.ACTIVATE, **self._code, **how}

    def _down(self, c: op.Matrix | None, codes: op.Matrix, m: int = -1, **how: Any) -> dict[str, Any]:
        """The operation that leads from them to reconstructions, or to what their function is taken of."""
        inputs, hidden = self.layout.widths[:2]
        kind, bias = op.NT if self._tied else op.NN, op.Matrix(self._bias, inputs, op.W)
        found = {"kind": kind, "a": codes, "b": self._back, "bias": bias, "m": m, "n": inputs, "k": hidden}
        return {**found, "c": c, "epilogue": op.ACTIVATE, **how}

    def _read(self, program: op.Program, what: str, buffers: int) -> None:
        """`forward` and `encode`: nothing is corrupted, nothing drawn."""
        inputs, hidden = self.layout.widths[:2]
        x = program.matrix(inputs + 1, buffers)
        if what == "encode":
            program.lay([self._up(op.Matrix(0, hidden, op.G, place=1), x)])
        else:
            codes, z, out = program.matrix(hidden), program.matrix(inputs), op.Matrix(0, inputs, op.G, place=1)
            program.lay([self._up(codes, x), self._down(z, codes)])
            program.phase()
            program.add(op.LOSS, a=z, b=x, d=out, m=-1, n=inputs, function=self._loss)
        program.gather(x, inputs)

    def _learn(self, program: op.Program, what: str, buffers: int) -> None:
        """`train` and `gradient`."""
        part, layout, train = self.spec.autoencoder, self.layout, what == "train"
        inputs, hidden = layout.widths[:2]
        if self._tied:  # x̃ and the output's delta take turns as rows, as codes' deltas and codes do
            wide, tall = op.padded(inputs + 1), op.padded(hidden)
            seen, inner = program.matrix(2 * wide, buffers), program.matrix(2 * tall)
            z, codes = seen.column(wide), inner.column(tall)
            program.column(z.column(inputs), 0.0)
        else:
            seen, inner = program.matrix(inputs + 1, buffers), program.matrix(hidden)
            z, codes = program.matrix(inputs), program.matrix(hidden)
        x = program.matrix(inputs, buffers) if part.corruption else seen
        ones, weights = seen.column(inputs), op.Matrix(0, hidden, op.W)
        sparsity, norms, contraction = (program.matrix(hidden, rows=1) if each else None
                               for each in (part.beta and train, part.contractive, part.contractive))  # fmt: skip
        slopes = program.matrix(hidden) if part.contractive or (part.beta and not train) else None

        program.lay([self._up(codes, seen), self._down(z, codes)])
        if norms:
            program.add(op.NORMS, norms, at=1, a=weights, n=hidden, k=inputs, x=1.0)
        if sparsity:
            program.add(op.TN, sparsity, a=ones, b=codes, m=1, n=hidden, k=-1, epilogue=op.SPARSITY, rho=part.rho,
                        beta=part.beta, x=part.memory, d=op.Matrix(layout.running, hidden, op.W))  # fmt: skip
        program.phase()
        program.add(op.LOSS, z, a=z, b=x, m=-1, n=inputs, function=self._loss)
        program.phase()
        program.add(op.NN if self._tied else op.NT, inner, a=z, b=self._back, bias=sparsity, m=-1, n=hidden, k=inputs,
                    epilogue=op.DERIVE, d=codes, **self._code)  # fmt: skip
        if slopes:
            program.phase()
            program.add(
                op.CONTRACTIVE, inner, a=codes, d=slopes, bias=norms, m=-1, n=hidden, x=part.contractive, **self._code
            )
        if contraction:
            program.phase()
            program.add(op.NORMS, contraction, a=slopes, n=hidden, k=-1, x=part.contractive)
        program.phase()
        # Tied, one product over both kinds of rows is all of W1's gradient.
        rows = {"a": seen.halves(), "b": inner.halves(), "k": -2} if self._tied else {"a": seen, "b": inner}
        self._sum(
            program, train, 0, hidden, m=inputs + 1, decays=inputs, bias=contraction, d=contraction and weights, **rows
        )
        if not self._tied:
            self._sum(program, train, layout.encoder, inputs, a=codes, b=z, m=hidden, decays=hidden)
        self._sum(program, train, self._bias, inputs, a=ones, b=z)
        if part.beta and not train:
            self._sum(program, train, layout.size, hidden, a=seen, b=slopes, m=inputs + 1)
            self._sum(program, train, layout.size + layout.encoder, hidden, a=ones, b=codes)
        # No scale makes up for the inputs that are dropped.
        corrupted = {**op.dropped(part.corruption), "keep": 1.0, "d": x} if part.corruption else {}
        program.gather(seen, inputs, **corrupted)

    def _sum(self, program: op.Program, train: bool, at: int, n: int, m: int = 1, k: int = -1, **fields: Any) -> None:
        """A gradient [m, n] of the parameters `at`: they take the rule's step, or it is added to what goes out."""
        c, epilogue = op.Matrix(at, n, op.W if train else op.G), op.UPDATE if train else op.ADD
        program.add(op.TN, c, m=m, n=n, k=k, epilogue=epilogue, **fields)


def _plain(samples: Samples) -> Samples:
    """Samples are their own targets: labels are ignored."""
    return replace(samples, y=None)
