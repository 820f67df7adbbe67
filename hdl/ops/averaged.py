"""The cost of answers that are the mean of several nets': computed from the answers, since there is no one z.

Logarithms are `rng.log`'s and sums run in the samples' order, so that a cost, by which versions are compared, is the
same on every machine.

Letters: n samples, O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.ops import losses
from hdl.ops.types import Result, Samples, counted

if TYPE_CHECKING:
    from hdl.spec import Spec

LEAST = 2.0**-126  # probability of float32 below which a logarithm is cut off: a cost of 87 a label


def score(spec: Spec, out: NDArray, samples: Samples, order: NDArray[np.int64]) -> Result:
    """Sum cost and correct answers of outputs [n, O], which are those of samples [n]; counts alone without targets."""
    total = counted(samples, order)
    if samples.y is None:
        return total
    y, p = samples.y[order], out.astype(np.float64)
    values, right = costs(spec, p, y), correct(spec, p, y).astype(np.float64)
    if samples.weight is not None:
        weight = samples.weight[order].astype(np.float64)
        values, right = values * weight, right * weight
    total.cost = float(values.cumsum()[-1]) if len(values) else 0.0
    hits = float(right.cumsum()[-1]) if len(right) else 0.0
    total.correct = int(hits) if samples.weight is None else hits
    return total


def costs(spec: Spec, p: NDArray[np.float64], y: NDArray) -> NDArray[np.float64]:
    """Compute the cost [n] of answers p [n, O]: probabilities, values in the net's unit, or means e^z."""
    if spec.cost == "softmax" and y.ndim == 1:
        return -_log(p[np.arange(len(p)), y])
    t = np.eye(p.shape[1])[y] if y.ndim == 1 else y.astype(np.float64)
    if spec.cost == "softmax":
        return -(t * _log(p)).sum(axis=1)
    if spec.cost == "sigmoid":
        return -(t * _log(p) + (1 - t) * _log(1 - p)).sum(axis=1)
    return _regression(spec, p, t).sum(axis=1)


def correct(spec: Spec, p: NDArray, y: NDArray) -> NDArray[np.bool_]:
    """Mark samples [n] whose largest output is their class, or all of whose outputs are on the right side of 1/2."""
    if spec.cost not in losses.CLASSES:
        return np.zeros(len(p), bool)
    if spec.cost == "softmax":
        return p.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
    t = np.eye(p.shape[1])[y] if y.ndim == 1 else y
    return ((p >= 0.5) == (t >= 0.5)).all(axis=1)


def _regression(spec: Spec, p: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute costs [n, O] of answers p to targets t: the formulas of `hdl.ops.reference.losses`, by p."""
    k, r = losses.parameter(spec), p - t
    match spec.cost:
        case "huber":
            return np.where(np.abs(r) <= k, 0.5 * r**2, k * np.abs(r) - 0.5 * k**2)
        case "absolute":
            return np.abs(r)
        case "quantile":
            return np.where(r > 0, (1 - k) * r, -k * r)
        case "poisson":
            ratio = np.where(t > 0, t * (_log(p) - _log(np.where(t > 0, t, 1))), 0)
            return np.maximum(p - t - ratio, 0)
        case "gamma":
            return np.maximum(_log(p) - _log(t) + t / np.maximum(p, LEAST) - 1, 0)
        case "tweedie":
            p = np.maximum(p, LEAST)
            own = t ** (2 - k) / ((k - 1) * (2 - k))
            return np.maximum(p ** (2 - k) / (2 - k) + t * p ** (1 - k) / (k - 1) - own, 0)
    return 0.5 * r**2


def _log(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take logarithms of numbers that are at least `LEAST`; of NaN and infinity they are these."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(p), rng.log(np.maximum(np.where(np.isfinite(p), p, 1.0), LEAST)), p)
