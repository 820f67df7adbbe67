"""Grids and cross-validations of which each training starts from one network."""

import json

import numpy as np
import pytest

from hdl import cli, fs
from hdl.starting import read
from hdl.table import Table
from tests.unit.test_starting import old, write  # noqa: F401 (a fixture)

FLAGS = ["--epochs", "2", "--no-report", "--quiet", "--recipe", "plain"]


def first(out, name):
    return Table(fs.join(out, name)).read(0)


def test_each_combination_of_a_grid_starts_from_the_network(old, tmp_path):  # noqa: F811
    data, out = write(tmp_path / "new.csv", "bd", seed=5), str(tmp_path / "grid")
    command = ["train", data, "--out", out, "--init-from", old, "--grid", "lr=0.01,0.1", "--validation", "0.25", *FLAGS]
    assert cli.run(command) == 0
    fields = json.loads((tmp_path / "grid/grid.json").read_text())
    assert fields["init_from"] == old
    assert len(fields["combinations"]) == 2
    for one in fields["combinations"]:
        zero = first(out, one["name"])
        np.testing.assert_array_equal(zero.weights.w, read(old).w)
        assert zero.about["start"]["path"] == old


def test_a_resumed_grid_starts_what_is_new_from_the_same_network(old, tmp_path):  # noqa: F811
    data, out = write(tmp_path / "new.csv", "bd", seed=5), str(tmp_path / "grid")
    command = ["train", data, "--out", out, "--init-from", old, "--grid", "lr=0.01", "--validation", "0.25", *FLAGS]
    assert cli.run(command) == 0
    assert cli.run(["train", data, "--out", out, "--resume", "--grid", "lr=0.01,0.1", "--no-report", "--quiet"]) == 0
    names = [one["name"] for one in json.loads((tmp_path / "grid/grid.json").read_text())["combinations"]]
    assert len(names) == 2
    for name in names:
        np.testing.assert_array_equal(first(out, name).weights.w, read(old).w)


def test_each_fold_and_the_last_network_start_from_the_network(old, tmp_path):  # noqa: F811
    data, out = write(tmp_path / "new.csv", "bd", seed=5), str(tmp_path / "folds")
    assert cli.run(["train", data, "--out", out, "--init-from", old, "--folds", "2", "--final", *FLAGS]) == 0
    for name in ("fold1", "fold2", "final"):
        np.testing.assert_array_equal(first(out, name).weights.w, read(old).w)


@pytest.mark.parametrize("grid", ["net=0-6-5-0,0-7-5-0", "activation=tanh,relu"])
def test_a_combination_that_cannot_start_from_it_is_refused_before_any_begins(old, tmp_path, capsys, grid):  # noqa: F811
    data, out = write(tmp_path / "new.csv", "bd", seed=5), tmp_path / "grid"
    command = ["train", data, "--out", str(out), "--init-from", old, "--grid", grid, "--validation", "0.25", *FLAGS]
    assert cli.run(command) != 0
    said = capsys.readouterr().err
    assert "--init-from, with" in said
    assert ("0-7-5-0" if "net" in grid else "relu") in said
    assert old in said
    assert not out.exists()
