"""Answers to partitions: keys are carried over, filtered rows are no records, bad ones keep their places."""

import csv

import pytest

from hdl import cli

pytest.importorskip("hdl._cpu")


@pytest.fixture
def visits(tmp_path):
    """Two days of visits, with lines of another kind in either, and a model of the good ones."""
    for bad in (False, True):
        at = 0
        for day in ("2024-01-01", "2024-01-02"):
            lines = ["id,pages,shop,bought"]
            for k in range(20):
                lines.append(f"v{at:02d},{k % 6},{['web', 'app'][k % 2]},{'yes' if k % 3 else 'no'}")
                at += 1
            if bad:
                lines[1] = f"v{at - 20:02d},many,web,no"  # the first record's cell
                lines[10] = "broken"
            folder = tmp_path / ("bad" if bad else "good") / f"dt={day}"
            folder.mkdir(parents=True)
            (folder / "part-0.csv").write_text("\n".join([*lines, ""]))
    train = ["train", str(tmp_path / "good"), "--out", str(tmp_path / "m"), "--label", "bought", "--epochs", "1", "-q"]
    assert cli.run([*train, "--no-report"]) == 0
    return tmp_path


def answers(folder, *flags):
    out = folder / "o.csv"
    command = ["predict", str(folder / "m"), str(folder / "bad"), "--out", str(out), "--overwrite", "--keep", "id,dt"]
    assert cli.run([*command, *flags]) == 3
    with open(out, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_keys_and_bad_records(visits):
    rows = answers(visits)
    empty = [number for number, row in enumerate(rows) if not row["label"]]
    assert empty == [0, 9, 20, 29]
    assert [row["id"] for row in rows] == [f"v{k:02d}" if k not in (9, 29) else "" for k in range(40)]
    assert {row["dt"] for row in rows[:9]} == {"2024-01-01"}
    assert {row["dt"] for row in rows[30:]} == {"2024-01-02"}


def test_rows_that_are_filtered_out_are_no_records(visits):
    rows = answers(visits, "--where", "shop = 'web'")
    numbers = [k for k in range(40) if k % 2 == 0 or k in (9, 29)]  # whether broken lines are of the web nobody knows
    assert [row["id"] for row in rows] == [f"v{k:02d}" if k not in (9, 29) else "" for k in numbers]
    assert [k for k, row in zip(numbers, rows, strict=True) if not row["label"]] == [0, 9, 20, 29]
    rows = answers(visits, "--where", "dt > '2024-01-01'")
    assert [row["id"] for row in rows[:3]] == ["v20", "v21", "v22"]
    assert len(rows) == 20
