"""Persistent chains of RBMs (Tieleman 2008): each shard's own particles, carried from round to round by the state.

Letters: K shards, C particles, I visible units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.spec import Spec
from hdl.wire import Tensors, Update, Weights

NAME = "chains"


def kept_by(spec: Spec) -> bool:
    """Tells whether a training keeps chains."""
    return spec.model == "rbm" and spec.rbm.persistent


def start(spec: Spec) -> Tensors:
    """Draws the first `chains` [K, C, I]: fair coins, or normal numbers for Gaussian units; nothing if none is kept."""
    if not kept_by(spec):
        return {}
    shape = (spec.shards, spec.rbm.chains, spec.widths[0])
    draw = rng.normals if spec.rbm.visible == "gaussian" else rng.uniforms
    draws = draw(rng.derive(spec.seed, rng.CHAINS, spec.layer), n=int(np.prod(shape))).reshape(shape)
    return {NAME: (draws if spec.rbm.visible == "gaussian" else draws < 0.5).astype(np.float32)}


def of_shard(weights: Weights, number: int) -> NDArray[np.float32]:
    """Copies a shard's chains [C, I]."""
    return weights.state[NAME][number].copy()


def join(a: Update, b: Update) -> Tensors:
    """Concatenates the chains of two siblings, by shard number; nothing where none are kept."""
    return {NAME: np.concatenate([a.tensors[NAME], b.tensors[NAME]])} if NAME in a.tensors else {}


def of_all(total: Update) -> Tensors:
    """Gives the chains [K, C, I] of all shards, for the next round's state; nothing where none are kept."""
    return {NAME: total.tensors[NAME]} if NAME in total.tensors else {}
