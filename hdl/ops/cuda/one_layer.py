"""Models of one layer of codes on a GPU: the operations that the programs of autoencoders and RBMs share.

Letters: B rows of a mini-batch, n samples asked for, I inputs, H hidden units.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops.cuda import program as op
from hdl.ops.cuda.base import Cuda
from hdl.ops.types import Key, Progress, Result, Samples, Work


class OneLayerCuda(Cuda):
    """An autoencoder's or RBM's operations; the subclass has its units and its learning program.

    Attributes
    ----------
    tied : bool
        The weights of reconstructions are those of codes, transposed.
    visible_bias : int
        Where the biases of reconstructions begin in w.
    """

    tied: bool
    visible_bias: int

    def train_all(self, works: Sequence[Work], batch: int, progress: Progress | None = None) -> list[Result]:
        """Train many nets side by side: see `Operations.train_all`."""
        return super().train_all([work._replace(samples=_unlabelled(work.samples)) for work in works], batch, progress)

    def encode(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Compute codes [n, H]: see `Operations.encode`."""
        return self._compute("encode", self.layout.widths[1], w, samples, order, progress)[0]

    def _accumulate(
        self, task: str, w: NDArray[np.float32], samples: Samples, order: NDArray[np.int64] | None, key: Key | None,
        progress: Progress | None, out: NDArray[np.float32],
    ) -> Result:  # fmt: skip
        return super()._accumulate(task, w, _unlabelled(samples), order, key, progress, out)

    def _program(self, task: str, rows: int) -> op.Program:
        def make(buffers: int) -> op.Program:
            program = op.Program(rows)
            (self._read if task in ("forward", "encode") else self._learn)(program, task, buffers)
            program.settle(self.layout.size * (1 + self.state_vectors))
            return program

        return op.fitted(make)

    @abstractmethod
    def _learn(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out `train` or `gradient`."""

    @abstractmethod
    def _code_function(self) -> dict[str, Any]:
        """Name the function of codes: fields of an operation."""

    @abstractmethod
    def _reconstruction_loss(self) -> int:
        """Name the loss of reconstructions, with their function."""

    def _backward_weights(self) -> op.Matrix:
        """Give the weights of reconstructions: [H, I], or tied [I, H]."""
        inputs, hidden = self.layout.widths[:2]
        return op.Matrix(0, hidden, op.W) if self.tied else op.Matrix(self.layout.encoder, inputs, op.W)

    def _up(self, c: op.Matrix | None, v: op.Matrix, m: int = -1, **how: Any) -> dict[str, Any]:
        """Make the operation that leads to codes."""
        inputs, hidden = self.layout.widths[:2]
        weights, bias = op.Matrix(0, hidden, op.W), op.Matrix(inputs * hidden, hidden, op.W)
        fields = {"kind": op.NN, "a": v, "b": weights, "bias": bias, "m": m, "n": hidden, "k": inputs}
        return {**fields, "c": c, "epilogue": op.ACTIVATE, **self._code_function(), **how}

    def _down(self, c: op.Matrix | None, codes: op.Matrix, m: int = -1, **how: Any) -> dict[str, Any]:
        """Make the operation that leads from codes to reconstructions, or to what their function is taken of."""
        inputs, hidden = self.layout.widths[:2]
        kind, bias = op.NT if self.tied else op.NN, op.Matrix(self.visible_bias, inputs, op.W)
        fields = {
            "kind": kind,
            "a": codes,
            "b": self._backward_weights(),
            "bias": bias,
            "m": m,
            "n": inputs,
            "k": hidden,
        }
        return {**fields, "c": c, "epilogue": op.ACTIVATE, **how}

    def _read(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out `forward` or `encode`: nothing is corrupted, nothing drawn."""
        inputs, hidden = self.layout.widths[:2]
        x = program.matrix(inputs + 1, buffers)
        if task == "encode":
            program.lay([self._up(op.Matrix(0, hidden, op.G, place=1), x)])
        else:
            codes, z, out = program.matrix(hidden), program.matrix(inputs), op.Matrix(0, inputs, op.G, place=1)
            program.lay([self._up(codes, x), self._down(z, codes)])
            program.phase()
            program.add(op.LOSS, a=z, b=x, d=out, m=-1, n=inputs, function=self._reconstruction_loss())
        program.gather(x, inputs)

    def _sum(self, program: op.Program, train: bool, at: int, n: int, m: int = 1, k: int = -1, **fields: Any) -> None:
        """Add a gradient [m, n] of the parameters `at`: they take the rule's step, or it is added to what goes out."""
        c, epilogue = op.Matrix(at, n, op.W if train else op.G), op.UPDATE if train else op.ADD
        program.add(op.TN, c, m=m, n=n, k=k, epilogue=epilogue, **fields)


def _unlabelled(samples: Samples) -> Samples:
    """Drop the labels: samples are their own targets."""
    return replace(samples, y=None)
