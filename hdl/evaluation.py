"""Measures of a network on a dataset: sums over its samples, and the score that they make.

Letters: n samples of a block, O outputs, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.confusion import Confusion
from hdl.data import Bad, Schema
from hdl.data.weights import codes
from hdl.ops import Result, losses
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
        Samples, rows true, columns predicted; None without classes, and of more than `hdl.confusion.MOST_CLASSES`.
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


class Measures:
    """Sums over the samples that were seen.

    Parameters
    ----------
    schema : Schema
    spec : Spec
    """

    def __init__(self, schema: Schema, spec: Spec):
        self.schema, self.spec, self.total = schema, spec, Result()
        self.regression = spec.cost in losses.REGRESSION or schema.encoding == "none"
        self.confusion = Confusion(len(schema.classes)) if schema.classes else None
        self.weighted, self.right = False, 0.0
        self._sums = np.zeros((3, schema.outputs))  # squared error; targets, from training's mean; their squares
        self._origin = np.zeros(schema.outputs) if schema.target_mean is None else schema.target_mean

    def add(self, result: Result, out: NDArray, answers: NDArray[np.int64] | None, y: Any, weight: Any) -> None:
        """Add some samples.

        Parameters
        ----------
        result : Result
            Of the network's pass over them.
        out : float32 [n, O]
        answers : int64 [n] or None
            Numbers of the classes that were answered; None without classes.
        y : encoded labels, or None
        weight : float32 [n] or None
        """
        self.total += result
        if y is None:
            return
        own = np.ones(len(out)) if weight is None else weight.astype(np.float64)
        self.weighted |= weight is not None
        if self.confusion is not None and answers is not None:
            true = codes(y)
            self.confusion.add(true, answers)
            self.right += float(own[true == answers].sum())
            return
        out, wide = (self.schema.in_units(values.astype(np.float64)) for values in (out, y))
        offset = wide - self._origin
        parts = np.square(out - wide), offset, np.square(offset)
        self._sums += [(own[:, None] * part).sum(axis=0) if self.weighted else part.sum(axis=0) for part in parts]

    def score(self, bad: Bad) -> Score:
        """Make the score of all samples; there is at least one."""
        total, n = self.total, self.total.weight
        accuracy = None if self.regression else total.correct / n  # of several labels a sample, all must be right
        if self.confusion is not None:  # one class a sample: the largest output decides, whatever the loss
            accuracy = (self.right if self.weighted else self.confusion.correct) / n
        r2 = rmse = None
        if self.regression and self.confusion is None and self.schema.encoding != "none":
            spread = (self._sums[2] - np.square(self._sums[1]) / n).sum()
            r2 = float(1 - self._sums[0].sum() / spread) if spread > 0 else None
            each = np.sqrt(self._sums[0] / n).tolist()
            rmse = each[0] if len(each) == 1 else each
        matrix, mistakes = (self.confusion.matrix, self.confusion.mistakes()) if self.confusion else (None, [])
        weight = float(n) if self.weighted else None
        loss = None
        if rmse is not None and self.spec.loss != "squared":
            loss = losses.measure(self.spec, total.cost / n, self.schema.target_deviation)
        return Score(total.samples, total.cost / n, accuracy, matrix, r2, bad.count, rmse, mistakes, bad.unlabelled,
                     weight, bad.dropped, loss)  # fmt: skip
