"""The losses of regressions in NumPy: cost and derivative, by what reaches the output.

Those with a log link cost half the unit deviance (McCullagh & Nelder 1989, section 2.3; Jørgensen 1987 for Tweedie's).

Letters: B samples of a mini-batch, O outputs. z [B, O] is what reaches the output, t [B, O] the target.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Scored = tuple[NDArray, NDArray]  # cost and its derivative by z, each [B, O]


def _squared(z: NDArray, t: NDArray, k: float) -> Scored:
    return 0.5 * (z - t) ** 2, z - t


def _huber(z: NDArray, t: NDArray, k: float) -> Scored:
    """Huber (1964): r²/2 up to |r| = k, then k·|r| − k²/2."""
    r = z - t
    return np.where(np.abs(r) <= k, 0.5 * r**2, k * np.abs(r) - 0.5 * k**2), np.clip(r, -k, k)


def _absolute(z: NDArray, t: NDArray, k: float) -> Scored:
    return np.abs(z - t), np.sign(z - t)


def _quantile(z: NDArray, t: NDArray, k: float) -> Scored:
    """Koenker & Bassett (1978): k·(t − z) below the target, (1 − k)·(z − t) above it; the slope at it is 0."""
    r = z - t
    return np.where(r > 0, (1 - k) * r, -k * r), np.where(r > 0, 1 - k, np.where(r < 0, -k, 0)).astype(z.dtype)


def _poisson(z: NDArray, t: NDArray, k: float) -> Scored:
    """Poisson: t·ln(t/p) − t + p, p = e^z; the first term of t = 0 is 0."""
    p = np.exp(z)
    return np.maximum(p - t - _times_log_ratio(t, z), 0), p - t


def _gamma(z: NDArray, t: NDArray, k: float) -> Scored:
    """Gamma: ln(p/t) + t/p − 1, p = e^z."""
    ratio = t * np.exp(-z)
    return np.maximum(z - np.log(t) + ratio - 1, 0), 1 - ratio


def _tweedie(z: NDArray, t: NDArray, k: float) -> Scored:
    """Tweedie of power k in (1, 2): p^(2−k)/(2−k) + t·p^(1−k)/(k−1) − t^(2−k)/((k−1)(2−k)), p = e^z."""
    up, down = np.exp((2 - k) * z), t * np.exp((1 - k) * z)
    own = t ** (2 - k)
    return np.maximum(up / (2 - k) + down / (k - 1) - own / ((k - 1) * (2 - k)), 0), up - down


LOSSES: dict[str, Callable[[NDArray, NDArray, float], Scored]] = {
    "squared": _squared, "huber": _huber, "absolute": _absolute, "quantile": _quantile, "poisson": _poisson,
    "gamma": _gamma, "tweedie": _tweedie,
}  # fmt: skip


def _times_log_ratio(t: NDArray, z: NDArray) -> NDArray:
    """Compute t·(z − ln t), which is 0 at t = 0."""
    return np.where(t > 0, t * (z - np.log(np.where(t > 0, t, 1))), 0).astype(z.dtype)
