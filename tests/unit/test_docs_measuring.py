"""What docs/measuring.md says works: its commands run one after the other, and it names every measure there is."""

import json
import re
import shlex

import numpy as np
import pytest

from hdl import cli
from hdl.metrics import METRICS

pytest.importorskip("hdl._cpu")
QUICK = ("--epochs", "2", "--no-report")  # in place of the recipe's; of the reports one is asked for by itself
NEEDED = {"train", "evaluate", "predict", "report"}


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "measuring.md").read_text()


def commands(page):
    joined = page.replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (hdl .*)$", joined, re.M)]


def write(path, n, seed):
    """Clients: three columns, a date, a mark of those held out, and whether they bought, which few did."""
    rng = np.random.default_rng(seed)
    age, income = rng.integers(18, 80, n), np.round(rng.lognormal(10, 0.5, n), 2)
    country = np.array(["DE", "FR", "IT"])[rng.integers(0, 3, n)]
    months = rng.integers(1, 13, n)
    z = 1.8 * (np.log(income) - 10) / 0.5 + 0.04 * (age - 49) + (country == "IT") + rng.normal(size=n)
    bought = np.where(z > 3.8, "yes", "no")
    rows = zip(age, income, country, (f"2024-{month:02d}-15" for month in months), rng.integers(0, 5, n) == 0, bought,
               strict=True)  # fmt: skip
    lines = [",".join(map(str, [*row[:4], int(row[4]), row[5]])) for row in rows]
    path.write_text("\n".join(["age,income,country,dt,is_test,bought", *lines]) + "\n")


def test_its_commands_run_as_they_are_written(page, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clients.csv", 900, 1)
    write(tmp_path / "new.csv", 400, 2)
    said = {}
    for arguments in commands(page):
        capfd.readouterr()
        status = cli.run([*arguments, *(QUICK if arguments[0] == "train" else ())])
        told = capfd.readouterr()
        assert status == 0, (shlex.join(arguments), told.err)
        said[shlex.join(arguments)] = told.out
    assert {shlex.split(line)[0] for line in said} >= NEEDED
    whole = json.loads(said["evaluate model new.csv --json --curves"])
    assert float(said["evaluate model new.csv --metric auc"]) == whole["metrics"]["auc"]
    assert set(whole["curves"]) >= {"roc", "pr", "calibration", "gains"}
    text = said["evaluate model new.csv"]
    for title in re.findall(r"^    ([A-Za-z-]+(?: [a-z]+)?) {2,}[\d.,]+(?: %)?(?:  .*)?$", page, re.M):
        assert re.search(rf"^{title} +[\d.,]+", text, re.M), title
    assert (tmp_path / "answers.csv").exists()


def test_it_names_every_measure_by_its_name_and_says_which_way_is_better(page):
    rows = dict(re.findall(r"^\| `(\w+)`( ↑)? \|", page, re.M))
    plain = {name: metric for name, metric in METRICS.items() if not name.endswith("_weighted")}
    assert set(rows) == set(plain)
    assert {name for name, mark in rows.items() if mark} == {name for name, metric in plain.items() if metric.higher}
