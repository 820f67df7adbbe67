"""Mode `gradient`: gradients summed over all samples; one step of the optimiser on their mean.

A line-search rule (gd, cg, lbfgs) evaluates one trial point a round. It lies in the state; `w` is always the best
accepted iterate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import ops, optim
from hdl.errors import NonFinite
from hdl.ops import rules
from hdl.spec import Spec
from hdl.sync import average
from hdl.wire import Tensors, Update, Weights


def start(spec: Spec, w: NDArray) -> Tensors:
    """`rule` [S, P], or the line search's arrays."""
    return optim.start(spec, w) if spec.optimizer.line_search else average.start(spec, w)


def join(a: Update, b: Update) -> Tensors:
    """The sum, in float32."""
    return {"gradient": a.tensors["gradient"] + b.tensors["gradient"]}


def point(spec: Spec, weights: Weights) -> NDArray:
    """Where the round's gradient is taken [P]: a search's trial, else `w`."""
    return optim.trial(weights.state) if spec.optimizer.line_search else weights.w


def mean(spec: Spec, w: NDArray, gradient: NDArray, cost: float, samples: int) -> tuple[float, NDArray]:
    """Mean cost and its gradient [P] at w from sums over samples, with the spec's penalty.

    Raises
    ------
    NonFinite
    """
    mask = ops.Layout(tuple(spec.net)).mask
    value = cost / samples + rules.penalty(w, mask, spec.l1, spec.l2)
    vector = rules.penalised(gradient / np.float32(samples), w, mask, spec.l1, spec.l2)
    if not np.isfinite(value) or not np.isfinite(vector).all():
        raise NonFinite(f"the cost became {value} and its gradient is not finite; a smaller lr may help")
    return value, vector


def merge(spec: Spec, weights: Weights, total: Update) -> tuple[Tensors, NDArray, dict[str, Any]]:
    samples = total.sums["samples"]
    if not samples:  # every shard is empty, or all of it is validation
        return weights.state, weights.w, {}
    at = point(spec, weights)
    cost, gradient = mean(spec, at, total.tensors["gradient"], total.sums["cost"], samples)
    if spec.optimizer.line_search:
        state = optim.tell(weights.state, cost, gradient)
        return state, optim.accepted(state), {}
    w, state = weights.w.copy(), {name: tensor.copy() for name, tensor in weights.state.items()}
    lr = ops.rates(spec, weights.round, 1, 1)[0]
    rules.update(spec.optimizer, w, state.get("rule"), gradient, lr, weights.round + 1)
    if spec.max_norm:
        rules.limit(w, ops.Layout(tuple(spec.net)), spec.max_norm)
    return state, w, {}
