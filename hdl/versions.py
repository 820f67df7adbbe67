"""Versions of a table as they follow each other: the first from the data's summary, the next from a round's updates.

Pure functions, so that the driver and a MapReduce job that is submitted by hand make the same ones.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from numpy.typing import NDArray

from hdl import data, deciding, models, sync
from hdl import spec as specs
from hdl.data import FileSplit, Options, Schema, Summary
from hdl.metrics_log import COST, MetricsLog
from hdl.spec import Spec
from hdl.table import Version
from hdl.wire import Update, Weights


def first(
    path: str,
    options: Options,
    spec: Spec,
    summary: Summary,
    splits: Sequence[Sequence[FileSplit]],
    platform: str,
    device: str,
) -> tuple[Spec, Schema, Version]:
    """Make a spec filled in from the data, the facts known of the data, and version 0.

    Parameters
    ----------
    path : str
        Of the dataset.
    options : Options
        How it is read.
    spec : Spec
        As the user gave it.
    summary : Summary
        Of all shards.
    splits : sequence of sequence of FileSplit
        The shards.
    platform, device : str
        What every worker computes with.

    Raises
    ------
    DataError, SpecError
        The data is wrong, or not what the spec says.
    """
    schema = data.fit(summary, spec)
    spec = data.resolve(spec, schema)
    deciding.check(spec)
    about: dict[str, Any] = {"places": [*summary.places]} if summary.places else {}
    return spec, schema, zero(path, options, spec, schema, splits, platform, device, models.initial(spec), **about)


def zero(
    path: str, options: Options, spec: Spec, schema: Schema, splits: Sequence[Sequence[FileSplit]], platform: str,
    device: str, w: NDArray, run: str = "", anchor: NDArray | None = None, **about: Any,
) -> Version:  # fmt: skip
    """Make version 0 of the first weights w [P], with a spec that is filled in; arguments as those of `first`, the run's
    id where it has one, and the weights that L2-SP pulls to, where they are not w."""
    fields, tensors = schema.to_parts()
    about |= {
        "data": path,
        "options": options.model_dump(mode="json"),
        "cuts": [[list(split) for split in own] for own in splits],
        "schema": fields,
        "isa": platform,
        "device": device,
        "samples": schema.samples,
    }
    dump, rows = spec.model_dump(mode="json"), MetricsLog(metric=spec.metric or COST)
    return Version(
        0, sync.start(spec, w, anchor), dump, run or uuid.uuid4().hex, rows=rows, about=about, schema=tensors
    )


def following(version: Version, updates: Iterable[Update], schema: Schema | None = None) -> Version:
    """Make the version that a round's updates, of all shards, make of `version`.

    Parameters
    ----------
    version : Version
    updates : iterable of Update
    schema : Schema, optional
        Has the targets' unit, in which a regression's metrics are told.

    Raises
    ------
    SyncError, NonFinite
    """
    deviation = None if schema is None else schema.target_deviation
    return succeeding(version, *sync.advance(specs.parse(version.spec), version.weights, updates, False, deviation))


def succeeding(
    version: Version, weights: Weights, row: dict[str, Any], final: bool = False,
    seconds: dict[str, Any] | None = None, spec: Spec | None = None,
) -> Version:  # fmt: skip
    """Make the version after `version`, of weights and a row of metrics as `sync.advance` gives them.

    Parameters
    ----------
    version : Version
    weights : Weights
    row : dict
    final : bool
        The round only measured: the weights stay.
    seconds : dict
        Of the round.
    spec : Spec, optional
        Where it differs from the version's own in what a resumed run may change.
    """
    dump = spec.model_dump(mode="json") if spec else version.spec
    number = version.number + 1
    row = row | {"version": number, "parent": version.number, "final": final, "time": time.time()}
    rows = MetricsLog.of(version.rows, dump.get("metric") or COST).then(row | {"seconds": seconds or {}})
    return Version(number, weights, dump, version.run, version.number, rows)
