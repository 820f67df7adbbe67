"""The training step: what one round does on one shard. Written once; every runner calls it.

Letters: K shards, P parameters, S state vectors of the update rule, n training samples of the shard, B batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import ops as operations
from hdl import optim, rng
from hdl.errors import NonFinite
from hdl.ops import Key, Operations, Progress, Result, Samples, Work, layout
from hdl.spec import Spec
from hdl.sync import average, chains
from hdl.sync.gradient import point
from hdl.wire import Update, Weights

if TYPE_CHECKING:
    from hdl.data import Shard

__all__ = ["Update", "Weights", "rounds", "train_shard", "train_shards"]

_BLOCK = 65536  # samples measured at a time: bounds the memory of their outputs


def rounds(spec: Spec, samples: int) -> int:
    """Rounds that a training takes.

    Parameters
    ----------
    spec : Spec
    samples : int
        Of the dataset, validation included. Matters only where rounds are counted in mini-batches: there `epochs`
        passes are those of a shard of average size.
    """
    if spec.sync.mode == "gradient":
        return spec.epochs
    every = spec.sync.every * (spec.sync.equal if spec.sync.mode == "async" else 1)
    if spec.sync.unit == "epochs":
        return -(-spec.epochs // every)
    per_shard = max(1, round(samples * (1 - spec.validation) / spec.shards))
    return -(-spec.epochs * operations.steps(per_shard, spec.batch) // every)


def train_shard(
    spec: Spec,
    weights: Weights,
    shard: Shard,
    number: int,
    ops: Operations,
    progress: Progress | None = None,
    common: Samples | None = None,
    evaluate_only: bool = False,
) -> Update:
    """One round on one shard: measures the incoming weights on the validation part, then trains as the mode says.

    A pure function: equal arguments give equal tensors and sums, on any worker and with any number of threads.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    weights : Weights
        Of the round's beginning; left as they are.
    shard : Shard
    number : int
        Of the shard, from 0.
    ops : Operations
    progress : function of (steps done, steps), optional
        A true answer stops the step: Interrupted.
    common : Samples, optional
        Genetic mode: what candidates are measured on.
    evaluate_only : bool
        Only measure.

    Returns
    -------
    Update
        Its mode is `evaluate` if only measured.

    Raises
    ------
    NonFinite
        A cost became NaN or infinite.
    Interrupted
    """
    return train_shards(spec, weights, {number: shard}, ops, progress, common, evaluate_only)[0]


def train_shards(
    spec: Spec,
    weights: Weights,
    shards: Mapping[int, Shard],
    ops: Operations,
    progress: Progress | None = None,
    common: Samples | None = None,
    evaluate_only: bool = False,
) -> list[Update]:
    """`train_shard` of several shards by their numbers; what one gives does not depend on the others.

    Their mini-batches go side by side where the operations can do that (`Operations.train_all`).
    """
    rounds = {
        number: _round(spec, weights, shard, number, ops, progress, common, evaluate_only)
        for number, shard in shards.items()
    }
    answers: dict[int, Result | None] = dict.fromkeys(rounds)
    updates = {}
    while answers:
        asked = {}
        for number, answer in answers.items():
            try:
                asked[number] = rounds[number].send(answer)
            except StopIteration as end:
                updates[number] = end.value
        found = ops.train_all([*asked.values()], spec.batch, progress) if asked else []
        answers = dict(zip(asked, found, strict=True))
    return [updates[number] for number in shards]


def _round(
    spec: Spec,
    weights: Weights,
    shard: Shard,
    number: int,
    ops: Operations,
    progress: Progress | None,
    common: Samples | None,
    evaluate_only: bool,
) -> Generator[Work, Any, Update]:
    """A shard's round, which hands out its mini-batches and is sent what came of them."""
    began = time.perf_counter()
    found = _measure(ops, weights.w, shard.validation, progress)
    sums = {"val_samples": found.samples, "val_cost": found.cost, "val_correct": found.correct}
    measured = time.perf_counter()
    seconds = {"validate": measured - began}
    if evaluate_only:
        return Update("evaluate", weights.round, number, number + 1, {}, sums, seconds)
    mode = spec.sync.mode
    key = Key(rng.derive(spec.seed, rng.DROPOUT), weights.round, number)
    particles = {"chains": chains.own(weights, number)} if chains.used(spec) else {}
    if mode == "gradient":
        vector, seen = _gradient(spec, weights, shard.train, ops, key, progress, particles)
        tensors = {"gradient": vector}
    else:
        start = weights.state["population"][number] if mode == "genetic" else weights.w
        state = average.start(spec, start) if mode == "genetic" else weights.state
        # The core works in place; what came in stays as it is.
        w, rule = start.copy(), np.array(state.get("rule", np.zeros((0, start.size), np.float32)))
        if spec.optimizer.line_search:
            seen = _search(spec, w, shard.train, ops, weights.round, key, progress)
        else:
            seen = yield from _train(spec, w, rule, shard.train, weights.round, key, particles)
        tensors = {"w": w}
        if mode == "genetic":
            tensors = {"w": w[None], "cost": np.array([_fitness(ops, w, common, progress)])}
        elif rule.size:
            tensors["rule"] = rule
    tensors |= {name: own[None] for name, own in particles.items()}
    sums |= {"samples": seen.samples, "cost": seen.cost, "correct": seen.correct, "batches": seen.steps}
    costs = {"validation cost": found.cost}
    if not spec.optimizer.line_search:  # a search may look too far out, and comes back
        costs["cost"] = seen.cost
    for name, cost in costs.items():
        if not math.isfinite(cost):
            raise NonFinite(f"round {weights.round}, shard {number}: the {name} became {cost}; a smaller lr may help")
    seconds["train"] = time.perf_counter() - measured
    return Update(mode, weights.round, number, number + 1, tensors, sums, seconds)


