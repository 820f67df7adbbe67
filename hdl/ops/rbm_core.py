"""The operations of a restricted Boltzmann machine carried out by the C core, in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, steps
from hdl.ops.autoencoder_core import AutoencoderCore
from hdl.ops.core import _ROWS, _input


class RbmCore(AutoencoderCore):
    """The operations of one RBM, with working memory and threads of their own.

    `forward` gives mean reconstructions and `encode` p(h = 1|v), as `RbmReference` does.

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
        """As `RbmReference.train`."""
        spec, rule = self.spec, self.spec.optimizer
        if not len(order):
            return Result()
        result = self._plan.train(
            w, state, _input(samples), None, order, batch, lr, rule.name, spec.l1, spec.l2, 0, rule.momentum,
            rule.beta1, rule.beta2, rule.rho, rule.epsilon, first_step, *(key or NO_KEY), samples.scale,
            samples.shift, progress, chains=chains,
        )  # fmt: skip
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
        """As `RbmReference.gradient`."""
        statistics, result = self._plan.gradient(
            w, _input(samples), None, order, *(key or NO_KEY), samples.scale, samples.shift, progress=progress,
            chains=chains,
        )  # fmt: skip
        return statistics, Result(*result)
