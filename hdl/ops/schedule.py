"""Steps of an epoch and the learning rate of each, by the spec's schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hdl.spec import Spec


def steps(n: int, batch: int) -> int:
    """Count the mini-batches in n samples: a last, smaller one counts."""
    return -(-n // batch)


def rates(spec: Spec, first: int, count: int, per_epoch: int) -> NDArray[np.float32]:
    """Compute learning rates of the steps first .. first + count, by the spec's schedule.

    Step s happens at t = s / per_epoch epochs (`hdl.spec.Schedule` has the formulas). During `warmup` epochs the rate
    is also multiplied by (s + 1) / (warmup·per_epoch), so that the first step already moves.

    Parameters
    ----------
    spec : Spec
    first, count : int
        Range of steps, counted over the whole training.
    per_epoch : int
        Steps in an epoch.

    Returns
    -------
    ndarray of float32 [count]
    """
    rule = spec.optimizer
    schedule = rule.schedule
    step = np.arange(first, first + count, dtype=np.float64)
    t = step / per_epoch
    if schedule.name == "inverse":
        lr = rule.rate / (1 + schedule.decay * t)
    elif schedule.name == "exponential":
        lr = rule.rate * schedule.decay**t
    elif schedule.name == "step":
        lr = rule.rate * schedule.decay ** np.floor(t / schedule.every)
    elif schedule.name == "cosine":
        lr = rule.rate * 0.5 * (1 + np.cos(np.pi * np.minimum(t / spec.epochs, 1)))
    else:
        lr = np.full(count, rule.rate)
    if schedule.warmup:
        lr = lr * np.minimum((step + 1) / (schedule.warmup * per_epoch), 1)
    return lr.astype(np.float32)
