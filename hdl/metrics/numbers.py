"""Measures of a regression: errors and deviances of each output.

Letters: n samples, O outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import elementary
from hdl.metrics.sums import Sums, ratio
from hdl.metrics.task import Task
from hdl.rng import log

if TYPE_CHECKING:
    from hdl.metrics.measures import Measures

_LEAST = float(np.finfo(np.float32).tiny)  # answers of a log link are above 0
_EXPONENTS = {"squared": 2.0, "quantile": 1.0, "poisson": 1.0, "gamma": 0.0}  # powers of the targets' unit


def add(
    task: Task, sums: dict[str, Sums], out: NDArray[np.float32], y: NDArray, weight: NDArray[np.float64] | None
) -> None:
    """Add samples of outputs and targets [n, O]; each output has its own sums."""
    wide, y = (values.reshape(len(values), -1).astype(np.float64) for values in (out, y))
    if y.shape != wide.shape:
        raise ValueError(f"targets of {y.shape[1]} columns; expected {wide.shape[1]}")
    error = wide - y
    terms = {"squared": error * error, "absolute": np.abs(error), "target": y, "target_squared": y * y}
    if (loss := _loss(task, wide, y, error)) is not None:
        terms["loss"] = loss
    columns = None if out.shape[1] == 1 else np.tile(np.arange(out.shape[1]), len(out))
    for name, values in terms.items():
        if weight is not None:
            values = values * weight[:, None]
        sums[name].add(values.ravel(), columns)


def _loss(task: Task, out: NDArray, y: NDArray, error: NDArray) -> NDArray | None:
    """Compute the unit deviance, or the pinball loss; None of a loss that has none of its own.

    McCullagh & Nelder (1989), section 2.3; Jørgensen (1987) for Tweedie's; Koenker & Bassett (1978) for the pinball.
    """
    k = task.parameter
    if task.loss == "quantile":
        return np.where(error > 0, (1 - k) * error, -k * error)
    if task.loss not in ("poisson", "gamma", "tweedie"):
        return None
    p = np.maximum(out, _LEAST)
    there = y > 0
    t = np.where(there, y, 1.0)
    if task.loss == "poisson":
        return 2 * (np.where(there, t * log(t / p), 0) - y + p)
    if task.loss == "gamma":
        return 2 * (log(p / t) + t / p - 1)
    own = np.where(there, elementary.power(t, 2 - k), 0)
    down = y * elementary.power(p, 1 - k)
    return 2 * (own / ((1 - k) * (2 - k)) - down / (1 - k) + elementary.power(p, 2 - k) / (2 - k))


def metrics(measures: Measures, deviation: NDArray[np.float64] | None) -> dict[str, float | None]:
    """Compute errors in the targets' unit; of several outputs the mean, and of R² the share over all."""
    task, mean = measures.task, measures.mean
    unit = np.ones(task.outputs) if deviation is None else np.asarray(deviation, np.float64)
    if mean("squared") is None:
        names = ["rmse", "mae", "r2"] + [name for name in (loss_name(task),) if name]
        return dict.fromkeys(names)
    values: dict[str, float | None] = {
        "rmse": _average(rmse(measures, unit)),
        "mae": _average([_of(mean("absolute", k)) * unit[k] for k in range(task.outputs)]),
        "r2": r2(measures, unit),
    }
    if name := loss_name(task):
        exponent = _EXPONENTS.get(task.loss, 2 - task.parameter)
        own = "squared" if task.loss == "squared" else "loss"
        values[name] = _average([_of(mean(own, k)) * _power(unit[k], exponent) for k in range(task.outputs)])
    return values


def loss_name(task: Task) -> str | None:
    """Name what the loss of a regression is to statisticians; None where it has no name of its own."""
    if task.loss == "quantile":
        return "pinball"
    return "deviance" if task.loss in ("squared", "poisson", "gamma", "tweedie") else None


def rmse(measures: Measures, unit: NDArray[np.float64]) -> list[float]:
    """Compute each output's root of the mean squared error, in the targets' unit."""
    return [float(np.sqrt(_of(measures.mean("squared", k))) * unit[k]) for k in range(measures.task.outputs)]


def r2(measures: Measures, unit: NDArray[np.float64]) -> float | None:
    """Compute the share of the targets' variance that is explained, over all outputs; None where there is none."""
    total, sums = measures.sums["weight"].total, measures.sums
    left = spread = 0.0
    for k in range(measures.task.outputs):
        target, squared = sums["target"].totals[k], sums["target_squared"].totals[k]
        scale = float(unit[k]) ** 2
        spread += ratio(squared * total - target * target, total * total) * scale
        left += _of(measures.mean("squared", k)) * scale
    return 1 - left / spread if spread > 0 else None


def _of(value: float | None) -> float:
    return 0.0 if value is None else value


def _average(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += float(value)
    return total / len(values)


def _power(unit: float, exponent: float) -> float:
    if exponent in (0.0, 1.0, 2.0):
        return float(unit) ** int(exponent)
    return float(elementary.power(np.array([unit]), exponent)[0])
