"""`hdl search`, as a user calls it: its table does not depend on workers or faults."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from hdl import cli
from hdl.data import open_source
from hdl.predict import Model
from hdl.search import pool
from hdl.table import Table

FIELDS = ["--validation", "0.2", "--recipe", "plain", "--epochs", "6", "--batch", "20", "--metric", "auc", "--quiet"]
SPACE = ["--param", "lr=log:1e-4,1e-1", "--param", "net=0-{4,8}-0", "--param", "dropout=0:0.5"]
HALVING = ["--trials", "9", "--scheduler", "halving"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("search") / "data.csv", np.random.default_rng(0)
    y = np.arange(300) % 2
    np.savetxt(path, np.c_[rng.normal(size=(300, 4)) + np.eye(2, 4)[y], y], fmt="%.5g", delimiter=",")
    return path


def search(capfd, *args, status=0):
    capfd.readouterr()
    ended = cli.run(["search", *map(str, args)])
    printed = capfd.readouterr()
    assert ended == status, printed
    return printed


def answers(model, source):
    return np.concatenate([part.out for part in model.predict(source)])


def table(out):
    return pq.read_table(out / "search.parquet").drop_columns(["seconds"])


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "s"
    args = ["search", data, "--out", out, *FIELDS, *SPACE, *HALVING, "--workers", 1, "--test", data]
    assert cli.run([*map(str, args)]) == 0
    return out


def test_a_trial_is_what_hdl_train_makes_of_the_same_flags(whole, data, tmp_path):
    best = min(table(whole).to_pylist(), key=lambda row: row["rank"] or 99)
    assert best["state"] == "done"
    flags = [f"--{name}={best[f'param_{name}']}" for name in ("lr", "net", "dropout")]
    args = ["train", data, "--out", tmp_path / "one", *FIELDS, *flags, "--no-report"]
    assert cli.run([*map(str, args)]) == 0
    # It was trained in three parts.
    one, other = Table(str(tmp_path / "one")), Table(str(whole / f"trial{best['trial']:04d}"))
    assert np.array_equal(one.read(one.latest()).weights.w, other.read(other.latest()).weights.w)
    assert one.read(one.latest()).spec == other.read(other.latest()).spec


def test_the_table_has_a_row_a_trial(whole):
    rows = table(whole).to_pylist()
    assert [row["trial"] for row in rows] == list(range(9))
    assert [row["state"] for row in rows].count("stopped") == 8
    assert sorted(row["rounds"] for row in rows) == [1] * 6 + [2, 2, 6]
    assert all(len(row["curve"]) == row["rounds"] for row in rows)
    assert sorted(row["rank"] for row in rows) == list(range(1, 10))
    page = (whole / "report.html").read_text()
    assert "Parallel coordinates" in page
    assert "Which hyper-parameters matter" in page


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.full), 4])
def test_the_table_does_not_depend_on_the_workers(whole, data, tmp_path, capfd, workers):
    search(capfd, data, "--out", tmp_path / "s", *FIELDS, *SPACE, *HALVING, "--workers", workers, "--no-report")
    assert table(tmp_path / "s").equals(table(whole))


def command_of(process):
    """Give a process's command line; of one that is over, nothing."""
    with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is such a one
        return " ".join(process.cmdline())
    return ""


def test_nor_on_a_worker_that_is_killed(whole, data, tmp_path, capfd, monkeypatch):
    killed, taken = [], pool._answer

    def answer(worker, *rest):
        if not killed:
            killed.append(worker.process.pid)
            os.kill(worker.process.pid, signal.SIGKILL)
        return taken(worker, *rest)

    monkeypatch.setattr(pool, "_answer", answer)
    flags = [flag for flag in FIELDS if flag != "--quiet"]
    told = search(capfd, data, "--out", tmp_path / "s", *flags, *SPACE, *HALVING, "--workers", 2, "--no-report")
    assert killed
    assert "killed by signal 9" in told.err
    assert table(tmp_path / "s").equals(table(whole))
    assert not [each for each in psutil.Process().children(recursive=True) if "trial_worker" in command_of(each)]


