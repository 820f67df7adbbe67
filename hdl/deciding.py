"""The metric that decides which version is the best: whether a model has it, and what is said where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from hdl.errors import SpecError
from hdl.metrics import METRICS
from hdl.models import stack
from hdl.spec.parts import Metric

if TYPE_CHECKING:
    from hdl.spec import Spec


def check(spec: Spec) -> None:
    """Refuse a metric that a model or its loss does not have.

    Raises
    ------
    SpecError
        Names those that it has.
    """
    if spec.metric is None or spec.metric in (names := available(stack.stages(spec)[-1])):
        return
    what = f"loss {spec.loss}" if stack.labelled(spec) else f"{spec.model} without labels"
    raise SpecError(f"metric: given {spec.metric}, which {what} does not have; expected one of {', '.join(names)}")


def available(spec: Spec) -> list[str]:
    """List the metrics that may decide, of a spec whose loss is filled in."""
    named = get_args(Metric)
    if not stack.labelled(spec):
        return [name for name in named if name == "cost"]
    return [name for name in named if METRICS[name].fits(spec)]


def undefined(spec: Spec, row: dict[str, Any]) -> str:
    """Say of a round that it cannot be the best, since the metric that decides is not defined; "" if it is."""
    if not spec.metric or not row["val_samples"] or row.get(f"val_{spec.metric}") is not None:
        return ""
    return (
        f"round {row['round']}: {spec.metric} of the {row['val_samples']} validation samples is not defined, as where "
        f"one class is missing among them; such a round is not the best one, and does not count for patience"
    )
