"""Passes once over the ranks of two classes' samples, along descending thresholds, for all that depends on them.

A threshold t answers class 1 where the score is at least t; only scores that occur are tried. Ties are no matter of
order: samples of one score are answered together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hdl.metrics.curves import Calibration, Curves, Drawing, Points
from hdl.metrics.ranks import Ranks, Rows
from hdl.metrics.sums import Sums


@dataclass(frozen=True)
class Areas:
    """Areas under the curves of two classes' samples.

    Parameters
    ----------
    auc : float
        Area under the ROC curve: the share of pairs of a sample of each class that are in order, a tie one half.
    pr_auc : float
        Average precision: Σ (R_i − R_{i−1})·P_i over thresholds, of recall R and precision P.
    """

    auc: float
    pr_auc: float


@dataclass(frozen=True)
class Scanned(Areas):
    """Measures of the ranks of two classes' samples: the areas, and what follows.

    Parameters
    ----------
    ks : float
        Largest difference of the true and the false positive rate (Kolmogorov-Smirnov).
    f1, mcc, balanced_accuracy : float
        At the best threshold, the greatest of equally good ones.
    thresholds : dict of str to float
        Those thresholds.
    curves : Curves or None
    pr_auc_rest : float or None
        Average precision of class 0, whose samples' scores should be small; where curves are drawn.
    """

    ks: float
    f1: float
    mcc: float
    balanced_accuracy: float
    thresholds: dict[str, float] = field(default_factory=dict)
    curves: Curves | None = None
    pr_auc_rest: float | None = None


def scan(ranks: Ranks, curves: bool = False, probable: bool = False) -> Scanned | None:
    """Measure ranks; None where one of the classes has no sample of a weight above 0.

    Parameters
    ----------
    ranks : Ranks
    curves : bool
        Whether to draw curves too.
    probable : bool
        Whether the scores are probabilities, so that they are calibrated or not.
    """
    negative, positive = ranks.totals.floats()
    if not negative or not positive:
        return None
    drawing = Drawing(positive, negative) if curves else None
    calibration = Calibration() if curves and probable else None
    roc, pr, rest, best = Sums(), Sums(), Sums(), _Best(positive, negative)
    last = np.array([np.inf, 0.0, 0.0])
    for points in _points(ranks, calibration):
        _, above, below = np.concatenate([last[:, None], points], axis=1)
        up, right = np.diff(above), np.diff(below)
        roc.add(right * (above[1:] + above[:-1]))
        if curves:  # of the samples from the smallest score up to this one
            falling = np.flatnonzero(right)
            hits = np.maximum(negative - below[:-1][falling], right[falling])
            rest.add(right[falling] * (hits / (hits + np.maximum(positive - above[:-1][falling], 0))))
        rising = np.flatnonzero(up)
        above, below = above[1:][rising], below[1:][rising]
        pr.add(up[rising] * (above / (above + below)))
        best.add(points)
        if drawing:
            drawing.add(points)
        last = points[:, -1]
    best.end()
    _, tp, fp = last.tolist()
    drawn = drawing.curves(last, calibration.table() if calibration else {}) if drawing else None
    areas = roc.floats()[0] / (2 * tp * fp), pr.floats()[0] / tp
    other = rest.floats()[0] / fp if curves else None
    return Scanned(*areas, **best.value, thresholds=best.threshold, curves=drawn, pr_auc_rest=other)


def _points(ranks: Ranks, calibration: Calibration | None) -> Iterator[Points]:
    """Give threshold, tp and fp of each score that occurs, some at a time, as [3, points]."""
    tp = fp = 0.0
    held = np.empty((3, 0))  # the last score, of which more rows may come
    for rows in ranks.rows():
        if not (there := rows.weight > 0).all():  # samples that weigh nothing are none
            rows = Rows(rows.score[there], rows.positive[there], rows.weight[there], rows.times[there])
        if not len(rows.score):
            continue
        if calibration:
            calibration.add(*rows)
        weight = rows.weight * rows.times
        # One addition after the other, from where the last block ended: the same however the rows come in blocks.
        above = np.add.accumulate(np.append(tp, np.where(rows.positive, weight, 0)))[1:]
        below = np.add.accumulate(np.append(fp, np.where(rows.positive, 0, weight)))[1:]
        ends = np.append(rows.score[1:] != rows.score[:-1], True)
        points = np.array([rows.score[ends], above[ends], below[ends]])
        tp, fp = float(above[-1]), float(below[-1])
        if held.size and held[0, 0] != points[0, 0]:
            points = np.concatenate([held, points], axis=1)
        held = points[:, -1:]
        if points.shape[1] > 1:
            yield points[:, :-1]
    yield held


class _Best:
    """The largest values over thresholds, and where they are: the first of equal ones.

    All of the measures grow with tp and fall with fp, so that they are largest at a corner of the ROC curve: a point to
    which it rises, and from which it goes right.
    """

    def __init__(self, positive: float, negative: float):
        self._p, self._n = positive, negative
        self._held = np.array([[np.inf, np.inf], [0.0, 0.0], [0.0, 0.0]])  # the last two points
        self.value = {"ks": -np.inf, "f1": -np.inf, "mcc": -np.inf, "balanced_accuracy": -np.inf}
        self.threshold: dict[str, float] = {}

    def add(self, points: Points) -> None:
        """Add points; the last waits for the next, without which it is not known for a corner."""
        points = np.concatenate([self._held, points], axis=1)
        self._held = points[:, -2:]
        corners = (points[1, 1:-1] > points[1, :-2]) & (points[2, 2:] > points[2, 1:-1])
        self._measure(points[:, 1:-1][:, corners])

    def end(self) -> None:
        """Add the last point of all."""
        self._measure(self._held[:, 1:])

    def _measure(self, points: Points) -> None:
        if not points.shape[1]:
            return
        threshold, tp, fp = points
        p, n = self._p, self._n
        fn, tn = np.maximum(p - tp, 0), np.maximum(n - fp, 0)
        tpr, fpr = tp / p, fp / n
        below = np.sqrt((tp + fp) * p) * np.sqrt((fn + tn) * n)
        self._take("ks", tpr - fpr, threshold)
        self._take("f1", 2 * tp / (tp + fp + p), threshold)
        self._take("balanced_accuracy", (tpr + tn / n) / 2, threshold)
        self._take("mcc", np.where(below > 0, (tp * tn - fp * fn) / np.where(below > 0, below, 1), 0), threshold)

    def _take(self, name: str, values: NDArray, threshold: NDArray) -> None:
        at = int(values.argmax())
        if values[at] > self.value[name]:
            self.value[name] = float(values[at])
            if name != "ks":
                self.threshold[name] = float(threshold[at])
