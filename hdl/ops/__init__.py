"""The operations: forward, backward and update of a model, behind one interface for all backends.

`make` gives the `Operations` of a dense network, an autoencoder or an RBM: by the NumPy reference (the mathematical
truth, in float64 if the weights are), by the C core (float32) or on a GPU. `base` has the interface, `layout` says
where a model's parameters lie, and each backend is a folder with one module a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdl.errors import SpecError
from hdl.ops.base import Operations
from hdl.ops.layout import Layout
from hdl.ops.schedule import rates, steps
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples, Work, counted

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = [
    "NO_KEY",
    "Key",
    "Layout",
    "Operations",
    "Progress",
    "Result",
    "Samples",
    "Work",
    "counted",
    "make",
    "rates",
    "steps",
]


def make(spec: Spec, backend: str = "cpu", threads: int = 1, isa: str | None = None) -> Operations:
    """Make the operations of a spec whose net and loss are known.

    Parameters
    ----------
    spec : Spec
    backend : {'cpu', 'reference', 'cuda:0', …}
        The result of `hdl.devices.resolve`, or the reference.
    threads : int
        Of the C core. The weights do not depend on it.
    isa : {'avx512', 'avx2', 'generic'}, optional
        Kernels of the C core; None for the best that this processor runs (or the environment's HDL_ISA).

    Raises
    ------
    SpecError
        Net or loss are not filled in, or there is no such backend.
    Unavailable
        The backend's compiled core or its device is missing.
    """
    if spec.net is None or min(spec.net) < 1 or spec.loss is None:
        raise SpecError(f"net {spec.net}, loss {spec.loss}: not yet filled in from the data")
    if spec.members > 1:
        from hdl.ops.ensemble import Ensemble

        return Ensemble.of(spec, make, backend, threads, isa)
    # A backend is imported when it is asked for: the reference and the GPU's are seldom needed.
    if backend == "reference":
        from hdl.ops import reference

        return reference.MODELS[spec.model](spec)
    if backend == "cpu":
        from hdl.ops import cpu

        return cpu.MODELS[spec.model](spec, threads, isa)
    if backend.startswith("cuda"):
        from hdl.ops import cuda

        return cuda.MODELS[spec.model](spec, backend)
    raise SpecError(f"backend: {backend!r}: expected 'cpu', 'reference' or 'cuda:N'")
