"""From which probability on the second of two classes is answered: by number, by name, on every way in."""

import csv
import io
import json

import numpy as np
import pytest

from hdl import cli, thresholds
from hdl.data import open_source
from hdl.errors import SpecError
from hdl.metrics_log import MetricsLog
from hdl.predict import Model
from hdl.runners.task import Task
from hdl.runners.task_config import TaskConfig
from hdl.table import Table

SHORT = [
    "--recipe",
    "plain",
    "--net",
    "0-4-0",
    "--epochs",
    "5",
    "--lr",
    "0.03",
    "--batch",
    "32",
    "--workers",
    "1",
    "--no-report",
    "--quiet",
]


def write(path, labels):
    """Rows of three numbers whose sum tells the label, rare ones at the end of the scale."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(400, 3))
    y = labels(x.sum(axis=1) + 0.3 * rng.normal(size=400))
    lines = [",".join([*(f"{value:.4f}" for value in row), str(label)]) for row, label in zip(x, y, strict=True)]
    path.write_text("\n".join(["a,b,c,bought", *lines]) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Tables of two classes with and without held-out samples, of three classes, of numbers."""
    folder = tmp_path_factory.mktemp("thresholds")
    write(folder / "two.csv", lambda z: np.where(z > 1.5, "yes", "no"))
    write(folder / "three.csv", lambda z: np.array(["low", "mid", "top"])[np.digitize(z, [-1, 1])])
    write(folder / "real.csv", lambda z: np.round(z, 3))
    for name, more in [("two", ["--validation", "0.3"]), ("three", []), ("real", [])]:
        assert cli.run(["train", f"{folder}/{name}.csv", "--out", f"{folder}/{name}", *SHORT, *more]) == 0
    assert cli.run(["train", f"{folder}/two.csv", "--out", f"{folder}/whole", *SHORT]) == 0
    return folder


def answers(folder, capfd, *more, table="two"):
    capfd.readouterr()
    assert cli.run(["predict", f"{folder}/{table}", f"{folder}/{table}.csv", "--out", "-", *more]) == 0
    told = capfd.readouterr()
    return list(csv.DictReader(io.StringIO(told.out))), told.err


@pytest.mark.parametrize("value", ["0", "0.05", "0.5", "0.9", "1", "1e-3"])
def test_the_second_class_is_answered_from_that_probability_on(folder, capfd, value):
    rows, told = answers(folder, capfd, "--threshold", value)
    assert "'yes' is answered from a probability of " + f"{float(value):.6g} on" in told
    for row in rows:
        assert row["label"] == ("yes" if float(row["probability:yes"]) >= float(value) else "no")
    if value == "0.5":
        assert {row["label"] for row in rows} == {"no", "yes"}


def test_a_threshold_moves_labels_and_no_probability(folder, capfd):
    plain, _ = answers(folder, capfd)
    low, _ = answers(folder, capfd, "--threshold", "0.05")
    assert [row["probability:yes"] for row in plain] == [row["probability:yes"] for row in low]
    count = [sum(row["label"] == "yes" for row in rows) for rows in (plain, low)]
    assert count[0] < count[1]


def test_python_takes_the_same(folder, capfd):
    rows, _ = answers(folder, capfd, "--threshold", "0.05")
    model = Model(f"{folder}/two")
    source = open_source(f"{folder}/two.csv", model.reading, model.schema, labels=False)
    labels = np.concatenate([part.labels for part in model.predict(source, threshold=0.05)])
    assert labels.tolist() == [row["label"] for row in rows]


def test_a_name_is_what_was_best_on_the_samples_held_out(folder, capfd, monkeypatch):
    number = Model(f"{folder}/two").version.number
    rows = [row | ({"val_threshold_mcc": 0.0625} if row["parent"] == number else {"val_threshold_mcc": 0.9})
            for row in Table(f"{folder}/two").rows()]  # fmt: skip
    monkeypatch.setattr(Table, "rows", lambda self: MetricsLog(rows))
    named, told = answers(folder, capfd, "--threshold", "mcc")
    assert "0.0625 on, best for mcc on the validation samples" in told
    assert named == answers(folder, capfd, "--threshold", "0.0625")[0]


def test_a_task_of_hadoop_answers_with_the_threshold_that_its_job_names(folder, capfd):
    here, _ = answers(folder, capfd, "--threshold", "0.05")
    source = open_source(f"{folder}/two.csv")
    config = TaskConfig.of({
        "hdl.stage": "predict", "hdl.table": f"{folder}/two", "hdl.version": str(Model(f"{folder}/two").version.number),
        "hdl.threshold": "0.05", "hdl.options": json.dumps(Model(f"{folder}/two").reading),
    })  # fmt: skip
    task = Task(config, f"{folder}/two.csv", dict(enumerate(source.splits(2))))
    rows = []
    for number in range(2):
        content, _ = task.predict(number, lambda *_: None)
        rows += csv.DictReader(io.StringIO(content.decode()))
    assert rows == here
    with pytest.raises(SpecError, match="threshold"):
        TaskConfig.of({"hdl.threshold": "1.5"})


@pytest.mark.parametrize("value", ["-0.1", "1.01", "nan", "inf", "half", "", "auc", "balanced_accuracy"])
def test_what_is_no_probability_and_no_name_is_refused(folder, capfd, value):
    capfd.readouterr()
    assert cli.run(["predict", f"{folder}/two", f"{folder}/two.csv", "--out", "-", "--threshold", value]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == (
        f"hdl: error: --threshold: expected a probability from 0 to 1, or one of f1, mcc, balanced (given {value!r})\n"
    )


@pytest.mark.parametrize(
    ("table", "value", "why"),
    [
        ("three", "0.3", "is for a model of two classes, and this one has 3 classes (given '0.3')"),
        ("real", "f1", "is for a model of two classes, and this one has none: it answers with numbers"),
        ("whole", "f1", "its training held out no samples (--validation SHARE); give a number"),
    ],
)
def test_a_model_without_such_a_threshold_says_why(folder, capfd, table, value, why):
    data = folder / ("two.csv" if table == "whole" else f"{table}.csv")
    for command in (["predict", f"{folder}/{table}", str(data), "--out", f"{folder}/out.csv"],):
        capfd.readouterr()
        assert cli.run([*command, "--threshold", value]) == 2
        assert why in capfd.readouterr().err
    assert not (folder / "out.csv").exists()


def test_python_is_refused_when_it_asks_and_not_later(folder):
    model = Model(f"{folder}/three")
    source = open_source(f"{folder}/three.csv", model.reading, model.schema, labels=False)
    with pytest.raises(SpecError, match="3 classes"):
        model.predict(source, threshold=0.5)
    assert thresholds.find(Model(f"{folder}/two"), 0.25) == (0.25, None)
