"""Calls of the C core, which all models share: weights are float32, and what products multiply as the spec says.

Letters: n samples asked for, O outputs, P parameters, Q statistics, S state vectors, C chains, I inputs.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted, Unavailable
from hdl.ops import precision
from hdl.ops.base import Operations, check_chains
from hdl.ops.schedule import steps
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples

if TYPE_CHECKING:
    from hdl.spec import Spec

_CONSTANTS = "momentum", "beta1", "beta2", "rho", "epsilon", "weight_decay"  # of a rule
MAX_BATCH = 512  # samples of one pass: a larger mini-batch is taken in blocks, with the same result


class Cpu(Operations):
    """The operations of one model by the C core, with working memory and threads of their own.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    threads : int
    isa : str, optional

    Attributes
    ----------
    platform : {'avx512', 'avx2', 'generic'}
        The kernels in use.
    """

    def __init__(self, spec: Spec, threads: int = 1, isa: str | None = None):
        try:
            from hdl import _cpu
        except ImportError as error:
            raise Unavailable(f"the compiled core is missing ({error}); build it with: pip install .") from None
        super().__init__(spec)
        precision.check(spec)
        self._plan = self._make_plan(_cpu, threads, isa)
        self.platform = self._plan.isa

    @abstractmethod
    def _make_plan(self, cpu: Any, threads: int, isa: str | None) -> Any:
        """Make the model's plan, a class of the module `hdl._cpu`."""

    def train(
        self,
        w: NDArray[np.float32],
        state: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray[np.float32] | None = None,
    ) -> Result:
        """Take mini-batch steps over `order`: see `Operations.train`."""
        if not len(order):
            return Result()
        result = self._plan.train(
            w,
            state,
            plan_input(samples),
            samples.y,
            order,
            batch=batch,
            lr=lr,
            first_step=first_step,
            progress=progress,
            **self._update_rule(),
            **key_arguments(key),
            **companions(samples),
            **self._chain_arguments(chains),
        )
        expected = steps(len(order), batch)
        if result.steps < expected:
            raise Interrupted(f"stopped after {result.steps} of {expected} steps")
        return Result(*result)

    def gradient(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """Sum the gradient's statistics [Q] over samples: see `Operations.gradient`."""
        sums, result = self._plan.gradient(
            w,
            plan_input(samples),
            samples.y,
            order,
            progress=progress,
            **key_arguments(key),
            **companions(samples),
            **self._chain_arguments(chains),
        )
        return sums, Result(*result)

    def forward(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """Compute outputs [n, O]: see `Operations.forward`."""
        x = plan_input(samples)
        out, result = self._plan.forward(w, x, samples.y, order, progress=progress, **companions(samples))
        return out, Result(*result)

    def _update_rule(self) -> dict[str, Any]:
        """Name the update rule, its constants and the regularisers, as a plan takes them."""
        spec, rule = self.spec, self.spec.optimizer
        constants = {name: getattr(rule, name) for name in _CONSTANTS}
        penalties = {"l1": spec.l1, "l2": spec.l2, "l2_sp": spec.tuning.l2_sp, "max_norm": spec.max_norm}
        return {"rule": rule.name, **penalties, **constants}

    def _chain_arguments(self, chains: NDArray[np.float32] | None) -> dict[str, Any]:
        """Name the chains as a plan takes them: only an RBM's takes any."""
        check_chains(self.spec, chains)
        return {}


def plan_input(samples: Samples) -> Any:
    """Give x as a plan takes it: an array, encoded rows, or a CSR matrix as (values, indptr, indices)."""
    x = samples.x
    return (x.data, x.indptr, x.indices) if hasattr(x, "indptr") else x


def scaling(samples: Samples) -> dict[str, Any]:
    """Name scale and shift as a plan takes them."""
    return {"scale": samples.scale, "shift": samples.shift}


def companions(samples: Samples) -> dict[str, Any]:
    """Name all that comes with x and y as a plan takes it; other plans than a dense network's take no weights."""
    return {**scaling(samples), "weight": samples.weight, "offset": samples.offset}


def key_arguments(key: Key | None) -> dict[str, int]:
    """Name the key of random numbers as a plan takes it."""
    return (key or NO_KEY)._asdict()
