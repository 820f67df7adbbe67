"""The dense network in NumPy: the mathematical truth that every kernel is tested against.

Letters: B samples of a mini-batch, n samples asked for, I inputs, O outputs, P parameters; d… is the derivative of the
summed cost with respect to ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.ops import losses, tuning
from hdl.ops.base import check_chains, check_weights
from hdl.ops.draws import dropout
from hdl.ops.layout import EmbeddingLayout
from hdl.ops.precision import product
from hdl.ops.reference.activations import ACTIVATIONS, sigmoid
from hdl.ops.reference.base import BLOCK, Reference, all_of
from hdl.ops.reference.losses import LOSSES
from hdl.ops.types import NO_KEY, Key, Progress, Result, Samples, counted

if TYPE_CHECKING:
    from hdl.spec import Spec


class DenseReference(Reference):
    """The operations of one dense network in NumPy.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> ops = DenseReference(Spec(net="2-2", loss="softmax"))
    >>> ops.forward(np.zeros(6), Samples(np.ones((1, 2), np.float32)))[0].tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, spec: Spec):
        super().__init__(spec)
        self.activate, self.derive = ACTIVATIONS[spec.activation]
        self.parameter = losses.parameter(spec)

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
        chains: NDArray | None = None,
    ) -> tuple[NDArray, Result]:
        """Sum the gradient [P] of the cost over samples, without regulariser; dropout as in step 0."""
        check_chains(self.spec, chains)
        check_weights(self.spec, samples)
        sums, result = self._summed_gradient(w, samples, all_of(samples, order), key or NO_KEY, 0, None)
        return tuning.hold(self.spec, sums, np.zeros((), w.dtype)), result

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Compute outputs [n, O] (probabilities or values) without dropout; cost and correct too with targets."""
        order = all_of(samples, order)
        check_weights(self.spec, samples)
        out, total = np.empty((len(order), self.layout.outputs), w.dtype), counted(samples, order)
        for start in range(0, len(order), BLOCK):
            block = order[start : start + BLOCK]
            z = self._layers(w, samples, block)[0][-1]
            out[start : start + BLOCK] = self._output(z)
            if samples.y is not None:
                y = samples.y[block]
                total.cost += self._sum(samples, block, self._costs(z, self._targets(y, w.dtype)))
                total.correct += self._sum(samples, block, self._correct(z, y))
        return out, total

    def _summed_gradient(
        self, w: NDArray, samples: Samples, minibatch: NDArray[np.int64], key: Key, step: int, chains: NDArray | None
    ) -> tuple[NDArray, Result]:
        """Go forward and backward over a mini-batch [B]: summed gradient [P] and result."""
        assert samples.y is not None
        values, masks = self._layers(w, samples, minibatch, key, step)
        given, entered = values[0], masks[0]
        if isinstance(self.layout, EmbeddingLayout):
            values[0], masks[0] = self._embed(w, given if entered is None else given * entered), None
        y, z = samples.y[minibatch], values[-1]
        targets = self._smoothed(self._targets(y, w.dtype))
        result = counted(samples, minibatch)
        result.cost = self._sum(samples, minibatch, self._costs(z, targets))
        result.correct = self._sum(samples, minibatch, self._correct(z, y))
        gradient = np.empty_like(w)
        layers, parts = self.layout.split(w), self.layout.split(gradient)
        delta = self._delta(z, targets)
        if samples.weight is not None:
            delta = delta * samples.weight[minibatch].astype(w.dtype)[:, None]
        for layer in reversed(range(len(layers))):
            below, mask = values[layer], masks[layer]
            kept = below if mask is None else below * mask
            parts[layer][0][:] = product(self._spec_of(layer, samples), kept.T, delta)
            parts[layer][1][:] = delta.sum(axis=0)
            if layer:
                delta = product(self.spec, delta, layers[layer][0].T)
                if mask is not None:
                    delta = delta * mask
                delta = delta * self.derive(below, w.dtype.type(self.spec.leak))
        if isinstance(self.layout, EmbeddingLayout):
            given = given if entered is None else given * entered
            self._embed_backward(given, product(self.spec, delta, layers[0][0].T), gradient)
        return gradient, result

    def _layers(
        self, w: NDArray, samples: Samples, order: NDArray[np.int64], key: Key | None = None, step: int = 0
    ) -> tuple[list[NDArray], list[NDArray | None]]:
        """Compute all layers' values and dropout masks; without a key nothing is dropped.

        Values are those of the inputs and hidden layers before dropout, and of the output before its function.
        """
        spec = self.spec
        value = self._inputs(samples, order, w.dtype)
        values: list[NDArray] = [value]
        masks: list[NDArray | None] = []
        layers = self.layout.split(w)
        for layer, (weights, bias) in enumerate(layers):
            share = spec.dropout if layer else spec.input_dropout
            mask = None
            if key is not None and share:
                mask = dropout(key, step, layer, value.shape, share).astype(w.dtype)
                value = value * mask
            masks.append(mask)
            if not layer and isinstance(self.layout, EmbeddingLayout):
                value = self._embed(w, value)
            value = product(self._spec_of(layer, samples), value, weights, bias)
            if layer < len(layers) - 1:
                value = self.activate(value, w.dtype.type(spec.leak))
            values.append(value)
        if samples.offset is not None:
            values[-1] = value + samples.offset[order].astype(w.dtype)
        return values, masks

    def _spec_of(self, layer: int, samples: Samples) -> Spec:
        """Give the spec of a layer's products: in float32 where entries of rows name the first one's weights."""
        named = hasattr(samples.x, "indptr") or (hasattr(samples.x, "codes") and not self.spec.embeddings)
        return self.spec.with_(precision="float32") if named and not layer else self.spec

    def _embed(self, w: NDArray, x: NDArray) -> NDArray:
        """Put the tables' vectors in the place of the levels: [B, I] to [B, K + Σ d]."""
        assert isinstance(self.layout, EmbeddingLayout)
        parts = zip(self._levels(x), self.layout.tables(w), strict=True)
        return np.hstack([x[:, : self.layout.numbers], *(levels @ table for levels, table in parts)])

    def _embed_backward(self, x: NDArray, delta: NDArray, gradient: NDArray) -> None:
        """Fill in the tables' gradient from inputs [B, I] and the cost's gradient by their vectors [B, K + Σ d]."""
        assert isinstance(self.layout, EmbeddingLayout)
        column = self.layout.numbers
        for levels, table in zip(self._levels(x), self.layout.tables(gradient), strict=True):
            table[:] = levels.T @ delta[:, column : column + table.shape[1]]
            column += table.shape[1]

    def _levels(self, x: NDArray) -> list[NDArray]:
        """Split inputs [B, I] into each category's levels, without the numbers."""
        assert isinstance(self.layout, EmbeddingLayout)
        starts = np.cumsum([self.layout.numbers, *(levels for levels, _ in self.layout.embeddings)])
        return np.split(x, starts[:-1], axis=1)[1:]

    def _targets(self, y: NDArray, dtype: Any) -> NDArray:
        """Convert targets to [B, O]; classes become one-hot."""
        return y.astype(dtype) if y.ndim == 2 else np.eye(self.layout.outputs, dtype=dtype)[y]

    def _smoothed(self, targets: NDArray) -> NDArray:
        """Give every class its share of a label [B, O] (Szegedy et al. 2016, section 7): of two classes an output of
        its own, with the sigmoid loss."""
        share = targets.dtype.type(self.spec.label_smoothing)
        classes = self.layout.outputs if self.spec.loss == "softmax" else 2
        return targets * (1 - share) + share / classes if share else targets

    def _output(self, z: NDArray) -> NDArray:
        """Compute probabilities or values from what reaches the output [B, O]."""
        if self.spec.loss == "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
        return sigmoid(z) if self.spec.loss == "sigmoid" else losses.answers(self.spec.cost, z)

    def _costs(self, z: NDArray, targets: NDArray) -> NDArray:
        """Compute costs [B, O]; cross-entropies straight from z, so that no logarithm of 0 is ever taken."""
        if self.spec.loss == "softmax":
            top = z.max(axis=1, keepdims=True)
            return targets * (np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top - z)
        if self.spec.loss == "sigmoid":
            return np.maximum(z, 0) - z * targets + np.log1p(np.exp(-np.abs(z)))
        return LOSSES[self.spec.cost](z, targets, self.parameter)[0]

    def _delta(self, z: NDArray, targets: NDArray) -> NDArray:
        """Compute the derivative of the cost by what reaches the output [B, O]."""
        if self.spec.loss in losses.CLASSES:
            return self._output(z) - targets
        return LOSSES[self.spec.cost](z, targets, self.parameter)[1]

    def _correct(self, z: NDArray, y: NDArray) -> NDArray[np.bool_]:
        """Mark samples [B] whose largest output is their class, or all of whose outputs are on the right side."""
        if self.spec.loss not in losses.CLASSES:
            return np.zeros(len(y), bool)
        if self.spec.loss == "softmax":
            return z.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
        return ((z >= 0) == (self._targets(y, z.dtype) >= 0.5)).all(axis=1)
