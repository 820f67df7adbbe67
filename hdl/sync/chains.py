"""Persistent chains of RBMs: each shard's own particles, which go from round to round beside the weights.

Letters: K shards, C particles, I visible units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.spec import Spec
from hdl.wire import Tensors, Update, Weights

NAME = "chains"


def used(spec: Spec) -> bool:
    """Whether a training keeps chains."""
    return spec.model == "rbm" and spec.rbm.persistent


def start(spec: Spec) -> Tensors:
    """`chains` [K, C, I]: fair coins, or of Gaussian units normal numbers; nothing where none are kept."""
    if not used(spec):
        return {}
    shape = (spec.shards, spec.rbm.chains, spec.widths[0])
    draw = rng.normals if spec.rbm.visible == "gaussian" else rng.uniforms
    draws = draw(rng.derive(spec.seed, rng.CHAINS, spec.layer), n=int(np.prod(shape))).reshape(shape)
    return {NAME: (draws if spec.rbm.visible == "gaussian" else draws < 0.5).astype(np.float32)}


def own(weights: Weights, number: int) -> NDArray[np.float32]:
    """A copy of a shard's chains [C, I]."""
    return weights.state[NAME][number].copy()


def joined(a: Update, b: Update) -> Tensors:
    """The chains of both, by shard number."""
    return {NAME: np.concatenate([a.tensors[NAME], b.tensors[NAME]])} if NAME in a.tensors else {}


def kept(total: Update) -> Tensors:
    """The chains of all shards, for the next round."""
    return {NAME: total.tensors[NAME]} if NAME in total.tensors else {}
