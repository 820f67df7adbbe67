"""Shows what a fitted estimator holds: its weights layer by layer, and those of a table of `hdl train`.

Letters: I inputs, O outputs of a layer.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import data
from hdl import spec as specs
from hdl.errors import SpecError
from hdl.estimators import tables
from hdl.estimators.layers import Layers, checked
from hdl.estimators.learner import Learner
from hdl.estimators.parameters import to_parameters
from hdl.models import mlp
from hdl.ops import losses
from hdl.spec import Spec
from hdl.table import Table
from hdl.wire import Weights


class Fitted(Learner):
    """Base of what has been fitted, or is made of a table."""

    loss_curve_: list[float]
    early_stopping: bool

    @abstractmethod
    def _adopt(self, schema: data.Schema) -> None:
        """Take over what a stored schema says of the labels; SpecError where they are of the other kind."""

    def _keep(self, spec: Spec, weights: Weights, curve: list[float], scores: list[float], again: bool) -> None:
        """Set the attributes that a fit leaves behind."""
        self._fitted, self._weights = spec, weights
        self.loss_curve_ = (self.loss_curve_ if again else []) + curve
        self.n_iter_ = len(curve)
        if self.loss_curve_:
            self.loss_ = self.loss_curve_[-1]
        self.best_loss_ = min(self.loss_curve_, default=None) if not (scores and self.early_stopping) else None
        before = (getattr(self, "validation_scores_", None) or []) if again else []
        self.validation_scores_ = self.best_validation_score_ = None
        if scores:
            self.validation_scores_, self.best_validation_score_ = before + scores, float(np.nanmax(scores))
        self.n_layers_, self.n_outputs_ = len(spec.widths), spec.widths[-1]
        linked = "exp" if spec.cost in losses.LOG_LINK else "identity"
        self.out_activation_ = {"softmax": "softmax", "sigmoid": "logistic"}.get(spec.cost, linked)

    @property
    def coefs_(self) -> list[NDArray[np.floating]]:
        """The weights of each layer [I, O]; a regression's last ones give the targets' unit, or its logarithm.

        Those of an ensemble's members follow each other. They can be set, the list or an item of it: of a fitted
        network they take effect at once, of a new one `partial_fit` and a `warm_start` begin with them.
        """
        return self._shown("coefs_")

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._set("coefs_", arrays)

    @property
    def intercepts_(self) -> list[NDArray[np.floating]]:
        """The biases of each layer [O]; a regression's last ones are in the targets' unit, or its logarithm.

        They can be set as `coefs_` can.
        """
        return self._shown("intercepts_")

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._set("intercepts_", arrays)

    def _shown(self, name: str) -> list[NDArray[np.floating]]:
        """Give the layers' weights or biases in the targets' unit, in the float type of what was fitted."""
        given = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        layers = [layer[name == "intercepts_"].astype(np.float64) for layer in self._layers()]
        for last in self._last_layers(layers):
            scale, shift = self._unit(name)
            layers[last] = layers[last] * scale + shift
        kind = getattr(self, "_float", np.float32)
        return Layers([layer.astype(kind) for layer in layers], lambda arrays: self._set(name, arrays))

    def _set(self, name: str, arrays: Any) -> None:
        """Put weights or biases in place of the layers' own; of a net that is not fitted they wait for it."""
        if not hasattr(self, "_weights"):
            self.__dict__.setdefault("_given", {})[name] = arrays
            return
        self._weights = self._replaced(self._fitted, self._weights, {name: arrays})

    def _replaced(self, spec: Spec, weights: Weights, given: dict[str, Any]) -> Weights:
        """Return the weights with those of the layers that are given, in the targets' unit."""
        w = weights.w.copy()
        layers = mlp.layout(spec).split(w)
        for name, arrays in given.items():
            own = [layer[name == "intercepts_"] for layer in layers]
            values = checked(arrays, [array.shape for array in own], name)
            last = range(len(spec.widths) - 2, len(own), len(spec.widths) - 1)
            scale, shift = self._unit(name)
            for number, (array, value) in enumerate(zip(own, values, strict=True)):
                array[...] = (value - shift) / scale if number in last else value
        return replace(weights, w=w)

    def _unit(self, name: str) -> tuple[Any, Any]:
        """Return by what a net's last weights or biases are multiplied, and what is added, for the targets' unit."""
        mean, deviation = self._schema.target_mean, self._schema.target_deviation
        if deviation is None:
            return 1.0, 0.0
        if self._schema.loss in losses.LOG_LINK:
            return 1.0, 0.0 if name == "coefs_" else np.log(deviation)
        return deviation, 0.0 if name == "coefs_" else mean

    def _last_layers(self, layers: list[Any]) -> range:
        """Number the layers that are a net's last one, among those of all nets."""
        own = self.n_layers_ - 1
        return range(own - 1, len(layers), own)

    def _layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        if not hasattr(self, "_weights"):
            raise AttributeError(f"this {type(self).__name__} is not fitted yet")
        return mlp.layout(self._fitted).split(self._weights.w)

    @classmethod
    def from_table(cls, path: str, version: int | None = None) -> Any:
        """Make a fitted estimator from a weight table, by default from its best version.

        Raises
        ------
        SpecError
            The table's network is of the other kind: a regression, or a classification.
        """
        table = Table(path)
        zero, stored = table.with_zero("best" if version is None else version)
        spec, schema = specs.parse(stored.spec), data.Schema.from_parts(zero.about["schema"], zero.schema)
        if spec.model != "mlp" or spec.finetune != "classify":
            raise SpecError(
                f"{path}: a network that was trained without labels; expected one that classifies or regresses"
            )
        own = (zero.about["schema"].get("reading") or {}).get("own") or {}
        if offset := (zero.about.get("options") or {}).get("offset") or own.get("offset"):
            raise SpecError(f"{path}: trained with an offset, column {offset}, which only `hdl predict` adds")
        self = cls()
        self._adopt(schema)
        self.set_params(**to_parameters(spec, schema))
        self._schema, self._seed, self.n_features_in_ = schema, spec.seed, schema.inputs
        if schema.encodings is not None:
            self.n_features_in_ = len(schema.encodings.columns)
            if (names := tables.names_of(schema.encodings.columns)) is not None:
                self.feature_names_in_ = names
        self._class = zero.about["device"]
        unit = losses.unit(spec, schema.target_deviation)
        costs = [row["cost"] * unit for row in stored.rows if row.get("cost") is not None]
        self._keep(spec, stored.weights, costs, [], False)
        return self
