"""The commands over one small table, as a user and as a script would call them."""

import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from hdl import cli
from hdl.table import Table

SHORT = ["--net", "4-6-3", "--epochs", "3", "--batch", "10", "--validation", "0.2", "--shards", "2", "--workers", "1",
         "--recipe", "plain"]  # fmt: skip


def write_csv(path, n=120, seed=0, labels=True):
    """Three clouds in four dimensions, their names as labels."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    x = rng.normal(0, 0.3, (n, 4)) + np.eye(3, 4)[kind] * 2
    lines = ["a,b,c,d,kind" if labels else "a,b,c,d"]
    for row, name in zip(x, kind, strict=True):
        lines.append(",".join(f"{value:.4f}" for value in row) + (f",{['cat', 'dög', '<b>'][name]}" if labels else ""))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(capfd, *args, status=0):
    """Standard output and error of a command that ends with the status."""
    capfd.readouterr()
    ended = cli.run([str(arg) for arg in args])
    told = capfd.readouterr()
    assert ended == status, told
    return told


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a space and an umlaut in its name: data.csv, test.csv, unlabelled.csv and a table."""
    folder = tmp_path_factory.mktemp("ein ordnér")
    write_csv(folder / "data.csv")
    write_csv(folder / "test.csv", 50, seed=1)
    write_csv(folder / "plain.csv", 50, seed=1, labels=False)
    arguments = ["train", folder / "data.csv", "--out", folder / "table", "--test", folder / "test.csv", *SHORT]
    done = subprocess.run(
        [sys.executable, "-m", "hdl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def test_train_tells_results_on_stdout_and_progress_on_stderr(trained):
    out, err = (trained / "stdout").read_text(), (trained / "stderr").read_text()
    told = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in out.splitlines())
    measures = {f"test {name}" for name in ("accuracy", "AUC", "PR-AUC", "log loss", "balanced accuracy", "cost")}
    assert set(told) == {"validation", *measures, "table", "sha256", "report"}
    assert Table(trained / "table").read(Table(trained / "table").best()).signature in told["sha256"]
    assert "4-6-3, 120 samples, 2 shards on 1 worker, adam with average, 3 rounds" in err
    assert "round 1/3  cost " in err
    assert "round 3/3  cost " in err
    assert "\x1b" not in out + err  # no terminal, no escape codes
    assert "Traceback" not in err


def test_report_shows_test_accuracy_and_odd_names_as_text(trained):
    page = (trained / "table" / "report.html").read_text(encoding="utf-8")
    accuracy = re.search(r"test accuracy\s+(\S+ %)", (trained / "stdout").read_text())[1]
    assert f'<div class="value">{accuracy}</div>' in page
    assert "&lt;b&gt;" in page
    assert "<th scope=col><b>" not in page
    assert "ein ordnér" in page


def test_evaluate_in_words_and_json(trained, capfd):
    told = run(capfd, "evaluate", trained / "table", trained / "test.csv").out
    score = json.loads(run(capfd, "evaluate", trained / "table", trained / "test.csv", "--json").out)
    assert score["samples"] == 50
    assert sum(map(sum, score["confusion"])) == 50
    assert score["classes"] == ["<b>", "cat", "dög"]
    right = sum(score["confusion"][k][k] for k in range(3))
    assert score["accuracy"] == pytest.approx(right / 50)
    assert re.search(rf"^accuracy +{100 * right / 50:.2f} %$", told, re.M)
    assert "← predicted" in told


def test_predict_keeps_input_order_in_all_formats(trained, capfd, tmp_path):
    import pyarrow.csv
    import pyarrow.parquet

    data = trained / "plain.csv"
    run(capfd, "predict", trained / "table", data, "--out", tmp_path / "o.csv")
    run(capfd, "predict", trained / "table", data, "--out", tmp_path / "o.parquet")
    run(capfd, "predict", trained / "table", data, "--out", tmp_path / "o.npy")
    run(capfd, "predict", trained / "table", data, "--out", tmp_path / "l.npy", "--labels-only")
    stdout = run(capfd, "predict", trained / "table", data, "--out", "-").out
    assert stdout == (tmp_path / "o.csv").read_text(encoding="utf-8")
    csv, parquet = pyarrow.csv.read_csv(tmp_path / "o.csv"), pyarrow.parquet.read_table(tmp_path / "o.parquet")
    outputs, labels = np.load(tmp_path / "o.npy"), np.load(tmp_path / "l.npy")
    assert parquet.column_names == ["label", "probability:<b>", "probability:cat", "probability:dög"]
    assert csv.column_names == parquet.column_names
    assert csv["label"].to_pylist() == parquet["label"].to_pylist() == labels.tolist()
    np.testing.assert_array_equal(np.array([column.to_numpy() for column in parquet.columns[1:]]).T, outputs)
    truth = [line.rpartition(",")[2] for line in (trained / "test.csv").read_text().splitlines()[1:]]
    score = json.loads(run(capfd, "evaluate", trained / "table", trained / "test.csv", "--json").out)
    assert np.mean(labels == np.array(truth)) == pytest.approx(score["accuracy"])
    assert sorted(os.listdir(tmp_path)) == ["l.npy", "o.csv", "o.npy", "o.parquet"]  # nothing half-written


def test_predict_replaces_nothing_unasked_and_leaves_nothing_half(trained, capfd, tmp_path):
    out = tmp_path / "o.csv"
    out.write_text("mine")
    told = run(capfd, "predict", trained / "table", trained / "plain.csv", "--out", out, status=2)
    assert "--overwrite" in told.err
    broken = tmp_path / "broken.csv"
    broken.write_text((trained / "plain.csv").read_text() + "1,2,oops,4\n")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress((trained / "plain.csv").read_bytes())[:-20])
    run(capfd, "predict", trained / "table", cut, "--out", out, "--overwrite", status=3)
    assert out.read_text() == "mine"  # what cannot be read to its end has no answers
    cut.unlink()
    told = run(capfd, "predict", trained / "table", broken, "--out", out, "--overwrite", status=3)
    assert "no answer to 1 of 51 records" in told.err
    assert "broken.csv:52: " in told.err
    whole = out.read_text().splitlines()
    assert len(whole) == 52
    assert whole[-1] == ",,,"
    run(capfd, "predict", trained / "table", broken, "--out", out, "--overwrite", "--max-bad-records", "1")
    assert out.read_text().splitlines() == whole
    assert sorted(os.listdir(tmp_path)) == ["broken.csv", "o.csv"]


