"""The operations of a dense network on a GPU."""

from __future__ import annotations

from hdl.ops.cuda import program
from hdl.ops.cuda.base import Cuda


class DenseCuda(Cuda):
    """The operations of one dense network on one device.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    device : str
    """

    def _program(self, task: str, rows: int) -> program.Program:
        return program.fitted(
            lambda buffers: program.dense(self.spec, self.layout, rows, task, self.state_vectors, buffers)
        )
