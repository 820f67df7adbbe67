"""What `hdl evaluate` says: measures as scikit-learn has them, thresholds, gains, a warning, every error in words."""

import csv
import io
import json
import re

import numpy as np
import pytest

from hdl import cli

metrics = pytest.importorskip("sklearn.metrics")
SHORT = [
    "--recipe",
    "plain",
    "--epochs",
    "6",
    "--lr",
    "0.02",
    "--batch",
    "32",
    "--workers",
    "1",
    "--no-report",
    "--quiet",
]


def write(path, labels, n=600, seed=7, **more):
    """Rows of three numbers, and the label that their noisy sum has."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    y = labels(x.sum(axis=1) + 0.7 * rng.normal(size=n))
    columns = {**dict(zip("abc", np.round(x, 4).T, strict=True)), **more, "label": y}
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data and tables: rare (two classes), three, real, counts (Poisson)."""
    folder = tmp_path_factory.mktemp("evaluated")
    data = {
        "rare": (lambda z: np.where(z > 3.0, "yes", "no"), ["--net", "0-4-0"]),
        "three": (lambda z: np.array(["low", "mid", "top"])[np.digitize(z, [-1, 1])], ["--net", "0-4-0"]),
        "real": (lambda z: np.round(100 + 20 * z, 2), ["--net", "0-4-0"]),
        "counts": (lambda z: np.maximum(np.round(np.exp(z / 2)), 0).astype(int) + 0.0, ["--loss", "poisson"]),
    }
    for name, (labels, more) in data.items():
        write(folder / f"{name}.csv", labels)
        write(folder / f"{name}-new.csv", labels, n=500, seed=8)
        assert cli.run(["train", f"{folder}/{name}.csv", "--out", f"{folder}/{name}", *SHORT, *more]) == 0
    return folder


def run(capfd, *args, status=0):
    capfd.readouterr()
    ended = cli.run([str(arg) for arg in args])
    told = capfd.readouterr()
    assert ended == status, told
    return told


def measured(folder, capfd, name, *more):
    """The JSON of a measurement, and the answers that it is of."""
    data = folder / f"{name}-new.csv"
    score = json.loads(run(capfd, "evaluate", folder / name, data, "--json", *more).out)
    rows = list(csv.DictReader(io.StringIO(run(capfd, "predict", folder / name, data, "--out", "-").out)))
    truth = [row["label"] for row in csv.DictReader(io.StringIO(data.read_text()))]
    return score, rows, truth


def test_two_classes_are_measured_as_scikit_learn_does(folder, capfd):
    score, rows, truth = measured(folder, capfd, "rare")
    p = np.array([row["probability:yes"] for row in rows], np.float32).astype(np.float64)
    y = np.array(truth) == "yes"
    expected = {
        "auc": metrics.roc_auc_score(y, p), "pr_auc": metrics.average_precision_score(y, p),
        "logloss": metrics.log_loss(y, p), "brier": metrics.brier_score_loss(y, p),
    }  # fmt: skip
    for name, value in expected.items():
        assert score["metrics"][name] == pytest.approx(value, abs=1e-6), name
    at = score["thresholds"]
    assert score["metrics"]["f1"] == pytest.approx(metrics.f1_score(y, p >= at["f1"]), abs=1e-12)
    assert score["metrics"]["mcc"] == pytest.approx(metrics.matthews_corrcoef(y, p >= at["mcc"]), abs=1e-12)
    balanced = metrics.balanced_accuracy_score(y, p >= at["balanced_accuracy"])
    assert score["metrics"]["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12)
    assert max(metrics.f1_score(y, p >= value) for value in np.unique(p)) == pytest.approx(score["metrics"]["f1"])


def test_three_classes_are_measured_as_scikit_learn_does(folder, capfd):
    score, rows, truth = measured(folder, capfd, "three")
    p = np.array([[row[f"probability:{name}"] for name in score["classes"]] for row in rows], np.float32)
    p = p.astype(np.float64) / p.sum(axis=1, dtype=np.float64)[:, None]
    guess = [row["label"] for row in rows]
    found = score["metrics"]
    assert found["auc"] == pytest.approx(metrics.roc_auc_score(truth, p, multi_class="ovr"), abs=1e-6)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, guess), abs=1e-12)
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, guess), abs=1e-12)
    assert score["thresholds"] == {}
    report = metrics.classification_report(truth, guess, output_dict=True)
    for row in score["per_class"]:
        own = report[row["class"]]
        assert [row["precision"], row["recall"], row["f1"]] == pytest.approx(
            [own["precision"], own["recall"], own["f1-score"]]
        )
        assert row["samples"] == own["support"]


