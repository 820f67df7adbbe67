"""Grids of hyper-parameters on the CPU, as a user calls them."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hdl import cli
from hdl.cli.combinations import parameters
from hdl.errors import SpecError
from hdl.search import grid
from hdl.table import Table

FIELDS = ["--net", "0-6-0", "--epochs", "3", "--batch", "10", "--validation", "0.2"]
GRID = ["--grid", "lr=0.01,0.1", "--grid", "activation=tanh,relu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("grid") / "data.csv", np.random.default_rng(0)
    y = np.arange(120) % 3
    np.savetxt(path, np.c_[rng.normal(size=(120, 4)) + np.eye(3, 4)[y] * 2, y], fmt="%.5g", delimiter=",")
    return path


def train(capfd, *args, status=0):
    capfd.readouterr()
    ended = cli.run(["train", *map(str, args)])
    printed = capfd.readouterr()
    assert ended == status, printed
    return printed


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A finished grid, and what was printed."""
    out = tmp_path_factory.mktemp("tables") / "g"
    command = [sys.executable, "-m", "hdl", "train", data, "--out", out, *FIELDS, *GRID, "--test", data]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout, done.stderr


def test_every_combination_is_a_training_with_the_other_flags_as_given(whole, data, capfd, tmp_path):
    out, _, _ = whole
    names = {f"lr={lr}_activation={name}" for lr in ("0.01", "0.1") for name in ("tanh", "relu")}
    assert {path.name for path in out.iterdir() if path.is_dir()} == names
    train(capfd, data, "--out", tmp_path / "one", *FIELDS, "--lr", "0.1", "--activation", "tanh", "--no-report")
    one, same = Table(str(tmp_path / "one")), Table(str(out / "lr=0.1_activation=tanh"))
    assert one.read().signature == same.read().signature
    assert one.read().spec == same.read().spec


def test_the_results_are_on_the_terminal_and_in_files_the_best_first(whole):
    out, stdout, stderr = whole
    kept = json.loads((out / "grid.json").read_text())
    results = kept["results"]
    assert [(-each["val_accuracy"], each["val_cost"]) for each in results] == sorted(
        (-each["val_accuracy"], each["val_cost"]) for each in results
    )
    assert kept["best"] == results[0]["name"]
    for each in results:
        table = Table(each["table"])
        assert table.best() == each["version"]
        assert table.read(each["version"]).signature == each["sha256"]
        assert table.rows()[each["version"]]["val_accuracy"] == each["val_accuracy"]
        assert [row[0] for row in each["curve"]] == [1, 2, 3]
    with open(out / "grid.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [each["name"] for each in results]
    assert [float(row["lr"]) for row in rows] == [each["values"]["lr"] for each in results]
    assert [row["rank"] for row in rows] == list("1234")
    assert (out / "grid.png").read_bytes().startswith(b"\x89PNG")
    values = [re.split(r"\s{2,}", line.strip()) for line in stdout.splitlines() if re.match(r"\s*\d ", line)]
    assert [(row[1], row[2]) for row in values] == [
        (grid.shown(each["values"]["lr"]), each["values"]["activation"]) for each in results
    ]
    assert "\x1b" not in stdout + stderr
    assert re.match(r"4 combinations of lr, activation\ndata +\S+/data\.csv\nformat +CSV, ", stderr)
    assert stderr.count("\nformat ") == 1  # what was found out is told once
    assert "\n1/4 lr=0.01 activation=tanh: " in stderr
    assert "Traceback" not in stderr


def test_the_best_is_named_with_the_command_that_uses_it(whole, capfd):
    out, stdout, _ = whole
    best = json.loads((out / "grid.json").read_text())["best"]
    command = re.search(r"^  hdl (evaluate .*)$", stdout, re.M)[1].split()
    assert command[1] == str(out / best)
    assert cli.run(command) == 0
    accuracy = re.search(r"test accuracy\s+(\S+ %)", stdout)[1]
    assert re.search(rf"^accuracy +{re.escape(accuracy)}$", capfd.readouterr().out, re.M)
    assert (out / best / "report.html").exists()
    assert len(list(out.glob("*/report.html"))) == 1


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--grid", "lrr=1,2"], "--grid: no parameter 'lrr'; did you mean 'lr'? Expected one of model, net, "),
        (["--grid", "lr"], "--grid: expected NAME=V1,V2,"),
        (["--grid", "lr=0.1,,1"], "with nothing empty (given 'lr=0.1,,1')"),
        (["--grid", "lr=0.1,-1"], "--grid, with lr=-1: --lr: Input should be greater than 0"),
        (["--grid", "lr=0.1,fast"], "--grid, with lr=fast: --lr: Input should be a valid number"),
        (["--grid", "activation=tanh,tan"], "--activation: Input should be 'linear', "),
        (["--grid", "net=4-3-3,4x3"], "expected widths joined by '-'"),
        (["--grid", "tied=maybe"], "--grid tied: expected true or false (given 'maybe')"),
        (["--grid", "lr=0.1,1e-1"], "--grid lr: a value is there twice"),
        (["--grid", "lr=1", "--grid", "lr=2"], "--grid lr: given twice"),
        (["--grid", "lr=1,2", "--lr", "1"], "--lr and --grid lr: give one of them"),
        (["--grid", "validation=0.1,0.2"], "--grid validation: is the same for all combinations; give --validation"),
        (["--grid", "lr=1,2", "--validation", "0"], "give --validation SHARE, such as 0.2"),
        (["--grid", "lr=1,2", "--runner", "slurm"], "--runner: expected one of local"),
        (["--grid", "optimizer=sgd,lbfgs", "--dropout", "0.5"], "--grid, with optimizer=lbfgs: "),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_runs(data, capfd, tmp_path, args, said):
    printed = train(capfd, data, "--out", tmp_path / "g", "--validation", "0.2", *args, status=2)
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "g").exists()


