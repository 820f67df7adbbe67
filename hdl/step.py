"""The training step: what one round does on one shard. Written once; every runner calls it.

Letters: K shards, P parameters, S state vectors of the update rule, n training samples of the shard, B batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

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
    return -(-spec.epochs * operations.steps(per_shard, spec.batch_size) // every)


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
        That the round starts from; they are not overwritten.
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
    # Made when the loop comes to them: a shard that has no mini-batches has its update before the next one begins.
    under_way: Iterable[_ShardRound] = (
        _ShardRound(spec, weights, shard, number, ops, progress, common, evaluate_only)
        for number, shard in shards.items()
    )
    updates: dict[int, Update] = {}
    while len(updates) < len(shards):
        works = {}
        for shard_round in under_way:
            work = next(shard_round.works, None)
            if work is None:
                updates[shard_round.number] = shard_round.update()
            else:
                works[shard_round] = work
        results = ops.train_all([*works.values()], spec.batch_size, progress) if works else []
        for shard_round, result in zip(works, results, strict=True):
            shard_round.seen += result
        under_way = [*works]
    return [updates[number] for number in shards]


class _ShardRound:
    """A shard's round: it measures, says which mini-batches to train on, and makes the update of what came of them.

    Parameters are those of `train_shard`.

    Attributes
    ----------
    works : iterator of Work
        The mini-batches to train on, those of one epoch at a time; nothing where the mode takes no such steps.
    seen : Result
        What the caller adds up: the result of each work.
    """

    def __init__(
        self,
        spec: Spec,
        weights: Weights,
        shard: Shard,
        number: int,
        ops: Operations,
        progress: Progress | None,
        common: Samples | None,
        evaluate_only: bool,
    ):
        self.spec, self.round, self.number, self.evaluate_only = spec, weights.round, number, evaluate_only
        self.ops, self.progress, self.common = ops, progress, common
        began = time.perf_counter()
        self.validated = _measure(ops, weights.w, shard.validation, progress)
        self.measured = time.perf_counter()
        self.seconds = {"validate": self.measured - began}
        self.works: Iterator[Work] = iter(())
        self.seen, self.tensors = Result(), dict[str, NDArray]()
        self.particles: dict[str, NDArray] = {}
        if not evaluate_only:
            self._begin(weights, shard)

    def _begin(self, weights: Weights, shard: Shard) -> None:
        """Sums the gradient, searches along lines, or gets the mini-batches ready, as the mode says."""
        spec, mode = self.spec, self.spec.sync.mode
        key = Key(rng.derive(spec.seed, rng.DROPOUT), self.round, self.number)
        if chains.used(spec):
            self.particles = {"chains": chains.own(weights, self.number)}
        if mode == "gradient":
            vector, self.seen = _gradient(spec, weights, shard.train, self.ops, key, self.progress, self.particles)
            self.tensors = {"gradient": vector}
            return
        start = weights.state["population"][self.number] if mode == "genetic" else weights.w
        state = average.start(spec, start) if mode == "genetic" else weights.state
        # The core works in place; what came in stays as it is.
        w, rule = start.copy(), np.array(state.get("rule", np.zeros((0, start.size), np.float32)))
        self.tensors = {"w": w}
        if mode != "genetic" and rule.size:
            self.tensors["rule"] = rule
        if spec.optimizer.line_search:
            self.seen = _search(spec, w, shard.train, self.ops, self.round, key, self.progress)
        else:
            self.works = _minibatches(spec, w, rule, shard.train, key, self.particles)

    def update(self) -> Update:
        """Makes the update of the whole round; raises NonFinite if a cost is not finite."""
        spec, mode = self.spec, self.spec.sync.mode
        validated, seen = self.validated, self.seen
        sums = {"val_samples": validated.samples, "val_cost": validated.cost, "val_correct": validated.correct}
        if self.evaluate_only:
            return Update("evaluate", self.round, self.number, self.number + 1, {}, sums, self.seconds)
        tensors = self.tensors
        if mode == "genetic":
            w = tensors["w"]
            tensors = {"w": w[None], "cost": np.array([_fitness(self.ops, w, self.common, self.progress)])}
        tensors |= {name: own[None] for name, own in self.particles.items()}
        sums |= {"samples": seen.samples, "cost": seen.cost, "correct": seen.correct, "batches": seen.steps}
        costs = {"validation cost": validated.cost}
        if not spec.optimizer.line_search:  # a search may look too far out, and comes back
            costs["cost"] = seen.cost
        for name, cost in costs.items():
            if not math.isfinite(cost):
                where = f"round {self.round}, shard {self.number}"
                raise NonFinite(f"{where}: the {name} became {cost}; a smaller lr may help")
        self.seconds["train"] = time.perf_counter() - self.measured
        return Update(mode, self.round, self.number, self.number + 1, tensors, sums, self.seconds)


def _measure(ops: Operations, w: NDArray, samples: Samples | None, progress: Progress | None) -> Result:
    """Cost and correct of w on all the samples, a block at a time."""
    total = Result()
    if samples is None:
        return total
    for low in range(0, len(samples), _BLOCK):
        order = np.arange(low, min(low + _BLOCK, len(samples)))
        total += ops.forward(w, samples, order, progress)[1]
    return total


def _fitness(ops: Operations, w: NDArray, common: Samples | None, progress: Progress | None) -> float:
    """Mean cost on the common samples: fitness is 1/cost."""
    if common is None or not len(common):
        raise ValueError("genetic mode needs the common samples")
    result = _measure(ops, w, common, progress)
    return result.cost / result.samples


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


def _minibatches(
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
    per_epoch, stay = operations.steps(n, spec.batch_size), spec.optimizer.iterations
    left = sum(high - low for _, low, high in _slices(spec, round, per_epoch))
    position = round * -(-_full_round(spec, per_epoch) // stay)
    while left > 0:
        epoch, low = divmod(position, per_epoch)
        order = rng.order(spec.seed, epoch, key.shard, n, spec.shuffle_window)
        rows = order[low * spec.batch_size : (low + 1) * spec.batch_size]
        seen: list[Result] = []

        def evaluate(trial: NDArray, rows: NDArray = rows, seen: list[Result] = seen) -> tuple[float, NDArray]:
            vector, result = _trial(spec, ops, trial, samples, rows, progress)
            seen.append(result)
            return optim.objective(spec, trial, result.cost, vector, result.samples)

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
