"""Numbers as inputs: what stands for a missing one, and how they are scaled and spread over several inputs.

Everything is fitted from what one pass found (moments, quantiles), kept as plain values, computed in float64 by IEEE
operations alone and rounded to float32 once, so that every machine gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np

from hdl.elementary import signed_log, sin_cos

CLIP = 3.0  # smooth clipping keeps robust values within
RULES = ("linear", "robust", "log", "quantile", "none")


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
    usual : float or None
        The number that more than half of the cells are: it has an input of its own, z is 0 there, and center and spread
        are those of the others (numbers of two parts, such as capital gains, which most people have none of).
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
    usual: float | None = None
    fill: float | None = None
    indicator: bool = False

    @property
    def width(self) -> int:
        """Count the inputs."""
        own = len(self.edges) - 1 if self.edges else 1 + 2 * len(self.frequencies)
        return own * (self.rule != "none") + (self.usual is not None) + self.indicator

    def names(self, name: str) -> list[str]:
        """Name the inputs of a number that is called so."""
        own: list[str] = []
        if self.edges:
            own = [f"{name}: bin {i} ({lo:g} to {hi:g})" for i, (lo, hi) in enumerate(pairwise(self.edges), 1)]
        elif self.rule != "none":
            waves = [f"{name}: {wave} {i}" for i in range(1, len(self.frequencies) + 1) for wave in ("sin", "cos")]
            own = [name, *waves]
        own += [] if self.usual is None else [f"{name} is {self.usual:g}"]
        return [*own, f"{name} is missing"] if self.indicator else own

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Scale numbers [n], none of which is missing, in float64."""
        if self.rule == "quantile":
            return interpolate(x, np.array(self.knots), np.array(self.scores))
        z = ((signed_log(x) if self.rule == "log" else x) - self.center) / self.spread
        if self.rule == "robust":  # z/sqrt(1 + (z/3)²), which no square may overflow
            z = np.clip(z, -1e150, 1e150)
            z = z / np.sqrt(1 + np.square(z / CLIP))
        return z

    def encode(self, x: np.ndarray) -> np.ndarray:
        """Give the inputs, float32 [n, width], of numbers float64 [n] with NaN for what is missing."""
        with np.errstate(over="ignore"):  # what is far from the training data may be infinite to the net
            return self._encoded(x).astype(np.float32)

    def _encoded(self, x: np.ndarray) -> np.ndarray:
        missing = np.isnan(x)
        if self.rule == "none":
            return missing[:, None][:, : self.width]
        some = bool(missing.any())
        if some:
            x = np.where(missing, self._stand_in(), x)
        usual = x == self.usual  # before what is beyond the edges is brought to them
        if self.edges:
            edges = np.array(self.edges)
            inside = np.clip(x, edges[0], edges[-1])
            at = np.clip(np.searchsorted(edges, inside, "right") - 1, 0, len(edges) - 2)
            out = (np.arange(len(edges) - 1) < at[:, None]).astype(np.float64)
            out[np.arange(len(x)), at] = (inside - edges[at]) / np.diff(edges)[at]
        else:
            z = self.scaled(x) if self.usual is None else np.where(usual, 0, self.scaled(x))
            waves = [part for f in self.frequencies for part in sin_cos(f * z)]
            out = np.stack([z, *waves], axis=1)
        if self.usual is not None:
            out = np.concatenate([out, usual[:, None]], axis=1)
        if some and self.fill is None:
            out[missing] = 0
        if self.indicator:
            out = np.concatenate([out, missing[:, None]], axis=1)
        return out

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
        scalars = [made.center, made.spread, *(value for value in (made.fill, made.usual) if value is not None)]
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
