"""Real tables as they are: trained, measured and asked for answers by a label alone."""

import csv
import gzip

import numpy as np
import pytest

from hdl import cli
from hdl.table import Table

TABLES = {
    "adult.data.gz": ("-1", {"number": 6, "category": 8}, 0.84),
    "titanic.csv": ("survived", {"number": 5, "category": 2}, 0.77),
    "ames.csv.gz": ("SalePrice", {"number": 38, "category": 43}, 0.85),
    "bike_hour.csv.gz": ("cnt", {"number": 15, "category": 2, "date": 1}, 0.95),
    "diamonds.csv.gz": ("price", {"number": 6, "category": 3}, 0.95),
    "taxis.csv.gz": ("total", {"number": 5, "category": 6, "date": 2}, 0.95),
}


def run(capfd, *args):
    """Standard output and error of a command that must succeed."""
    capfd.readouterr()
    status = cli.run([str(arg) for arg in args])
    told = capfd.readouterr()
    assert status == 0, told.err
    return told


def rows_of(path):
    text = path.read_bytes()
    lines = (gzip.decompress(text) if path.suffix == ".gz" else text).decode("utf-8-sig").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("|")]


# A few classes, many columns of categories, and dates. Of adult's the test below knows how well it is learned.
USUAL = ("titanic.csv", "ames.csv.gz", "bike_hour.csv.gz")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in USUAL else pytest.mark.full) for n in TABLES])
def test_a_table_is_trained_on_as_it_is(datasets, tmp_path, capfd, name):
    label, kinds, least = TABLES[name]
    path, out, answers = datasets("tables") / name, tmp_path / "m", tmp_path / "answers.csv"
    told = run(capfd, "train", path, "--label", label, "--epochs", 5, "--out", out).err
    schema = Table(str(out)).read(0).about["schema"]
    assert {kind: len(names) for kind, names in schema["reading"]["kinds"].items()} == kinds
    assert told.index("features") < told.index("round 1/5")
    measured = run(capfd, "evaluate", out, path).out
    words = dict(line.split(None, 1) for line in measured.splitlines() if line.strip())
    reached = float(words["accuracy"].split()[0]) / 100 if "accuracy" in words else float(words["R²"])
    assert reached >= least
    run(capfd, "predict", out, path, "--out", answers)
    assert len(rows_of(answers)) - 1 == len(rows_of(path)) - (not name.startswith("adult"))


def auc(truth, score):
    """Area under the receiver's curve: the share of pairs in order, of equal scores half (Mann & Whitney 1947)."""
    order = np.argsort(score, kind="stable")
    _, first, counts = np.unique(score[order], return_index=True, return_counts=True)
    ranks = np.repeat(first + (counts + 1) / 2, counts)
    place = np.empty(len(score))
    place[order] = ranks
    positive = truth.sum()
    return (place[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))


@pytest.mark.parametrize(("flags", "least"), [((), 0.910), (("--numeric-embedding", "ple"), 0.915)])
def test_adult_reaches_its_auc(datasets, tmp_path, capfd, flags, least):
    home, out, answers = datasets("tables"), tmp_path / "m", tmp_path / "answers.csv"
    net = ["--net", "0-64-0", "--epochs", 10, "--no-report", *flags]
    run(capfd, "train", home / "adult.data.gz", "--label", -1, *net, "--out", out)
    run(capfd, "predict", out, home / "adult.test.gz", "--out", answers)
    truth = np.array([line.strip().rstrip(".").endswith(">50K") for line in rows_of(home / "adult.test.gz")])
    with open(answers, encoding="utf-8", newline="") as file:
        score = np.array([float(row["probability:>50K"]) for row in csv.DictReader(file)])
    assert len(score) == len(truth)
    assert auc(truth, score) >= least
