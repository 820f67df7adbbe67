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

from numpy.typing import NDArray

from hdl.ops import layout, rates, rules
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


def objective(spec: Spec, w: NDArray, cost: float, gradient: NDArray, weight: float) -> tuple[float, NDArray]:
    """Compute the mean cost and its gradient with all penalties (biases exempt from L2), from sums over samples.

    Parameters
    ----------
    cost : float
        Sum over samples of the data cost, times their weights.
    gradient : ndarray [Q]
        The statistics that `ops.gradient` gives.
    weight : float
        Sum of the samples' weights: their number, where they have none. Samples that weigh 0 together have no cost.
    """
    model, weight = layout.of(spec), weight or 1
    mask = model.mask
    gradient, beside = model.combine(gradient, weight)
    mean = gradient / gradient.dtype.type(weight)
    return (
        (cost + beside) / weight + rules.penalty(w, mask, spec.l1, spec.l2),
        rules.penalised(mean, w, mask, spec.l1, spec.l2),
    )


def state_vectors(spec: Spec) -> int:
    """Count the state vectors [P] of the spec's mini-batch rule: S; 0 for line searches, whose state is a machine's."""
    return rules.VECTORS.get(spec.optimizer.name, 0)


def apply(spec: Spec, w: NDArray, state: NDArray, mean_gradient: NDArray, step: int) -> tuple[NDArray, NDArray]:
    """Take one step of a mini-batch rule on the global mean gradient: the merge of `gradient` mode.

    Parameters
    ----------
    w : ndarray [P]
    state : ndarray [S, P]
    mean_gradient : ndarray [P]
        Without penalty.
    step : int
        Steps made before this one; in this mode a step is an epoch.

    Returns
    -------
    w, state : ndarray
        New arrays.
    """
    model = layout.of(spec)
    w, state = w.copy(), state.copy()
    g = rules.penalised(mean_gradient.astype(w.dtype, copy=False), w, model.mask, spec.l1, spec.l2)
    rules.update(spec.optimizer, w, state, g, float(rates(spec, step, 1, 1)[0]), step + 1, model.mask)
    if spec.max_norm:
        rules.limit(w, model, spec.max_norm)
    return w, state
