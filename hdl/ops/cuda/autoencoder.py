"""The operations of an autoencoder on a GPU, and its learning program for the CUDA core.

Letters: B rows of a mini-batch, I inputs, H hidden units; x̃ is x with some inputs set to 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hdl.ops.cuda import program as op
from hdl.ops.cuda.one_layer import OneLayerCuda
from hdl.ops.layout import AutoencoderLayout

if TYPE_CHECKING:
    from hdl.spec import Spec


class AutoencoderCuda(OneLayerCuda):
    """The operations of one autoencoder on one device.

    Parameters
    ----------
    spec : Spec
        With its net filled in: (I, H, I).
    device : str
    """

    layout: AutoencoderLayout

    def __init__(self, spec: Spec, device: str = "cuda:0"):
        super().__init__(spec, device)
        self.tied = spec.autoencoder.tied
        self.visible_bias = self.layout.running - self.layout.widths[0]

    def _code_function(self) -> dict[str, Any]:
        return {"function": op.ACTIVATIONS[self.spec.activation], "leak": self.spec.leak}

    def _reconstruction_loss(self) -> int:
        return op.LOSSES["sigmoid_squared" if self.spec.autoencoder.decoder == "sigmoid" else "squared"]

    def _learn(self, program: op.Program, task: str, buffers: int) -> None:
        """Lay out `train` or `gradient`."""
        part, layout, train = self.spec.autoencoder, self.layout, task == "train"
        inputs, hidden = layout.widths[:2]
        if self.tied:  # x̃ and the output's delta alternate as rows, as codes' deltas and codes do
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
            program.add(op.NORMS, norms, at=1, a=weights, n=hidden, k=inputs, scalar=1.0)
        if sparsity:
            program.add(op.TN, sparsity, a=ones, b=codes, m=1, n=hidden, k=-1, epilogue=op.SPARSITY, rho=part.rho,
                        beta=part.beta, scalar=part.memory, d=op.Matrix(layout.running, hidden, op.W))  # fmt: skip
        program.phase()
        program.add(op.LOSS, z, a=z, b=x, m=-1, n=inputs, function=self._reconstruction_loss())
        program.phase()
        program.add(op.NN if self.tied else op.NT, inner, a=z, b=self._backward_weights(), bias=sparsity, m=-1,
                    n=hidden, k=inputs, epilogue=op.DERIVE, d=codes, **self._code_function())  # fmt: skip
        if slopes:
            program.phase()
            program.add(
                op.CONTRACTIVE,
                inner,
                a=codes,
                d=slopes,
                bias=norms,
                m=-1,
                n=hidden,
                scalar=part.contractive,
                **self._code_function(),
            )
        if contraction:
            program.phase()
            program.add(op.NORMS, contraction, a=slopes, n=hidden, k=-1, scalar=part.contractive)
        program.phase()
        # Tied, one product over both kinds of rows is all of W1's gradient.
        rows = {"a": seen.halves(), "b": inner.halves(), "k": -2} if self.tied else {"a": seen, "b": inner}
        self._sum(
            program,
            train,
            0,
            hidden,
            m=inputs + 1,
            penalised_rows=inputs,
            bias=contraction,
            d=contraction and weights,
            **rows,
        )
        if not self.tied:
            self._sum(program, train, layout.encoder, inputs, a=codes, b=z, m=hidden, penalised_rows=hidden)
        self._sum(program, train, self.visible_bias, inputs, a=ones, b=z)
        if part.beta and not train:
            self._sum(program, train, layout.size, hidden, a=seen, b=slopes, m=inputs + 1)
            self._sum(program, train, layout.size + layout.encoder, hidden, a=ones, b=codes)
        # No scale makes up for the inputs that are dropped.
        corrupted = {**op.dropped(part.corruption), "keep": 1.0, "d": x} if part.corruption else {}
        program.gather(seen, inputs, **corrupted)
