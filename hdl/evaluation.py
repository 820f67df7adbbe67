"""The score of a network on a dataset, which the measures over its samples make.

Letters: O outputs, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data import Bad, Schema
from hdl.errors import SpecError
from hdl.metrics import Curves, Measures, classes, numbers
from hdl.metrics.task import BINARY, NONE, REGRESSION
from hdl.ops import losses
from hdl.spec import Spec


@dataclass(frozen=True)
class Score:
    """Measures of a network on a dataset: means over its samples, by their weights where they have some.

    Parameters
    ----------
    samples : int
    cost : float
        Mean data cost, without penalty and weights of classes; of a regression that of the standardised targets, as in
        training.
    accuracy : float or None
        Share of samples that are right; None for a regression.
    confusion : ndarray of int64 [C, C] or None
        Samples, rows true, columns predicted; None without classes, and of more than
        `hdl.metrics.confusion.MOST_CLASSES`.
    r2 : float or None
        Share of the targets' variance that a regression explains, over all outputs; None for classes.
    bad : int
        Records skipped.
    rmse : float, list of float or None
        Root of a regression's mean squared error, in the targets' unit; of several outputs one each.
    mistakes : list of (true, predicted, count)
        The most frequent ones, by the classes' numbers, where there are too many for a matrix.
    unlabelled : int
        Rows without a label, which are no samples.
    weight : float or None
        Sum of the samples' weights; None where they have none.
    dropped : int
        Rows that miss a number, which the model leaves out.
    loss : (name, value) or None
        The cost of a regression that does not aim at squares, in the targets' unit: `deviance`, `MAE`, `pinball` or
        `Huber`.
    metrics : dict of str to float or None
        All measures by their names in `hdl.metrics.METRICS`; None where one is undefined, as the AUC is where one of
        two classes has no samples.
    thresholds : dict of str to float
        Of two classes: at which score the second one is answered to reach the best f1, mcc and balanced_accuracy that
        `metrics` has; such scores and greater ones.
    per_class : list of dict
        Of each class or label: `class` (its number), `samples` (their weight), `precision`, `recall`, `f1`, `auc`,
        `pr_auc`, by the network's own answers. Empty of more than `hdl.metrics.confusion.MOST_CLASSES`.
    curves : Curves or None
        Of two classes that both have samples.
    majority : float or None
        Share of the largest class; None without classes.
    unseen : dict of str to int
        By column, cells with a level that training had not seen, which count as no level.
    pairs : ndarray of float64 [k, 3] or None
        Of a regression's first target some true and predicted values, in its unit, and how many samples have them.
    """

    samples: int
    cost: float
    accuracy: float | None
    confusion: NDArray[np.int64] | None
    r2: float | None = None
    bad: int = 0
    rmse: float | list[float] | None = None
    mistakes: list[tuple[int, int, int]] = field(default_factory=list)
    unlabelled: int = 0
    weight: float | None = None
    dropped: int = 0
    loss: tuple[str, float] | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    per_class: list[dict[str, Any]] = field(default_factory=list)
    curves: Curves | None = None
    majority: float | None = None
    pairs: NDArray[np.float64] | None = None
    unseen: dict[str, int] = field(default_factory=dict)


def begin(schema: Schema, spec: Spec) -> Measures:
    """Make the measures of no samples yet, of a network with this schema."""
    return Measures(spec, classes=bool(schema.classes), pairs=True)


def score(measures: Measures, schema: Schema, spec: Spec, bad: Bad, threshold: float | None = None) -> Score:
    """Make the score of measured samples, of which there is one at least, whose weight is above 0.

    Parameters
    ----------
    threshold : float, optional
        Of two classes: at which score the second one is answered, and at greater ones; it decides the accuracy, the
        confusion and the classes' figures. None: the network's own answers.

    Raises
    ------
    SpecError
        A threshold is given, and the network has not two classes.
    """
    if threshold is not None:
        if measures.task.kind != BINARY:
            raise SpecError(f"threshold {threshold:g}: it is for two classes, and the network has others")
        measures = measures.at(threshold)
    task, unit = measures.task, schema.target_deviation
    cost = measures.cost
    mistakes: list[tuple[int, int, int]] = []
    matrix = None
    if measures.confusion is not None:
        matrix, mistakes = measures.confusion.matrix, measures.confusion.mistakes()
    curves = None
    if task.kind == BINARY and not measures.broken and measures.ranked:
        found = measures.scanned(curves=True)[0]
        curves = found.curves if found else None
    values = measures.metrics(unit)
    r2 = rmse = loss = None
    if task.kind == REGRESSION:
        each = numbers.rmse(measures, np.ones(task.outputs) if unit is None else unit)
        r2, rmse = values["r2"], each[0] if len(each) == 1 else each
        if spec.loss != "squared" and cost is not None:
            loss = losses.measure(spec, cost, unit)
    labelled = task.kind not in (REGRESSION, NONE)
    return Score(
        measures.samples, float("nan") if cost is None else cost, values.get("accuracy"), matrix, r2, bad.count, rmse,
        mistakes, bad.unlabelled, measures.weight if measures.weighted else None, bad.dropped, loss, values,
        measures.thresholds(), classes.per_class(measures) if labelled else [], curves, classes.majority(measures),
        _pairs(measures, schema), bad.unseen,
    )  # fmt: skip


def _pairs(measures: Measures, schema: Schema) -> NDArray[np.float64] | None:
    """Give the pairs of a regression's first target in its own unit."""
    if measures.pairs is None:
        return None
    rows = measures.pairs.rows()
    both = np.zeros((2, len(rows), schema.outputs))
    both[..., 0] = rows[:, :2].T
    rows[:, :2] = schema.in_units(both.reshape(-1, schema.outputs))[:, 0].reshape(2, -1).T
    return rows
