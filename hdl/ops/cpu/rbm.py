"""The operations of a restricted Boltzmann machine carried out by the C core, in float32."""

from __future__ import annotations

from typing import Any

from hdl.ops.cpu.autoencoder import AutoencoderCore
from hdl.ops.cpu.dense import _ROWS


class RbmCore(AutoencoderCore):
    """The operations of one RBM, with working memory and threads of their own.

    `forward` gives mean reconstructions and `encode` p(h = 1|v), as `RbmReference` does; `train` and `gradient` take
    its `chains`.

    Parameters
    ----------
    spec : Spec
        Of model `rbm`, with its net filled in: (I, H).
    threads : int
    isa : str, optional
    """

    def _make(self, cpu: Any, threads: int, isa: str | None) -> Any:
        part = self.spec.rbm
        chains = part.chains if part.persistent else 0
        return cpu.RbmPlan(
            *self.spec.widths, part.visible == "gaussian", part.k, chains, part.rho, part.beta, _ROWS, threads, isa
        )
