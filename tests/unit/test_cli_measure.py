"""`hdl evaluate` with workers and with --importance, and what a report keeps of it."""

import json

import numpy as np
import pytest

from hdl.cli import run
from hdl.report import gather
from hdl.table import Table


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network's table, trained without a report, and its data: three numbered files, which are its parts."""
    folder, rng = tmp_path_factory.mktemp("cli"), np.random.default_rng(0)
    (folder / "data").mkdir()
    for number in range(3):
        x, noise = rng.normal(size=(2, 80)).round(4)
        rows = [f"{a},{b},{'yes' if a > 0 else 'no'}" for a, b in zip(x, noise, strict=True)]
        (folder / "data" / f"part-{number}.csv").write_text("\n".join(["x,noise,class", *rows]) + "\n")
    data, table = str(folder / "data"), str(folder / "model")
    words = ["--net", "0-6-0", "--epochs", "12", "--seed", "2", "--no-report", "--quiet"]
    assert run(["train", data, "--out", table, *words]) == 0
    return table, data


def evaluated(capsys, *words):
    capsys.readouterr()
    assert run(["evaluate", *words]) == 0, capsys.readouterr().err
    return capsys.readouterr()


def test_any_number_of_workers_prints_the_same(model, capsys):
    one = evaluated(capsys, *model, "--json", "--curves").out
    assert evaluated(capsys, *model, "--json", "--curves", "--workers", "3").out == one
    assert json.loads(one)["samples"] == 240


def test_importance_is_printed_kept_and_shown_by_the_report(model, capsys):
    table, data = model
    said = evaluated(capsys, table, data, "--importance", "--importance-rows", "200", "--repetitions", "3")
    block = said.out[said.out.index("importance  how much") :].splitlines()
    assert "cells are shuffled, 3 times, on 200 of 240 samples" in block[0]
    assert block[1].split()[0] == "x"
    assert block[2].split()[0] == "noise"
    assert f"importance: kept in {table} for hdl report" in said.err
    (kept,) = gather.load_measured(table, Table(table).read(Table(table).best()).signature)
    assert (kept.kind, kept.source) == ("Test", data)
    assert kept.effects["rows"] == 200
    found = json.loads(evaluated(capsys, table, data, "--json", "--importance", "--importance-rows", "200",
                                 "--repetitions", "3").out)  # fmt: skip
    assert found["effects"] == kept.effects
    assert run(["report", table]) == 0
    capsys.readouterr()
    with open(f"{table}/report.html") as file:
        page = file.read()
    assert "Importance of the columns" in page
    assert "What the most important columns do" in page


def test_importance_is_of_the_metric_that_is_asked_for(model, capsys):
    said = evaluated(capsys, *model, "--importance", "--metric", "auc")
    assert float(said.out) > 0.9  # the measure alone
    assert "importance  how much lower the AUC gets" in said.err


def test_a_report_with_test_data_shows_importance_unasked(model, capsys, tmp_path):
    table, data = model
    page = tmp_path / "page.html"
    assert run(["report", table, "--test", data, "--out", str(page)]) == 0
    assert "Importance of the columns" in page.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--importance-rows", "5"], "--importance-rows: goes with --importance"),
        (["--queue", "fast", "--worker-memory", "1g"], "--worker-memory, --queue: for --runner yarn only"),
        (["--runner", "mapreduce"], "reads HDFS"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(model, capsys, words, said):
    assert run(["evaluate", *model, *words]) == 2
    assert said in capsys.readouterr().err
