"""The multi-layer perceptron: layout of its flat weight vector, and its first weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import SpecError
from hdl.ops import layout as layouts
from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.spec import Init, Spec

_TABLES = 1  # second counter of the stream of embeddings' tables; layers have 0


def layout(spec: Spec) -> Layout:
    """Make the layout of a spec whose net is known.

    Raises
    ------
    SpecError
        If inputs or outputs are still to be filled in from the data.
    """
    if spec.net is None or min(spec.net) < 1:
        raise SpecError(f"net: {spec.net}: the widths are not yet filled in from the data")
    return layouts.of(spec) if spec.embeddings or spec.members > 1 else Layout(spec.widths)


def initial(spec: Spec) -> NDArray[np.float32]:
    """Make the first weights [P], keyed by the spec's seed.

    `glorot`: uniform, bound sqrt(6/(I + O)) (Glorot & Bengio 2010, equation 16). `he`: normal, variance 2/I (He et al.
    2015, equation 10). `lecun`: normal, variance 1/I (LeCun et al. 1998, equation 16). `uniform`: on [low, high],
    biases too; with the others biases are 0. Tables of embedded categories are uniform with bound 1/sqrt(d) for vectors
    of length d, so that squared norms are about 1/3 whatever d is (as the tokens of Gorishniy et al. 2021, "Revisiting
    deep learning models for tabular data"), or as `uniform` says.
    """
    init, shape = spec.initializer(), layout(spec)
    key = rng.derive(spec.seed, rng.INIT)
    w = np.zeros(shape.size, np.float32)
    for layer, (weights, biases) in enumerate(shape.split(w)):
        fill(init, key, layer, weights, biases)
    for category, table in enumerate(shape.tables(w)):
        bound = 1 / np.sqrt(table.shape[1])
        low, high = (init.low, init.high) if init.name == "uniform" else (-bound, bound)
        draws = rng.uniforms(key, category, _TABLES, n=table.size)
        table[:] = (low + (high - low) * draws).reshape(table.shape)
    return w


def fill(init: Init, key: int, layer: int, weights: NDArray[np.float32], biases: NDArray[np.float32]) -> None:
    """Fill the weights [I, O] of a layer and, with `uniform`, its biases [O], from the stream (key, layer)."""
    inputs, outputs = weights.shape
    if init.name == "uniform":
        for part, c in (weights, 0), (biases, 1):
            draws = rng.uniforms(key, layer, 0, c, n=part.size)
            part[:] = (init.low + (init.high - init.low) * draws).reshape(part.shape)
    elif init.name == "glorot":
        draws = 2 * rng.uniforms(key, layer, n=weights.size) - 1
        weights[:] = (np.sqrt(6 / (inputs + outputs)) * draws).reshape(weights.shape)
    else:
        deviation = np.sqrt((2 if init.name == "he" else 1) / inputs)
        weights[:] = (deviation * rng.normals(key, layer, n=weights.size)).reshape(weights.shape)
