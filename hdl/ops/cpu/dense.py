"""The operations of a dense network by the C core."""

from __future__ import annotations

from typing import Any

from hdl.ops import losses, tuning
from hdl.ops.cpu.base import MAX_BATCH, Cpu


class DenseCpu(Cpu):
    """The operations of one dense network by the C core.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    threads : int
    isa : str, optional
    """

    def _make_plan(self, cpu: Any, threads: int, isa: str | None) -> Any:
        spec = self.spec
        return cpu.Plan(
            spec.net,
            activation=spec.activation,
            loss=spec.loss,
            leak=spec.leak,
            dropout_input=spec.input_dropout,
            dropout_hidden=spec.dropout,
            loss_parameter=losses.parameter(spec),
            label_smoothing=spec.label_smoothing,
            max_batch=MAX_BATCH,
            threads=threads,
            isa=isa,
            embeddings=spec.embeddings,
            numbers=spec.numbers,
            rates=tuning.factors(spec),
            precision=spec.precision,
        )
