"""Base of classifier and regressor: parameters, the loop over epochs, the weight table.

Letters: N samples, I features, O outputs.
"""

from __future__ import annotations

import re
import warnings
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from hdl import data, deciding, models, sync
from hdl import spec as specs
from hdl.data.summary import of_block
from hdl.data.tabular.frame import Frame
from hdl.errors import NonFinite
from hdl.estimators import holdout, tables
from hdl.estimators.arrays import float_type, local, typed
from hdl.estimators.fitted import Fitted
from hdl.estimators.learner import TOO_LARGE, Answer, Make
from hdl.estimators.parameters import check, preprocessing, scale_of, to_spec
from hdl.fitting import rounds
from hdl.fitting.pace import of_estimator
from hdl.fitting.score import Score
from hdl.ops import Samples, losses


class Perceptron(Fitted):
    """Base of classifier and regressor."""

    _mixed = True

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str | dict = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        l1: float = 0.0,
        max_norm: float = 0.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        init: str | None = None,
        scale: str | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
        precision: str = "float32",
        categorical_features: Any = "from_dtype",
        missing: str = "mean",
        min_count: int = 1,
        embedding: int | str = 0,
        numeric_embedding: str | None = None,
        members: int = 1,
        weight_decay: float = 0.0,
        metric: str | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.l1 = l1
        self.max_norm = max_norm
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.init = init
        self.scale = scale
        self.n_jobs = n_jobs
        self.device = device
        self.precision = precision
        self.categorical_features = categorical_features
        self.missing = missing
        self.min_count = min_count
        self.embedding = embedding
        self.numeric_embedding = numeric_embedding
        self.members = members
        self.weight_decay = weight_decay
        self.metric = metric

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.input_tags.allow_nan = True
        tags.input_tags.categorical = tags.input_tags.string = True
        return tags

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        validation: tuple[ArrayLike, ...] | None = None,
    ) -> Any:
        """Train from new weights, or with `warm_start` from the last ones.

        Parameters
        ----------
        X : array, sparse matrix or DataFrame [N, I]
            uint8 stays uint8; all else becomes float32, what `scale` centres after that. A DataFrame is one of pandas,
            polars or pyarrow, or whatever gives Arrow's C stream; its columns hold numbers, categories (text, booleans,
            categorical types) and dates. NaN, None and null are missing. An array of another library is taken where it
            lies in main memory.
        y : array [N] or [N, O]
        sample_weight : array [N], optional
            What each sample counts in the loss, in the mean over a mini-batch and in scores; None: 1.
        validation : (X, y) or (X, y, sample_weight), optional
            Measured each epoch into `validation_scores_`; takes the place of `validation_fraction`.

        Returns
        -------
        self
        """
        check(self)
        if isinstance(sample_weight, tuple) and len(sample_weight) in (2, 3) and np.ndim(sample_weight[0]) == 2:
            raise TypeError("sample_weight is a tuple of arrays; samples to measure on are given by validation=(X, y)")
        again = self.warm_start and hasattr(self, "_weights")
        self._begin(again)
        samples = self._samples(X, y, sample_weight, new=not again)
        held = None
        if validation is not None:
            x, labels, *weight = validation
            held = self._samples(x, labels, weight[0] if weight else None, new=False)
        elif self.early_stopping:
            part = holdout.chosen(samples, self._schema.classes, self.validation_fraction, self._seed)
            samples, held = samples.take(~part), samples.take(part)
        if not self.warm_start:
            self.__dict__.pop("_given", None)
        return self._train(samples, held, again, self.max_iter)

    def _partial_fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None) -> Any:
        check(self)
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        again = hasattr(self, "_weights")
        self._begin(again)
        samples = self._samples(X, y, sample_weight, new=not again)
        return self._train(samples, None, again, 1, partial=True)

    @abstractmethod
    def _samples(self, X: Any, y: Any, sample_weight: Any, new: bool) -> Samples:
        """Return validated samples as the core takes them; of a new fit they decide the schema."""

    @abstractmethod
    def _score(self, held: Samples) -> Score:
        """Say what samples that were held out are scored by."""

    def _train(
        self, samples: Samples, held: Samples | None, again: bool, iterations: int, partial: bool = False
    ) -> Any:
        """Train in rounds until nothing improves."""
        if not len(samples):
            raise ValueError("no samples are left to train on")
        epochs = iterations + (self._weights.round if again else 0)
        weight = 1.0 if samples.weight is None else float(samples.weight.mean(dtype=np.float64))
        if not weight:
            raise ValueError("every sample weighs 0; expected a positive sample_weight")
        spec = to_spec(self, self._schema, self._seed, len(samples), epochs, weight)
        weights = self._resumed(spec) if again else sync.start(spec, models.initial(spec))
        if given := self.__dict__.pop("_given", None):
            weights = sync.start(spec, self._replaced(spec, weights, given).w)
        worker = self._make(spec)
        shard = data.Shard(samples, samples.take(slice(0, 0)) if held is None else held)
        measured = spec
        if held is not None and self.metric is not None:
            measured = spec.with_(metric=self.metric, validation=self.validation_fraction)
            deciding.check(measured)

        early, unit = self.early_stopping and held is not None, losses.unit(spec, self._schema.target_deviation)
        pace = of_estimator(self, again, partial)
        searched = spec.optimizer.line_search and not early
        patience, gradient = (None, self.tol) if searched else (self.n_iter_no_change, None)
        limits = rounds.Limits(iterations, patience, self.tol, self.max_fun, self._scored(held), early, pace, gradient)
        if self.verbose:
            limits.told = lambda number, cost, weights: print(f"Iteration {number}, loss = {cost * unit:.8f}")
            limits.measured = lambda value: print(f"Validation score: {value:f}")
        try:
            trained = rounds.train(measured, weights, shard, worker, limits)
        except NonFinite as error:
            raise ValueError(f"{TOO_LARGE} ({error})") from None
        trained.curve = [cost * unit for cost in trained.curve]
        self._tell_end(trained, limits)
        self.t_ = (getattr(self, "t_", 0) if again else 0) + len(samples) * len(trained.curve)
        self.learning_rate_ = self.learning_rate_init if pace is None else pace.rate
        self._keep(spec, trained.weights, trained.curve, trained.scores, again)
        return self

    def _scored(self, held: Samples | None) -> Score | None:
        """Say what samples that were held out are scored by, if any were: the metric asked for, or the score."""
        if held is None or self.metric is None:
            return None if held is None else self._score(held)
        deviation = self._schema.target_deviation
        return Score("metric", deviation=None if deviation is None else deviation.tolist())

    def _tell_end(self, trained: rounds.Trained, limits: rounds.Limits) -> None:
        """Warn where nothing but its limits has ended a training; else say why it ended, where that is asked for."""
        done = len(trained.curve)
        if limits.iterations > 1 and trained.exhausted:
            more = ", or a larger max_fun" if done < limits.iterations else ""
            message = f"{done} iterations, and the loss still falls: a larger max_iter may help{more}"
            warnings.warn(message, ConvergenceWarning, stacklevel=4)
        elif limits.iterations > 1 and self.verbose:
            what = "Validation score" if limits.early else "Training loss"
            print(f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs.")

    def _fit_schema(self, x: Any, outputs: int, **fields: Any) -> None:
        """Learn the scaling, and keep what a weight table needs to know of the data."""
        self._float = float_type(x)
        labels = np.zeros(len(x), np.float32)  # stand for the real ones: only the features are summarised
        columns = x.columns if isinstance(x, Frame) else ()
        wished = {"scale": scale_of(self, columns), "preprocessing": preprocessing(self), "embedding": self.embedding}
        spec = specs.parse({**wished, "loss": "squared", "seed": self._seed})
        block = data.Block(tables.block(x), labels, lambda i: {"offset": i})
        summary = of_block(block, columns or None, moments=spec.scale.fitted)
        schema = data.fit(summary, spec)
        if schema.encodings is not None:  # so that columns of files are found by name
            schema = replace(schema, names=tuple(column.name for column in schema.encodings.columns))
        unit = {"target_mean": None, "target_deviation": None}
        self._schema = replace(schema, outputs=outputs, **unit | fields)
        if left_out := schema.encodings and schema.encodings.reasons:
            flag = re.compile(r"--columns .* takes")  # as `hdl train` has it
            said = {name: flag.sub(f"categorical_features=[{name!r}] takes", why) for name, why in left_out.items()}
            listed = "; ".join(f"{name}: {why}" for name, why in said.items())
            warnings.warn(f"columns that are left out: {listed}", UserWarning, stacklevel=5)

    def _outputs(self, X: ArrayLike) -> NDArray[np.floating]:
        """Compute the net's answers to X [N, O], in the targets' unit and in X's float type."""
        out, kind = self._answers_of_net(X)
        simplex = self.out_activation_ == "softmax"
        if simplex and tables.is_table(X):
            kind = np.float32  # as of the same rows in a file
        return typed(self._schema.in_units(out), kind, simplex)

    def _answers_of_net(self, X: ArrayLike) -> tuple[NDArray[np.float32], type[np.floating]]:
        """Compute the net's answers to X [N, O] as the core gives them, and tell X's float type."""
        check_is_fitted(self)

        def answerer(make: Make) -> Answer:
            core, w = make(self._fitted), self._weights.w
            return lambda samples: core.forward(w, samples)[0]

        out, kind = self._answers(X, answerer)
        if not np.isfinite(out).all():
            wrong = np.flatnonzero(~np.isfinite(out).all(axis=1))[0]
            raise ValueError(
                f"the network's answer to sample {wrong} of X is not finite: X is far from what was fitted"
            )
        return out, kind

    def _weights_of(self, sample_weight: Any, samples: int) -> NDArray[np.float64] | None:
        """Return validated weights of samples [N], or None."""
        if sample_weight is None:
            return None
        weight = local(sample_weight, "sample_weight")
        return _check_sample_weight(weight, np.zeros((samples, 1)), dtype=np.float64, ensure_non_negative=True)
