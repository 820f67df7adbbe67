"""Mode `gradient`: gradients summed over all samples; one step of the optimiser on their mean.

A line-search rule (gd, cg, lbfgs) evaluates one trial point a round. It lies in the state; `w` is always the best
accepted iterate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import optim
from hdl.errors import NonFinite
from hdl.ops import joining, layout
from hdl.spec import Spec
from hdl.sync import average, chains, tuned
from hdl.wire import Tensors, Update, Weights, total_weight


def start(spec: Spec, w: NDArray) -> Tensors:
    """Makes the first state: `rule` [S, P] and `chains`, or the line search's arrays."""
    return optim.start(spec, w) if spec.optimizer.line_search else average.start(spec, w)


def join(a: Update, b: Update) -> Tensors:
    """Joins two siblings: their gradients [Q] add up, in float32."""
    return {"gradient": joining.add(a.tensors["gradient"], b.tensors["gradient"]), **chains.join(a, b)}


def point(spec: Spec, weights: Weights) -> NDArray:
    """Chooses the point [P] at which the round's gradient is taken: a line search's trial point, else `w`."""
    return optim.trial(weights.state) if spec.optimizer.line_search else weights.w


def finished(spec: Spec, weights: Weights) -> bool:
    """Tells whether the optimiser is a line search that has converged."""
    return spec.optimizer.line_search and optim.done(weights.state)


def merge(spec: Spec, weights: Weights, total: Update) -> tuple[Tensors, NDArray, dict[str, Any]]:
    """Takes one step of the optimiser on the mean gradient: the next state, w [P], and no more metrics.

    Raises
    ------
    NonFinite
        The gradient is not finite.
    """
    weight, gradient = total_weight(total.sums), total.tensors["gradient"]
    if not weight:  # every shard is empty, or all of it is validation, or counts nothing
        return weights.state, weights.w, {}
    if spec.optimizer.line_search:  # a trial may be too far out to be finite: the search comes back
        at, cost = point(spec, weights), total.sums["cost"]
        start = weights.state.get(tuned.START)
        state = optim.tell(weights.state, *optim.objective(spec, at, cost, gradient, weight, start))
        return state, optim.accepted(state), {}
    if not np.isfinite(gradient).all():
        raise NonFinite(f"round {weights.round}: the gradient is not finite; a smaller lr may help")
    rule = weights.state.get("rule", np.zeros((0, weights.w.size), np.float32))
    gradient, _ = layout.of(spec).combine(gradient, weight)
    mean, start = gradient / np.float32(weight), weights.state.get(tuned.START)
    w, rule = optim.apply(spec, weights.w, rule, mean, weights.round, start)
    return chains.of_all(total) | ({"rule": rule} if rule.size else {}), w, {}