def test_values_are_parsed_as_the_flags_own():
    given = ["--max_norm = 1e1 ,0", "init=uniform[-0.1,0.1],he", "tied=true,no", "sync-every=2,20batches"]
    assert parameters(given) == {
        "max-norm": [10.0, 0],
        "init": ["uniform[-0.1,0.1]", "he"],
        "tied": [True, False],
        "sync-every": [2, "20batches"],
    }
    with pytest.raises(SpecError, match="Expected one of"):
        parameters(["keep-it=1"])


def test_names_of_folders_are_safe_and_differ():
    assert grid.name_of({"lr": 1e-05, "batch": 20, "tied": True}) == "lr=1e-05_batch=20_tied=true"
    odd = [grid.name_of({"init": f"uniform[{low},1]", "x": "a/../b "}) for low in (0, "0 ", "-")]
    assert len(set(odd)) == 3
    assert all(re.fullmatch(r"[\w.=+-]{1,120}", name) and "/" not in name for name in odd)
    assert len(grid.name_of({"net": "-".join(["100"] * 90)})) <= 120


def test_a_combination_that_diverges_is_reported_and_the_others_go_on(data, capfd, tmp_path):
    fields = [*FIELDS, "--optimizer", "sgd", "--activation", "relu"]
    printed = train(capfd, data, "--out", tmp_path / "g", *fields, "--grid", "lr=1e30,0.1")
    assert "lr=1e+30: diverged" in printed.err
    assert re.search(r"^\s+1e\+30\s+diverged", printed.out, re.M)
    assert json.loads((tmp_path / "g" / "grid.json").read_text())["best"] == "lr=0.1"
    printed = train(capfd, data, "--out", tmp_path / "all", *fields, "--grid", "lr=1e30,1e31", status=5)
    assert "all 2 combinations diverged; a smaller lr may help" in printed.err
    assert printed.out.count("diverged") == 2


def test_a_combination_that_fails_otherwise_is_reported_and_tried_again(data, capfd, tmp_path):
    printed = train(capfd, data, "--out", tmp_path / "g", *FIELDS[2:], "--grid", "net=0-5-0,9-5-3")
    assert "net=9-5-3: failed" in printed.err
    assert "net=9-5-3: net starts with 9, but the 4 columns of the data make 4 inputs" in printed.err
    again = train(capfd, data, "--out", tmp_path / "g", "--resume")
    assert "2 combinations of net, 1 of them done" in again.err
    printed = train(capfd, data, "--out", tmp_path / "h", *FIELDS[2:], "--grid", "net=9-5-0,9-5-3", status=1)
    assert "all 2 combinations failed" in printed.err
    printed = train(capfd, tmp_path / "none.csv", "--out", tmp_path / "i", *FIELDS, *GRID, status=3)
    assert not (tmp_path / "i").exists()


def test_a_resumed_grid_trains_unfinished_combinations_and_new_values(whole, data, capfd, tmp_path):
    out = tmp_path / "g"
    train(capfd, data, "--out", out, *FIELDS, "--grid", "lr=0.01", "--grid", "activation=tanh,relu", "--no-report")
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/v*")}
    printed = train(capfd, data, "--out", out, "--resume", *GRID, "--no-report")
    assert "4 combinations of lr, activation, 2 of them done" in printed.err
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert kept(out) == kept(whole[0])
    printed = train(capfd, data, "--out", out, "--resume", "--epochs", "5", "--no-report")
    assert "(5 rounds" in printed.err
    assert "of them done" not in printed.err
    train(capfd, data, "--out", out, "--resume", "--grid", "lr=0.5", "--grid", "activation=tanh", "--no-report")
    assert len(kept(out)) == 5  # those that were trained before are still there
    for args, said in (
        (["--grid", "l2=0,1"], "this one was begun with lr, activation; values may be added"),
        (["--batch", "20"], "was begun with another batch"),
    ):
        assert said in train(capfd, data, "--out", out, "--resume", *args, status=2).err


