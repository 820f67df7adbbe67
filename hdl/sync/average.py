"""Mode `average`: the mean of the shards' weights and optimiser states, weighted by the samples they trained on: by
the sum of these samples' own weights, where they have any.

Iterative parameter mixing (McDonald, Hall & Mann 2010).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import joining, rules
from hdl.spec import Spec
from hdl.sync import chains
from hdl.wire import Tensors, Update, Weights, total_weight


def start(spec: Spec, w: NDArray) -> Tensors:
    """Makes the first state: `rule` [S, P], zeros, of an update rule (a line search starts anew each round and keeps
    nothing), and random persistent chains."""
    vectors = rules.VECTORS.get(spec.optimizer.name, 0)
    return ({"rule": np.zeros((vectors, w.size), np.float32)} if vectors else {}) | chains.start(spec)


def join(a: Update, b: Update) -> Tensors:
    """Joins two siblings: a + (b - a)·n_b/(n_a + n_b), in float32, n the samples, or the sum of their weights.

    One where n is 0 is ignored.
    """
    n_a, n_b = total_weight(a.sums), total_weight(b.sums)
    if not n_b:
        return a.tensors | chains.join(a, b)
    if not n_a:
        return b.tensors | chains.join(a, b)
    share = np.float32(n_b / (n_a + n_b))
    means = {
        name: joining.mean(a.tensors[name], b.tensors[name], float(share)) for name in a.tensors if name != chains.NAME
    }
    return means | chains.join(a, b)


def merge(spec: Spec, weights: Weights, total: Update) -> tuple[Tensors, NDArray, dict[str, Any]]:
    """Takes the mean for the next weights: the state, w [P], and no more metrics."""
    return {name: tensor for name, tensor in total.tensors.items() if name != "w"}, total.tensors["w"], {}
