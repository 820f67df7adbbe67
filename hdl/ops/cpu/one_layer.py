"""Codes of models of one layer by the C core, in float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl.ops.base import check_weights
from hdl.ops.cpu.base import Cpu, plan_input, scaling
from hdl.ops.types import Progress, Samples


class OneLayerCpu(Cpu):
    """An autoencoder's or RBM's codes; the subclass has its plan."""

    def encode(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Compute codes [n, H]: see `Operations.encode`."""
        check_weights(self.spec, samples)
        return self._plan.encode(w, plan_input(samples), order, progress=progress, **scaling(samples))