@pytest.mark.parametrize(("out", "said"), [("o.txt", ".parquet"), ("no/o.csv", "there is no folder"), ("o", ".npy")])
def test_predict_refuses_odd_outputs_before_any_work(trained, capfd, tmp_path, out, said):
    assert said in run(capfd, "predict", trained / "table", "nodata", "--out", tmp_path / out, status=2).err


def test_inspect(trained, capfd):
    table = Table(trained / "table")
    told = json.loads(run(capfd, "inspect", table.path, "--json").out)
    assert told["last"] == table.latest()
    assert told["sha256"] == table.read().signature
    assert told["spec"]["net"] == [4, 6, 3]
    assert len([row for row in told["rows"] if not row["final"]]) == 3
    one = json.loads(run(capfd, "inspect", table.file(0), "--json").out)
    assert (one["version"], one["sha256"]) == (0, table.read(0).signature)
    text = run(capfd, "inspect", table.path).out
    assert table.read().signature in text
    assert re.search(r"^ +net +4-6-3$", text, re.M)
    assert "dropout" not in text  # as by default


def test_export_says_what_predict_says(trained, capfd, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
    run(capfd, "export", trained / "table", tmp_path / "m.onnx")
    run(capfd, "predict", trained / "table", trained / "plain.csv", "--out", tmp_path / "o.npy")
    run(capfd, "predict", trained / "table", trained / "plain.csv", "--out", tmp_path / "l.npy", "--labels-only")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    x = np.loadtxt(trained / "plain.csv", np.float32, delimiter=",", skiprows=1)
    label, probabilities = session.run(["label", "probabilities"], {"input": x})
    np.testing.assert_allclose(probabilities, np.load(tmp_path / "o.npy"), atol=1e-5)
    assert list(label) == np.load(tmp_path / "l.npy").tolist()
    assert "--overwrite" in run(capfd, "export", trained / "table", tmp_path / "m.onnx", status=2).err


def test_report_again_and_elsewhere(trained, capfd, tmp_path):
    assert run(capfd, "report", trained / "table", "--out", tmp_path / "r.html").out == f"{tmp_path / 'r.html'}\n"
    assert "Test accuracy" in (tmp_path / "r.html").read_text()
    run(capfd, "report", trained / "table", "--out", tmp_path / "r.html", "--test", trained / "data.csv")
    assert "120 samples of" in (tmp_path / "r.html").read_text()
    assert "no weight table" in run(capfd, "report", tmp_path, status=4).err
    (tmp_path / "search.json").write_text("{}")
    assert "search.json lists those in the folders below" in run(capfd, "report", tmp_path, status=4).err


def test_an_existing_table_is_kept_unless_said_otherwise(trained, capfd, tmp_path):
    data, table = trained / "data.csv", tmp_path / "table"
    run(capfd, "train", data, "--out", table, *SHORT, "--no-report")
    first = Table(table).read().signature
    told = run(capfd, "train", data, "--out", table, *SHORT, status=4)
    assert "--resume" in told.err
    assert "--overwrite" in told.err
    (table / "notes.txt").write_text("mine")
    run(capfd, "train", "no such data", "--out", table, "--overwrite", status=3)
    assert Table(table).read().signature == first  # a wrong path removes nothing
    run(capfd, "train", data, "--out", table, *SHORT, "--seed", "2", "--overwrite", "--no-report")
    assert Table(table).read().signature != first
    assert (table / "notes.txt").read_text() == "mine"
    assert not (table / "report.html").exists()


def test_resume_needs_no_flags_and_gives_the_same_bytes(trained, capfd, tmp_path):
    data, longer = trained / "data.csv", [*SHORT, "--no-report", "-q"]
    longer[longer.index("--epochs") + 1] = "6"
    run(capfd, "train", data, "--out", tmp_path / "whole", *longer)
    run(capfd, "train", data, "--out", tmp_path / "parts", *SHORT, "--no-report", "-q")
    run(capfd, "train", data, "--out", tmp_path / "parts", "--resume", "--epochs", "6", "--no-report", "-q")
    assert Table(tmp_path / "whole").read().signature == Table(tmp_path / "parts").read().signature
    told = run(capfd, "train", data, "--out", tmp_path / "parts", "--resume", "--seed", "9", status=2)
    assert "seed was 1, given 9" in told.err
    assert "no table to resume" in run(capfd, "train", data, "--out", tmp_path / "x", "--resume", status=4).err


def test_early_stopping_is_told(capfd, tmp_path):
    rng = np.random.default_rng(0)  # labels that nothing tells of: validation soon gets worse
    np.savetxt(tmp_path / "noise.csv", np.c_[rng.normal(size=(100, 8)), rng.integers(0, 2, 100)], "%g", delimiter=",")
    flags = ["--epochs", "500", "--validation", "0.3", "--patience", "1", "--lr", "0.1", "--no-report"]
    told = run(capfd, "train", tmp_path / "noise.csv", "--out", tmp_path / "t", *flags)
    assert told.err.splitlines()[-1] == "stopped early: validation got no better"
    assert Table(tmp_path / "t").latest() < 500


def test_dry_run_prints_a_spec_that_spec_takes(trained, capfd, tmp_path):
    flags = ["--net", "0-7-0", "--optimizer", "nesterov", "--sync-every", "20batches", "--init", "uniform[-1,1]"]
    printed = run(capfd, "train", trained / "data.csv", "--dry-run", *flags, "--workers", "3").out
    assert json.loads(printed)["shards"] == 3
    (tmp_path / "spec.json").write_text(printed)
    again = run(capfd, "train", "any", "--out", tmp_path / "t", "--spec", tmp_path / "spec.json", "--dry-run").out
    assert again == printed
    assert os.listdir(tmp_path) == ["spec.json"]


def test_import_and_train_on_it(trained, capfd, tmp_path):
    told = run(capfd, "import", trained / "data.csv", tmp_path / "parts", "--shard-rows", "50").out
    assert told == f"{tmp_path / 'parts'}: 120 samples of 4 features in 3 files\n"
    run(capfd, "train", tmp_path / "parts", "--out", tmp_path / "t", *SHORT, "--no-report")
    assert "exists already" in run(capfd, "import", trained / "data.csv", tmp_path / "parts", status=2).err
    assert "--shards" in run(capfd, "import", "x", "y", "--shards", "2", "--shard-size", "1M", status=2).err
    assert "64MB" in run(capfd, "import", "x", "y", "--shard-size", "huge", status=2).err


@pytest.mark.parametrize(
    ("args", "status", "said"),
    [
        (
            ["train", "{data}", "--out", "{tmp}/t", "--queue", "q"],
            2,
            "--queue: for --runner yarn only (given --runner l",
        ),
        (["train", "{data}", "--out", "{tmp}/t", "--worker-memory", "lots"], 2, "expected an amount like 2g or 1536m"),
        (["train", "{data}", "--out", "{tmp}/t", "--runner", "cloud"], 2, "--runner: expected one of local"),
        (["train", "{data}", "--out", "{tmp}/t", "--resume", "--overwrite"], 4, "no table to resume"),
        (["train", "{data}", "--out", "{data}"], 4, "is a file"),
        (["train", "{data}", "--out", "{data}/t"], 4, "data.csv"),
        (["train", "{data}", "--out", "/proc/t"], 4, "/proc/t"),
        (["train", "{tmp}", "--out", "{tmp}/t"], 3, "empty"),
        (["train", "{tmp}/empty.csv", "--out", "{tmp}/t"], 3, "empty"),
        (["train", "{data}", "--out", "{tmp}/t", "--test", "{tmp}/none.csv"], 3, "none.csv"),
        (["train", "{data}", "--out", "{tmp}/t", "--label", "colour"], 3, "colour"),
        (["train", "{data}", "--out", "{tmp}/t", "--net", "5-3"], 2, "the 4 columns of the data make 4 inputs"),
        (["train", "{data}", "--out", "{tmp}/t", "--max-bad-records", "-1"], 2, "--max-bad-records"),
        (["train", "{data}", "--out", "{tmp}/t", "--format", "word"], 2, "--format"),
        (["train", "{data}", "--out", "{tmp}/t", "--delimiter", "ab"], 2, "--delimiter"),
        (["train", "{data}", "--out", "{tmp}/t", "--workers", "0"], 2, "--workers"),
        (["evaluate", "{tmp}", "{data}"], 4, "no weight table"),
        (["evaluate", "{tmp}/nowhere", "{data}"], 4, "no weight table"),
        (["evaluate", "{table}", "{data}", "--version", "77"], 4, "no version 77"),
        (["evaluate", "{table}", "{data}", "--version", "new"], 2, "best or last"),
        (["evaluate", "{table}", "{tmp}/empty.csv"], 3, "empty"),
        (["inspect", "{tmp}/nowhere"], 4, "no weight table"),
        (["inspect", "{tmp}/empty.csv"], 3, "empty"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(args, status, said, trained, capfd, tmp_path):
    (tmp_path / "empty.csv").write_text("")
    places = {"data": trained / "data.csv", "table": trained / "table", "tmp": tmp_path}
    told = run(capfd, *(arg.format(**places) for arg in args), status=status)
    assert told.out == ""
    last = told.err.splitlines()[-1]
    assert last.startswith("hdl: error: ")
    assert said in last
    assert "unexpected" not in last
    assert sorted(os.listdir(tmp_path)) in (["empty.csv"], ["empty.csv", "t"])


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_keeps_the_last_version_and_says_how_to_go_on(number, trained, tmp_path):
    table = tmp_path / "a table"
    command = [sys.executable, "-m", "hdl", "train", str(trained / "data.csv"), "--out", str(table),
               "--epochs", "100000", "--workers", "2", "--keep", "2"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 250
    while len(Table(table).numbers()) < 3 and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=250)
    assert process.returncode == 130, err
    assert out == ""
    last = err.splitlines()[-1]
    kept = Table(table).read()
    assert last.startswith(f"hdl: error: interrupted; version {kept.number} is kept. Go on with: hdl train ")
    again = shlex.split(last.partition("Go on with: ")[2])
    assert again == ["hdl", "train", str(trained / "data.csv"), "--out", str(table), "--resume"]
    assert "Traceback" not in err
