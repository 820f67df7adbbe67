"""The operations of a dense network on a GPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl.ops.base import no_codes
from hdl.ops.cuda import program
from hdl.ops.cuda.base import Cuda
from hdl.ops.types import Progress, Samples


class DenseCuda(Cuda):
    """The operations of one dense network on one device.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    device : str
    """

    def encode(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> NDArray[np.float32]:
        """Refuse: see `Operations.encode`."""
        raise no_codes(self.spec)

    def _program(self, task: str, rows: int) -> program.Program:
        return program.fitted(
            lambda buffers: program.dense(self.spec, self.layout, rows, task, self.state_vectors, buffers)
        )
