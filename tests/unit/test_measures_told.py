"""Measures where a training tells them: in its progress, at its end, in `hdl inspect`, and as a threshold's name."""

import csv
import io
import json
import re

import numpy as np
import pytest

from hdl import cli
from hdl.cli import progress
from hdl.cli.scores import measures_of, validated
from hdl.metrics_log import best
from hdl.table import Table

SHORT = ["--recipe", "plain", "--net", "0-16-0", "--epochs", "10", "--lr", "0.01", "--batch", "32", "--workers", "1"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rows of which one in 25 is a yes, hard to tell; and the same with numbers to predict."""
    folder = tmp_path_factory.mktemp("told")
    rng = np.random.default_rng(11)
    x = rng.normal(size=(900, 3))
    z = x.sum(axis=1) + 1.5 * rng.normal(size=900)
    for name, y in (("rare", np.where(z > 4.1, "yes", "no")), ("real", np.round(z, 3))):
        rows = [",".join([*(f"{v:.4f}" for v in row), str(label)]) for row, label in zip(x, y, strict=True)]
        (folder / f"{name}.csv").write_text("\n".join(["a,b,c,bought", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(data, told_by):
    """A table whose best version is that of the best AUC, and what the training told."""
    told = told_by("train", data / "rare.csv", "--out", data / "rare", *SHORT, "--validation", "0.3",
                           "--metric", "auc")  # fmt: skip
    return data / "rare", told


@pytest.fixture(scope="module")
def told_by():
    """A function that runs a command as another process would see it: its standard output and error."""
    import contextlib

    def run(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            assert cli.run([str(arg) for arg in args]) == 0, err.getvalue()
        return out.getvalue(), err.getvalue()

    return run


def fails(capfd, *args):
    capfd.readouterr()
    status = cli.run([str(arg) for arg in args])
    return status, capfd.readouterr().err.splitlines()[-1]


def test_progress_tells_the_metric_that_decides(trained):
    table, (_, err) = trained
    last = next(line for line in err.splitlines() if line.startswith("round 10/10"))
    row = Table(table).rows()[9]
    assert f"validation AUC {row['val_auc']:.4f}" in last


def test_the_end_tells_the_measures_of_the_best_version(trained):
    table, (out, _) = trained
    told = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines())
    number = Table(table).best()
    row = next(row for row in Table(table).rows() if row["parent"] == number)
    assert told["validation"] == f"AUC {row['val_auc']:.4f}  (270 samples)"
    assert {"training AUC", "training PR-AUC", "training log loss"} <= set(told)
    assert number == best(Table(table).rows(), metric="auc")


def test_an_accuracy_that_is_the_largest_class_is_warned_of_at_the_end(trained):
    _, (out, err) = trained
    assert "Beware" not in out
    assert re.search(r"^Beware: the accuracy of \S+ % is .*what answering 'no' always would give", err, re.M)
    assert re.search(r"; of \d+ 'yes' (none was|\d+ w\w+) found$", err, re.M)


def test_inspect_tells_what_was_held_out_and_what_decides(trained, told_by):
    table, _ = trained
    out, _ = told_by("inspect", table)
    line = "30 % of each class, chosen by the seed; the best version is that of the best AUC"
    assert re.search(rf"^validation +{line}$", out, re.M)
    assert re.search(r"^ +metric +auc$", out, re.M)
    head = next(line for line in out.splitlines() if line.startswith("round "))
    assert re.split(r"\s{2,}", head)[-3:] == ["val accuracy", "val auc", "seconds"]
    assert json.loads(told_by("inspect", table, "--json")[0])["validation"] == line


@pytest.mark.parametrize(("name", "measure"), [("f1", "f1"), ("mcc", "mcc"), ("balanced", "balanced_accuracy")])
def test_a_name_is_the_threshold_that_the_rounds_row_tells(trained, data, told_by, tmp_path, name, measure):
    table, _ = trained
    number = Table(table).best()
    row = next(row for row in Table(table).rows() if row["parent"] == number)
    value = row[f"val_threshold_{measure}"]
    answers = tmp_path / "answers.csv"
    _, err = told_by("predict", table, data / "rare.csv", "--out", answers, "--threshold", name)
    assert f"from a probability of {value:.6g} on, best for {name} on the validation samples" in err
    rows = list(csv.DictReader(answers.open()))
    assert {row["label"] for row in rows} == {"no", "yes"}
    for row in rows:
        assert row["label"] == ("yes" if np.float32(row["probability:yes"]) >= np.float32(value) else "no")


@pytest.mark.parametrize(
    ("name", "metric", "why"),
    [
        ("real", "auc", "which loss squared does not have; expected one of cost, rmse, mae, r2, deviance"),
        ("rare", "rmse", "which loss softmax does not have; expected one of cost, accuracy, auc"),
    ],
)
def test_a_metric_that_the_task_has_not_is_refused_before_a_round(data, capfd, name, metric, why):
    status, said = fails(capfd, "train", data / f"{name}.csv", "--out", data / "none", *SHORT, "--validation", "0.2",
                         "--metric", metric)  # fmt: skip
    assert status == 2
    assert f"given {metric}, {why}" in said
    assert not Table(data / "none").numbers()


def test_a_metric_needs_samples_held_out(data, capfd):
    status, said = fails(capfd, "train", data / "rare.csv", "--out", data / "none", "--metric", "auc")
    assert status == 2
    assert "metric needs samples held out" in said
    assert "--validation" in said


def test_words_of_a_validation():
    row = {"val_cost": 0.25, "val_accuracy": 0.9, "val_auc": 0.8125, "val_rmse": 12345.6, "val_samples": 7, "cost": 1}
    assert validated(measures_of(row)) == ["90.00 %", "AUC 0.8125"]
    assert validated(measures_of(row, "auc")) == ["AUC 0.8125"]
    assert validated(measures_of(row, "cost")) == ["cost 0.2500", "AUC 0.8125"]
    assert validated(measures_of(row, "rmse"), titled=True)[0] == "RMSE 1.235e+04"
    assert validated(measures_of(row | {"val_auc": None}, "auc")) == ["90.00 %"]  # one class is missing
    assert validated({}) == []


def test_a_line_of_80_columns_leaves_the_speed_out_for_the_auc():
    row = {"round": 1, "cost": 0.25, "accuracy": 0.9, "seconds": 0.5, "samples": 1000}
    said = progress.figures(row, {"accuracy": 0.9, "auc": 0.75}, short=True)
    assert said == ["cost 0.2500", "acc 90.0 %", "val 90.0 %, AUC 0.7500"]


def test_status_has_a_column_for_what_was_measured():
    from rich.console import Console

    from hdl.cli import apps

    rows = [{"round": 0, "cost": 0.5, "accuracy": 0.9, "val_cost": 0.25, "val_accuracy": 0.75, "val_auc": 0.8125}]
    for more, there in ((rows, True), ([{**rows[0], "val_auc": None}], False)):
        stream = io.StringIO()
        Console(file=stream, width=100).print(apps._rounds(more))
        assert ("val. AUC" in stream.getvalue()) == there == ("0.8125" in stream.getvalue())
