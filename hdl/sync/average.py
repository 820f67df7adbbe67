"""Mode `average`: the mean of the shards' weights and optimiser states, weighted by the samples they trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import rules
from hdl.spec import Spec
from hdl.sync import chains
from hdl.wire import Tensors, Update, Weights


def start(spec: Spec, w: NDArray) -> Tensors:
    """`rule` [S, P]: zeros; a line search starts anew each round and keeps nothing. Persistent chains at random."""
    vectors = rules.VECTORS.get(spec.optimizer.name, 0)
    return ({"rule": np.zeros((vectors, w.size), np.float32)} if vectors else {}) | chains.start(spec)


def join(a: Update, b: Update) -> Tensors:
    """a + (b - a)·n_b/(n_a + n_b), in float32; a side without samples changes nothing."""
    n_a, n_b = a.sums["samples"], b.sums["samples"]
    if not n_b:
        return a.tensors | chains.joined(a, b)
    if not n_a:
        return b.tensors | chains.joined(a, b)
    share = np.float32(n_b / (n_a + n_b))
    means = {name: mean(a.tensors[name], b.tensors[name], share) for name in a.tensors if name != chains.NAME}
    return means | chains.joined(a, b)


def mean(a: NDArray, b: NDArray, share: np.float32) -> NDArray:
    """a + (b - a)·share: one rounding an operation, so the same on every machine."""
    out = b - a
    out *= share
    out += a
    return out


def merge(spec: Spec, weights: Weights, total: Update) -> tuple[Tensors, NDArray, dict[str, Any]]:
    return {name: tensor for name, tensor in total.tensors.items() if name != "w"}, total.tensors["w"], {}
