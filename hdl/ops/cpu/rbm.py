"""The operations of a restricted Boltzmann machine by the C core, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops.cpu.base import MAX_BATCH
from hdl.ops.cpu.one_layer import OneLayerCpu


class RbmCpu(OneLayerCpu):
    """The operations of one RBM by the C core.

    `forward` gives mean reconstructions and `encode` p(h = 1|v), as `RbmReference` does.

    Parameters
    ----------
    spec : Spec
        Of model `rbm`, with its net filled in: (I, H).
    threads : int
    isa : str, optional
    """

    def _make_plan(self, cpu: Any, threads: int, isa: str | None) -> Any:
        part = self.spec.rbm
        return cpu.RbmPlan(
            *self.spec.widths,
            gaussian=part.visible == "gaussian",
            k=part.k,
            chains=part.chains if part.persistent else 0,
            rho=part.rho,
            beta=part.beta,
            max_batch=MAX_BATCH,
            threads=threads,
            isa=isa,
        )

    def _chain_arguments(self, chains: NDArray[np.float32] | None) -> dict[str, Any]:
        return {"chains": chains}  # which the plan checks
