"""Numbers as inputs: what stands for a missing one, and how they are scaled and spread over several inputs.

Everything is fitted from what one pass found (moments, quantiles), kept as plain values, computed in float64 by IEEE
operations alone and rounded to float32 once, so that every machine gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from hdl import rng
from hdl.data.scaling import NOISE
from hdl.data.tabular.elementary import signed_log, sin_cos
from hdl.errors import SpecError
from hdl.spec import Preprocessing, Scale

FAR = 30.0  # deviations: a value beyond, or a deviation of so many interquartile ranges, makes the deviation useless
CLIP = 3.0  # smooth clipping keeps robust values within
KNOTS = 128  # of the quantile scale
SPREADS = (1 / 4, 1 / 10, 1 / 100, 1 / 1000)  # quantiles p and 1 - p tried for a spread that is not 0
PERIODIC = 0.5  # deviation of the frequencies, in turns per deviation of the number
RULES = ("linear", "robust", "log", "quantile", "none")


@dataclass(frozen=True)
class Cells:
    """What one pass found of a column's cells.

    Parameters
    ----------
    count, missing : int
        Cells that hold a number, and others.
    low, high, mean, deviation : float
        Of the numbers; the deviation is the population's.
    quantile : function of shares in [0, 1], float64 [...], or None
        None where no histogram was made, as of very wide data.
    """

    count: int
    missing: int
    low: float
    high: float
    mean: float
    deviation: float
    quantile: Callable[[Any], Any] | None

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


@dataclass(frozen=True)
class Number:
    """One number as k inputs, and one more that says where it is missing.

    Parameters
    ----------
    rule : {'linear', 'robust', 'log', 'quantile', 'none'}
        z = (x - center)/spread; the same, then z/sqrt(1 + (z/3)²), which is smooth clipping to ±3 (Holzmüller et al.
        2024, RealMLP, section 3); (sign(x)·log(1 + |x|) - center)/spread; the normal score of x's quantile;
        no input but that of what is missing, of a column that else is always the same.
    center, spread : float
    knots, scores : tuple of float
        Of the rule `quantile`: z of each knot, straight lines in between and level beyond the ends.
    edges : tuple of float
        Piecewise linear encoding (Gorishniy et al. 2022, equation 1) of x by T + 1 edges: input t is the share of
        [edge t, edge t + 1] that lies below x. Empty: none.
    frequencies : tuple of float
        Periodic embedding (the same, equation 2, with fixed frequencies): z, and sine and cosine of 2π·f·z for each f.
    fill : float or None
        The number that stands for a missing one; None: the inputs are 0 then.
    indicator : bool

    Examples
    --------
    >>> Number("linear", 2.0, 4.0, fill=2.0, indicator=True).encode(np.array([4.0, np.nan])).tolist()
    [[0.5, 0.0], [0.0, 1.0]]
    """

    rule: str = "linear"
    center: float = 0.0
    spread: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    frequencies: tuple[float, ...] = ()
    fill: float | None = None
    indicator: bool = False

    @property
    def width(self) -> int:
        """Count the inputs."""
        own = len(self.edges) - 1 if self.edges else 1 + 2 * len(self.frequencies)
        return own * (self.rule != "none") + self.indicator

    def names(self, name: str) -> list[str]:
        """Name the inputs of a number that is called so."""
        own: list[str] = []
        if self.edges:
            own = [f"{name}: {lo:g} to {hi:g}" for lo, hi in pairwise(self.edges)]
        elif self.rule != "none":
            own = [name, *(f"{name}: {wave} {f:.3g}" for f in self.frequencies for wave in ("sin", "cos"))]
        return [*own, f"{name} is missing"] if self.indicator else own

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Scale numbers [n], none of which is missing, in float64."""
        if self.rule == "quantile":
            return interpolate(x, np.array(self.knots), np.array(self.scores))
        z = ((signed_log(x) if self.rule == "log" else x) - self.center) / self.spread
        if self.rule == "robust":  # z/sqrt(1 + (z/3)²), which no square may overflow
            z = z / np.sqrt(1 + np.square(np.clip(z, -1e150, 1e150) / CLIP))
        return z

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Give the inputs, float32 [n, width], of numbers float64 [n] with NaN for what is missing."""
        missing = np.isnan(x)
        if self.rule == "none":
            return missing[:, None][:, : self.width].astype(np.float32)
        some = bool(missing.any())
        if some:
            x = np.where(missing, self._stand_in(), x)
        if self.edges:
            edges = np.array(self.edges)
            out = np.clip((x[:, None] - edges[:-1]) / np.diff(edges), 0, 1)
        else:
            z = self.scaled(x)
            waves = [part for f in self.frequencies for part in sin_cos(f * z)]
            out = np.stack([z, *waves], axis=1)
        if some and self.fill is None:
            out[missing] = 0
        if self.indicator:
            out = np.concatenate([out, missing[:, None]], axis=1)
        with np.errstate(over="ignore"):
            return out.astype(np.float32)

    def _stand_in(self) -> float:
        return self.fill if self.fill is not None else self.center if self.rule in ("linear", "robust") else 0.0

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON, without what is as by default."""
        default = Number()
        return {
            key: [*value] if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value != getattr(default, key)
        }

    @classmethod
    def from_plain(cls, plain: Any) -> Number:
        """Rebuild a number from what `to_plain` gave.

        Raises
        ------
        ValueError
        """
        if not isinstance(plain, dict) or (unknown := set(plain) - {item.name for item in fields(cls)}):
            raise ValueError(f"a number's encoding {plain!r}" + (f" with unknown {sorted(unknown)}" if plain else ""))
        values: dict[str, Any] = {
            key: tuple(map(_real, value)) if isinstance(value, list) else value for key, value in plain.items()
        }
        made = cls(**values)
        scalars = [made.center, made.spread, *([] if made.fill is None else [made.fill])]
        good = made.rule in RULES and isinstance(made.indicator, bool) and all(map(_is_real, scalars))
        good = good and made.spread > 0 and all(isinstance(getattr(made, name), tuple) for name in _LISTS)
        good = good and len(made.knots) == len(made.scores) and (made.rule == "quantile") == bool(made.knots)
        if not good or not _rising(made.knots) or not _rising(made.edges) or len(made.edges) == 1:
            raise ValueError(f"a number's encoding {plain!r}")
        return made