def kept(out):
    return {each.name: each.sha256 for each in grid.load(str(out))["results"]}


def test_an_existing_folder_is_never_touched_unasked(data, capfd, tmp_path):
    out = tmp_path / "g"
    fields = ["--out", out, *FIELDS, "--no-report"]
    train(capfd, data, *fields, "--grid", "lr=0.1,0.2")
    (out / "mine.txt").write_text("")
    assert "a grid is there already" in train(capfd, data, *fields, "--grid", "lr=0.3", status=4).err
    assert "give one of them" in train(capfd, data, *fields, *GRID[:2], "--resume", "--overwrite", status=2).err
    train(capfd, data, *fields, "--grid", "lr=0.2,0.3", "--overwrite")
    assert set(kept(out)) == {"lr=0.2", "lr=0.3"}
    assert Table(str(out / "lr=0.1")).latest() is None
    assert (out / "mine.txt").exists()
    table = out / "lr=0.2"
    assert "holds a weight table" in train(capfd, data, "--out", table, *FIELDS, *GRID, status=4).err
    printed = train(capfd, data, "--out", tmp_path / "new", "--resume", *FIELDS, *GRID, status=4)
    assert "no grid to resume" in printed.err
    (out / "grid.json").write_text("{}")
    assert "not what hdl wrote" in train(capfd, data, "--out", out, "--resume", status=4).err
    train(capfd, data, *fields, "--grid", "lr=0.2", "--overwrite")
    assert set(kept(out)) == {"lr=0.2"}


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.full)])
def test_ctrl_c_leaves_whole_versions_and_the_grid_goes_on(whole, data, capfd, tmp_path, workers):
    """Killed in the second combination: slowed down, so that it is not over before."""
    out = tmp_path / "g"
    fields = [*FIELDS, *GRID, "--shards", "2", "--workers", str(workers), "--no-report"]
    train(capfd, data, "--out", tmp_path / "whole", *fields)
    code = (
        "import sys, time\nfrom hdl import cli, driver\nreal = driver._round\n"
        "def slow(*given, **more):\n    time.sleep(0.5)\n    return real(*given, **more)\n"
        "driver._round = slow\ncli.main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "train", data, "--out", out, *fields]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 250
    while not list(out.glob("lr=0.01_activation=relu/v00000001*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=250)
    assert process.returncode == 130, printed
    assert re.search(r"interrupted; [123] of 4 combinations are done. Go on with: hdl train .* --resume\n", printed)
    for folder in out.glob("lr=*"):
        Table(str(folder)).read()
    train(capfd, data, "--out", out, "--resume", "--workers", workers, "--no-report")
    assert kept(out) == kept(tmp_path / "whole")


def test_without_labels_the_cost_ranks_combinations(data, capfd, tmp_path):
    printed = train(capfd, data, "--out", tmp_path / "g", "--model", "autoencoder", "--net", "0-2-0", "--epochs", "2",
                 "--validation", "0.2", "--no-labels", "--grid", "lr=0.001,0.1", "--no-report")  # fmt: skip
    results = grid.ranked(grid.load(str(tmp_path / "g"))["results"])
    assert results[0].val_cost < results[1].val_cost
    assert results[0].val_accuracy is None
    assert "val accuracy" not in printed.out
    assert f"validation cost {results[0].val_cost:.6f}" in printed.out


def test_dry_run_shows_every_spec(data, capfd, tmp_path):
    printed = train(capfd, data, "--out", tmp_path / "g", *FIELDS, *GRID, "--dry-run")
    fields = json.loads(printed.out)
    assert [each["spec"]["optimizer"]["lr"] for each in fields] == [0.01, 0.01, 0.1, 0.1]
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    ("flags", "made"),
    [
        (["--runner", "mapreduce", "--device", "cuda", "--shards", "3"], {"workers": None, "device": "cuda"}),
        (["--runner", "streaming", "--workers", "2"], {"workers": 2, "device": "cpu"}),
        (["--workers", "3", "--threads", "1", "--shards", "3"], {"workers": 3, "threads": 1}),
        (["--shards", "3"], {"workers": None}),
    ],
)
def test_each_combination_has_a_runner_as_a_training_has(data, capfd, tmp_path, monkeypatch, flags, made):
    from hdl.cli import training
    from hdl.runners.local import LocalRunner

    seen = []

    def make(name, workers, threads, shards, **settings):
        seen.append({"name": name, "workers": workers, "threads": threads, **settings})
        return LocalRunner(1, 1)

    monkeypatch.setattr(training, "make_runner", make)
    train(capfd, data, "--out", tmp_path / "g", *FIELDS, "--grid", "lr=0.1,0.01", *flags, "--no-report")
    assert len(seen) == 3  # one to see that there can be one
    assert all(each.items() >= made.items() for each in seen[1:])
