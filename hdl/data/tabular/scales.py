"""Scales and embeddings of numbers, fitted to what one pass found of their cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import rng
from hdl.data.scaling import NOISE
from hdl.data.tabular.histogram import Histogram
from hdl.data.tabular.numbers import Number
from hdl.elementary import signed_log
from hdl.errors import SpecError
from hdl.spec import Preprocessing, Scale

FAR = 30.0  # deviations: a value beyond, or a deviation of so many interquartile ranges, makes the deviation useless
KNOTS = 128  # of the quantile scale
SPREADS = (1 / 4, 1 / 10, 1 / 100, 1 / 1000)  # quantiles p and 1 - p tried for a spread that is not 0
PERIODIC = 0.5  # deviation of the frequencies, in turns per deviation of the number


@dataclass(frozen=True)
class Cells:
    """The facts of a column's cells, as one pass found them.

    Parameters
    ----------
    count, missing : int
        Cells that hold a number, and others.
    low, high, mean, deviation : float
        Of the numbers; the deviation is the population's.
    quantile : function of shares in [0, 1], float64 [...], or None
        None where no histogram was made, as of very wide data.
    usual : float or None
        The number that more than half of the cells are, if there are others of at least two kinds.
    others : Cells or None
        Those cells.
    """

    count: int
    missing: int
    low: float
    high: float
    mean: float
    deviation: float
    quantile: Callable[[Any], Any] | None
    usual: float | None = None
    others: Cells | None = None

    @property
    def constant(self) -> bool:
        """Tell whether all numbers are one, but for rounding."""
        return self.low == self.high or self.deviation <= NOISE * max(abs(self.low), abs(self.high))

    def quantiles(self, *shares: float) -> np.ndarray:
        """Give quantiles, float64 [...].

        Raises
        ------
        SpecError
            No histogram was made.
        """
        if self.quantile is None:
            what = "of more than 256 number columns no quantiles are kept"
            raise SpecError(f"{what}; expected scale standard, minmax or none, and no median or numeric embedding")
        return np.asarray(self.quantile(np.array(shares, np.float64)))

    def affine(self, factor: float, offset: float) -> Cells:
        """Return what is found of factor·x + offset, factor above 0."""
        low, high, mean = (factor * value + offset for value in (self.low, self.high, self.mean))
        return Cells(
            self.count, self.missing, low, high, mean, factor * self.deviation,
            lambda shares: factor * self.quantiles(*shares) + offset,
        )  # fmt: skip


def fit(cells: Cells, scale: Scale, rules: Preprocessing, key: tuple[int, int], units: str = "free") -> Number:
    """Fit the encoding of a column that is not constant.

    Parameters
    ----------
    scale : Scale
    rules : Preprocessing
    key : (seed, number of the column)
        Of the frequencies of a periodic embedding.
    units : {'free', 'bounded', 'gaussian'}
        As for `hdl.data.scaling.fit_scale`.
    """
    rule, center, spread = "linear", 0.0, 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    name, measured, usual = scale.name, cells, None
    if name == "auto" and units == "free" and cells.others is not None:
        name, measured, usual = "robust", cells.others, cells.usual
    if name == "auto":
        name = "minmax" if units == "bounded" else "robust" if outlying(cells) else "standard"
    if name == "standard":
        center, spread = cells.mean, cells.deviation
    elif name == "minmax":
        center, spread = cells.low, cells.high - cells.low
    elif name == "divide":
        spread = scale.constant
    elif name == "robust":
        rule, center, spread = "robust", _median(measured), _spread(measured)
    elif name == "log":
        rule, center = "log", float(signed_log(cells.quantiles(0.5))[0])
        spread = _spread(cells, signed_log)
    elif name == "quantile":
        rule, (knots, scores) = "quantile", normal_scores(cells)
    edges = _edges(measured, rules.bins) if rules.numeric_embedding == "ple" else ()
    frequencies = draw(key, rules.bins // 2) if rules.numeric_embedding == "periodic" else ()
    far = cells.missing > 0 and (usual is not None or outlying(cells))  # then no cell is near the mean
    fill: float | None = _median(cells) if rules.missing == "median" or far else cells.mean
    fill = None if rules.missing == "indicator" else fill
    indicator = cells.missing > 0 and rules.missing in ("mean", "median", "indicator")
    return Number(rule, center, spread, knots, scores, edges, frequencies, usual, fill, indicator)


def in_two_parts(histogram: Histogram) -> tuple[float, Histogram] | None:
    """Find the number that more than half of some numbers are, and the others; None without, or with one other number.

    Of many different numbers a histogram knows 0 alone exactly.
    """
    if histogram.n < 3 or histogram.distinct < 3:
        return None
    at = int(histogram.counts.argmax())
    low, high = (float(end[at]) for end in histogram.ends())
    if 2 * histogram.counts[at] <= histogram.n or (
        low != high and max(abs(low), abs(high)) > np.finfo(np.float64).tiny
    ):
        return None
    rest = np.arange(histogram.distinct) != at
    lows, highs = (end[rest] for end in histogram.ends())
    others = Histogram(histogram.level, histogram.keys[rest], histogram.counts[rest], float(lows[0]), float(highs[-1]))
    return (0.0 if low != high else low), others


def outlying(cells: Cells) -> bool:
    """Tell whether outliers make the deviation useless.

    The farthest value is more than 30 deviations from the mean; or, as n values have none beyond sqrt(n) deviations,
    the deviation is more than 30 interquartile ranges (which is 0 where most values are one: that alone tells nothing).
    """
    farthest = max(cells.high - cells.mean, cells.mean - cells.low)
    if cells.quantile is None:
        return False
    lower, upper = cells.quantiles(0.25, 0.75).tolist()
    return farthest > FAR * cells.deviation or 0 < FAR * (upper - lower) < cells.deviation


def _median(cells: Cells) -> float:
    return float(cells.quantiles(0.5)[0])


def _spread(cells: Cells, transform: Callable[[np.ndarray], np.ndarray] = np.array) -> float:
    """Find the interquartile range; of a column that is mostly one number half of a wider one, at last of all.

    RealMLP takes half of the range at once; quantiles farther out first keep a far outlier from deciding.
    """
    for share in SPREADS:
        lower, upper = transform(cells.quantiles(share, 1 - share)).tolist()
        if lower < upper:
            return upper - lower if share == SPREADS[0] else (upper - lower) / 2
    lower, upper = transform(np.array([cells.low, cells.high])).tolist()
    return upper / 2 - lower / 2


def normal_scores(cells: Cells) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Find quantiles and their normal scores; numbers that are several quantiles get the score of the middle one."""
    shares = np.concatenate([[1 / (8 * KNOTS)], np.arange(1, KNOTS) / KNOTS, [1 - 1 / (8 * KNOTS)]])
    values = np.concatenate([[cells.low], cells.quantiles(*shares[1:-1]), [cells.high]])
    knots, first, counts = np.unique(np.maximum.accumulate(values), return_index=True, return_counts=True)
    scores = rng.normal((shares[first] + shares[first + counts - 1]) / 2)
    return tuple(knots.tolist()), tuple(scores.tolist())


def _edges(cells: Cells, bins: int) -> tuple[float, ...]:
    """Find the different ones of the quantiles at 0, 1/bins, …, 1."""
    inner = np.clip(cells.quantiles(*(np.arange(1, bins) / bins)), cells.low, cells.high)
    return tuple(np.unique([cells.low, *inner, cells.high]).tolist())


def draw(key: tuple[int, int], count: int) -> tuple[float, ...]:
    """Draw frequencies from a normal distribution of deviation `PERIODIC`, keyed by seed and column."""
    drawn = np.abs(rng.normals(rng.derive(key[0], rng.FREQUENCIES), key[1], n=count)) * PERIODIC
    return tuple(np.sort(drawn).tolist())