def test_nor_on_a_search_that_is_killed_and_resumed(whole, data, tmp_path, capfd):
    out = tmp_path / "s"
    args = [sys.executable, "-m", "hdl", "search", data, "--out", out, *FIELDS, *SPACE, *HALVING, "--workers", 2]
    process = subprocess.Popen([*map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60

    def results():
        file = out / "search.json"
        return sum(len(each["done"]) for each in json.loads(file.read_text())["trials"]) if file.exists() else 0

    while results() < 3 and process.poll() is None and time.monotonic() < until:
        threading.Event().wait(0.01)
    process.kill()
    process.wait()
    assert 3 <= results() < 12  # nine, three and one results make a search
    search(capfd, data, "--out", out, "--resume", "--workers", 1, "--quiet", "--no-report")
    assert table(out).equals(table(whole))


def test_the_best_networks_become_one_ensemble_that_is_used_like_any_network(data, tmp_path, capfd):
    out = tmp_path / "s"
    space = ["--param", "lr=log:1e-3,1e-1", "--net", "0-4-0"]
    told = search(
        capfd, data, "--out", out, *FIELDS, *space, "--trials", 3, "--ensemble", 2, "--test", data, "--workers", 1
    )
    members = re.search(r"ensemble of (\w+), (\w+):", told.out).groups()
    assert "which no trial saw" in told.out
    source = open_source(str(data))
    versions = {row["trial"]: row["version"] for row in table(out).to_pylist()}
    each = [answers(Model(str(out / name), versions[int(name[5:])]), source) for name in members]
    np.testing.assert_allclose(answers(Model(str(out / "ensemble")), source), np.mean(each, axis=0), atol=1e-6)
    assert cli.run(["evaluate", str(out / "ensemble"), str(data)]) == 0
    assert cli.run(["export", str(out / "ensemble"), str(tmp_path / "e.onnx")]) == 0


def test_folds_measure_and_the_best_is_trained_on_all_rows(data, tmp_path, capfd):
    out, fields = tmp_path / "s", ["--folds", "3", *FIELDS[2:]]
    told = search(capfd, data, "--out", out, *fields, *SPACE, "--trials", 2, "--refit", "--workers", 1)
    assert "flatter" in told.err
    for row in table(out).to_pylist():
        name = out / f"trial{row['trial']:04d}"
        aucs = []
        for fold in (1, 2, 3):
            part = Table(str(name / f"fold{fold}"))
            aucs.append(part.rows()[part.best()]["val_auc"])
        assert row["value"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert Table(str(out / "refit")).header(0)["spec"]["validation"] == 0


@pytest.mark.parametrize(("more", "said"), [
    (["--sampler", "best"], "--sampler: expected one of random, sobol, tpe"),
    (["--scheduler", "fast"], "--scheduler: expected one of none, halving"),
    (["--lr", "0.1"], "--lr and --param lr: give one of them"),
    (["--folds", "3"], "give one of --folds and --validation"),
    (["--time", "soon"], "expected a time such as 90s"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_made(data, tmp_path, capfd, more, said):
    told = search(capfd, data, "--out", tmp_path / "s", *FIELDS, *SPACE, *more, status=2)
    assert said in told.err
    assert not (tmp_path / "s").exists()


def test_a_search_that_is_there_is_not_written_over(whole, data, capfd):
    before = (whole / "search.json").read_bytes()
    told = search(capfd, data, "--out", whole, *FIELDS, *SPACE, status=4)
    assert "go on with --resume" in told.err
    assert (whole / "search.json").read_bytes() == before
    told = search(capfd, data, "--out", whole, "--resume", "--seed", "3", status=2)
    assert "was begun with its own seed" in told.err


def test_without_a_word_a_fifth_is_held_out_and_told(data, tmp_path, capfd):
    args = ["--recipe", "plain", "--epochs", "2", "--batch", "20", "--trials", "2", "--param", "lr=0.01,0.1"]
    said = search(capfd, data, "--out", tmp_path / "s", *args, "--no-report").err
    assert "trials are compared by 0.2 of the samples, held out (--validation, --folds)" in said
    assert json.loads((tmp_path / "s" / "search.json").read_text())["asked"]["base"]["validation"] == 0.2


def test_each_trial_has_a_log_of_its_own_that_goes_on_when_it_does(whole, data, tmp_path, capfd):
    log = ["--log", f"csv:{tmp_path / 'rounds.csv'}"]
    search(capfd, data, "--out", tmp_path / "s", *FIELDS, *SPACE, *HALVING, *log, "--workers", 1, "--no-report")
    assert table(tmp_path / "s").equals(table(whole))
    for row in table(whole).to_pylist():
        lines = (tmp_path / f"rounds.trial{row['trial']:04d}.csv").read_text().splitlines()
        logged = [int(line.split(",")[0]) for line in lines[1:]]
        assert logged == [*range(row["rounds"] + 1)]  # round 0 measures the first weights
    told = search(capfd, data, "--out", tmp_path / "t", *FIELDS, *SPACE, "--log", "cvs:a", status=2)
    assert "--log: expected one of" in told.err
    assert not (tmp_path / "t").exists()
