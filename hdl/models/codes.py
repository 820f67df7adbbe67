"""The codes that a trained network has for samples: what its hidden units say, layer by layer.

Letters: n samples, I inputs and H codes of a layer, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops import Layout, Samples
from hdl.ops.reference import ACTIVATIONS

if TYPE_CHECKING:
    from hdl.models.stack import Layer
    from hdl.spec import Spec

Make = Callable[["Spec"], Any]


def depth(spec: Spec, below: Sequence[Layer] = ()) -> int:
    """How many layers of codes a network has, those below it included."""
    if spec.model != "mlp":
        return len(below) + 1
    return len(spec.widths) - (1 if spec.finetune == "none" else 2)


def usual(spec: Spec, below: Sequence[Layer] = ()) -> int:
    """The layer whose codes are meant if none is named: the last hidden one, of an unrolled stack the middle one."""
    layers = depth(spec, below)
    return (layers + 1) // 2 if spec.model == "mlp" and spec.finetune == "reconstruct" else layers


class Encoder:
    """Samples to codes.

    Parameters
    ----------
    spec : Spec
        Of an `mlp`, an `autoencoder` or an `rbm`, filled in.
    w : ndarray [P]
    make : function of a spec
        Gives the operations: `hdl.ops.make` with a backend and threads.
    layer : int, optional
        1 is the first layer above the data; None: as `usual` says.
    below : sequence of (spec, weights)
        The layers of a stack that this one stands on.

    Raises
    ------
    SpecError
        There is no such layer.

    Examples
    --------
    >>> from hdl import ops
    >>> from hdl.spec import Spec
    >>> spec = Spec(net="2-3-1", loss="squared", activation="sigmoid")
    >>> Encoder(spec, np.zeros(13, np.float32), ops.make)(Samples(np.ones((1, 2), np.float32))).tolist()
    [[0.5, 0.5, 0.5]]
    """

    def __init__(self, spec: Spec, w: NDArray, make: Make, layer: int | None = None, below: Sequence[Layer] = ()):
        layers = depth(spec, below)
        self.layer = usual(spec, below) if layer is None else layer
        if not 1 <= self.layer <= layers:
            has = "no hidden layer" if layers < 1 else "layer 1" if layers == 1 else f"layers 1 to {layers}"
            raise SpecError(f"layer {self.layer}: the network has {has}")
        if spec.model == "mlp":
            parts = [(spec, w, self.layer)]
        else:
            parts = [(own, weights, 1) for own, weights in [*below, (spec, w)][: self.layer]]
        self._parts = [_Dense(own, weights, count, make) for own, weights, count in parts]
        self.width = self._parts[-1].width

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """The codes [n, H] of samples [n, I]."""
        for part in self._parts:
            samples = Samples(part(samples))
        return samples.x


class _Dense:
    """The first layers of a network as a network: they are the first of its flat vector, in every model's layout."""

    def __init__(self, spec: Spec, w: NDArray, layers: int, make: Make):
        net = spec.widths[: layers + 1]
        self._activate, self._leak, self.width = ACTIVATIONS[spec.activation][0], spec.leak, net[-1]
        self._ops = make(_plain(spec, net))
        self._w = w[: Layout(net).size].copy()  # aligned

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        z, _ = self._ops.forward(self._w, samples)  # the last layer of `squared` is linear
        return np.ascontiguousarray(self._activate(z, self._leak), np.float32)


def _plain(spec: Spec, net: tuple[int, ...]) -> Spec:
    """A dense network of these widths with the activation of `spec`, and no more."""
    from hdl.spec import parse

    return parse({"net": net, "activation": spec.activation, "leak": spec.leak, "loss": "squared"})
