"""The operations carried out by the C core, in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import Interrupted, Unavailable
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, rules, steps
from hdl.ops import layout as layouts

if TYPE_CHECKING:
    from hdl.spec import Spec

_ROWS = 512  # of one pass: a larger mini-batch is taken in blocks, with the same result


class Core:
    """The operations of one net, with working memory and threads of their own.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.
    threads : int
    isa : str, optional

    Attributes
    ----------
    isa : str
        The kernels in use.
    """

    def __init__(self, spec: Spec, threads: int = 1, isa: str | None = None):
        try:
            from hdl import _cpu
        except ImportError as error:
            raise Unavailable(f"the compiled core is missing ({error}); build it with: pip install .") from None
        self.spec = spec
        self.layout = layouts.of(spec)
        self.state_vectors = rules.VECTORS.get(spec.optimizer.name, 0)
        self._plan = self._make(_cpu, threads, isa)
        self.isa = self._plan.isa

    def _make(self, cpu: Any, threads: int, isa: str | None) -> Any:
        """The plan of this kind of model."""
        spec = self.spec
        return cpu.Plan(
            spec.net, spec.activation, spec.loss, spec.leak, spec.input_dropout, spec.dropout, _ROWS, threads, isa
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
        **more: Any,
    ) -> Result:
        """As `Reference.train`; `more` is what the model's kind takes beside."""
        spec, rule = self.spec, self.spec.optimizer
        if not len(order):
            return Result()
        result = self._plan.train(
            w, state, _input(samples), samples.y, order, batch, lr, rule.name, spec.l1, spec.l2, spec.max_norm,
            rule.momentum, rule.beta1, rule.beta2, rule.rho, rule.epsilon, first_step, *(key or NO_KEY),
            samples.scale, samples.shift, progress, **more,
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
        **more: Any,
    ) -> tuple[NDArray[np.float32], Result]:
        """As `Reference.gradient`."""
        gradient, result = self._plan.gradient(
            w, _input(samples), samples.y, order, *(key or NO_KEY), samples.scale, samples.shift, progress=progress,
            **more,
        )  # fmt: skip
        return gradient, Result(*result)

    def forward(
        self,
        w: NDArray[np.float32],
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float32], Result]:
        """As `Reference.forward`."""
        out, result = self._plan.forward(
            w, _input(samples), samples.y, order, samples.scale, samples.shift, progress=progress
        )
        return out, Result(*result)


def _input(samples: Samples) -> Any:
    """x as the core takes it."""
    x = samples.x
    return (x.data, x.indptr, x.indices) if hasattr(x, "indptr") else x
