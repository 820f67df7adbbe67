"""A network under construction from the operations of a graph: dense layers, activations, and scaling between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DataError
from hdl.foreign.network import HIDDEN, OUTPUTS, Network, as_float32, single


class Chain:
    """Collects what stands one after the other. Scaling by constants is folded into the layers, in float64.

    Parameters
    ----------
    path : str
        Of the file, for messages.
    """

    def __init__(self, path: str):
        self.path = path
        self._layers: list[tuple[str, NDArray, NDArray]] = []
        self._kinds: list[tuple[str, float]] = []  # of each layer that has its activation
        self._scale: NDArray = np.ones(1)
        self._shift: NDArray = np.zeros(1)

    @property
    def open(self) -> bool:
        """Tell whether the last thing was a dense layer, maybe scaled."""
        return len(self._layers) > len(self._kinds)

    @property
    def begun(self) -> bool:
        """Tell whether there is a layer."""
        return bool(self._layers)

    def dense(self, name: str, weights: NDArray, biases: NDArray | None) -> None:
        """Add a dense layer of weights [I, O] and biases [O]."""
        if weights.ndim != 2 or (biases is not None and biases.size not in (1, weights.shape[1])):
            raise DataError(f"{name}: weights {list(weights.shape)} are of no dense layer", self.path)
        if self.open:
            self.activation("linear", name=name)
        w, b = np.asarray(weights, np.float64), np.zeros(weights.shape[1])
        if biases is not None:
            b = b + np.asarray(biases, np.float64).reshape(-1)
        for part in self._scale, self._shift:
            if part.size not in (1, w.shape[0]):
                raise DataError(f"{name} has {w.shape[0]} inputs, and {part.size} reach it", self.path)
        b = b + np.broadcast_to(self._shift, w.shape[:1]) @ w
        self._layers.append((name, np.broadcast_to(self._scale, w.shape[:1])[:, None] * w, b))
        self._scale, self._shift = np.ones(1), np.zeros(1)

    def affine(self, scale: Any = 1.0, shift: Any = 0.0) -> None:
        """Multiply what was there by constants, then add constants."""
        scale, shift = (np.asarray(value, np.float64).reshape(-1) for value in (scale, shift))
        try:
            self._scale, self._shift = self._scale * scale, self._shift * scale + shift
        except ValueError:
            raise DataError(f"constants of {scale.size} and {self._shift.size} numbers do not fit", self.path) from None

    def activation(self, kind: str, leak: float = 0.01, name: str = "") -> None:
        """Apply an activation or an output function to the last layer."""
        if not self.open:
            raise DataError(f"{name or kind} does not follow a dense layer", self.path)
        layer, w, b = self._layers[-1]
        if any(part.size not in (1, b.size) for part in (self._scale, self._shift)):
            raise DataError(f"{name or kind}: constants do not fit the {b.size} outputs of {layer}", self.path)
        self._layers[-1] = layer, w * self._scale, b * self._scale + self._shift
        self._scale, self._shift = np.ones(1), np.zeros(1)
        self._kinds.append((kind, leak))

    def network(self, classes: tuple[Any, ...] | None = None) -> Network:
        """Give the network.

        Raises
        ------
        DataError
            It has activations that hdl's networks do not have, or none.
        """
        if self.open:
            self.activation("linear")
        elif np.any(self._scale != 1) or np.any(self._shift):
            raise DataError("its answers are scaled behind the output function", self.path)
        if not self._layers:
            raise DataError("no dense layer in it", self.path)
        *hidden, (output, _) = self._kinds
        for (layer, _, _), (kind, _) in zip(self._layers, hidden, strict=False):
            if kind not in HIDDEN:
                raise DataError(f"layer {layer} has activation {kind}; expected one of {', '.join(HIDDEN)}", self.path)
        if output not in OUTPUTS:
            raise DataError(f"its last layer has {output}; expected one of {', '.join(OUTPUTS)}", self.path)
        kind, leak = single(hidden, self.path)
        names = [name for name, _, _ in self._layers]
        weights = [as_float32(w, name, self.path) for name, w, _ in self._layers]
        biases = [as_float32(b, name, self.path) for name, _, b in self._layers]
        return Network(weights, biases, kind if hidden else None, leak, output, classes, names, self.path)
