"""One round on one shard, in calls: measure, train on mini-batches that the caller may share out, make the update.

Letters: P parameters, S state vectors of the update rule, Q statistics of a gradient.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import NonFinite, SpecError
from hdl.metrics import Measures
from hdl.models import stack
from hdl.ops import Key, Operations, Progress, Result, Samples, Work, layout
from hdl.spec import Spec
from hdl.step import minibatches
from hdl.sync import average, chains, tuned
from hdl.sync.gradient import point
from hdl.wire import Update, Weights

if TYPE_CHECKING:
    from hdl.data import Shard

_BLOCK = 65536  # samples measured at a time: bounds the memory of their outputs
RANKED = 1 << 17  # scores of all shards that are gathered in a round though the metric that decides needs none of them
BY_RANK = ("auc", "pr_auc", "f1", "mcc", "balanced_accuracy")  # metrics of the order of all scores


class ShardRound:
    """One round on one shard. The caller trains on each of `works`, adds its result to `seen`, then calls `update`.

    Parameters are those of `hdl.step.train_shard`.

    Attributes
    ----------
    works : iterator of Work
        The mini-batches to train on, those of one epoch at a time; empty where the mode takes no such steps.
    seen : Result
        Cost, correct answers, samples and steps of the training so far.
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
        self.weighted = shard.train.weight is not None, shard.validation.weight is not None
        began = time.perf_counter()
        self.measures = _measures(spec, len(shard.validation))
        self.validated = _measure(ops, weights.w, shard.validation, progress, self.measures)
        self.measured = time.perf_counter()
        self.seconds = {"validate": self.measured - began}
        self.works: Iterator[Work] = iter(())
        self.seen, self.tensors = Result(), dict[str, NDArray]()
        self.particles: dict[str, NDArray] = {}
        if not evaluate_only:
            self._begin(weights, shard)

    def _begin(self, weights: Weights, shard: Shard) -> None:
        """Sums the gradient, or searches along lines, or prepares the mini-batches, as the mode says."""
        spec, mode = self.spec, self.spec.sync.mode
        key = Key(rng.derive(spec.seed, rng.DROPOUT), self.round, self.number)
        if chains.kept_by(spec):
            self.particles = {"chains": chains.of_shard(weights, self.number)}
        if mode == "gradient":
            vector, self.seen = _gradient(spec, weights, shard.train, self.ops, key, self.progress, self.particles)
            self.tensors = {"gradient": vector}
            return
        start = weights.state["population"][self.number] if mode == "genetic" else weights.w
        state = average.start(spec, start) if mode == "genetic" else weights.state
        # The core works in place; the round's weights must not change.
        w, rule = start.copy(), np.array(state.get("rule", np.zeros((0, start.size), np.float32)))
        self.tensors = {"w": w}
        vectors, rule = len(rule), tuned.for_rule(weights, rule)
        if mode != "genetic" and vectors:
            self.tensors["rule"] = rule[:vectors]
        if spec.optimizer.line_search:
            self.seen = minibatches.search(
                spec, w, shard.train, self.ops, key, self.progress, weights.state.get(tuned.START)
            )
        else:
            self.works = minibatches.works(spec, w, rule, shard.train, key, self.particles)

    def update(self) -> Update:
        """Makes the round's update.

        Raises
        ------
        NonFinite
            A cost is NaN or infinite.
        """
        spec, mode = self.spec, self.spec.sync.mode
        validated, seen = self.validated, self.seen
        sums = {"val_samples": validated.samples, "val_cost": validated.cost, "val_correct": validated.correct}
        if self.weighted[1]:
            sums["val_weight"] = validated.weight
        if self.evaluate_only:
            return Update("evaluate", self.round, self.number, self.number + 1, {}, sums, self.seconds, self.measures)
        tensors = self.tensors
        if mode == "genetic":
            w = tensors["w"]
            tensors = {"w": w[None], "cost": np.array([_fitness(self.ops, w, self.common, self.progress)])}
        tensors |= {name: particles[None] for name, particles in self.particles.items()}
        sums |= {"samples": seen.samples, "cost": seen.cost, "correct": seen.correct, "batches": seen.steps}
        if self.weighted[0]:
            sums["weight"] = seen.weight
        costs = {"validation cost": validated.cost}
        if not spec.optimizer.line_search:  # a search may look too far out, and comes back
            costs["cost"] = seen.cost
        for name, cost in costs.items():
            if not math.isfinite(cost):
                where = f"round {self.round}, shard {self.number}"
                raise NonFinite(f"{where}: the {name} became {cost}; a smaller lr may help")
        self.seconds["train"] = time.perf_counter() - self.measured
        return Update(mode, self.round, self.number, self.number + 1, tensors, sums, self.seconds, self.measures)


def _measures(spec: Spec, samples: int) -> Measures | None:
    """Begins the measures of a shard's validation part; None where nothing is held out, or nothing is labelled.

    Whether the scores are kept, by whose order AUC and the like are told, the data alone decides: all are where there
    are no more than `RANKED` in the whole, or the spec's metric needs them.
    """
    if not spec.validated or not stack.labelled(spec):
        return None
    measures = Measures(spec)
    few = samples * len(measures.ranks) * spec.shards <= RANKED
    return measures if few or spec.metric in BY_RANK else Measures(spec, ranks=False)


def _measure(
    ops: Operations, w: NDArray, samples: Samples | None, progress: Progress | None, measures: Measures | None = None
) -> Result:
    """Sums cost and correct answers of w [P] over the samples, a block at a time, and adds them to `measures`."""
    total = Result()
    if samples is None:
        return total
    for low in range(0, len(samples), _BLOCK):
        high = min(low + _BLOCK, len(samples))
        out, result = ops.forward(w, samples, np.arange(low, high), progress)
        total += result
        if measures is not None:
            weight = None if samples.weight is None else samples.weight[low:high]
            measures.add(out, None if samples.y is None else samples.y[low:high], weight, result)
    return total


def _fitness(ops: Operations, w: NDArray, common: Samples | None, progress: Progress | None) -> float:
    """Computes the mean cost of w [P] on the common samples; fitness is 1/cost."""
    if common is None or not len(common):
        raise ValueError("genetic mode needs the common samples")
    result = _measure(ops, w, common, progress)
    if not result.weight:
        raise SpecError("weights: all samples that genetic mode measures candidates on weigh 0")
    return result.cost / result.weight


def _gradient(
    spec: Spec, weights: Weights, samples: Samples, ops: Operations, key: Key, progress: Progress | None,
    particles: dict[str, NDArray],
) -> tuple[NDArray, Result]:  # fmt: skip
    """Sums the gradient's statistics [Q] over the whole shard at the round's point; particles are overwritten."""
    if not len(samples):
        return np.zeros(layout.of(spec).statistics, weights.w.dtype), Result()
    drawn = spec.dropout or spec.input_dropout or spec.model == "rbm" or spec.autoencoder.corruption
    if spec.optimizer.line_search:
        return minibatches.trial_gradient(spec, ops, point(spec, weights), samples, None, progress)
    return ops.gradient(weights.w, samples, None, key if drawn else None, progress, **particles)
