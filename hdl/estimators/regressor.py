"""`MLPRegressor`: scikit-learn's interface to a network that predicts numbers.

Letters: N samples, I features, O outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from hdl import data
from hdl.data import Labels
from hdl.data.infer import target_unit
from hdl.errors import SpecError
from hdl.estimators.base import Perceptron
from hdl.estimators.learner import by_batches
from hdl.ops import Samples, losses


class MLPRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that predicts numbers, by half squared errors; parameters as for `MLPClassifier`.

    Targets are standardised inside, by the mean and the deviation of the first fit; answers, the last layer's weights
    and costs are in the targets' own unit. `alpha`, `tol` and the learning rate are those of standardised targets, so
    that they do not depend on the unit.

    Attributes
    ----------
    coefs_, intercepts_, n_iter_ :
        As for `MLPClassifier`.
    loss_curve_ : list of float
        As for `MLPClassifier`; of several targets by their mean squared deviation.
    validation_scores_ : list of float
        R² after each epoch, over all outputs.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = MLPRegressor((16,), solver="lbfgs", scale="standard", alpha=10, random_state=1, max_iter=50)
    >>> bool(net.fit(X, y).score(X, y) > 0.5)
    True
    """

    @available_if(by_batches)
    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> MLPRegressor:
        """Train one epoch over these samples."""
        return self._partial_fit(X, y)

    def _samples(self, X: Any, y: Any, new: bool) -> Samples:
        x, y = self._read(X, y, multi_output=True, y_numeric=True, reset=not hasattr(self, "_schema") or new)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = np.asarray(y.reshape(len(y), -1), np.float64)
        if new:
            kind = "value" if y.ndim == 1 else "targets"
            mean, deviation = target_unit(Labels.of(targets))
            fields = {"target_mean": mean, "target_deviation": deviation}
            self._fit_schema(x, targets.shape[1], encoding=kind, loss="squared", **fields)
        if targets.shape[1] != self._schema.outputs:
            raise ValueError(f"y has {targets.shape[1]} columns, expected {self._schema.outputs}")
        return self._seen(x, self._schema.encode(targets)[0])

    def _adopt(self, schema: data.Schema) -> None:
        if schema.loss not in losses.REGRESSION:
            raise SpecError("the table holds a classification; expected a regression")

    @staticmethod
    def _score(sums: dict[str, float], held: Samples) -> float:
        assert held.y is not None
        spread = float(np.square(held.y - held.y.mean(axis=0, dtype=np.float64)).sum())
        return 1 - 2 * sums["val_cost"] / spread if spread else 0.0

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict values [N] or [N, O], in the unit of the targets."""
        out = self._outputs(X)
        return out[:, 0] if self._schema.encoding == "value" else out