@pytest.mark.parametrize(("name", "deviance"), [("real", "mean_squared_error"), ("counts", "mean_poisson_deviance")])
def test_numbers_are_measured_as_scikit_learn_does(folder, capfd, name, deviance):
    score, rows, truth = measured(folder, capfd, name)
    p, y = np.array([float(row["value"]) for row in rows]), np.array(truth, float)
    found = score["metrics"]
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(y, p), rel=1e-5)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(y, p), rel=1e-5)
    assert found["r2"] == pytest.approx(metrics.r2_score(y, p), abs=1e-5)
    assert found["deviance"] == pytest.approx(getattr(metrics, deviance)(y, p), rel=1e-5)
    assert score["thresholds"] == {}
    assert score["warning"] is None


def test_people_read_the_same_numbers(folder, capfd):
    score, *_ = measured(folder, capfd, "rare")
    text = run(capfd, "evaluate", folder / "rare", folder / "rare-new.csv").out
    for title, name in [("AUC", "auc"), ("PR-AUC", "pr_auc"), ("log loss", "logloss"), ("Brier score", "brier")]:
        assert f"\n{title:13}{score['metrics'][name]:.4f}" in text
    lines = text.splitlines()
    (best,) = [line.split() for line in lines if line.startswith("F1 ")]
    assert best[1:] == [f"{score['metrics']['f1']:.4f}", f"{score['thresholds']['f1']:.6g}"]
    gains = score["gains"]
    at = gains["share"].index(pytest.approx(0.1))
    (line,) = [line.split() for line in lines if line.startswith("10.0 %")]
    assert line[-1] == f"{gains['cumulative_lift'][at]:.2f}"
    assert f"KS)  {score['metrics']['ks']:.4f}" in text
    assert "calibration  'yes' is predicted with" in text


def test_a_regression_has_a_short_page(folder, capfd):
    text = run(capfd, "evaluate", folder / "real", folder / "real-new.csv").out
    names = [line.split("  ")[0] for line in text.splitlines()]
    assert names == ["samples", "cost", "R²", "RMSE", "MAE"]


