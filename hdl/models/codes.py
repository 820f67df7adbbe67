"""Codes of a trained network: the values of its hidden units for samples, and the way back from codes to samples.

Letters: n samples, I inputs and H codes of a layer, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError
from hdl.ops import Layout, Operations, Samples, layout
from hdl.ops.layout import EmbeddingLayout, EnsembleLayout
from hdl.ops.reference.activations import ACTIVATIONS

if TYPE_CHECKING:
    from hdl.models.stack import Layer
    from hdl.spec import Spec

Make = Callable[["Spec"], Operations]


def depth(spec: Spec, below: Sequence[Layer] = ()) -> int:
    """Count the layers of codes of a network, those below it included."""
    if spec.model != "mlp":
        return len(below) + 1
    return len(spec.widths) - (1 if spec.finetune == "none" else 2)


def usual(spec: Spec, below: Sequence[Layer] = ()) -> int:
    """Choose the layer of codes where none is named: the last hidden one, of an unrolled stack the middle one."""
    layers = depth(spec, below)
    return (layers + 1) // 2 if spec.model == "mlp" and spec.finetune == "reconstruct" else layers


def chosen(spec: Spec, layer: int | None = None, below: Sequence[Layer] = ()) -> int:
    """Choose the layer of codes: the one that is named, else as `usual` says.

    Raises
    ------
    SpecError
        There is no such layer.
    """
    layers, layer = depth(spec, below), usual(spec, below) if layer is None else layer
    if not 1 <= layer <= layers:
        has = "no hidden layer" if layers < 1 else "layer 1" if layers == 1 else f"layers 1 to {layers}"
        raise SpecError(f"layer {layer}: the network has {has}")
    return layer


def upwards(
    spec: Spec, w: NDArray, layer: int | None = None, below: Sequence[Layer] = ()
) -> list[tuple[Spec, NDArray, int]]:
    """List the networks whose first layers make the codes, from the data up: spec, weights, how many of its layers.

    Raises
    ------
    SpecError
        There is no such layer.
    """
    layer = chosen(spec, layer, below)
    if spec.model == "mlp":
        return [(spec, w, layer)]
    return [(own, weights, 1) for own, weights in [*below, (spec, w)][:layer]]


def downwards(
    spec: Spec, w: NDArray, layer: int | None = None, below: Sequence[Layer] = ()
) -> list[tuple[NDArray, NDArray, str]]:
    """List the layers from codes back to the scaled samples: weights [H, I], biases [I], activation.

    Raises
    ------
    SpecError
        The network has no way back, or no such layer.
    """
    layer = chosen(spec, layer, below)
    if spec.model == "mlp":
        if spec.finetune != "reconstruct":
            raise SpecError("a network that was not unrolled has no way back from its codes")
        parts = Layout(spec.widths).split(w)[layer:]
        kinds = [spec.activation] * (len(parts) - 1) + ["sigmoid" if spec.loss == "sigmoid" else "linear"]
        return [(*part, kind) for part, kind in zip(parts, kinds, strict=True)]
    layers = [*below, (spec, w)][:layer]
    return [(*layout.of(own).split(weights)[1], _visible(own)) for own, weights in reversed(layers)]


class Encoder:
    """Turns samples into codes; those of an ensemble's members stand one beside the other.

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

    layer: int
    width: int

    def __init__(self, spec: Spec, w: NDArray, make: Make, layer: int | None = None, below: Sequence[Layer] = ()):
        shape = layout.of(spec)
        self._members: list[Encoder] = []
        if isinstance(shape, EnsembleLayout):
            single = spec.with_(members=1)
            self._members = [Encoder(single, member, make, layer) for member in shape.members(w)]
            self.layer, self.width = self._members[0].layer, sum(member.width for member in self._members)
            return
        self.layer = chosen(spec, layer, below)
        parts = upwards(spec, w, self.layer, below)
        self._parts: list[_Dense | _OneLayer] = [
            _Dense(own, weights, count, make) if own.model == "mlp" else _OneLayer(own, weights, make)
            for own, weights, count in parts
        ]
        self.width = self._parts[-1].width

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        """Compute the codes [n, H] of samples [n, I]."""
        if self._members:
            return np.hstack([member(samples) for member in self._members])
        for part in self._parts:
            samples = Samples(part(samples))
        return samples.x

    def product(self) -> NDArray[np.float32]:
        """Multiply the weights of the layers up to the codes: [I, H], a column for each code.

        It shows which inputs, scaled, a code responds to, the layers between taken as linear; for the first layer it
        is that layer's weights.
        """
        if self._members:
            return np.hstack([member.product() for member in self._members])
        product: NDArray | None = None
        for part in self._parts:
            for weights in part.weights():
                product = weights if product is None else product @ weights
        assert product is not None
        return np.array(product)


