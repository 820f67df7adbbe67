"""A shard's stream of mini-batches: those that a round trains on, by an update rule or by a search along lines.

The stream is the same whatever the rounds are: epoch e visits the shard's samples in an order keyed by
(seed, e, shard), and round r takes the epochs, or mini-batches, [r·every, (r + 1)·every) of it.

Letters: P parameters, S state vectors of the update rule, Q statistics of a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hdl import ops as operations
from hdl import optim, rng
from hdl.errors import NonFinite
from hdl.ops import Key, Operations, Progress, Result, Samples, Work, layout, tuning
from hdl.spec import Spec


def works(
    spec: Spec, w: NDArray, rule: NDArray, samples: Samples, key: Key, particles: dict[str, NDArray]
) -> Iterator[Work]:
    """Yields the round's mini-batches, those of one epoch at a time; w [P], rule [S, P] and particles are overwritten
    when they are trained on."""
    n, done = len(samples), 0
    per_epoch = operations.steps(n, spec.batch_size)
    for epoch, low, high in _slices(spec, key.round, per_epoch):
        order = rng.order(spec.seed, epoch, key.shard, n, spec.shuffle_window)
        order = order[low * spec.batch_size : high * spec.batch_size]
        # In genetic mode the rule's state starts anew each round; Adam's correction counts from there.
        step = epoch * per_epoch + low
        taken = done if spec.sync.mode == "genetic" else step
        lr = operations.rates(spec, step, high - low, per_epoch)
        yield Work(w, rule, samples, order, lr, taken, key, particles.get("chains"))
        done += high - low


def search(
    spec: Spec, w: NDArray, samples: Samples, ops: Operations, key: Key, progress: Progress | None,
    start: NDArray | None = None,
) -> Result:  # fmt: skip
    """Takes an iteration of the line search for each mini-batch that the round has; w [P] is overwritten.

    Every `iterations` of them stay on one mini-batch, so the batches are the stream's next
    ceil(round's mini-batches / iterations); the search starts anew on each. `start` [P] are the weights that L2-SP
    pulls to.
    """
    total, n = Result(), len(samples)
    per_epoch, stay = operations.steps(n, spec.batch_size), spec.optimizer.iterations
    left = sum(high - low for _, low, high in _slices(spec, key.round, per_epoch))
    position = key.round * -(-_per_round(spec, per_epoch) // stay)
    while left > 0:
        epoch, low = divmod(position, per_epoch)
        order = rng.order(spec.seed, epoch, key.shard, n, spec.shuffle_window)
        rows = order[low * spec.batch_size : (low + 1) * spec.batch_size]
        results: list[Result] = []

        def evaluate(trial: NDArray, rows: NDArray = rows, results: list[Result] = results) -> tuple[float, NDArray]:
            vector, result = trial_gradient(spec, ops, trial, samples, rows, progress)
            results.append(result)
            return optim.objective(spec, trial, result.cost, vector, result.weight, start)

        iterations = min(stay, left)
        w[:] = tuning.hold(spec, optim.minimise(spec, w, evaluate, iterations)[0], w)
        first = results[0]  # at the weights that the search started from
        total += first.times(iterations)
        left -= iterations
        position += 1
    return total


def trial_gradient(
    spec: Spec, ops: Operations, w: NDArray, samples: Samples, rows: NDArray | None, progress: Progress | None
) -> tuple[NDArray, Result]:
    """Sums the gradient [Q] over `rows` (None: all samples) at a trial point w [P], with its result.

    A point too far out to be finite has an infinite cost, from which the search comes back.
    """
    try:
        return ops.gradient(w, samples, rows, None, progress)
    except NonFinite:
        result = operations.counted(samples, np.arange(len(samples)) if rows is None else rows)
        result.cost = math.inf
        return np.zeros(layout.of(spec).statistics, w.dtype), result


def _per_round(spec: Spec, per_epoch: int) -> int:
    """Counts the mini-batches of a round that does not end early with the last epoch."""
    return spec.sync.every * (per_epoch if spec.sync.unit == "epochs" else 1)


def _slices(spec: Spec, round: int, per_epoch: int) -> Iterator[tuple[int, int, int]]:
    """Yields the round's slices of the stream: (epoch, first, last + 1), in mini-batches, for each epoch it touches."""
    if not per_epoch:
        return
    every = _per_round(spec, per_epoch)
    low, high = round * every, (round + 1) * every
    if spec.sync.unit == "epochs":
        high = min(high, spec.epochs * per_epoch)
    while low < high:
        epoch = low // per_epoch
        end = min(high, (epoch + 1) * per_epoch)
        yield epoch, low - epoch * per_epoch, end - epoch * per_epoch
        low = end
