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
from hdl.data import Labels, weights
from hdl.data.infer import target_unit
from hdl.errors import SpecError
from hdl.estimators.base import Perceptron
from hdl.estimators.learner import by_batches
from hdl.estimators.parameters import REGRESSIONS, extended
from hdl.fitting.score import Score
from hdl.ops import Samples, losses


class MLPRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that predicts numbers; parameters as for `MLPClassifier`, but for these.

    Targets are standardised inside, by the mean and the deviation of the first fit, or with a log link divided by their
    mean; answers, the last layer's weights and costs are in the targets' own unit. `alpha`, `delta`, `tol` and the
    learning rate are those of standardised targets, so that they do not depend on the unit.

    Parameters
    ----------
    loss : {'squared_error', 'huber', 'absolute_error', 'quantile', 'poisson', 'gamma', 'tweedie'}
        Half the squared error; Huber's; the absolute error; the pinball loss; or half a deviance, whose answers are
        exponentials (a log link).
    delta : float
        Of Huber's loss: from how many deviations of the targets on an error counts linearly.
    quantile : float
        That the loss of that name predicts.
    power : float
        Of Tweedie's variance, in (1, 2).

    Attributes
    ----------
    coefs_, intercepts_, n_iter_ :
        As for `MLPClassifier`.
    loss_curve_ : list of float
        As for `MLPClassifier`; of several targets by their mean squared deviation.
    validation_scores_ : list of float
        R² after each epoch, over all outputs; of other losses than the squared error, minus the mean loss of
        standardised targets.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = MLPRegressor((16,), solver="lbfgs", scale="standard", alpha=10, random_state=1, max_iter=50)
    >>> bool(net.fit(X, y).score(X, y) > 0.5)
    True

    >>> import pyarrow as pa
    >>> rides = pa.table({"km": [1.2, None, 8.0, 3.1], "paid": ["cash", "card", "card", None]})
    >>> MLPRegressor((4,), loss="gamma", random_state=1, max_iter=5).fit(rides, [7.5, 12, 31, 14]).predict(rides).shape
    (4,)
    """

    loss: str
    __init__ = extended(Perceptron.__init__, "loss", loss="squared_error", delta=1.0, quantile=0.5, power=1.5)

    @available_if(by_batches)
    def partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Train one epoch over these samples."""
        return self._partial_fit(X, y, sample_weight)

    def _samples(self, X: Any, y: Any, sample_weight: Any, new: bool) -> Samples:
        x, y = self._read(X, y, multi_output=True, y_numeric=True, reset=not hasattr(self, "_schema") or new)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = np.asarray(y.reshape(len(y), -1), np.float64)
        if new:
            kind = "value" if y.ndim == 1 else "targets"
            loss = next(ours for ours, theirs in REGRESSIONS.items() if theirs == self.loss)
            mean, deviation = target_unit(Labels.of(targets), loss)
            fields = {"target_mean": mean, "target_deviation": deviation}
            self._fit_schema(x, targets.shape[1], encoding=kind, loss=loss, **fields)
        if targets.shape[1] != self._schema.outputs:
            raise ValueError(f"y has {targets.shape[1]} columns, expected {self._schema.outputs}")
        weight = weights.of_samples(self._weights_of(sample_weight, len(y)), None, None)
        return self._seen(x, self._schema.encode(targets)[0], weight)

    def _adopt(self, schema: data.Schema) -> None:
        if schema.loss not in losses.REGRESSION:
            raise SpecError("the table holds a classification; expected a regression")

    def _score(self, held: Samples) -> Score:
        if self.loss != "squared_error":
            return Score("cost")
        assert held.y is not None
        weight = np.ones(len(held)) if held.weight is None else held.weight.astype(np.float64)
        mean = weight @ held.y.astype(np.float64) / (weight.sum() or 1)
        return Score("r2", float((weight @ np.square(held.y - mean)).sum()))

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict values [N] or [N, O], in the unit of the targets."""
        out = self._outputs(X)
        return out[:, 0] if self._schema.encoding == "value" else out
