"""Scores of a network from one pass over data, as the report shows them and `measured.json` keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.metrics import Curves


@dataclass
class Measured:
    """Scores of a network from one pass over data.

    Parameters
    ----------
    source : str
        The data, or what part of it.
    kind : str
        'Test', 'Validation' or 'Training'.
    samples : int
    cost : float
        Mean loss, without regularisers.
    accuracy : float, optional
        None where there are no classes.
    confusion : array of int [C, C], optional
        Rows true, columns predicted; None where there are too many classes for it.
    r2, rmse : float or list of float, optional
        Of a regression: the share of the targets' variance that is explained, and the root of the mean squared error
        in the target's unit, of several outputs one each.
    mistakes : list of (true, predicted, count)
        The most frequent ones, by the classes' numbers, where there is no confusion matrix.
    loss : (name, value), optional
        As of `hdl.evaluation.Score`, like all below.
    weight, majority : float, optional
    metrics, thresholds : dict of str to float
    per_class : list of dict
    curves : Curves, optional
    pairs : array of float64 [k, 3], optional
        Of a regression's first target: true and predicted values of some samples, and how many samples have these.
    effects : dict, optional
        Plain values of `hdl.importance.Effects`.
    """

    source: str
    kind: str
    samples: int
    cost: float
    accuracy: float | None = None
    confusion: NDArray | None = None
    r2: float | None = None
    rmse: float | list[float] | None = None
    mistakes: list[tuple[int, int, int]] = field(default_factory=list)
    loss: tuple[str, float] | None = None
    weight: float | None = None
    majority: float | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)
    curves: Curves | None = None
    pairs: NDArray[np.float64] | None = None
    effects: dict[str, Any] | None = None

    @classmethod
    def of(cls, score: Any, source: str, kind: str, effects: Any = None) -> Measured:
        """Take a score's measures.

        Parameters
        ----------
        score : hdl.evaluation.Score
        source, kind : str
        effects : hdl.importance.Effects, its plain values, or None
        """
        names = {each.name for each in fields(cls)} - {"source", "kind", "effects"}
        own = {name: getattr(score, name) for name in names if hasattr(score, name)}
        plain = effects.to_plain() if hasattr(effects, "to_plain") else effects
        return cls(source, kind, **own, effects=plain)

    def to_plain(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give the score as plain values for JSON: what every version of hdl knows, and what came later."""
        old = {name: getattr(self, name) for name in _FIRST}
        old["confusion"] = None if self.confusion is None else np.asarray(self.confusion).tolist()
        new = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _FIRST}
        new["curves"] = None if self.curves is None else self.curves.plain()
        new["pairs"] = None if self.pairs is None else np.asarray(self.pairs, np.float64).tolist()
        return old, new

    @classmethod
    def from_plain(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> Measured:
        """Read what `to_plain` gave, of this version of hdl or another: a field that is not known is let pass.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is broken.
        """
        known = {each.name for each in fields(cls)}
        own = {name: value for name, value in {**new, **old}.items() if name in known}
        found = cls(**own)
        found.cost = float("nan") if found.cost is None else found.cost  # JSON has no such number
        if found.confusion is not None:
            found.confusion = np.asarray(found.confusion, np.int64)
        if found.curves is not None:
            found.curves = Curves.from_plain(found.curves)
        if found.pairs is not None:
            found.pairs = np.asarray(found.pairs, np.float64).reshape(-1, 3)
        return found


# Fields that `measured.json` had at first: an older hdl takes no others for a score.
_FIRST = ("source", "kind", "samples", "cost", "accuracy", "confusion", "r2", "rmse", "mistakes", "loss")
