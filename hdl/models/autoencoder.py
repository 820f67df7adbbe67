"""The autoencoder: its first weights. `hdl.ops.layout.AutoencoderLayout` says where they lie, and its gradient.

Letters: I inputs, H codes, P all parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops import layout
from hdl.ops.layout import AutoencoderLayout

if TYPE_CHECKING:
    from hdl.spec import Spec


def initial(spec: Spec) -> NDArray[np.float32]:
    """Make the first weights [P], by the spec's initialiser as `mlp.initial` has them; the running mean ρ̂ starts at ρ.

    Layers of a stack draw from streams of their own.
    """
    from hdl.models import mlp

    shape, w = layout.of(spec), np.zeros(layout.of(spec).size, np.float32)
    assert isinstance(shape, AutoencoderLayout)
    key = rng.derive(spec.seed, rng.INIT, spec.layer)
    for number, (weights, biases) in enumerate(shape.split(w)):
        if number == 0 or not shape.tied:
            mlp.fill(spec.initializer(), key, number, weights, biases)
    if shape.beta:
        w[shape.running :] = shape.rho
    return w
