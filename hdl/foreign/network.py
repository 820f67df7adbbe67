"""A chain of dense layers, as any library has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DataError

HIDDEN = ("linear", "sigmoid", "tanh", "relu", "leaky_relu")
OUTPUTS = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": None}  # and the loss that goes with each


@dataclass(frozen=True)
class Network:
    """Describes a multi-layer perceptron in the unit of its inputs and outputs.

    Letters: I inputs and O outputs of a layer.

    Parameters
    ----------
    weights : list of float32 [I, O]
    biases : list of float32 [O]
    activation : {'linear', 'sigmoid', 'tanh', 'relu', 'leaky_relu'} or None
        Of all hidden layers; None: the file does not say it.
    leak : float
        Slope of leaky_relu below 0.
    output : {'softmax', 'sigmoid', 'linear'} or None
        What follows the last layer; None: the file does not say it.
    classes : tuple or None
        What the outputs stand for, in their order.
    names : list of str
        Of the layers, as the file has them.
    path : str
    """

    weights: list[NDArray[np.float32]]
    biases: list[NDArray[np.float32]]
    activation: str | None = None
    leak: float = 0.01
    output: str | None = None
    classes: tuple[Any, ...] | None = None
    names: list[str] = field(default_factory=list)
    path: str = ""

    def __post_init__(self) -> None:
        if not self.weights:
            raise DataError("no dense layer in it", self.path)
        before = None
        for name, w, b in zip(self._names(), self.weights, self.biases, strict=True):
            if w.ndim != 2 or b.shape != w.shape[1:] or 0 in w.shape:
                raise DataError(f"layer {name}: weights {list(w.shape)} and biases {list(b.shape)}", self.path)
            if before is not None and before[1] != w.shape[0]:
                raise DataError(
                    f"layer {name} has {w.shape[0]} inputs, and {before[0]} before it {before[1]} outputs: expected a "
                    "chain of dense layers",
                    self.path,
                )
            if not (np.isfinite(w).all() and np.isfinite(b).all()):
                raise DataError(f"layer {name} holds numbers that are not finite", self.path)
            before = name, w.shape[1]

    def _names(self) -> list[str]:
        return self.names or [str(number + 1) for number in range(len(self.weights))]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each layer, inputs first."""
        return (self.weights[0].shape[0], *(w.shape[1] for w in self.weights))

    @property
    def loss(self) -> str | None:
        """The loss that its output function says; None: the labels decide."""
        return OUTPUTS[self.output] if self.output else None

    def flat(self) -> NDArray[np.float32]:
        """Give all weights [P], as hdl lays a perceptron's out: each layer's weights [I, O], then its biases."""
        from hdl.ops.layout import Layout

        layout = Layout(self.widths)
        out = np.zeros(layout.size, np.float32)
        for (w, b), mine, bias in zip(layout.split(out), self.weights, self.biases, strict=True):
            w[:], b[:] = mine, bias
        return out

    def __call__(self, x: NDArray) -> NDArray[np.float64]:
        """Answer [N, O] to samples [N, I], in float64: the plain formula, for comparisons."""
        z = np.asarray(x, np.float64)
        for number, (w, b) in enumerate(zip(self.weights, self.biases, strict=True), 1):
            z = z @ w.astype(np.float64) + b
            kind = self.activation if number < len(self.weights) else self.output
            z = function(kind or "linear", z, self.leak)
        return z


def function(kind: str, z: NDArray[np.float64], leak: float = 0.01) -> NDArray[np.float64]:
    """Apply an activation or an output function to rows."""
    match kind:
        case "relu":
            return np.maximum(z, 0)
        case "leaky_relu":
            return np.where(z > 0, z, leak * z)
        case "tanh":
            return np.tanh(z)
        case "sigmoid":
            return 0.5 * (1 + np.tanh(z / 2))
        case "softmax":
            e = np.exp(z - z.max(1, keepdims=True))
            return e / e.sum(1, keepdims=True)
    return z


def single(kinds: Sequence[tuple[str, float]], path: str) -> tuple[str, float]:
    """Find the one activation of hidden layers, with its leak; (linear, 0.01) of none.

    Raises
    ------
    DataError
        They have several.
    """
    if len(set(kinds)) > 1:
        shown = ", ".join(dict.fromkeys(kind for kind, _ in kinds))
        raise DataError(f"hidden layers of several activations ({shown}); hdl's have one", path)
    return kinds[0] if kinds else ("linear", 0.01)


def as_float32(value: Any, name: str, path: str) -> NDArray[np.float32]:
    """Give a tensor as float32.

    Raises
    ------
    DataError
        It is not of floating-point numbers, or a number is beyond float32.
    """
    if value.dtype.kind != "f":
        raise DataError(f"{name} is of type {value.dtype}; expected floating-point numbers", path)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(value, np.float32)