def _measure(ops: Operations, w: NDArray, samples: Samples | None, progress: Progress | None) -> Result:
    """Cost and correct of w on all the samples, a block at a time."""
    total = Result()
    for low in range(0, 0 if samples is None else len(samples), _BLOCK):
        order = np.arange(low, min(low + _BLOCK, len(samples)))
        total += ops.forward(w, samples, order, progress)[1]
    return total


def _fitness(ops: Operations, w: NDArray, common: Samples | None, progress: Progress | None) -> float:
    """Mean cost on the common samples: fitness is 1/cost."""
    if common is None or not len(common):
        raise ValueError("genetic mode needs the common samples")
    found = _measure(ops, w, common, progress)
    return found.cost / found.samples


def _gradient(
    spec: Spec, weights: Weights, samples: Samples, ops: Operations, key: Key, progress: Progress | None,
    particles: dict[str, NDArray],
) -> tuple[NDArray, Result]:  # fmt: skip
    """The gradient's statistics [Q] summed over the whole shard at the round's point; particles are overwritten."""
    if not len(samples):
        return np.zeros(layout.of(spec).statistics, weights.w.dtype), Result()
    drawn = spec.dropout or spec.input_dropout or spec.model == "rbm" or spec.autoencoder.corruption
    if spec.optimizer.line_search:
        return _trial(spec, ops, point(spec, weights), samples, None, progress)
    return ops.gradient(weights.w, samples, None, key if drawn else None, progress, **particles)


def _trial(
    spec: Spec, ops: Operations, w: NDArray, samples: Samples, rows: NDArray | None, progress: Progress | None
) -> tuple[NDArray, Result]:
    """Summed gradient and result at a trial point; one too far out to be finite has an infinite cost."""
    try:
        return ops.gradient(w, samples, rows, None, progress)
    except NonFinite:
        vector = np.zeros(layout.of(spec).statistics, w.dtype)
        return vector, Result(math.inf, 0, len(samples) if rows is None else len(rows))


def _train(
    spec: Spec, w: NDArray, rule: NDArray, samples: Samples, round: int, key: Key, particles: dict[str, NDArray]
) -> Generator[Work, Result, Result]:
    """The round's mini-batches, one step each; w [P], rule [S, P] and particles are overwritten."""
    total, n = Result(), len(samples)
    per_epoch = operations.steps(n, spec.batch)
    for epoch, low, high in _slices(spec, round, per_epoch):
        order = rng.order(spec.seed, epoch, key.shard, n, spec.shuffle_window)
        order = order[low * spec.batch : high * spec.batch]
        # In genetic mode the rule's state starts anew each round; Adam's correction counts from there.
        step = epoch * per_epoch + low
        taken = total.steps if spec.sync.mode == "genetic" else step
        lr = operations.rates(spec, step, high - low, per_epoch)
        total += yield Work(w, rule, samples, order, lr, taken, key, particles.get("chains"))
    return total


def _search(
    spec: Spec,
    w: NDArray,
    samples: Samples,
    ops: Operations,
    round: int,
    key: Key,
    progress: Progress | None,
) -> Result:
    """Line-search iterations, one for each mini-batch that the round has: w [P] is overwritten.

    Every `iterations` of them stay on one mini-batch, so the batches are the stream's next
    ceil(round's mini-batches / iterations); the search starts anew on each.
    """
    total, n = Result(), len(samples)
    per_epoch, stay = operations.steps(n, spec.batch), spec.optimizer.iterations
    left = sum(high - low for _, low, high in _slices(spec, round, per_epoch))
    position = round * -(-_full_round(spec, per_epoch) // stay)
    while left > 0:
        epoch, low = divmod(position, per_epoch)
        order = rng.order(spec.seed, epoch, key.shard, n, spec.shuffle_window)
        rows = order[low * spec.batch : (low + 1) * spec.batch]
        seen: list[Result] = []

        def evaluate(trial: NDArray, rows: NDArray = rows, seen: list[Result] = seen) -> tuple[float, NDArray]:
            vector, found = _trial(spec, ops, trial, samples, rows, progress)
            seen.append(found)
            return optim.objective(spec, trial, found.cost, vector, found.samples)

        done = min(stay, left)
        w[:] = optim.minimise(spec, w, evaluate, done)[0]
        total += Result(seen[0].cost * done, seen[0].correct * done, seen[0].samples * done, done)
        left -= done
        position += 1
    return total


def _full_round(spec: Spec, per_epoch: int) -> int:
    """Mini-batches of a round that is not cut short by the last epoch."""
    return spec.sync.every * (per_epoch if spec.sync.unit == "epochs" else 1)


def _slices(spec: Spec, round: int, per_epoch: int) -> Iterator[tuple[int, int, int]]:
    """The round's part of the stream of mini-batches: (epoch, first, last + 1) for each epoch that it touches."""
    if not per_epoch:
        return
    every = _full_round(spec, per_epoch)
    low, high = round * every, (round + 1) * every
    if spec.sync.unit == "epochs":
        high = min(high, spec.epochs * per_epoch)
    while low < high:
        epoch = low // per_epoch
        end = min(high, (epoch + 1) * per_epoch)
        yield epoch, low - epoch * per_epoch, end - epoch * per_epoch
        low = end
