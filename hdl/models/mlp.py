"""The multi-layer perceptron: layout of its flat weight vector, and its first weights.

Letters: L layers, I inputs and O outputs of a layer, P all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import keys
from hdl.errors import SpecError

if TYPE_CHECKING:
    from hdl.spec import Spec


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in the flat vector [P]: W_l [I, O] row-major, then b_l [O], layer after layer.

    Parameters
    ----------
    widths : tuple of int [L + 1]
        Inputs and outputs included.

    Examples
    --------
    >>> layout = Layout((4, 3, 2))
    >>> layout.size, layout.names
    (23, ('W1', 'b1', 'W2', 'b2'))
    >>> [part.shape for part in layout.split(np.zeros(23))[0]]
    [(4, 3), (3,)]
    """

    widths: tuple[int, ...]

    @cached_property
    def offsets(self) -> tuple[tuple[int, int], ...]:
        """Of W_l and b_l, for each layer."""
        result, at = [], 0
        for inputs, outputs in zip(self.widths, self.widths[1:], strict=False):
            result.append((at, at + inputs * outputs))
            at += (inputs + 1) * outputs
        return tuple(result)

    @property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum((inputs + 1) * outputs for inputs, outputs in zip(self.widths, self.widths[1:], strict=False))

    @property
    def names(self) -> tuple[str, ...]:
        """W1, b1, W2, b2, …"""
        return tuple(f"{letter}{layer}" for layer in range(1, len(self.widths)) for letter in "Wb")

    def split(self, w: NDArray) -> list[tuple[NDArray, NDArray]]:
        """The layers' (W [I, O], b [O]) as views of the flat vector w [P]."""
        return [
            (w[at : at + inputs * outputs].reshape(inputs, outputs), w[bias : bias + outputs])
            for (at, bias), inputs, outputs in zip(self.offsets, self.widths, self.widths[1:], strict=False)
        ]

    @cached_property
    def mask(self) -> NDArray[np.float32]:
        """[P]: 1 at weights, 0 at biases, which no regulariser touches."""
        mask = np.zeros(self.size, np.float32)
        for weights, _ in self.split(mask):
            weights[:] = 1
        mask.flags.writeable = False
        return mask


def layout(spec: Spec) -> Layout:
    """The layout of a spec whose net is known.

    Raises
    ------
    SpecError
        If inputs or outputs are still to be filled in from the data.
    """
    if spec.net is None or min(spec.net) < 1:
        raise SpecError(f"net: {spec.net}: the widths are not yet filled in from the data")
    return Layout(tuple(spec.net))


def initial(spec: Spec) -> NDArray[np.float32]:
    """The first weights [P], keyed by the spec's seed.

    `glorot`: uniform, bound sqrt(6/(I + O)) (Glorot & Bengio 2010, equation 16). `he`: normal, variance 2/I (He et al.
    2015, equation 10). `lecun`: normal, variance 1/I (LeCun et al. 1998, equation 16). `uniform`: on [low, high],
    biases too; with the others biases are 0.
    """
    init, shape = spec.initializer(), layout(spec)
    key = keys.derive(spec.seed, keys.INIT)
    w = np.zeros(shape.size, np.float32)
    for layer, (weights, biases) in enumerate(shape.split(w)):
        inputs, outputs = weights.shape
        if init.name == "uniform":
            for part, c in (weights, 0), (biases, 1):
                draws = keys.uniforms(key, layer, 0, c, n=part.size)
                part[:] = (init.low + (init.high - init.low) * draws).reshape(part.shape)
        elif init.name == "glorot":
            draws = 2 * keys.uniforms(key, layer, n=weights.size) - 1
            weights[:] = (np.sqrt(6 / (inputs + outputs)) * draws).reshape(weights.shape)
        else:
            deviation = np.sqrt((2 if init.name == "he" else 1) / inputs)
            weights[:] = (deviation * keys.normals(key, layer, n=weights.size)).reshape(weights.shape)
    return w
