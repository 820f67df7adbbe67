"""Describes what a network answers, as far as it decides how the answers are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdl.spec import Spec

BINARY, CLASSES, LABELS, REGRESSION, NONE = "binary", "classes", "labels", "regression", "none"
PROBABILITIES = "softmax", "sigmoid"  # losses whose answers are probabilities
LOSSES = (*PROBABILITIES, "squared", "huber", "absolute", "quantile", "poisson", "gamma", "tweedie")
_MOST_OUTPUTS = 1 << 24


@dataclass(frozen=True)
class Task:
    """The kind of a network's answers.

    Parameters
    ----------
    kind : {'binary', 'classes', 'labels', 'regression', 'none'}
        One of two classes, by one output or by two; one of several classes; several labels, each there or not; numbers;
        or nothing that labels could measure.
    loss : str
    outputs : int
        O.
    parameter : float
        Of the loss: see `hdl.ops.losses.parameter`; 0 of one without.
    """

    kind: str
    loss: str
    outputs: int
    parameter: float = 0.0

    @classmethod
    def of(cls, spec: Spec, classes: bool | None = None) -> Task:
        """Find the task of a spec's network.

        Parameters
        ----------
        spec : Spec
            Its loss and net are filled in.
        classes : bool, optional
            Whether each sample has one class, where that is known: several outputs of the loss sigmoid do not tell, and
            are taken for labels.
        """
        loss, outputs = spec.cost, spec.widths[-1]
        parameter = float({"huber": spec.delta, "quantile": spec.quantile, "tweedie": spec.power}.get(loss, 0))
        if spec.model != "mlp" or spec.finetune != "classify":
            return cls(NONE, loss, outputs, parameter)
        if loss in PROBABILITIES:
            one = classes or (classes is None and (loss == "softmax" or outputs == 1))
        else:
            one = bool(classes)
        if one:
            two = outputs == 1 or (outputs == 2 and loss == "softmax")
            return cls(BINARY if two else CLASSES, loss, outputs, parameter)
        return cls(LABELS if loss in PROBABILITIES else REGRESSION, loss, outputs, parameter)

    @property
    def classes(self) -> int:
        """Number of classes of which each sample has one; 0 of labels and numbers."""
        return {BINARY: 2, CLASSES: self.outputs}.get(self.kind, 0)

    @property
    def probable(self) -> bool:
        """Tell whether the answers are probabilities."""
        return self.loss in PROBABILITIES

    @property
    def k(self) -> int:
        """Number of classes among which the true one must be for top-k: 5, or all but one of fewer."""
        return min(5, self.classes - 1)

    def plain(self) -> list[Any]:
        """Give the task as plain values."""
        return [self.kind, self.loss, self.outputs, self.parameter]

    @classmethod
    def from_plain(cls, value: Any) -> Task:
        """Read what `plain` gave; ValueError where it is none."""
        if not isinstance(value, list) or len(value) != 4:
            raise ValueError(f"a task {value!r:.80}; expected kind, loss, outputs and parameter")
        kind, loss, outputs, parameter = value
        sized = type(outputs) is int and 0 < outputs <= _MOST_OUTPUTS
        numeric = type(parameter) in (int, float) and 0 <= parameter < float("inf")
        if kind not in (BINARY, CLASSES, LABELS, REGRESSION, NONE) or loss not in LOSSES or not (sized and numeric):
            raise ValueError(f"a task {value!r:.80}; expected kind, loss, outputs and parameter")
        return cls(kind, loss, outputs, float(parameter))
