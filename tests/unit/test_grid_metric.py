"""A grid is ranked by the metric that its specs name."""

import csv
import json

import numpy as np
import pytest

from hdl import cli
from hdl.report import grids
from hdl.search import grid
from hdl.search.grid import Result
from hdl.table import Table


def result(name, auc, cost, state="done", metric="auc", accuracy=0.5):
    metrics = {} if auc is None else {"auc": auc, "logloss": cost}
    curve = [(1, 1.0, cost, accuracy, auc)]
    return Result(name, {"lr": 0.1}, {}, state, "", accuracy, cost, 1, "", 1, 1.0, curve, metric, metrics)


RESULTS = [
    result("a", 0.7, 0.1), result("b", 0.9, 0.8), result("c", None, 0.05), result("d", 0.9, 0.4),
    result("e", None, None, "diverged", accuracy=None),
]  # fmt: skip


def names(results):
    return [each.name for each in grid.ranked(results)]


def test_the_metric_ranks_and_equals_are_told_apart_by_cost():
    assert names(RESULTS) == ["d", "b", "a", "c", "e"]
    assert grid.best(RESULTS).name == "d"
    assert grid.best([RESULTS[2], RESULTS[4]]) is None
    lower = [result(name, 0.5, cost, metric="logloss") for name, cost in zip("abc", (0.3, 0.1, 0.2), strict=True)]
    assert names(lower) == ["b", "c", "a"]


def test_without_a_metric_it_is_the_accuracy_and_then_the_cost():
    usual = [result(name, 0.5, cost, metric=None, accuracy=share) for name, cost, share in (
        ("a", 0.1, 0.5), ("b", 0.3, 0.7), ("c", 0.2, 0.7), ("d", 0.01, None))]  # fmt: skip
    assert names(usual) == ["c", "b", "a", "d"]
    costs = [result(name, None, cost, metric=None, accuracy=None) for name, cost in (("a", 0.3), ("b", 0.2))]
    assert names(costs) == ["b", "a"]


def test_the_files_tell_of_the_metric(tmp_path, monkeypatch):
    rows = list(csv.DictReader(grid.table(RESULTS).splitlines()))
    assert [row["val_auc"] for row in rows] == ["0.9", "0.9", "0.7", "", ""]
    assert {"val_logloss", "val_accuracy", "val_cost"} <= {*rows[0]}
    pictures = grids.picture(grid.ranked(RESULTS), lambda each: each.name)
    assert pictures.startswith(b"\x89PNG")
    assert grids._named("auc") == "validation: 1 − AUC"
    assert grids._named("logloss") == "validation log loss"
    assert grids._named("accuracy") == "validation error"


def test_a_grid_of_before_is_still_read(tmp_path):
    fields = {
        "name": "a",
        "values": {},
        "spec": {},
        "val_accuracy": 0.5,
        "val_cost": 0.25,
        "curve": [[1, 1.0, 0.25, 0.5]],
    }
    (tmp_path / "grid.json").write_text(
        json.dumps({"data": "", "options": {}, "parameters": {}, "combinations": [], "results": [fields]})
    )
    (old,) = grid.load(str(tmp_path))["results"]
    assert (old.decides, old.score) == ("accuracy", 0.5)
    assert grids.picture([old], lambda each: "a").startswith(b"\x89PNG")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(size=(160, 2)), 1)
    y = np.where(x[:, 0] + rng.normal(size=160) > 1, "yes", "no")
    path = tmp_path / "data.csv"
    path.write_text("a,b,answer\n" + "".join(f"{a:g},{b:g},{label}\n" for (a, b), label in zip(x, y, strict=True)))
    return str(path)


def test_a_grid_is_trained_and_ranked_by_auc(data, tmp_path, capfd):
    out, spec = tmp_path / "grid", tmp_path / "spec.json"
    spec.write_text(
        json.dumps({"net": "0-8-0", "epochs": 6, "batch": 8, "validation": 0.3, "metric": "auc", "keep": 9})
    )
    flags = ["--spec", spec, "--grid", "lr=0.001,0.03,0.3", "--seed", "2", "--no-report"]
    assert cli.run(["train", data, "--out", str(out), *map(str, flags)]) == 0, capfd.readouterr()
    printed = capfd.readouterr().out
    results = json.loads((out / "grid.json").read_text())["results"]
    scores = [each["metrics"]["auc"] for each in results]
    assert scores == sorted(scores, reverse=True)
    assert len({*scores}) > 1
    for each in results:
        table = Table(each["table"])
        rows = table.rows()
        measured = [row["val_auc"] for row in rows]
        assert each["metrics"]["auc"] == max(measured) == rows[each["version"]]["val_auc"]
        assert each["version"] == table.best() == measured.index(max(measured))
        assert [row[4] for row in each["curve"]] == measured[1:]
    assert "val AUC" in printed
    assert f"validation AUC {scores[0]:.6f}" in printed
    rows = list(csv.DictReader((out / "grid.csv").read_text().splitlines()))
    assert [float(row["val_auc"]) for row in rows] == scores


def test_a_grid_over_metrics_is_refused(data, tmp_path, capfd):
    flags = ["--validation", "0.3", "--grid", "metric=auc,logloss"]
    assert cli.run(["train", data, "--out", str(tmp_path / "grid"), *flags]) != 0
    assert "--grid metric: is the same for all combinations; give --metric" in capfd.readouterr().err
