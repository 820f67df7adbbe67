"""Holds what the columns of a table do to a network's answers, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = float | str | None


@dataclass(frozen=True)
class Importance:
    """Tells how much worse a network measures when a column's cells are permuted.

    Parameters
    ----------
    column : str
    drop : float
        By how much the metric gets worse, the mean over repetitions, in its own unit: near 0 for a column that does not
        matter, below 0 by chance.
    spread : float
        Standard deviation over the repetitions.
    """

    column: str
    drop: float
    spread: float


@dataclass(frozen=True)
class PartialDependence:
    """A network's mean answer where a column has the same value in all rows (Friedman 2001).

    Parameters
    ----------
    column : str
    kind : {'number', 'category', 'date'}
    grid : list of float, str or None
        The values: of a number its quantiles, of a date the same as ISO text, of a category its most frequent levels;
        None is a missing cell, and comes last.
    count : list of int
        Rows whose cell is nearest to each value, or has the level.
    mean : list of list of float
        The mean answer to each value, one number an output: see `Effects.outputs`.
    """

    column: str
    kind: str
    grid: list[Cell]
    count: list[int]
    mean: list[list[float]]


@dataclass(frozen=True)
class Effects:
    """The importance of all columns, and the partial dependence of the most important ones.

    Parameters
    ----------
    metric : str
        By which importance is measured: see `hdl.metrics.METRICS`.
    higher : bool
        Whether a larger value of it is better.
    baseline : float
        The metric of the rows as they are.
    rows, of : int
        Rows that were drawn, and how many samples there are.
    repetitions : int
        Permutations of each column.
    seed : int
    outputs : list of str
        What each number of an answer is: a class, a target.
    importance : list of Importance
        The most important column first.
    dependence : list of PartialDependence
        Of the most important columns, in the same order; of none where an answer has more than 50 numbers.
    """

    metric: str
    higher: bool
    baseline: float
    rows: int
    of: int
    repetitions: int
    seed: int
    outputs: list[str]
    importance: list[Importance] = field(default_factory=list)
    dependence: list[PartialDependence] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Effects:
        """Rebuild effects from what `to_plain` gave, or what JSON made of it.

        Raises
        ------
        ValueError
            They are not what `to_plain` gives.
        """
        try:
            importance = [Importance(**one) for one in plain["importance"]]
            dependence = [PartialDependence(**one) for one in plain["dependence"]]
            return cls(**{**plain, "importance": importance, "dependence": dependence})
        except (KeyError, TypeError) as error:
            raise ValueError(f"effects of columns without their fields: {error}") from None


def ranked(found: Sequence[Importance]) -> list[int]:
    """Give the numbers of the columns, the most important one first; equals in the order of the table."""
    return sorted(range(len(found)), key=lambda i: (-found[i].drop, i))