_LISTS = ("knots", "scores", "edges", "frequencies")


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))


def _real(value: Any) -> float:
    if not _is_real(value):
        raise ValueError(f"{value!r} in a number's encoding; expected a finite number")
    return float(value)


def _rising(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def interpolate(x: np.ndarray, knots: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Follow straight lines between the knots, level beyond the ends.

    Examples
    --------
    >>> interpolate(np.array([-1.0, 0.5, 9.0]), np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.0, 0.5, 2.0]
    """
    if len(knots) == 1:
        return np.full_like(x, scores[0])
    x = np.clip(x, knots[0], knots[-1])
    at = np.clip(np.searchsorted(knots, x, "right") - 1, 0, len(knots) - 2)
    share = (x - knots[at]) / (knots[at + 1] - knots[at])
    return scores[at] + share * (scores[at + 1] - scores[at])


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
    name = scale.name
    if name == "auto":
        name = "minmax" if units == "bounded" else "robust" if outlying(cells) else "standard"
    if name == "standard":
        center, spread = cells.mean, cells.deviation
    elif name == "minmax":
        center, spread = cells.low, cells.high - cells.low
    elif name == "divide":
        spread = scale.constant
    elif name == "robust":
        rule, center, spread = "robust", _median(cells), _spread(cells)
    elif name == "log":
        rule, center = "log", float(signed_log(cells.quantiles(0.5))[0])
        spread = _spread(cells, signed_log)
    elif name == "quantile":
        rule, (knots, scores) = "quantile", normal_scores(cells)
    edges = _edges(cells, rules.bins) if rules.numeric_embedding == "ple" else ()
    frequencies = draw(key, rules.bins // 2) if rules.numeric_embedding == "periodic" else ()
    far = cells.missing > 0 and outlying(cells)  # then the mean is as useless as the deviation
    fill: float | None = _median(cells) if rules.missing == "median" or far else cells.mean
    fill = None if rules.missing == "indicator" else fill
    indicator = cells.missing > 0 and rules.missing in ("mean", "median", "indicator")
    return Number(rule, center, spread, knots, scores, edges, frequencies, fill, indicator)


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
