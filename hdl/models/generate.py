"""Draws of a trained model's distribution: Gibbs steps in an RBM, or in the topmost of a stack and a pass down from it.

Letters: n samples, I inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.models import codes, rbm

if TYPE_CHECKING:
    from hdl.models.stack import Layer


def generate(layers: Sequence[Layer], count: int, steps: int, seed: int) -> NDArray[np.float32]:
    """Draw samples of the scaled data: means of the visible units in the last step.

    Parameters
    ----------
    layers : sequence of (spec, weights)
        From the data upwards, all of them RBMs. The topmost makes the Gibbs steps; below it each layer's visible units
        take their mean values given the layer above (as Hinton, Osindero & Teh 2006, section 6, but for the means).
    count : int
        n: chains, each with a start of its own.
    steps : int
        Gibbs steps of each.
    seed : int
        Decides the samples; the first of n are those of more.

    Returns
    -------
    ndarray of float32 [n, I]

    Raises
    ------
    SpecError
        A layer is no RBM.
    """
    for spec, _ in layers:
        if spec.model != "rbm":
            raise SpecError(f"an {spec.model} has no distribution to draw from; expected an RBM or a stack of them")
    top, w = layers[-1]
    x = rbm.sample(top, w, count, steps, seed, means=len(layers) == 1)
    for spec, below in reversed(layers[:-1]):
        x = codes.Decoder(spec, below)(x)
    return x
