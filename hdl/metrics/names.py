"""The measures of a network by their names: for which tasks, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hdl.metrics.task import BINARY, CLASSES, LABELS, REGRESSION, Task

if TYPE_CHECKING:
    from hdl.spec import Spec

_ANY_CLASSES = BINARY, CLASSES, LABELS


@dataclass(frozen=True)
class Metric:
    """A measure of a network's answers.

    Parameters
    ----------
    name : str
    higher : bool
        Whether a larger value is better.
    tasks : tuple of {'binary', 'classes', 'labels', 'regression'}
        For which it is defined.
    title : str
        As it is shown to people.
    """

    name: str
    higher: bool
    tasks: tuple[str, ...]
    title: str

    def fits(self, spec: Spec) -> bool:
        """Tell whether a spec's network can be measured so; any can as long as its loss is left to the data."""
        if self.name == "cost" or spec.loss is None:
            return True
        task = Task.of(spec)
        if self.name in ("deviance", "pinball") and task.kind == REGRESSION:
            return task.loss in _BY_LOSS[self.name]
        return task.kind in self.tasks


_BY_LOSS = {"deviance": ("squared", "poisson", "gamma", "tweedie"), "pinball": ("quantile",)}
_ALL = (
    Metric("cost", False, (*_ANY_CLASSES, REGRESSION), "cost"),
    Metric("accuracy", True, _ANY_CLASSES, "accuracy"),
    Metric("auc", True, _ANY_CLASSES, "AUC"),
    Metric("pr_auc", True, _ANY_CLASSES, "PR-AUC"),
    Metric("logloss", False, _ANY_CLASSES, "log loss"),
    Metric("brier", False, _ANY_CLASSES, "Brier score"),
    Metric("f1", True, _ANY_CLASSES, "F1"),
    Metric("mcc", True, (BINARY, CLASSES), "MCC"),
    Metric("balanced_accuracy", True, (BINARY, CLASSES), "balanced accuracy"),
    Metric("top_k", True, (CLASSES,), "top-k accuracy"),
    Metric("ks", True, (BINARY,), "KS"),
    Metric("auc_weighted", True, (CLASSES, LABELS), "AUC, weighted by class"),
    Metric("pr_auc_weighted", True, (CLASSES, LABELS), "PR-AUC, weighted by class"),
    Metric("f1_weighted", True, (CLASSES, LABELS), "F1, weighted by class"),
    Metric("rmse", False, (REGRESSION,), "RMSE"),
    Metric("mae", False, (REGRESSION,), "MAE"),
    Metric("r2", True, (REGRESSION,), "R²"),
    Metric("deviance", False, (REGRESSION,), "mean deviance"),
    Metric("pinball", False, (REGRESSION,), "pinball loss"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def better(name: str, value: float | None, than: float | None) -> bool:
    """Tell whether a value of a metric is better than another; any is better than None.

    Examples
    --------
    >>> better("auc", 0.9, 0.8), better("cost", 0.9, 0.8), better("auc", None, 0.8), better("auc", 0.1, None)
    (True, False, False, True)
    """
    if value is None or than is None:
        return value is not None
    return value > than if METRICS[name].higher else value < than
