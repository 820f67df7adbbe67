"""The metric that a spec names decides which version is the best: in lists and files of rows, and in a table."""

import json
from pathlib import Path

import numpy as np
import pytest

from hdl import deciding, wire
from hdl.errors import TableError
from hdl.metrics import METRICS
from hdl.metrics_log import CHUNK, MetricsLog, best, rounds
from hdl.spec import parse
from hdl.table import Table, Version
from hdl.wire import Weights


def version(number, rows=(), metric="auc", **more):
    spec = {"seed": 1, **({} if metric == "absent" else {"metric": metric}), **more}
    return Version(number, Weights(number, np.float32([1, 2])), spec, "run", number - 1 if number else None, rows)


def row(number, auc=None, cost=None):
    return {"version": number, "parent": number - 1, "round": number - 1, "val_auc": auc, "val_cost": cost}


# By auc version 2 is the best, the first of two; by cost version 4.
ROWS = [row(1, 0.5, 0.9), row(2, None, 0.8), row(3, 0.8, 0.7), row(4, 0.8, 0.5), row(5, 0.7, 0.4), row(6, 0.6, 0.6)]


@pytest.fixture
def table(tmp_path):
    return Table(str(tmp_path / "model"))


def test_higher_or_lower_is_better_as_the_metric_says():
    assert best(ROWS, metric="auc") == best(MetricsLog(ROWS, "auc")) == 2
    assert best(ROWS) == best(MetricsLog(ROWS)) == best(MetricsLog(ROWS, "cost")) == 4
    assert best(MetricsLog(ROWS), metric="auc") == 2
    assert best(MetricsLog(ROWS, "auc"), [0, 1, 3, 4, 5, 6]) == 3
    assert best(MetricsLog(ROWS, "auc"), [1]) is best(MetricsLog(ROWS, "mcc")) is None
    assert [MetricsLog(ROWS[:n], "auc").stale() for n in range(7)] == [0, 0, 0, 0, 1, 2, 3]
    assert [MetricsLog(ROWS[:n]).stale() for n in range(7)] == [0, 0, 0, 0, 0, 0, 1]


def test_a_round_without_the_metric_is_neither_best_nor_stale():
    rows = [row(1, 0.5), *[row(2)] * 5, row(3, 0.4)]
    log = MetricsLog(rows, "auc")
    assert (best(log), log.stale()) == (0, 1)
    assert MetricsLog(rows[1:6], "auc").stale() == 0


def test_another_metric_looks_at_the_same_rows_anew():
    log = MetricsLog(ROWS[:5], "auc")
    other = MetricsLog.of(log, "cost")
    assert (other.metric, other.stale(), best(other)) == ("cost", 0, 4)
    assert (log.metric, log.stale(), best(log)) == ("auc", 2, 2)
    assert MetricsLog.of(log) is MetricsLog.of(log, "auc") is log
    assert MetricsLog.of(ROWS, "auc").then(row(7, 0.9)).stale() == 0


def test_a_table_keeps_the_best_by_its_metric_and_old_tables_by_cost(table, tmp_path):
    old, metricless = Table(str(tmp_path / "old")), Table(str(tmp_path / "none"))
    for number in range(len(ROWS) + 1):
        for one, metric in (table, "auc"), (old, "absent"), (metricless, None):
            one.publish(version(number, ROWS[:number], metric))
            one.thin(1)
    assert (table.numbers(), table.best(), table.rows().metric) == ([0, 2, 5, 6], 2, "auc")
    for one in old, metricless:
        assert (one.numbers(), one.best(), one.rows().metric) == ([0, 4, 5, 6], 4, "cost")


@pytest.mark.parametrize("metric", ["auc", "cost"])
def test_rows_in_files_are_compared_by_the_metric(table, metric):
    rng = np.random.default_rng(1)
    rows = [row(i + 1, *np.round(rng.random(2), 2).tolist()) for i in range(2 * CHUNK + 20)]
    rows[7]["val_auc"] = None
    for number in (CHUNK, 2 * CHUNK, len(rows)):
        table.publish(version(number, MetricsLog(rows[:number], metric), metric))
    read = Table(table.path).rows()
    values = [one[f"val_{metric}"] for one in rows]
    known = [value for value in values if value is not None]
    first = values.index(max(known) if metric == "auc" else min(known))
    assert best(read) == first
    assert read.stale() == len([value for value in values[first + 1 :] if value is not None])
    assert read.score(7) == values[7]
    assert [*read.scores()] == values
    other = {"auc": "cost", "cost": "auc"}[metric]
    assert best(MetricsLog.of(read, other)) == best(rows, metric=other)


def test_thinning_does_not_read_the_files_of_rows_again(table, monkeypatch):
    rows = MetricsLog([row(i + 1, 0.5 + (i == 3) / 4, 1.0) for i in range(CHUNK)], "auc")
    table.publish(version(3, MetricsLog(rows[:3], "auc")))
    table.publish(version(CHUNK, rows))
    for path in table.row_files():
        Path(path).unlink()
    assert best(rows, [1, 3, 9]) == 3
    assert rows.stale() == CHUNK - 4


def test_a_metric_that_this_hdl_does_not_know_is_told(table):
    table.publish(version(0, metric="luck"))
    with pytest.raises(TableError, match="compared by 'luck', which this hdl does not measure"):
        table.read()


def test_a_version_is_told_apart_by_its_metric(table):
    table.publish(version(0))
    table.publish(version(1))
    path = Path(table.file(1))
    kind, fields, tensors = wire.unpack(path.read_bytes())
    path.write_bytes(wire.pack(kind, {**fields, "spec": {**fields["spec"], "metric": "mcc"}}, tensors))
    with pytest.raises(TableError, match="SHA-256"):
        table.read()


def test_rounds_have_the_metrics_of_the_weights_that_they_made():
    made = rounds([{**one, "cost": 1.0} for one in ROWS])
    assert [one["val_auc"] for one in made[:5]] == [None, 0.8, 0.8, 0.7, 0.6]
    assert json.dumps(made[0]["val_cost"]) == "0.8"
    assert "val_auc" not in made[5]  # nothing has measured what the last round made


@pytest.mark.parametrize(
    ("fields", "has", "lacks"),
    [
        ({"net": "3-1", "loss": "sigmoid"}, {"auc", "f1", "cost"}, {"rmse", "top_k"}),
        ({"net": "3-5", "loss": "softmax"}, {"auc", "top_k"}, {"r2"}),
        ({"net": "3-1", "loss": "squared"}, {"rmse", "r2", "deviance"}, {"auc", "accuracy", "logloss"}),
        ({"net": "3-1", "loss": "huber"}, {"mae"}, {"deviance", "brier"}),
        ({"net": "3-2-3", "model": "autoencoder", "loss": "squared"}, {"cost"}, {*METRICS} - {"cost"}),
    ],
)
def test_a_spec_has_the_metrics_of_its_task(fields, has, lacks):
    names = {*deciding.available(parse(fields))}
    assert has <= names
    assert not lacks & names
