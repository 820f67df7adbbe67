"""`MLPClassifier`: scikit-learn's interface to a network that tells classes apart.

Letters: N samples, I features, O outputs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, type_of_target

from hdl import data
from hdl.data import weights
from hdl.data.labels import Meanings, as_array
from hdl.errors import SpecError
from hdl.estimators.base import Perceptron
from hdl.estimators.learner import by_batches
from hdl.estimators.parameters import extended
from hdl.fitting.score import Score
from hdl.ops import Samples, losses


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron that tells classes apart, trained by hdl's core in float32.

    Parameters mean what they mean in scikit-learn's MLPClassifier. Beyond those:

    Parameters
    ----------
    solver : {'sgd', 'adam', 'adagrad', 'adadelta', 'rmsprop', 'lbfgs', 'cg', 'gd'}
    activation : {'relu', 'tanh', 'logistic', 'identity', 'lecun_tanh', 'leaky_relu'}
    learning_rate : {'constant', 'invscaling', 'adaptive', 'inverse', 'exponential', 'step', 'cosine'} or dict
        'invscaling' and 'adaptive' are scikit-learn's, and of the solver 'sgd' alone. Else a schedule over epochs; a
        dictionary gives `hdl.spec.Schedule`'s fields.
    tol : float
        Of line searches ('lbfgs', 'cg', 'gd') the largest part of the gradient at which they end; else, and with
        `early_stopping`, as in scikit-learn.
    l1, max_norm, dropout, input_dropout : float
        Further regularisers; l1 counts like alpha.
    init : {'glorot', 'he', 'lecun', 'uniform[a,b]'}, optional
        None: as fits the activation.
    scale : {'none', 'auto', 'minmax', 'standard', 'divide:c', 'robust', 'quantile', 'log'}, optional
        Scaling of the features, fitted and kept with the model. None: 'auto' for tables that hold a category or a date,
        else 'none'. The last three are for tables.
    n_jobs : int, optional
        Threads; -1 for all. The weights do not depend on it.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
        What computes; 'auto' is the first GPU where one can be used.
    precision : {'float32', 'tf32', 'bf16'}
        What the factors of products are rounded to; tf32 on a GPU alone.
    categorical_features : 'from_dtype', list of str, of int or of bool, or None
        Which columns are categories: those whose type says so (text, booleans and categorical types of a DataFrame), or
        those of these names or numbers, or where the mask is true, whatever their type; None: no column is one. Of a
        table that else holds numbers alone, none of them missing, booleans are 0 and 1.
    missing : {'mean', 'median', 'indicator', 'drop', 'error'}
        What becomes of a missing number or date: as `hdl.spec.Preprocessing` says. A missing category is a level.
    min_count : int
        Levels that fewer samples have are one level together.
    embedding : int or 'auto'
        Width of the learned vector that stands for a level (Guo & Berkhahn 2016); 0: a level has weights of its own.
    numeric_embedding : {'ple', 'periodic'}, optional
        Of numbers (Gorishniy et al. 2022).
    members : int
        Nets that are trained on the same samples, and whose answers are averaged (Lakshminarayanan et al. 2017).
    weight_decay : float
        Decay of weights beside the step, scaled by the learning rate (AdamW, Loshchilov & Hutter 2019); not by `alpha`,
        which is part of the loss.
    metric : str, optional
        Measure of the samples held out by which `early_stopping` decides, such as 'auc' or 'rmse' (`hdl.metrics`), in
        place of the score; `validation_scores_` are its values, negative where lower is better.
    class_weight : 'balanced', dict of class to float, or None
        What a sample of each class counts, beside its `sample_weight`; 'balanced': n/(C·n_c).
    label_smoothing : float
        Share of each label that all classes get in equal parts, in training (Szegedy et al. 2016).

    Attributes
    ----------
    classes_ : ndarray
    coefs_, intercepts_ : list of ndarray
        In the float type of the data of the fit; they can be set. Of an ensemble, those of one net after the other.
    loss_curve_ : list of float
        Mean loss of each epoch as seen while training, without penalty (line searches: with it).
    validation_scores_ : list of float
        With early stopping or `validation`: accuracy after each epoch.
    n_iter_ : int
        Epochs, or line-search iterations.
    t_ : int
        Samples trained on, each as often as it was.
    learning_rate_ : float
        Of the next epoch, where `learning_rate` is scikit-learn's.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> net = MLPClassifier((16,), solver="lbfgs", scale="standard", random_state=1).fit(X, y)
    >>> bool(net.score(X, y) > 0.95)
    True

    A DataFrame of pandas, polars or pyarrow is taken as it is:

    >>> import pyarrow as pa
    >>> visits = pa.table({"age": [31, None, 54, 47], "city": ["Rome", "Oslo", None, "Oslo"]})
    >>> net = MLPClassifier((4,), solver="lbfgs", random_state=1).fit(visits, ["stayed", "left", "stayed", "left"])
    >>> net.feature_names_in_.tolist(), net.predict(pa.table({"age": [50], "city": ["Oslo"]})).tolist()
    (['age', 'city'], ['left'])
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    class_weight: Any
    __init__ = extended(Perceptron.__init__, class_weight=None, label_smoothing=0.0)

    @available_if(by_batches)
    def partial_fit(
        self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None, sample_weight: ArrayLike | None = None
    ) -> MLPClassifier:
        """Train one epoch over these samples; the first call needs all classes.

        Give `classes` and `sample_weight` by name: their order differs between versions of scikit-learn.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is for fit, which sees all samples; for partial_fit compute the weights by "
                "sklearn.utils.class_weight.compute_class_weight and give them as a dict"
            )
        if _check_partial_fit_first_call(self, classes):
            self._known = self.classes_
        return self._partial_fit(X, y, sample_weight)

    def _samples(self, X: Any, y: Any, sample_weight: Any, new: bool) -> Samples:
        x, y = self._read(X, y, multi_output=True, reset=not hasattr(self, "_schema") or new)
        check_classification_targets(y)
        labels = type_of_target(y) == "multilabel-indicator"
        if labels:
            codes: NDArray = np.ascontiguousarray(y.toarray() if sparse.issparse(y) else y, np.float32)
            classes = np.arange(codes.shape[1])
        else:
            y = column_or_1d(y, warn=True)
            classes = np.unique(y)
        if new:
            self.classes_ = classes = self.__dict__.pop("_known", classes)
            self._fit_schema(x, **_kind(classes, labels))
        elif self.warm_start and not labels and set(classes.tolist()) != set(self.classes_.tolist()):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously "
                f"got {self.classes_}, `y` has {classes}"
            )
        weight = self._weights_of(sample_weight, len(codes) if labels else len(y))
        if labels:
            if codes.shape[1] != len(self.classes_):
                raise ValueError(f"y has {codes.shape[1]} labels a sample, expected {len(self.classes_)}")
            if self.class_weight is not None:
                raise ValueError("class_weight is for one class a sample; y has several labels a sample")
            return self._seen(x, codes, weights.of_samples(weight, None, None))
        codes = self._encoded(self._codes(y))
        return self._seen(x, codes, weights.of_samples(weight, codes, self._by_class(y)))

    def _by_class(self, y: NDArray) -> NDArray[np.float64] | None:
        """Return what a sample of each class counts [C], or None."""
        if self.class_weight is None:
            return None
        known = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        self._schema = replace(self._schema, class_weights=np.asarray(known, np.float64))
        return self._schema.class_weights

    def _codes(self, y: NDArray) -> NDArray[np.int32]:
        """Return the numbers [N] of the classes of y [N]; of a table's they may be of another type than y's."""
        known = Meanings(self.classes_.tolist())
        values, inverse = np.unique(y, return_inverse=True)
        numbers = np.array([known.code(value) for value in values.tolist()], np.int32)
        if len(unknown := values[numbers < 0]):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: {unknown.tolist()} are not among {self.classes_.tolist()}"
            )
        return numbers[inverse]

    def _encoded(self, codes: NDArray[np.int32]) -> NDArray:
        """Return class numbers [N] as the network's loss has them: one of a table may be sigmoid."""
        if self._schema.encoding == "binary":
            return codes.astype(np.float32)[:, None]
        if self._schema.encoding == "onehot":
            return np.eye(len(self.classes_), dtype=np.float32)[codes]
        return codes

    def _adopt(self, schema: data.Schema) -> None:
        if schema.loss in losses.REGRESSION:
            raise SpecError("the table holds a regression; expected classes")
        self.classes_ = as_array(schema.classes) if schema.classes else np.arange(schema.outputs)

    def _score(self, held: Samples) -> Score:
        return Score("accuracy")

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the probabilities of the classes, or of each label [N, O].

        In X's float type, but a softmax's of a DataFrame in float32: those of `hdl predict` to the same rows.
        """
        return self._of_classes(self._outputs(X))

    def _of_classes(self, out: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give each class its column: one output tells two apart."""
        return np.hstack([1 - out, out])[:, : len(self.classes_)] if self._schema.encoding == "binary" else out

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the logarithms of the probabilities of the classes, or of each label [N, O]."""
        with np.errstate(divide="ignore"):  # of a probability that float32 rounds to 0
            return np.log(self.predict_proba(X))

    def predict(self, X: ArrayLike) -> NDArray:
        """Predict classes [N], or labels 0 and 1 [N, O]."""
        out, _ = self._answers_of_net(X)
        if self._schema.encoding == "targets":
            return (out > 0.5).astype(int)
        return self.classes_[self._of_classes(out).argmax(axis=1)]


def _kind(classes: NDArray, labels: bool) -> dict[str, Any]:
    """Return the fields of the schema that classes, or labels, ask for: one output for two classes, as scikit-learn."""
    if labels:
        return {"outputs": len(classes), "encoding": "targets", "loss": "sigmoid"}
    named = {"classes": tuple(classes.tolist())}
    if len(classes) <= 2:
        return {"outputs": 1, "encoding": "binary", "loss": "sigmoid", **named}
    return {"outputs": len(classes), "encoding": "index", "loss": "softmax", **named}
