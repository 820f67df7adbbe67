"""Answers of a map-only job to data with records that cannot be read: every part's file keeps its rows."""

import csv
import io
import json
import sys

import numpy as np
import pytest

from hdl import fs

pytestmark = pytest.mark.full
HDL = [sys.executable, "-m", "hdl"]
PARTS, ROWS = 3, 400


@pytest.fixture
def people(folder):
    """A table of people on HDFS in one file, some of whose lines are no records."""
    rng = np.random.default_rng(2)
    lines = ["id,age,city,kind"]
    for k in range(ROWS):
        age = "" if k % 11 == 0 else int(rng.integers(18, 80))
        lines.append(f"P{k:04d},{age},{['Rom', 'Bonn', ''][k % 3]},{'ab'[int(rng.random() < 0.5)]}")
    fs.publish(f"{folder}/good.csv", "\n".join([*lines, ""]).encode())
    bad = {1: "P0000,old,Rom,a", 200: "P0199", ROWS: f"P{ROWS - 1},9,9,9,9"}
    for number, line in bad.items():
        lines[number] = line
    fs.publish(f"{folder}/bad.csv", "\n".join([*lines, ""]).encode())
    return folder


def test_every_row_has_its_line_on_every_runner(run, people, archive, tmp_path):
    model = f"{people}/model"
    run(*HDL, "train", f"{people}/good.csv", "--out", model, "--label", "kind", "--epochs", 2, "--no-report",
        "--validation", 0.2)  # fmt: skip
    asked = [*HDL, "predict", model, f"{people}/bad.csv", "--keep", "id", "--threshold", "f1"]
    here = tmp_path / "here.csv"
    done = run(*asked, "--out", here, check=False)
    assert done.returncode == 3
    assert f"no answer to 3 of {ROWS} records" in done.stderr
    there = run(*asked, "--out", f"{people}/answers", "--runner", "mapreduce", "--workers", PARTS, check=False,
                HDL_NODE_ARCHIVE=archive, seconds=400)  # fmt: skip
    assert there.returncode == 3, there.stderr
    assert f"no answer to 3 of {ROWS} records" in there.stderr
    assert "bad.csv:2: " in there.stderr
    rows = []
    for number in range(PARTS):
        with fs.open(f"{people}/answers/part-{number:05d}.csv") as file:
            rows += list(csv.DictReader(io.StringIO(file.read().decode(), newline="")))
    with open(here, encoding="utf-8", newline="") as file:
        assert rows == list(csv.DictReader(file))
    assert len(rows) == ROWS
    assert [number for number, row in enumerate(rows) if not row["label"]] == [0, 199, ROWS - 1]
    assert [rows[number]["id"] for number in (0, 1, 199)] == ["P0000", "P0001", ""]
    with fs.open(f"{people}/answers/_lineage.json") as file:
        lineage = json.load(file)
    assert sum(file["rows"] for file in lineage["files"]) == ROWS
    assert sum(file["empty"] for file in lineage["files"]) == 3
    value = np.float32(lineage["threshold"])
    assert lineage["threshold_best_for"] == "f1"
    assert f"from a probability of {lineage['threshold']:.6g}, best for f1" in there.stderr
    for row in rows:
        assert not row["label"] or row["label"] == "ab"[np.float32(row["probability:b"]) >= value]
    names = fs.list(f"{people}/answers")
    assert not [name for name in names if name.startswith("_part")], names
