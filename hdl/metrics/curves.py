"""Curves of two classes for pictures: of each some 500 points, which are enough to draw it.

P and N are the weights of the samples of class 1 and 0; tp and fp the weights of those whose score is at least a
threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.metrics.sums import Sums, ratio

BINS = 10  # of the calibration, of equal width, those without samples left out
# Per cent of the samples' weight at which gains are told, those of the greatest scores first.
SHARES = (1, 2, 3, 4, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90, 100)
_ROC_POINTS, _HULL_POINTS, _PR_POINTS = 330, 150, 480  # at most
Points = NDArray[np.float64]  # [3, points]: threshold, tp, fp, of descending thresholds


@dataclass(frozen=True)
class Curves:
    """Curves of a classifier of two classes, as plain arrays of float64; counts are int64.

    Parameters
    ----------
    roc : dict of arrays
        `fpr`, `tpr`, `threshold`: from (0, 0), of an infinite threshold, to (1, 1). The curve's upper hull is kept.
    pr : dict of arrays
        `recall`, `precision`, `threshold`, of rising recall.
    calibration : dict of arrays
        `predicted` and `observed`: means of the scores and of the classes of the samples of each of `BINS` bins of
        equal width over [0, 1], (low, high] but for the first, that has some; `count` of them. Empty if scores are no
        probabilities.
    gains : dict of arrays
        One entry for each of `SHARES` at which a group ends. A group ends with the greatest score at and above which
        the samples weigh that share of all, or more; samples of equal scores are never parted, so that a group may
        be missing. `share` (of all samples, cumulative), `threshold`, `capture` (share of class 1 in the group),
        `cumulative_capture`, `lift`, `cumulative_lift` (rate of class 1 over that of all), `rate`, `cumulative_rate`.
    """

    roc: dict[str, NDArray] = field(default_factory=dict)
    pr: dict[str, NDArray] = field(default_factory=dict)
    calibration: dict[str, NDArray] = field(default_factory=dict)
    gains: dict[str, NDArray] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Give the curves as plain values for JSON; an infinite threshold is None."""
        return {
            item.name: {
                name: [None if value == np.inf else value for value in column.tolist()]
                for name, column in getattr(self, item.name).items()
            }
            for item in fields(self)
        }

    @classmethod
    def from_plain(cls, value: Any) -> Curves:
        """Read what `plain` gave; ValueError where it is none."""
        try:
            return cls(**{
                item.name: {
                    str(name): np.array([np.inf if each is None else each for each in column], _dtype(name))
                    for name, column in value[item.name].items()
                }
                for item in fields(cls)
            })  # fmt: skip
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"curves that are none: {type(error).__name__} {error}") from None


