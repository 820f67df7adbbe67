"""Base of the transformers: features learned from data without labels.

Letters: N samples, I features of the data, H codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from hdl import data, models, sync
from hdl import spec as specs
from hdl.data.summary import of_block
from hdl.estimators import tables
from hdl.estimators.arrays import float_type, local, typed
from hdl.estimators.learner import Learner, Make
from hdl.estimators.parameters import check
from hdl.fitting import rounds
from hdl.models import codes, stack
from hdl.models.stack import Layer
from hdl.ops import Samples
from hdl.ops.transformed import ReconstructionTarget, StackedInput
from hdl.spec import Spec


class FeatureLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Learner):
    """A transformer from data to codes, trained in this process on one shard."""

    loss_curve_: list[float]
    verbose: bool | int
    _below: list[Layer]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: Any = None) -> Any:
        """Learn from new weights.

        Parameters
        ----------
        X : array, sparse matrix or DataFrame [N, I]
            Numbers, none of them missing. uint8 stays uint8; all else becomes float32, what `scale` centres after that.
        y : ignored

        Returns
        -------
        self
        """
        check(self)
        self._begin(False)
        samples = self._samples(X, new=True)
        spec, trained, self._below, self.loss_curves_ = self._learn(self._spec(samples), samples)
        self._keep(spec, trained, samples)
        self.n_iter_ = sum(map(len, self.loss_curves_))
        return self

    def _partial_fit(self, X: ArrayLike) -> Any:
        check(self)
        again = hasattr(self, "_weights")
        self._begin(again)
        samples = self._samples(X, new=not again)
        spec = self._spec(samples, 1 + (self._weights.round if again else 0))
        start = self._resumed(spec) if again else None
        curve = self.loss_curve_ if again else []
        limits = rounds.Limits(1)
        self._telling(limits, spec, samples)
        trained = self._stage(spec, samples, [], limits, start)
        self._below = []
        self._keep(spec, trained, samples)
        self.loss_curve_ = curve + self.loss_curve_
        self.n_iter_ = len(self.loss_curve_)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the codes [N, H] of X [N, I], in the float type of X; they are computed in float32."""
        check_is_fitted(self)
        return typed(*self._answers(X, self._encoder))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the reconstructions [N, I] of codes [N, H], in the data's own scale."""
        check_is_fitted(self)
        codes_of, width = check_array(local(X), dtype=(np.float64, np.float32)), self._n_features_out
        given = codes_of.astype(np.float32, copy=False)
        if given.shape[1] != width:
            raise ValueError(f"X has {given.shape[1]} codes, but {type(self).__name__} makes {width}")
        return typed(self._schema.unscaled(self._decoder()(given)), float_type(codes_of))

    @property
    def components_(self) -> NDArray[np.float32]:
        """Patterns that the codes look for in the scaled data [H, I]; above the first layer, the product of weights."""
        if not hasattr(self, "_weights"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return self._encoder().product().T

    @property
    def _n_features_out(self) -> int:
        return self._encoder().width

    def _top(self) -> tuple[Spec, NDArray, list[Layer]]:
        """Return the topmost layer's spec and weights, and the layers below."""
        return self._fitted, self._weights.w, self._below

    def _decoder(self) -> codes.Decoder:
        spec, w, below = self._top()
        return codes.Decoder(spec, w, None, below)

    def _encoder(self, make: Make | None = None) -> codes.Encoder:
        return codes.Encoder(self._fitted, self._weights.w, make or self._make)

    def _samples(self, X: Any, new: bool) -> Samples:
        x = self._read(X, reset=new)
        if new:
            fields = {**self._fields(), "scale": self.scale, "net": None, "batch": None}
            spec = specs.parse(fields)
            if spec.scale.name == "auto" and stack.units(spec) == "bounded" and _bounded(x):
                spec = spec.with_(scale="none")  # as of dense data: a summary of sparse data has no signs
            summary = of_block(data.Block(tables.block(x), None, lambda i: {"offset": i}), moments=spec.scale.fitted)
            self._schema = data.fit(summary, spec)
        return self._seen(x)

    def _fields(self) -> dict[str, Any]:
        """Return the fields of the spec that the parameters mean, but for what follows from data and seed."""
        raise NotImplementedError

    def _spec(self, samples: Samples, epochs: int | None = None) -> Spec:
        n, inputs = len(samples), self.n_features_in_
        fields = {"sync": {"mode": "average"}, "seed": self._seed, "precision": self.precision, "scale": self.scale}
        fields |= {"shuffle_window": n, **self._fields()}
        wished = fields["batch"]
        wished = (32 if n < 20_000 else 100) if wished == "auto" else wished
        fields["batch"] = max(1, min(wished, n)) if wished else 0
        fields["net"] = [inputs, *fields["net"], *([inputs] if fields["model"] == "autoencoder" else [])]
        if epochs is not None:
            fields["epochs"] = epochs
        return specs.parse({"loss": "squared", **fields})

    def _limits(self, spec: Spec) -> rounds.Limits:
        return rounds.Limits(spec.epochs)

    def _telling(self, limits: rounds.Limits, spec: Spec, samples: Samples) -> None:
        """Let a training print its iterations, where `verbose` says so."""
        if self.verbose:
            where = f"layer {spec.layer}, " if spec.layer else ""
            limits.told = lambda number, cost, weights: print(f"{where}Iteration {number}, loss = {cost:.8f}")

    def _learn(self, spec: Spec, samples: Samples) -> tuple[Spec, rounds.Trained, list[Layer], list[list[float]]]:
        """Train the whole: its spec and weights, the layers of a stack, and the costs of each training."""
        below: list[Layer] = []
        curves: list[list[float]] = []
        for stage in stack.stages(spec):
            if stage.model == "mlp" and spec.finetune == "none":
                trained = rounds.Trained(sync.start(stage, stack.start(stage, below)))
                break
            limits = self._limits(stage)
            self._telling(limits, stage, samples)
            trained = self._stage(stage, samples, below, limits)
            curves.append(trained.curve)
            if stage.layer:
                below.append((stage, trained.weights.w))
        return stage, trained, below, curves

    def _stage(
        self, spec: Spec, samples: Samples, below: list[Layer], limits: rounds.Limits, start: Any = None
    ) -> rounds.Trained:
        """Train once: a layer above others, or a whole."""
        worker: Any = self._make(spec)
        if below and spec.layer:
            worker = StackedInput(worker, [(self._make(own), w) for own, w in below])
        elif spec.model == "mlp":
            worker = ReconstructionTarget(worker)
        if start is None:
            w = stack.start(spec, below) if below and not spec.layer else models.initial(spec)
            start = sync.start(spec, w)
        shard = data.Shard(samples, samples.take(slice(0, 0)))
        return rounds.train(spec, start, shard, worker, limits)

    def _keep(self, spec: Spec, trained: rounds.Trained, samples: Samples) -> None:
        """Set the attributes that a fit leaves behind."""
        self._fitted, self._weights, self.loss_curve_ = spec, trained.weights, trained.curve
        self.mean_activations_ = self._encoder()(samples).mean(axis=0, dtype=np.float64)


def _bounded(x: Any) -> bool:
    """Tell whether sparse data lies in [0, 1]."""
    return isinstance(x, data.Csr) and bool((x.data >= 0).all() and (x.data <= 1).all())
