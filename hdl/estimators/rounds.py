"""The loop over rounds on one shard in memory: the driver's, without a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hdl import data, optim, step, sync
from hdl.spec import Spec
from hdl.wire import Update, Weights


@dataclass
class Limits:
    """Limits that end a training.

    Parameters
    ----------
    iterations : int
        Epochs, or line searches.
    patience : int, optional
        Iterations in a row that improve by less than `tolerance`; None: all are made.
    tolerance : float
    evaluations : int, optional
        That a line search may take.
    score : function of an update, optional
        Where there is validation data: higher is better.
    early : bool
        The score decides when to end, and which weights are kept.
    """

    iterations: int
    patience: int | None = None
    tolerance: float = 0.0
    evaluations: int | None = None
    score: Callable[[Update], float] | None = None
    early: bool = False


@dataclass
class Trained:
    """Result of a training.

    Attributes
    ----------
    weights : Weights
        Of the end, or with `early` the best.
    curve : list of float
        Cost of each iteration.
    scores : list of float
    exhausted : bool
        All iterations were made.
    """

    weights: Weights
    curve: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    exhausted: bool = False


def train(spec: Spec, weights: Weights, shard: data.Shard, worker: Any, limits: Limits) -> Trained:
    """Train in rounds of `train_shard` and `merge` until nothing improves.

    Parameters
    ----------
    spec : Spec
        Filled in.
    weights : Weights
        To start from.
    shard : hdl.data.Shard
    worker : operations
        As `hdl.ops.make` gives them.
    limits : Limits
    """
    first, idle, best, score = weights.round, 0, weights, limits.score
    curve: list[float] = []
    scores: list[float] = []
    patience = float("inf") if limits.patience is None else limits.patience
    while True:
        done = _iterations(spec, weights, first)
        over = done >= limits.iterations or idle > patience or _spent(spec, weights, limits)
        if over and score is None:
            break
        update = step.train_shard(spec, weights, shard, 0, worker, evaluate_only=over)
        if score is not None and done > len(scores):  # a round measures the weights that it starts from
            value = score(update)
            if limits.early:
                idle = idle + 1 if scores and value < max(scores) + limits.tolerance else 0
            best = weights if not scores or value > max(scores) else best
            scores.append(value)
        if over or idle > patience:
            break
        weights, row = sync.merge(spec, weights, [update])
        if _iterations(spec, weights, first) > done:
            cost = optim.cost(weights.state) if spec.optimizer.line_search else row["cost"]
            if not limits.early:
                idle = idle + 1 if curve and cost > min(curve) - limits.tolerance else 0
            curve.append(cost)
    return Trained(best if limits.early else weights, curve, scores, done == limits.iterations)


def _iterations(spec: Spec, weights: Weights, first: int) -> int:
    """Count epochs since round `first`, or line searches."""
    return optim.searches(weights.state) if spec.optimizer.line_search else weights.round - first


def _spent(spec: Spec, weights: Weights, limits: Limits) -> bool:
    """Tell whether a line search has nothing left, or has used all its evaluations."""
    most = float("inf") if limits.evaluations is None else limits.evaluations
    return spec.optimizer.line_search and (optim.done(weights.state) or optim.evaluations(weights.state) >= most)
