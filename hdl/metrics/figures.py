"""Sums over samples for each kind of task, and makes metrics of the sums and ranks.

Letters: n samples, O outputs, C classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.metrics import classes, numbers
from hdl.metrics.confusion import Confusion
from hdl.metrics.sums import Sums
from hdl.metrics.task import BINARY, CLASSES, LABELS, REGRESSION, Task

if TYPE_CHECKING:
    from hdl.metrics.measures import Measures


_CELLS = 1 << 20  # outputs that are measured at a time: bounds the memory of what is computed from them


def sizes(task: Task) -> dict[str, int]:
    """Name the sums of a task, with how many numbers each has."""
    own: dict[str, int] = {}
    if task.kind in (BINARY, CLASSES, LABELS):
        count = task.outputs if task.kind == LABELS else task.classes
        own = {"right": 1, "logloss": 1, "brier": 1, "true": count, "predicted": count, "hits": count}
        if task.kind == CLASSES:
            own["top_k"] = 1
    elif task.kind == REGRESSION:
        own = dict.fromkeys(("squared", "absolute", "loss", "target", "target_squared"), task.outputs)
    return {"weight": 1, "cost": 1, "costed": 1} | own


def add(
    task: Task, sums: dict[str, Sums], confusion: Confusion | None, out: NDArray[np.float32], y: NDArray,
    weight: NDArray[np.float64] | None,
) -> None:  # fmt: skip
    """Add samples of finite outputs [n, O] to the sums and to the confusion, some at a time."""
    rows = max(1, _CELLS // task.outputs)
    if len(out) > rows:
        for low in range(0, len(out), rows):
            part = slice(low, low + rows)
            add(task, sums, confusion, out[part], y[part], None if weight is None else weight[part])
        return
    if task.kind == REGRESSION:
        numbers.add(task, sums, out, y, weight)
    elif task.kind == LABELS:
        classes.add_labels(sums, out, y, weight)
    else:
        assert confusion is not None
        classes.add(task, sums, confusion, out, classes.codes(y), weight)


def positive(task: Task, y: NDArray, number: int) -> NDArray[np.bool_]:
    """Tell which samples are of a class, or have a label, of this number: bool [n]."""
    return y[:, number] > 0.5 if task.kind == LABELS else classes.codes(y) == number


def metrics(measures: Measures, deviation: NDArray[np.float64] | None) -> dict[str, float | None]:
    """Compute the task's metrics by their names."""
    values: dict[str, float | None] = {"cost": measures.cost}
    if measures.task.kind == REGRESSION:
        return values | numbers.metrics(measures, deviation)
    if measures.task.kind in (BINARY, CLASSES, LABELS):
        return values | classes.metrics(measures)
    return values
