"""Activations and their derivatives, as functions of z or of the activation's own value a, any shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Function = Callable[[NDArray, Any], NDArray]  # of values and the slope of the leaky relu below 0


def sigmoid(z: NDArray) -> NDArray:
    """Compute 1 / (1 + exp(−z)) without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


# Each activation, and its derivative as a function of its own value, which is all that backward keeps.
ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "linear": (lambda z, leak: z, lambda a, leak: np.ones_like(a)),
    "sigmoid": (lambda z, leak: sigmoid(z), lambda a, leak: a * (1 - a)),
    "tanh": (lambda z, leak: np.tanh(z), lambda a, leak: 1 - a * a),
    # f(z) = 1.7159 tanh(2z/3) (LeCun et al. 1998, section 4.4): f' = 2/3 · (1.7159 - f²/1.7159)
    "lecun_tanh": (
        lambda z, leak: 1.7159 * np.tanh(z * (2 / 3)),
        lambda a, leak: (2 / 3) * (1.7159 - a * a * (1 / 1.7159)),
    ),
    "relu": (lambda z, leak: np.maximum(z, 0), lambda a, leak: (a > 0).astype(a.dtype)),
    "leaky_relu": (
        lambda z, leak: np.where(z > 0, z, leak * z),
        lambda a, leak: np.where(a < 0, leak, 1).astype(a.dtype),
    ),
}


# f''/f' as a function of f's own value; 0 for the activations that are straight wherever they have a derivative.
_CURVATURES: dict[str, Callable[[NDArray], NDArray]] = {
    "sigmoid": lambda a: 1 - 2 * a,
    "tanh": lambda a: -2 * a,
    "lecun_tanh": lambda a: (-4 / 3 / 1.7159) * a,
}


def curvature(activation: str, a: NDArray) -> NDArray:
    """Compute f''/f' where the activation's value is a."""
    return _CURVATURES.get(activation, np.zeros_like)(a)
