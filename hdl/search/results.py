"""The table of results of a search, a row a trial: ``search.parquet``."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from hdl import fs
from hdl.arrow import pa, pq
from hdl.metrics import METRICS
from hdl.outputs import put
from hdl.search.trials import Asked, Trial, ranked, state_of

TABLE, REPORT = "search.parquet", "report.html"


def table(asked: Asked, trials: Sequence[Trial], stopped: set[int]) -> Any:
    """Makes the table of results, a row a trial, as an Arrow table; of its columns only `seconds` tells a time."""
    ordered = sorted(trials, key=lambda each: each.number)
    found = [each.result for each in ordered]
    rank = {
        each.number: at for at, each in enumerate(ranked(ordered), 1) if each.result and each.result.score is not None
    }
    whole = [name for name in METRICS if any(each and name in each.metrics for each in found)]
    columns: dict[str, Any] = {"trial": [each.number for each in ordered]}
    columns["rank"] = pa.array([rank.get(each.number) for each in ordered], pa.int64())
    columns["state"] = [state_of(each, stopped) for each in ordered]
    for parameter in asked.space.parameters:
        values = [each.values[parameter.name] for each in ordered]
        mixed = len({type(value) for value in values}) > 1
        columns[f"param_{parameter.name}"] = [str(value) for value in values] if mixed else values
    columns["metric"] = [each and each.decides for each in found]
    columns["value"] = pa.array([each and each.score for each in found], pa.float64())
    columns["share"] = pa.array([each.done[-1][0] if each.done else 0.0 for each in ordered], pa.float64())
    columns["bracket"] = [each.bracket for each in ordered]
    columns["rounds"] = [each.rounds if each else 0 for each in found]
    columns["val_cost"] = pa.array([each and each.val_cost for each in found], pa.float64())
    for name in whole:
        if name != "cost":
            columns[f"val_{name}"] = pa.array([each and each.metrics.get(name) for each in found], pa.float64())
    columns["version"] = pa.array([each and each.version for each in found], pa.int64())
    columns["sha256"] = [each.sha256 if each else "" for each in found]
    place = next(({"cost": 2, "accuracy": 3}.get(each.decides, 4) for each in found if each), 2)
    curves = [[row[place] for row in each.curve] if each else [] for each in found]
    columns["curve"] = pa.array(curves, pa.list_(pa.float64()))
    if asked.scheduler == "pbt":  # whose weights it went on from before each generation
        columns["parents"] = [[step.parents[0] for step in each.steps] for each in ordered]
    columns["said"] = [each.said if each else "" for each in found]
    columns["seconds"] = [sum(result.seconds for _, result in each.done[-1:]) for each in ordered]
    return pa.table(columns)


def write(out: str, made: Any) -> None:
    """Writes ``search.parquet``."""
    stream = io.BytesIO()
    pq.write_table(made, stream)
    put(fs.join(out, TABLE), stream.getvalue())
