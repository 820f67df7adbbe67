"""Cross-validation: answers in input order by networks that have not seen the row, exact measures, resuming."""

import json
import os
import warnings
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import hdl
from hdl import cli, folds
from hdl.table import Table
from tests.unit.holdouts import N, visits, write

NET = ["--net", "0-8-0", "--batch", "16", "--seed", "3", "--workers", "1", "--quiet", "--no-report"]
PLAIN = ["--ignore", "is_test,flag,fold,split"]


def run(capfd, *args, status=False):
    capfd.readouterr()
    ended = cli.run(["train", *map(str, args)])
    out, err = capfd.readouterr()
    assert bool(ended) == status, err
    return err if status else out


def numbers(path, n=300, regression=False):
    """A table of numbers alone, exact as float32."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    y = x[:, 0] - x[:, 1] * x[:, 2]
    y = 50 + 7 * y if regression else (y + rng.normal(size=n) > 0.3).astype(int)
    columns = {f"x{j}": x[:, j] for j in range(4)} | {"y": y}
    pq.write_table(pa.table(columns), path)
    return x, y


def test_answers_are_those_of_cross_val_predict_on_the_same_folds(tmp_path, capfd):
    """hdl's own estimator gives them to the bit; scikit-learn's network is as good."""
    x, y = numbers(tmp_path / "d.parquet")
    flags = ["--scale", "none", "--epochs", "30", "--shards", "1", "--lr", "0.01", "--recipe", "plain", *NET]
    flags += ["--loss", "sigmoid", "--net", "0-8-1"]  # one output for two classes, as the estimators have
    run(capfd, tmp_path / "d.parquet", "--label", "y", "--folds", 5, "--out", tmp_path / "cv", *flags)
    found = pq.read_table(tmp_path / "cv" / "oof.parquet").to_pydict()
    split = PredefinedSplit(found["fold"])
    ours = hdl.MLPClassifier(
        (8,), solver="adam", alpha=0, batch_size=16, learning_rate_init=0.01, max_iter=30, random_state=3,
        n_iter_no_change=1000, tol=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = cross_val_predict(ours, x, y, cv=split, method="predict_proba")
        theirs = MLPClassifier((8,), batch_size=16, learning_rate_init=0.01, max_iter=30, random_state=3)
        other = cross_val_predict(theirs, StandardScaler().fit_transform(x), y, cv=split, method="predict_proba")
    answered = np.array([found["probability:0"], found["probability:1"]], np.float32).T
    assert np.array_equal(answered, expected.astype(np.float32))
    assert found["label"] == expected.argmax(axis=1).tolist()
    auc, near = (roc_auc_score(y, each[:, 1]) for each in (answered, other))
    assert abs(auc - near) < 0.05
    whole = json.loads((tmp_path / "cv" / "folds.json").read_text())["found"]
    assert whole["out_of_fold"]["metrics"]["auc"] == pytest.approx(auc, abs=1e-12)
    assert whole["out_of_fold"]["metrics"]["logloss"] == pytest.approx(
        log_loss(y, answered[:, 1].astype(float)), rel=1e-6
    )


@pytest.mark.parametrize(("suffix", "shards"), [("csv", 3), ("parquet", 2)])
def test_every_row_has_its_answer_in_input_order_and_its_fold(tmp_path, capfd, suffix, shards):
    path, label = write(visits(), tmp_path / f"d.{suffix}"), np.array(visits()["class"].to_pylist())
    out = tmp_path / "cv"
    flags = ["--epochs", "2", "--shards", shards, "--label", "class", *PLAIN, *NET]
    said = run(capfd, path, "--folds", 4, "--out", out, "--oof", tmp_path / "oof.csv", *flags)
    found = pa.csv.read_csv(tmp_path / "oof.csv").to_pydict()
    assert len(found["fold"]) == N
    for name in ("no", "yes"):
        counts = np.bincount(np.array(found["fold"])[label == name], minlength=5)[1:]
        assert counts.max() - counts.min() <= shards  # less than one a shard, twice
    stored = json.loads((out / "folds.json").read_text())["found"]
    for each in stored["folds"]:
        own = np.array(found["fold"]) == each["number"]
        assert each["samples"] == own.sum()
        scores = np.array(found["probability:yes"])[own]
        assert each["metrics"]["auc"] == pytest.approx(roc_auc_score(label[own] == "yes", scores), abs=1e-6)
        assert each["sha256"] == Table(each["table"]).header(each["version"])["signature"]
    aucs = [each["metrics"]["auc"] for each in stored["folds"]]
    assert stored["mean"]["auc"] == pytest.approx(np.mean(aucs))
    assert stored["spread"]["auc"] == pytest.approx(np.std(aucs, ddof=1))
    assert "all rows" in said
    assert f"{stored['out_of_fold']['metrics']['auc']:.4f}" in said


def test_rows_without_a_label_or_that_are_bad_have_a_line_and_no_fold(tmp_path, capfd):
    lines = ["a,b,class"] + [f"{i % 7},{i % 5},{'yn'[i % 2]}" for i in range(60)]
    lines[10], lines[20] = "1,2,", "x,2,y"
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    flags = ["--epochs", "1", "--max-bad-records", "1", "--columns", "a:number", "--folds", 3, *NET]
    run(capfd, tmp_path / "d.csv", "--out", tmp_path / "cv", *flags)
    found = pq.read_table(tmp_path / "cv" / "oof.parquet").to_pydict()
    assert [i for i, fold in enumerate(found["fold"]) if fold is None] == [9, 19]
    assert [i for i, label in enumerate(found["label"]) if label is None] == [9, 19]
    assert len(found["fold"]) == 60


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_column_names_the_folds(tmp_path, capfd, suffix):
    path = write(visits(), tmp_path / f"d.{suffix}")
    flags = ["--epochs", "1", "--label", "class", "--ignore", "is_test,flag,split", *NET]
    run(capfd, path, "--folds", "column:fold", "--out", tmp_path / "cv", *flags)
    found = pq.read_table(tmp_path / "cv" / "oof.parquet").to_pydict()
    assert found["fold"] == [str(i % 4) for i in range(N)]
    assert "fold" not in Table(str(tmp_path / "cv" / "fold1")).read(0).about["schema"]["names"]
    assert Table(str(tmp_path / "cv" / "fold2")).header(0)["spec"]["holdout"]["value"] == "1"


def test_a_regressions_rows_are_measured_in_one_unit(tmp_path, capfd):
    _, y = numbers(tmp_path / "d.parquet", regression=True)
    flags = ["--epochs", "10", "--label", "y", "--shards", "2", *NET]
    run(capfd, tmp_path / "d.parquet", "--folds", 3, "--out", tmp_path / "cv", *flags)
    found = pq.read_table(tmp_path / "cv" / "oof.parquet").to_pydict()
    metrics = json.loads((tmp_path / "cv" / "folds.json").read_text())["found"]["out_of_fold"]["metrics"]
    away = np.array(found["value"]) - y
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(away**2)), rel=1e-5)
    assert metrics["r2"] == pytest.approx(1 - np.mean(away**2) / np.var(y), rel=1e-4)
    counts = np.bincount(found["fold"])[1:]
    assert counts.max() - counts.min() <= 2


def test_a_metric_and_patience_decide_in_each_fold(tmp_path, capfd):
    path = write(visits(), tmp_path / "d.csv")
    flags = ["--epochs", "3", "--label", "class", "--metric", "auc", "--patience", "2", "--folds", 2, "--final", *NET]
    run(capfd, path, "--out", tmp_path / "cv", *flags)
    for name in ("fold1", "fold2"):
        spec = Table(str(tmp_path / "cv" / name)).header()["spec"]
        assert (spec["metric"], spec["patience"], spec["auto"]) == ("auc", 2, [])
    spec = Table(str(tmp_path / "cv" / "final")).header()["spec"]
    assert (spec["metric"], spec["patience"], spec["validation"]) == (None, 0, 0)  # nothing is held out
    run(capfd, path, "--out", tmp_path / "cv", "--resume")


def test_what_was_stopped_goes_on_to_the_same_bytes_and_final_trains_on_all(tmp_path, capfd):
    path, out = write(visits(), tmp_path / "d.csv"), tmp_path / "cv"
    flags = ["--epochs", "2", "--label", "class", *PLAIN, *NET]
    run(capfd, path, "--folds", 3, "--out", out, "--final", *flags)
    names = ["fold1", "fold2", "fold3"]
    before = [Table(str(out / name)).read().signature for name in names]
    answers = (out / "oof.parquet").read_bytes()
    assert Table(str(out / "final")).header(0)["about"]["samples"] == N
    assert not Table(str(out / "final")).header(0)["spec"]["holdout"]["folds"]
    err = run(capfd, path, "--folds", 3, "--out", out, *flags, status=True)
    assert "--resume" in err
    for file in [out / "oof.parquet", *sorted((out / "fold2").iterdir())[1:], *(out / "fold3").iterdir()]:
        os.remove(file)
    run(capfd, path, "--out", out, "--resume", "--workers", "1", "--quiet", "--no-report")
    assert [Table(str(out / name)).read().signature for name in names] == before
    assert (out / "oof.parquet").read_bytes() == answers
    err = run(capfd, path, "--out", out, "--resume", "--folds", 4, status=True)
    assert "was begun with 3 dealt out by the seed" in err


def test_flags_that_do_not_go_together_are_refused(tmp_path, capfd):
    path = write(visits(), tmp_path / "d.csv")
    for flags, message in [
        (["--folds", 3, "--validation", "0.2"], "give one of --folds and --validation"),
        (["--folds", 3, "--grid", "lr=0.1,0.2"], "--grid and --folds"),
        (["--folds", 1], "--folds: expected a number from 2"),
        (["--folds", "fold"], "--folds: expected a number, such as 5, or column:NAME"),
        (["--folds", "column:nope"], "'--folds column:nope': no such column"),
        (["--folds", "column:a"], "has more than 100 values"),
        (["--oof", "a.csv"], "--oof: goes with --folds"),
        (["--folds", 3, "--oof", tmp_path / "a.npy"], "--oof"),
        (["--folds", 3, "--model", "autoencoder"], "--folds: measures answers of networks with labels"),
        (["--folds", 3, "--test", path], "--final makes one network to test"),
    ]:
        capfd.readouterr()
        status = cli.run(["train", path, "--out", str(tmp_path / "cv"), "--label", "class", *map(str, flags)])
        assert status
        assert message in capfd.readouterr().err
    assert not os.path.exists(tmp_path / "cv")


def test_folds_stop_early_and_the_last_training_takes_as_many_epochs():
    def network(number, **fields):
        return SimpleNamespace(version=SimpleNamespace(number=number), spec=spec.with_(**fields))

    spec = hdl.spec.Spec(epochs=50, patience=3, holdout={"folds": 3, "fold": 0}, auto=("epochs", "sync.every", "net"))
    networks = [network(number, epochs=60, auto=(), sync={"every": 2}) for number in (5, 30, 9)]
    final = folds.final_spec(spec, networks)
    assert (final.epochs, final.sync.every, final.patience, final.validated, final.auto) == (18, 2, 0, False, ("net",))
    again = folds.final_spec(spec.with_(patience=0), networks)
    assert (again.epochs, again.auto) == (50, spec.auto)


def test_more_folds_than_rows_are_refused_before_the_first_one_is_trained(tmp_path, capfd):
    numbers(tmp_path / "d.parquet", n=6, regression=True)
    told = run(
        capfd, tmp_path / "d.parquet", "--label", "y", "--folds", 8, "--out", tmp_path / "cv", *NET, "--epochs", "1",
        status=True,
    )  # fmt: skip
    assert "--folds 8: the data has 6 rows" in told
    assert not list((tmp_path / "cv").glob("fold*/v*1.safetensors"))


def test_a_measure_that_one_fold_lacks_is_shown_of_the_others(tmp_path, capfd):
    rows = [f"{i % 7},{'ab'[i % 2] if i < 20 else 'a'},{i // 10}" for i in range(30)]  # the last fold has a alone
    (tmp_path / "d.csv").write_text("\n".join(["x,y,part", *rows]) + "\n")
    out = run(
        capfd, tmp_path / "d.csv", "--label", "y", "--folds", "column:part", "--out", tmp_path / "cv", *NET,
        "--epochs", "1",
    )  # fmt: skip
    told = next(line for line in out.splitlines() if "auc" in line)
    assert "logloss" in told
    assert sum("–" in line for line in out.splitlines()) >= 3  # the fold, the mean, the deviation