def test_other_tasks_have_what_they_can(folder, capfd, tmp_path):
    """Several labels a sample, several numbers, a quantile, and a net without labels."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(200, 3))
    y = (x + rng.normal(size=(200, 3)) > 0).astype(int)
    t = np.round(x[:, :2] * [3, 400] + rng.normal(size=(200, 2)), 3)
    for name, targets, head in (("labels", y, "la,lb,lc"), ("pair", t, "s,t")):
        rows = [",".join(map(str, [*row, *own])) for row, own in zip(np.round(x, 4), targets, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join([f"a,b,c,{head}", *rows]) + "\n")
    flags = {
        "labels": ["--label", "la,lb,lc"], "pair": ["--label", "s,t"],
        "q": ["--label", "s", "--loss", "quantile", "--quantile", "0.9"],
        "ae": ["--no-labels", "--model", "autoencoder", "--net", "5-3-5"],
    }  # fmt: skip
    said = {}
    for name, more in flags.items():
        data, table = tmp_path / ("labels.csv" if name == "labels" else "pair.csv"), tmp_path / name
        run(capfd, "train", data, "--out", table, *SHORT, *more)
        own = ["--no-labels"] if name == "ae" else []
        said[name] = run(capfd, "evaluate", table, data, *own).out
        json.loads(run(capfd, "evaluate", table, data, "--json", *own).out)
    assert re.search(r"^AUC +0\.\d{4}   mean over the 3 labels$", said["labels"], re.M)
    assert [line.split()[0] for line in said["labels"].splitlines()[-3:]] == ["la", "lb", "lc"]
    assert re.search(r"^RMSE +[\d.]+, [\d.]+$", said["pair"], re.M)
    assert re.search(r"^MAE +[\d.]+   mean over the 2 outputs$", said["pair"], re.M)
    assert len(re.findall("^pinball", said["q"], re.M)) == 1
    assert [line.split()[0] for line in said["ae"].splitlines()] == ["samples", "cost"]


def test_the_share_of_the_largest_class_is_told_in_words(folder, capfd):
    score, _, truth = measured(folder, capfd, "rare", "--threshold", "1")
    said = f"of {truth.count('yes')} 'yes' none was found"
    assert score["warning"].endswith(said)
    text = run(capfd, "evaluate", folder / "rare", folder / "rare-new.csv", "--threshold", "1").out
    assert "Beware: the accuracy of" in text
    assert said in " ".join(text.split())
    assert "Beware" not in run(capfd, "evaluate", folder / "three", folder / "three-new.csv").out


def test_a_threshold_decides_the_answers_and_no_rank(folder, capfd):
    plain, rows, truth = measured(folder, capfd, "rare")
    score, *_ = measured(folder, capfd, "rare", "--threshold", "0.05")
    found = [float(row["probability:yes"]) >= 0.05 for row in rows]
    expected = metrics.confusion_matrix(np.array(truth) == "yes", found)
    assert score["confusion"] == expected.tolist()
    assert score["accuracy"] == np.trace(expected) / expected.sum()
    assert score["per_class"][1]["recall"] == expected[1, 1] / expected[1].sum()
    assert (score["threshold"], score["threshold_best_for"]) == (0.05, None)
    assert score["metrics"]["auc"] == plain["metrics"]["auc"]


def test_one_measure_is_printed_alone_in_all_digits(folder, capfd):
    score, *_ = measured(folder, capfd, "rare")
    one = run(capfd, "evaluate", folder / "rare", folder / "rare-new.csv", "--metric", "auc").out
    assert float(one) == score["metrics"]["auc"]
    both = run(capfd, "evaluate", folder / "rare", folder / "rare-new.csv", "--metric", "cost", "--metric", "mcc").out
    assert both == f"cost {score['cost']!r}\nmcc {score['metrics']['mcc']!r}\n"


def test_curves_are_points_from_corner_to_corner(folder, capfd):
    score, *_ = measured(folder, capfd, "rare", "--curves")
    roc = score["curves"]["roc"]
    assert [roc["fpr"][0], roc["tpr"][0], roc["fpr"][-1], roc["tpr"][-1]] == [0, 0, 1, 1]
    assert roc["threshold"][0] is None
    area = np.trapezoid(roc["tpr"], roc["fpr"])
    assert area == pytest.approx(score["metrics"]["auc"], abs=0.01)
    assert score["gains"]["cumulative_capture"][-1] == 1
    assert "curves" not in measured(folder, capfd, "rare")[0]


@pytest.mark.parametrize(
    ("table", "more", "status", "why"),
    [
        ("real", ["--metric", "auc"], 2,
         "no measure 'auc'; expected one of cost, rmse, mae, r2, deviance"),
        ("rare", ["--metric", "rmse"], 2, "no measure 'rmse'; expected one of cost, accuracy, auc, pr_auc"),
        ("rare", ["--metric", "auk"], 2, "no measure 'auk'; expected one of cost"),
        ("rare", ["--metric", "auc", "--json"], 2, "--metric and --json: give one of them"),
        ("rare", ["--curves"], 2, "--curves: are points for a program; give --json beside it"),
        ("rare", ["--threshold", "2"], 2, "--threshold: expected a probability from 0 to 1"),
        ("rare", ["--threshold", "f1"], 2, "its training held out no samples (--validation SHARE)"),
        ("three", ["--threshold", "0.5"], 2, "--threshold: is for a model of two classes, and this one has 3 classes"),
        ("real", ["--threshold", "0.5"], 2, "this one has none: it answers with numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_line(folder, capfd, table, more, status, why):
    told = run(capfd, "evaluate", folder / table, folder / f"{table}-new.csv", *more, status=status)
    assert told.out == ""
    assert why in told.err
    assert told.err.count("\n") == 1


def test_data_of_one_class_has_no_ranks(folder, capfd, tmp_path):
    data = write(tmp_path / "no.csv", lambda z: np.full(len(z), "no"), n=50)
    score = json.loads(run(capfd, "evaluate", folder / "rare", data, "--json").out)
    assert score["metrics"]["auc"] is None
    assert score["thresholds"] == {}
    text = run(capfd, "evaluate", folder / "rare", data).out
    assert re.search("^not defined +AUC, PR-AUC, F1, MCC, balanced accuracy: no sample is 'yes'$", text, re.M)
    told = run(capfd, "evaluate", folder / "rare", data, "--metric", "auc", status=3)
    assert "--metric auc: cannot be measured on this data, since its samples are all of one class" in told.err


def test_weighted_samples_are_said_to_be(folder, capfd, tmp_path):
    rng = np.random.default_rng(3)
    data = write(tmp_path / "w.csv", lambda z: np.where(z > 3.0, "yes", "no"), n=300, w=rng.integers(1, 5, 300))
    score = json.loads(run(capfd, "evaluate", folder / "rare", data, "--weights", "w", "--json").out)
    assert score["weight"] == sum(row["samples"] for row in score["per_class"])
    text = run(capfd, "evaluate", folder / "rare", data, "--weights", "w").out
    assert "in all, by which the measures are means" in text
    assert "class  weight" in text
