"""Fine-tuning across rounds: what is frozen stays as it is, and the weights that L2-SP pulls to travel in the state.

Letters: P parameters, K shards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl.ops import tuning
from hdl.spec import Spec
from hdl.wire import Tensors, Weights

START = "start"


def start(spec: Spec, w: NDArray, anchor: NDArray | None = None) -> Tensors:
    """Makes the first state: `start` [P], the weights that L2-SP pulls to, by default the first ones; nothing without
    it."""
    return {START: (w if anchor is None else anchor).copy()} if spec.tuning.l2_sp else {}


def kept(weights: Weights) -> Tensors:
    """Gives what every next state has too: `start` [P]; nothing where there is none."""
    return {START: weights.state[START]} if START in weights.state else {}


def merged(spec: Spec, weights: Weights, state: Tensors, w: NDArray) -> tuple[Tensors, NDArray]:
    """Makes the state and w [P] that follow `weights` of those that a mode has merged.

    No sum, mean, crossover or mutation touches what is frozen: it is taken from the weights that the round started
    from, since even a mean of equal numbers would turn -0 into 0.
    """
    state = {**state, **kept(weights)}
    if tuning.frozen(spec) is None:
        return state, w
    if "population" in state:
        state["population"] = tuning.hold(spec, state["population"], weights.w)
    return state, tuning.hold(spec, w, weights.w)


def for_rule(weights: Weights, rule: NDArray) -> NDArray:
    """Makes the state that training takes of the rule's own [S, P]: behind it are what L2-SP pulls to, if it is asked
    for."""
    anchor = weights.state.get(START)
    return rule if anchor is None else np.vstack([rule, anchor[None]])
