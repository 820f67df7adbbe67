"""Defines what a driver tells while it trains: events, and at the end the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdl.spec import Spec


@dataclass(frozen=True)
class Stage:
    """An event: the driver begins to 'summarise', to draw 'common' samples, to 'train' or to 'measure'."""

    name: str


@dataclass(frozen=True)
class Started:
    """An event: rounds begin.

    Parameters
    ----------
    spec : Spec
        Everything filled in.
    samples : int
        Samples of the dataset, validation included.
    rounds : int
        Rounds of the whole training, at most.
    version : int
        The version that the rounds start from: above 0 if resumed.
    """

    spec: Spec
    samples: int
    rounds: int
    version: int


@dataclass(frozen=True)
class Round:
    """An event: a round is merged, and its version is being published."""

    row: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training.

    Parameters
    ----------
    table : str
        Folder of the weight table.
    version, best : int
        The last version, and the best by validation.
    spec : Spec
        Everything filled in.
    rows : sequence of dict
        Metrics of all rounds.
    reason : {'rounds', 'patience', 'converged'}
        Why the rounds ended.
    run : str
        Id of the run.
    """

    table: str
    version: int
    best: int
    spec: Spec
    rows: Sequence[dict[str, Any]]
    reason: str
    run: str = ""