class _Dense:
    """Runs the first layers of a network as a network: they come first in its flat vector, in every model's layout."""

    def __init__(self, spec: Spec, w: NDArray, layers: int, make: Make):
        net = spec.widths[: layers + 1]
        self._activate, self._leak, self.width = ACTIVATIONS[spec.activation][0], spec.leak, net[-1]
        plain = _plain(spec, net)
        self._ops, self._layout = make(plain), layout.of(plain)
        self._w = w[: self._layout.size].copy()  # aligned

    def weights(self) -> list[NDArray[np.float32]]:
        """Return the weights [I, H] of each of its layers, embeddings being the first one."""
        shape = self._layout
        weights = [weights for weights, _ in shape.split(self._w)]
        return [shape.expand(self._w), *weights] if isinstance(shape, EmbeddingLayout) else weights

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        z, _ = self._ops.forward(self._w, samples)  # the last layer of `squared` is linear
        return np.ascontiguousarray(self._activate(z, self._leak), np.float32)


class _OneLayer:
    """Runs an autoencoder or an RBM up to its codes, as the layer above it saw them in training."""

    def __init__(self, spec: Spec, w: NDArray, make: Make):
        self._ops, self._w, self.width = make(spec), w.copy(), spec.widths[1]  # aligned
        self._first = layout.of(spec).split(self._w)[0][0]

    def weights(self) -> list[NDArray[np.float32]]:
        """Return the weights [I, H] of its one layer."""
        return [self._first]

    def __call__(self, samples: Samples) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._ops.encode(self._w, samples), np.float32)


class Decoder:
    """Turns codes into reconstructions of the scaled samples; for RBMs they are mean-field.

    Parameters
    ----------
    spec, w, below :
        As for `Encoder`. Of the `mlp` models only an unrolled one can be decoded; for a stack that was not unrolled,
        give its topmost layer and those below.
    layer : int, optional
        The layer that the codes are of; None: as `usual` says.

    Raises
    ------
    SpecError
        The network has no way back.
    """

    def __init__(self, spec: Spec, w: NDArray, layer: int | None = None, below: Sequence[Layer] = ()):
        self._parts = downwards(spec, w, layer, below)
        self._leak = spec.leak

    def __call__(self, codes: NDArray) -> NDArray[np.float32]:
        """Compute reconstructions [n, I] of the scaled samples from codes [n, H]."""
        x = np.asarray(codes, np.float32)
        for weights, bias, kind in self._parts:
            x = np.asarray(ACTIVATIONS[kind][0](x @ weights + bias, self._leak), np.float32)
        return x


def _visible(spec: Spec) -> str:
    """Name the units that an autoencoder or an RBM reconstructs with."""
    if spec.model == "rbm":
        return "sigmoid" if spec.rbm.visible == "binary" else "linear"
    return spec.autoencoder.decoder


def _plain(spec: Spec, net: tuple[int, ...]) -> Spec:
    """Make the spec of a dense network of these widths, with the activation, precision and embeddings of `spec`."""
    from hdl.spec import parse

    names = "activation", "leak", "precision", "numbers", "embeddings"
    kept = {name: getattr(spec, name) for name in names}
    return parse({"net": net, "loss": "squared", **kept})
