"""Points of a log from a table's rows of metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hdl.loggers.base import Point
from hdl.ops.schedule import rates, steps
from hdl.spec import Spec

_COUNTS = ("val_samples", "val_weight")  # of a validation part, the same in each round


def of(row: Mapping[str, Any], spec: Spec, samples: int, rated: bool = True) -> list[Point]:
    """Makes the points of a row: the validation of the weights that its round began with, and what the round made.

    Parameters
    ----------
    row : dict
        As `hdl.driver` describes it; what begins with `val_` is of the validation samples.
    spec : Spec
        Everything filled in.
    samples : int
        Of the dataset, validation included.
    rated : bool
        Whether the spec says with which learning rate the round began.

    Returns
    -------
    list of Point
        At most one a step; without values there is none.
    """
    done, when = int(row["round"]), float(row.get("time") or 0.0)
    validation = {name: row[name] for name in sorted(row) if name.startswith("val_") and name not in _COUNTS}
    found = [Point(done, when, _numbers(validation))]
    if not row.get("final"):
        values = {"cost": row.get("cost"), "accuracy": row.get("accuracy")}
        values["learning_rate"] = learning_rate(spec, samples, done) if rated else None
        values["seconds"] = (row.get("seconds") or {}).get("round")
        found.append(Point(done + 1, when, _numbers(values)))
    return [point for point in found if point.values]


def learning_rate(spec: Spec, samples: int, done: int) -> float | None:
    """Computes the learning rate with which the round after `done` ones begins; None where a line search finds it.

    Where rounds are counted in mini-batches, or the rate warms up, a shard of average size is meant.
    """
    if spec.optimizer.line_search:
        return None
    per_shard = max(1, round(samples * (1 - spec.validation) / spec.shards))
    per_epoch = 1 if spec.sync.mode == "gradient" else steps(per_shard, spec.batch_size)
    every = 1 if spec.sync.mode == "gradient" else spec.sync.every
    first = done * every * (per_epoch if spec.sync.mode != "gradient" and spec.sync.unit == "epochs" else 1)
    return float(rates(spec, first, 1, per_epoch)[0])


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in values.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    }