class Drawing:
    """Points of the curves, gathered along descending thresholds; what is kept is no matter of how they come in blocks.

    Parameters
    ----------
    positive, negative : float
        P and N, above 0.
    """

    def __init__(self, positive: float, negative: float):
        self._p, self._n = positive, negative
        self._roc = np.array([[np.inf], [0.0], [0.0]])
        self._pr = np.empty((3, 0))
        self._ends: dict[int, Points] = {}  # of the groups of gains, by their share

    def add(self, points: Points) -> None:
        """Add points, of thresholds below those that were there."""
        self._roc = self._thin_roc(np.concatenate([self._roc, points], axis=1))
        self._pr = self._thin_pr(np.concatenate([self._pr, points], axis=1))
        reached = (points[1] + points[2]) * 100
        shares = [share for share in SHARES if share not in self._ends]
        for share, at in zip(shares, np.searchsorted(reached, np.array(shares) * (self._p + self._n)), strict=True):
            if at < points.shape[1]:
                self._ends[share] = points[:, at]

    def curves(self, last: Points, calibration: dict[str, NDArray]) -> Curves:
        """Make the curves, with the last of all points [3]: there every sample is answered with class 1."""
        p, n = last[1:].tolist()
        threshold, tp, fp = self._thin_roc(self._roc, True)
        roc = {"fpr": fp / n, "tpr": tp / p, "threshold": threshold}
        threshold, tp, fp = self._thin_pr(self._pr, True)
        pr = {"recall": tp / p, "precision": tp / (tp + fp), "threshold": threshold}
        ends = np.array([self._ends.get(share, last) for share in SHARES]).T
        ends = ends[:, np.unique(ends[0], return_index=True)[1][::-1]]
        threshold, tp, fp = ends
        weight, base = tp + fp, p / (p + n)
        own_tp, own = np.diff(tp, prepend=0.0), np.diff(weight, prepend=0.0)
        gains = {
            "share": weight / (p + n), "threshold": threshold, "capture": own_tp / p,
            "cumulative_capture": tp / p, "lift": own_tp / own / base,
            "cumulative_lift": tp / weight / base, "rate": own_tp / own, "cumulative_rate": tp / weight,
        }  # fmt: skip
        return Curves(roc, pr, calibration, gains)

    def _thin_roc(self, points: Points, last: bool = False) -> Points:
        """Keep the upper hull's corners, and along the curve the last point of each of many steps of equal length."""
        step = np.floor((points[1] / self._p + points[2] / self._n) * (_ROC_POINTS / 2))
        keep = np.append(step[1:] != step[:-1], True)
        corners = _hull(points[2] / self._n, points[1] / self._p)
        if last and len(corners) > _HULL_POINTS:  # more than a picture shows: evenly along it
            apart = np.floor(np.linspace(0, len(corners) - 1, _HULL_POINTS)).astype(np.int64)
            corners = corners[apart]
        keep[corners] = keep[0] = True
        return points[:, keep]

    def _thin_pr(self, points: Points, last: bool = False) -> Points:
        """Keep of each of many steps of recall the first and last point, and those of most and least precision."""
        del last
        _, tp, fp = points
        step = np.floor(tp / self._p * (_PR_POINTS / 4 - 1))
        starts = np.flatnonzero(np.append(True, step[1:] != step[:-1]))
        sizes = np.diff(starts, append=len(step))
        precision = tp / (tp + fp)
        keep = np.zeros(len(step), bool)
        keep[starts] = keep[starts + sizes - 1] = True
        for extreme in (np.maximum, np.minimum):
            found = np.flatnonzero(precision == np.repeat(extreme.reduceat(precision, starts), sizes))
            keep[found[np.unique(step[found], return_index=True)[1]]] = True
        return points[:, keep]


class Calibration:
    """Sums by bins of the scores; they are exact."""

    def __init__(self) -> None:
        self._weight, self._score, self._positive = Sums(BINS), Sums(BINS), Sums(BINS)
        self._count = np.zeros(BINS, np.int64)

    def add(self, score: NDArray, positive: NDArray[np.bool_], weight: NDArray, times: NDArray) -> None:
        """Add rows [n]: see `hdl.metrics.ranks.Rows`."""
        score = score.astype(np.float64)
        bins = np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], score)
        own = weight * times
        self._weight.add(own, bins)
        self._score.add(own * score, bins)
        self._positive.add(own[positive], bins[positive])
        self._count += np.bincount(bins, times, BINS).astype(np.int64)

    def table(self) -> dict[str, NDArray]:
        """Give `predicted`, `observed` and `count` of the bins that have samples."""
        there = np.flatnonzero(self._count).tolist()
        weights = self._weight.totals
        means = [[ratio(sums.totals[k], weights[k]) for k in there] for sums in (self._score, self._positive)]
        return {"predicted": np.array(means[0]), "observed": np.array(means[1]), "count": self._count[there]}


def _hull(x: NDArray, y: NDArray) -> NDArray[np.int64]:
    """Give the places of the upper hull's corners of points whose x rise; both ends are corners."""
    at = np.arange(len(x))
    while len(at) > 64:  # a point below the line between its neighbours is no corner: all such go at once
        below = _turn(x[at], y[at]) >= 0
        if not below.any():
            break
        at = at[np.concatenate([[True], ~below, [True]])]
    corners: list[int] = []
    for point in at.tolist():
        while len(corners) > 1 and _turn(x[[*corners[-2:], point]], y[[*corners[-2:], point]])[0] >= 0:
            corners.pop()
        corners.append(point)
    return np.array(corners, np.int64)


def _turn(x: NDArray, y: NDArray) -> NDArray:
    """Tell of points, but the first and last, how much the way turns there: above 0 to the left."""
    return (x[1:-1] - x[:-2]) * (y[2:] - y[1:-1]) - (y[1:-1] - y[:-2]) * (x[2:] - x[1:-1])


def _dtype(name: str) -> type:
    return np.int64 if name == "count" else np.float64
