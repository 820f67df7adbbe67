"""Optimisers on one flat vector: line-search rules as ask/tell state machines, and the driver's own mini-batch step.

    state = start(spec, w)
    while not done(state):
        cost, gradient = objective(spec, trial(state), …)
        state = tell(state, cost, gradient)
    w = accepted(state)

The same machine serves a worker on its mini-batch (`minimise`) and the driver, one evaluation a round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.ops import layout, rates, rules, tuning
from hdl.optim.machine import (
    accepted,
    cost,
    done,
    evaluations,
    minimise,
    searches,
    start,
    steepness,
    tell,
    trial,
    trying,
)

if TYPE_CHECKING:
    from hdl.spec import Spec

__all__ = [
    "accepted",
    "apply",
    "cost",
    "done",
    "evaluations",
    "minimise",
    "objective",
    "searches",
    "start",
    "state_vectors",
    "steepness",
    "tell",
    "trial",
    "trying",
]


def objective(
    spec: Spec, w: NDArray, cost: float, gradient: NDArray, weight: float, start: NDArray | None = None
) -> tuple[float, NDArray]:  # fmt: skip
    """Compute the mean cost and its gradient with all penalties (biases exempt from L2), from sums over samples.

    Parameters
    ----------
    cost : float
        Sum over samples of the data cost, times their weights.
    gradient : ndarray [Q]
        The statistics that `ops.gradient` gives.
    weight : float
        Sum of the samples' weights: their number, where they have none. Samples that weigh 0 together have no cost.
    start : ndarray [P], optional
        The weights that L2-SP pulls to. What is frozen has gradient 0.
    """
    model, weight = layout.of(spec), weight or 1
    mask = model.mask
    gradient, beside = model.combine(gradient, weight)
    mean = gradient / gradient.dtype.type(weight)
    mean = rules.penalised(mean, w, mask, spec.l1, spec.l2)
    away, pull = tuning.towards(spec, w, start, mask)
    mean = mean + pull if spec.tuning.l2_sp else mean
    total = (cost + beside) / weight + rules.penalty(w, mask, spec.l1, spec.l2) + away
    return total, tuning.hold(spec, mean, np.zeros((), mean.dtype))


def state_vectors(spec: Spec) -> int:
    """Count the state vectors [P] of the spec's mini-batch rule: S; 0 for line searches, whose state is a machine's."""
    return rules.VECTORS.get(spec.optimizer.name, 0)


def apply(
    spec: Spec, w: NDArray, state: NDArray, mean_gradient: NDArray, step: int, start: NDArray | None = None
) -> tuple[NDArray, NDArray]:  # fmt: skip
    """Take one step of a mini-batch rule on the global mean gradient: the merge of `gradient` mode.

    Parameters
    ----------
    w : ndarray [P]
    state : ndarray [S, P]
    mean_gradient : ndarray [P]
        Without penalty.
    step : int
        Steps made before this one; in this mode a step is an epoch.
    start : ndarray [P], optional
        The weights that L2-SP pulls to.

    Returns
    -------
    w, state : ndarray
        New arrays.
    """
    model = layout.of(spec)
    w, own = w.copy(), state.copy() if start is None else np.vstack([state, start[None]])
    g = mean_gradient.astype(w.dtype, copy=False)
    tuning.step(spec, model, w, own, g, float(rates(spec, step, 1, 1)[0]), step + 1)
    return w, own[: len(state)]
