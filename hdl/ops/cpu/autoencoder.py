"""The operations of an autoencoder by the C core."""

from __future__ import annotations

from typing import Any

from hdl.ops.cpu.base import MAX_BATCH
from hdl.ops.cpu.one_layer import OneLayerCpu


class AutoencoderCpu(OneLayerCpu):
    """The operations of one autoencoder by the C core.

    Parameters
    ----------
    spec : Spec
        With its net filled in: (I, H, I).
    threads : int
    isa : str, optional
    """

    def _make_plan(self, cpu: Any, threads: int, isa: str | None) -> Any:
        spec, part = self.spec, self.spec.autoencoder
        return cpu.AutoencoderPlan(
            spec.widths[0],
            spec.widths[1],
            activation=spec.activation,
            leak=spec.leak,
            decoder=part.decoder,
            tied=part.tied,
            rho=part.rho,
            beta=part.beta,
            memory=part.memory,
            corruption=part.corruption,
            contractive=part.contractive,
            max_batch=MAX_BATCH,
            threads=threads,
            isa=isa,
            precision=spec.precision,
        )
