"""Scores of the samples held out of a fit, by a round's sums; higher is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import sync
from hdl.metrics import METRICS
from hdl.spec import Spec
from hdl.wire import Update, total_weight


@dataclass(frozen=True)
class Score:
    """Says what samples held out are scored by.

    Parameters
    ----------
    name : {'accuracy', 'r2', 'cost', 'metric'}
        `cost` counts with a minus; `metric` is the spec's, with a minus where lower is better.
    spread : float
        Of `r2`: the weighted sum of the targets' squared deviations from their mean.
    deviation : list of float, optional
        Of `metric`: the targets' unit.

    Examples
    --------
    >>> sums = {"val_correct": 3.0, "val_samples": 4}
    >>> Score("accuracy").of(None, Update("evaluate", 0, 0, 1, {}, sums))
    0.75
    """

    name: str
    spread: float = 0.0
    deviation: list[float] | None = None

    def of(self, spec: Spec, update: Update) -> float:
        """Return the score of a round's samples held out.

        Raises
        ------
        ValueError
            The metric is not defined for them.
        """
        if self.name == "metric":
            return self._metric(spec, update)
        sums = update.sums
        if self.name == "r2":
            return 1 - 2 * sums["val_cost"] / self.spread if self.spread else 0.0
        weight: Any = total_weight(sums, "val_") or 1
        return sums["val_correct"] / weight if self.name == "accuracy" else -sums["val_cost"] / weight

    def _metric(self, spec: Spec, update: Update) -> float:
        metric = str(spec.metric)
        deviation = None if self.deviation is None else np.asarray(self.deviation, np.float64)
        value = sync.measure(spec, update, deviation)[f"val_{metric}"]
        if value is None:
            raise ValueError(f"metric={metric!r} is not defined for the samples held out: is one class missing there?")
        return value if METRICS[metric].higher else -value
