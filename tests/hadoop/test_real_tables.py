"""Real tables on HDFS as they are, with no flag but `--label`: trained by YARN, measured, answered."""

import csv
import json
import sys

import pytest

from hdl import fs
from hdl.table import Table

HDL = [sys.executable, "-m", "hdl"]
TABLES = [
    ("titanic.csv", "survived", 891),
    ("adult.data.gz", "-1", 32_560),
    ("ames.csv.gz", "SalePrice", 2_930),
    ("bike_hour.csv.gz", "cnt", 17_379),
    ("diamonds.csv.gz", "price", 53_940),
    ("taxis.csv.gz", "tip", 6_433),
]
# test_every_column.py has a table with columns of all kinds on daemons, tests/unit/test_tables_trained.py these here.
pytestmark = pytest.mark.full


@pytest.mark.parametrize(("name", "label", "rows"), TABLES)
def test_a_table_is_trained_on_as_it_is(name, label, rows, folder, datasets, run, archive, tmp_path):
    here = datasets("tables") / name
    path = fs.join(folder, name)
    fs.publish(path, here.read_bytes())
    out, local = f"{folder}/model", tmp_path / "model"
    run(*HDL, "train", path, "--label", label, "--out", out, "--runner", "yarn", HDL_NODE_ARCHIVE=archive)
    run(*HDL, "train", here, "--label", label, "--out", local)
    assert Table(out).header()["signature"] == Table(str(local)).header()["signature"]
    measured = json.loads(run(*HDL, "evaluate", out, path, "--json").stdout)
    assert measured["samples"] == rows
    assert measured["sha256"] == Table(out).header()["signature"]
    run(*HDL, "predict", out, path, "--out", tmp_path / "answers.csv")
    with open(tmp_path / "answers.csv", newline="") as file:
        _, *answers = csv.reader(file)
    assert len(answers) == rows
    assert all(all(answer) for answer in answers)
