"""The loop over rounds on one shard in memory: the driver's, without a table."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hdl import data, optim, step, sync
from hdl.errors import Interrupted, NonFinite
from hdl.fitting import place
from hdl.fitting.pace import Pace
from hdl.fitting.score import Score
from hdl.ops import Progress
from hdl.spec import Spec
from hdl.wire import Weights

FLAT = 2.2e-9  # of the cost, or of 1: a line search that gains less has converged, as in SciPy


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
    gradient : float, optional
        A line search ends where no part of the gradient is larger, or where the cost falls no more.
    evaluations : int, optional
        That a line search may take.
    score : Score, optional
        Where there is validation data.
    early : bool
        The score decides when to end, and which weights are kept.
    pace : Pace, optional
        A learning rate that follows the training; None: the spec's.
    told : function of (iteration, cost, weights), optional
        Called at the end of each.
    measured : function of a score, optional
        Called with each.
    """

    iterations: int
    patience: int | None = None
    tolerance: float = 0.0
    evaluations: int | None = None
    score: Score | None = None
    early: bool = False
    pace: Pace | None = None
    gradient: float | None = None
    told: Callable[[int, float, Weights], None] | None = None
    measured: Callable[[float], None] | None = None

    def stalled(self, idle: int) -> int:
        """Count on how many iterations nothing has improved: from 0 again where the learning rate is lowered."""
        lowered = self.patience is not None and idle > self.patience and self.pace is not None and self.pace.lowered()
        return 0 if lowered else idle


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
        All iterations were made, or all evaluations.
    warning : str
        What the user is warned of.
    """

    weights: Weights
    curve: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    exhausted: bool = False
    warning: str = ""


def train(spec: Spec, weights: Weights, shard: data.Shard, worker: Any, limits: Limits) -> Trained:
    """Train an estimator in rounds until nothing improves, where this thread's fits are trained: see `place`.

    A training that Ctrl-C ends keeps what its last whole round has made; one whose cost is not finite any more keeps
    the best weights, where a score chooses these. Both warn.

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

    Raises
    ------
    NonFinite
        The cost is not finite any more, and no better weights are kept.
    """
    away = place.current()
    trained = away(spec, weights, shard, worker, limits) if away else None
    if trained is None:
        trained = run(spec, weights, shard, worker, limits)
    if trained.warning:
        from sklearn.exceptions import ConvergenceWarning  # whose fit it is has it; a session's workers may not

        warnings.warn(trained.warning, ConvergenceWarning, stacklevel=5)
    return trained


def run(
    spec: Spec, weights: Weights, shard: data.Shard, worker: Any, limits: Limits, progress: Progress | None = None
) -> Trained:
    """Train in rounds of `train_shard` and `merge` until nothing improves, in this process.

    Parameters and errors are those of `train`.

    Parameters
    ----------
    progress : function of (steps done, steps), optional
        Called while a round is trained.
    """
    loop = _Loop(spec, weights, shard, worker, limits, progress)
    try:
        while loop.round():
            pass
    except (KeyboardInterrupt, Interrupted):
        warnings.warn("Training interrupted by user.", stacklevel=6)
    except NonFinite:
        if not limits.early or not loop.diverged():
            raise
        loop.warning = (
            f"The loss diverged after {len(loop.curve)} iterations, and the best weights before are kept: a smaller "
            "learning_rate_init may help"
        )
    return loop.trained()


class _Loop:
    """A training: what `train` does round by round."""

    def __init__(
        self, spec: Spec, weights: Weights, shard: data.Shard, worker: Any, limits: Limits, progress: Progress | None
    ):
        self.spec, self.weights, self.shard, self.worker, self.limits = spec, weights, shard, worker, limits
        self.progress, self.warning = progress, ""
        self.first, self.best, self.idle = weights.round, weights, 0
        self.curve: list[float] = []
        self.scores: list[float] = []
        self.patience = math.inf if limits.patience is None else limits.patience

    def round(self) -> bool:
        """Train one round, and measure the weights that it starts from; False: that was the last one."""
        spec, limits = self.spec if self.limits.pace is None else self.limits.pace.of(self.spec), self.limits
        done = self._iterations()
        over = done >= limits.iterations or self.idle > self.patience or self._spent()
        if over and limits.score is None:
            return False
        update = step.train_shard(spec, self.weights, self.shard, 0, self.worker, self.progress, evaluate_only=over)
        if limits.score is not None and done > len(self.scores):
            self._scored(limits.score.of(spec, update))
        if over or self.idle > self.patience:
            return False
        self.weights, row = sync.merge(spec, self.weights, [update])
        if self._iterations() > done:
            self._ended(optim.cost(self.weights.state) if spec.optimizer.line_search else row["cost"])
        return True

    def diverged(self) -> bool:
        """Score the weights before an iteration that failed, and that one as not a number; False: none before was."""
        if self.limits.score is not None and len(self.curve) > len(self.scores):
            try:
                update = step.train_shard(self.spec, self.weights, self.shard, 0, self.worker, evaluate_only=True)
                self._scored(self.limits.score.of(self.spec, update))
            except NonFinite:
                self.scores.append(math.nan)
        if not any(map(math.isfinite, self.scores)):
            return False
        self.scores.append(math.nan)
        return True

    def trained(self) -> Trained:
        """Return what the training has made."""
        limits = self.limits
        exhausted = self._iterations() == limits.iterations or self._evaluated()
        return Trained(self.best if limits.early else self.weights, self.curve, self.scores, exhausted, self.warning)

    def _scored(self, value: float) -> None:
        """Keep a score; of an early ending it decides."""
        limits, best = self.limits, max(self.scores, default=-math.inf)
        if limits.early:
            self.idle = limits.stalled(self.idle + 1 if self.scores and value < best + limits.tolerance else 0)
        self.best = self.weights if not self.scores or value > best else self.best
        self.scores.append(value)
        if limits.measured is not None:
            limits.measured(value)

    def _ended(self, cost: float) -> None:
        """Keep the cost of an iteration that ended; where nothing else decides it does."""
        limits = self.limits
        stale = bool(self.curve) and cost > min(self.curve) - limits.tolerance
        self.curve.append(cost)
        if limits.told is not None:
            limits.told(len(self.curve), cost, self.weights)
        if not limits.early:
            self.idle = limits.stalled(self.idle + 1 if stale else 0)
        if limits.pace is not None:
            limits.pace.epoch(len(self.shard.train))

    def _iterations(self) -> int:
        """Count epochs since the first round, or line searches."""
        searched = self.spec.optimizer.line_search
        return optim.searches(self.weights.state) if searched else self.weights.round - self.first

    def _evaluated(self) -> bool:
        """Tell whether a line search has used all its evaluations."""
        most = math.inf if self.limits.evaluations is None else self.limits.evaluations
        return self.spec.optimizer.line_search and optim.evaluations(self.weights.state) >= most

    def _spent(self) -> bool:
        """Tell whether a line search has nothing left, or has used all its evaluations."""
        if not self.spec.optimizer.line_search:
            return False
        return self._evaluated() or optim.done(self.weights.state) or self._converged()

    def _converged(self) -> bool:
        """Tell whether the limits call a line search converged."""
        if self.limits.gradient is None or not self.curve:
            return False
        flat = len(self.curve) > 1 and self.curve[-2] - self.curve[-1] <= FLAT * max(1.0, *map(abs, self.curve[-2:]))
        return flat or optim.steepness(self.weights.state) <= self.limits.gradient
