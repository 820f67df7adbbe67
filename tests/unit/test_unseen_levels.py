"""Levels of categories that training had not seen are counted, by predict and evaluate."""

import json

import pytest

from hdl import cli
from hdl.data import Bad
from hdl.passes.parts import joined_counts

ROWS = [("oslo", "a", "yes"), ("rome", "b", "no")] * 20


def write(path, rows):
    path.write_text("\n".join(["town,kind,stays", *map(",".join, rows)]) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("towns")
    data, out = write(folder / "towns.csv", ROWS), str(folder / "model")
    flags = ["--label", "stays", "--epochs", "1", "--quiet", "--no-report", "--recipe", "plain"]
    assert cli.run(["train", data, "--out", out, *flags]) == 0
    return out


def test_they_are_counted_by_column(model, tmp_path, capsys):
    data = write(tmp_path / "new.csv", [*ROWS[:6], ("bonn", "a", "yes"), ("lima", "c", "no"), ("bonn", "b", "no")])
    capsys.readouterr()
    assert cli.run(["predict", model, data, "--out", str(tmp_path / "answers.csv")]) == 0
    told = "levels that training had not seen, which count as none: town (3 cells), kind (1 cell)"
    assert told in capsys.readouterr().err
    assert cli.run(["evaluate", model, data]) == 0
    assert told in " ".join(capsys.readouterr().out.split())
    assert cli.run(["evaluate", model, data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unseen"] == {"town": 3, "kind": 1}


def test_nothing_is_told_where_all_are_known(model, tmp_path, capsys):
    data = write(tmp_path / "known.csv", ROWS[:6])
    capsys.readouterr()
    assert cli.run(["predict", model, data, "--out", str(tmp_path / "answers.csv")]) == 0
    assert cli.run(["evaluate", model, data]) == 0
    said = capsys.readouterr()
    assert "not seen" not in said.err + said.out


def test_counts_of_parts_add_up():
    whole = joined_counts(Bad(unseen={"a": 1, "b": 2}), Bad(unseen={"b": 3, "c": 4}))
    assert whole.unseen == {"a": 1, "b": 5, "c": 4}
