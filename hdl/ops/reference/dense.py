"""The dense network in NumPy: the mathematical truth that every kernel is tested against.

It computes in the type of the weights it is given: float64 weights give float64 results.

Letters: B batch, I inputs, O outputs; d… is the derivative of the summed cost with respect to ….
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import Interrupted, NonFinite
from hdl.ops import NO_KEY, Key, Progress, Result, Samples, rules
from hdl.ops.layout import Layout

if TYPE_CHECKING:
    from hdl.spec import Spec

_BLOCK = 8192  # rows of one forward pass


def _sigmoid(z: NDArray) -> NDArray:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


# Each activation, and its derivative as a function of its own value, which is all that backward keeps.
ACTIVATIONS = {
    "linear": (lambda z, leak: z, lambda a, leak: np.ones_like(a)),
    "sigmoid": (lambda z, leak: _sigmoid(z), lambda a, leak: a * (1 - a)),
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


class Reference:
    """The operations of one net.

    Parameters
    ----------
    spec : Spec
        With net and loss filled in.

    Examples
    --------
    >>> from hdl.spec import Spec
    >>> ops = Reference(Spec(net="2-2", loss="softmax"))
    >>> ops.forward(np.zeros(6), Samples(np.ones((1, 2), np.float32)))[0].tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, spec: Spec):
        self.spec = spec
        self.layout = Layout(spec.widths)
        self.activate, self.derive = ACTIVATIONS[spec.activation]
        self.state_vectors = rules.VECTORS.get(spec.optimizer.name, 0)

    def train(
        self,
        w: NDArray,
        state: NDArray,
        samples: Samples,
        order: NDArray[np.int64],
        batch: int,
        lr: NDArray[np.float32],
        first_step: int = 0,
        key: Key | None = None,
        progress: Progress | None = None,
        **more: NDArray,
    ) -> Result:
        """Mini-batch steps over `order`; w [P], state [S, P] and `more`, which the model's kind keeps, are overwritten.

        Parameters
        ----------
        order : ndarray of int64
            Samples in the order of their use; it may repeat and skip some, and hold several epochs.
        batch : int
            Samples of a step; the last one may have fewer.
        lr : ndarray of float32 [steps]
        first_step : int
            Steps taken before: counts for Adam and dropout.
        key : Key, optional
            Of the dropout masks.
        progress : callable of (steps done, steps), optional
            A true answer stops the call.

        Raises
        ------
        NonFinite
            w, state and `more` are as they were.
        Interrupted
            w, state and `more` hold the last whole step.
        """
        spec, mask = self.spec, self.layout.mask.astype(w.dtype)
        kept = [part for part in (w, state, *more.values()) if part is not None]
        before, total = [part.copy() for part in kept], Result()
        count = -(-len(order) // batch)
        for step in range(count):
            if progress is not None and progress(step, count):
                raise Interrupted(f"stopped after {step} of {count} steps")
            rows = order[step * batch : (step + 1) * batch]
            with np.errstate(all="ignore"):
                g, result = self._pass(w, samples, rows, key or NO_KEY, first_step + step, **more)
                g = rules.penalised(g / w.dtype.type(len(rows)), w, mask, spec.l1, spec.l2)
                if np.isfinite(result.cost):
                    rules.update(spec.optimizer, w, state, g, lr[step], first_step + step + 1)
                    if spec.max_norm:
                        rules.limit(w, self.layout, spec.max_norm)
            if not np.isfinite(result.cost):
                for part, old in zip(kept, before, strict=True):
                    part[:] = old
                raise NonFinite(f"the cost became {result.cost} at step {first_step + step}: a smaller lr may help")
            total += result
        total.steps = count
        return total

    def gradient(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        key: Key | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Gradient [P] of the cost summed over samples, without regulariser; dropout as in step 0."""
        if order is None:
            order = np.arange(len(samples))
        return self._pass(w, samples, order, key or NO_KEY, 0)

    def forward(
        self,
        w: NDArray,
        samples: Samples,
        order: NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[NDArray, Result]:
        """Outputs [n, O] (probabilities or values) without dropout; cost and correct too if there are targets."""
        if order is None:
            order = np.arange(len(samples))
        out, total = np.empty((len(order), self.layout.widths[-1]), w.dtype), Result(samples=len(order))
        for start in range(0, len(order), _BLOCK):
            rows = order[start : start + _BLOCK]
            z = self._layers(w, samples, rows)[0][-1]
            out[start : start + _BLOCK] = self._output(z)
            if samples.y is not None:
                total.cost += self._cost(z, self._targets(samples, rows, w.dtype))
                total.correct += self._correct(z, samples, rows)
        return out, total

    def _pass(self, w: NDArray, samples: Samples, rows: NDArray, key: Key, step: int) -> tuple[NDArray, Result]:
        """Forward and backward over rows [B]: summed gradient [P] and result."""
        values, masks = self._layers(w, samples, rows, key, step)
        targets = self._targets(samples, rows, w.dtype)
        result = Result(self._cost(values[-1], targets), self._correct(values[-1], samples, rows), len(rows))
        gradient = np.empty_like(w)
        layers, parts = self.layout.split(w), self.layout.split(gradient)
        delta = self._output(values[-1]) - targets
        for layer in reversed(range(len(layers))):
            below = values[layer]
            parts[layer][0][:] = (below if masks[layer] is None else below * masks[layer]).T @ delta
            parts[layer][1][:] = delta.sum(axis=0)
            if layer:
                delta = delta @ layers[layer][0].T
                if masks[layer] is not None:
                    delta = delta * masks[layer]
                delta = delta * self.derive(below, w.dtype.type(self.spec.leak))
        return gradient, result

    def _layers(
        self, w: NDArray, samples: Samples, rows: NDArray, key: Key | None = None, step: int = 0
    ) -> tuple[list[NDArray], list[NDArray | None]]:
        """Values before dropout of the inputs, of each hidden layer, and of the output before its function; masks.

        Without a key nothing is dropped.
        """
        spec = self.spec
        value = self._inputs(samples, rows, w.dtype)
        values, masks = [value], []
        layers = self.layout.split(w)
        for layer, (weights, bias) in enumerate(layers):
            share = spec.dropout if layer else spec.input_dropout
            mask = None
            if key is not None and share:
                mask = dropout(key, step, layer, value.shape, share).astype(w.dtype)
                value = value * mask
            masks.append(mask)
            value = value @ weights + bias
            if layer < len(layers) - 1:
                value = self.activate(value, w.dtype.type(spec.leak))
            values.append(value)
        return values, masks

    @staticmethod
    def _inputs(samples: Samples, rows: NDArray, dtype: Any) -> NDArray:
        """What the net sees of the rows [B, I]."""
        x = _rows(samples.x, rows).astype(dtype)
        if samples.scale is not None:
            x = x * samples.scale.astype(dtype)
        if samples.shift is not None:
            x = x + samples.shift.astype(dtype)
        return x

    def _targets(self, samples: Samples, rows: NDArray, dtype: Any) -> NDArray:
        """Targets [B, O]; classes become one-hot."""
        y = samples.y[rows]
        if y.ndim == 2:
            return y.astype(dtype)
        return np.eye(self.layout.widths[-1], dtype=dtype)[y]

    def _output(self, z: NDArray) -> NDArray:
        """Probabilities or values from what reaches the output [B, O]."""
        if self.spec.loss == "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
        return _sigmoid(z) if self.spec.loss == "sigmoid" else z

    def _cost(self, z: NDArray, targets: NDArray) -> float:
        """Summed cost; cross-entropies straight from z, so that no logarithm of 0 is ever taken."""
        if self.spec.loss == "softmax":
            top = z.max(axis=1, keepdims=True)
            logs = np.log(np.exp(z - top).sum(axis=1, keepdims=True)) + top - z
            return float((targets * logs).sum())
        if self.spec.loss == "sigmoid":
            return float((np.maximum(z, 0) - z * targets + np.log1p(np.exp(-np.abs(z)))).sum())
        return float(0.5 * ((z - targets) ** 2).sum())

    def _correct(self, z: NDArray, samples: Samples, rows: NDArray) -> int:
        y = samples.y[rows]
        if self.spec.loss == "squared":
            return 0
        if self.spec.loss == "softmax":
            return int((z.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))).sum())
        return int(((z >= 0) == (self._targets(samples, rows, z.dtype) >= 0.5)).all(axis=1).sum())


_DROPOUT = 0x64726F70  # HDL_RNG_DROPOUT of the core


def dropout(key: Key, step: int, layer: int, shape: tuple[int, int], share: float) -> NDArray[np.float64]:
    """The mask [B, I] of what enters layer `layer` (from 0): 0 with probability `share`, else 1/(1 - share).

    The counters are those of the core (csrc/rng.h): a row of I units takes J blocks of eight 16-bit numbers, and unit
    u reads number u // J of block u % J.
    """
    low, high = rng.words(key.seed, key.round, key.shard, _DROPOUT, 0, 2).tolist()
    rows, units = shape
    blocks = 16 * -(-units // 128)
    counter = np.empty((4, rows, blocks), np.uint64)
    counter[0] = np.arange(blocks)
    counter[1] = np.arange(rows)[:, None]
    counter[2], counter[3] = step & 0xFFFFFFFF, layer
    draws = rng.philox(high << 32 | low, counter.reshape(4, -1)).astype(np.uint32).reshape(4, rows, blocks)
    halves = np.stack([draws & 0xFFFF, draws >> 16], axis=1)  # [word, half, row, block]
    kept = halves.transpose(2, 0, 1, 3).reshape(rows, -1)[:, :units] >= int(65536 * np.float32(share) + 0.5)
    return kept / (1 - share)


def _rows(x: Any, rows: NDArray) -> NDArray:
    """Rows [B, I] of x, dense."""
    if isinstance(x, np.ndarray):
        return x[rows]
    dense = np.zeros((len(rows), x.shape[1]), x.data.dtype)
    for i, row in enumerate(rows):
        part = slice(x.indptr[row], x.indptr[row + 1])
        dense[i, x.indices[part]] = x.data[part]
    return dense
