"""The operations of an autoencoder carried out by the C core, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import Progress, Samples
from hdl.ops.cpu.dense import _ROWS, Core, _input


class AutoencoderCore(Core):
    """The operations of one autoencoder, with working memory and threads of their own.

    Parameters
    ----------
    spec : Spec
        With its net filled in: (I, H, I).
    threads : int
    isa : str, optional
    """

    def _make(self, cpu: Any, threads: int, isa: str | None) -> Any:
        spec, part = self.spec, self.spec.autoencoder
        return cpu.AutoencoderPlan(
            spec.widths[0], spec.widths[1], spec.activation, spec.leak, part.decoder, part.tied, part.rho, part.beta,
            part.memory, part.corruption, part.contractive, _ROWS, threads, isa,
        )  # fmt: skip

    def encode(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """As `AutoencoderReference.encode`."""
        return self._plan.encode(w, _input(samples), order, samples.scale, samples.shift, progress=progress)
