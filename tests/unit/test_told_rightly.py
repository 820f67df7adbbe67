"""What is told is of what there is: no classes of numbers, the class that a measure is of, the fold that lacks one."""

import json
import re

import numpy as np
import pytest
from sklearn.metrics import r2_score

from hdl import cli


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(120, 2))
    y = np.c_[x[:, 0] * 1000 + rng.normal(size=120) * 900, x[:, 1]]
    file = tmp_path_factory.mktemp("numbers") / "t.csv"
    np.savetxt(file, np.c_[x, y], "%.4f", ",", header="a,b,dear,cheap", comments="")
    return file


def hdl(capsys, *arguments):
    assert cli.run(list(map(str, arguments))) == 0  # not main, which ends a process that has loaded JPype
    return capsys.readouterr()


def test_a_share_that_is_held_out_is_of_no_class(path, tmp_path, capsys):
    table = tmp_path / "m"
    flags = ("--label", "dear", "--epochs", 1, "--recipe", "plain", "--validation", 0.2, "--no-report")
    told = hdl(capsys, "train", path, "--out", table, *flags).err
    assert re.search(r"^held out +20 %: about 24 samples$", told, re.M)
    shown = hdl(capsys, "inspect", table).out
    assert "20 % of the samples, chosen by the seed" in shown
    assert "of each class" not in told + shown


def test_r2_of_several_outputs_is_weighted_by_variance_and_says_so(path, tmp_path, capsys):
    table, answers = tmp_path / "m", tmp_path / "p.csv"
    flags = ("--label", "dear,cheap", "--epochs", 20, "--recipe", "plain", "--no-report")
    hdl(capsys, "train", path, "--out", table, *flags)
    assert re.search(r"^R² .* over both outputs by their variances$", hdl(capsys, "evaluate", table, path).out, re.M)
    found = json.loads(hdl(capsys, "evaluate", table, path, "--json").out)["metrics"]["r2"]
    hdl(capsys, "predict", table, path, "--out", answers)
    y, p = (np.loadtxt(name, delimiter=",", skiprows=1) for name in (path, answers))
    assert found == pytest.approx(r2_score(y[:, 2:], p, multioutput="variance_weighted"), abs=1e-5)
    assert abs(found - r2_score(y[:, 2:], p)) > 1e-3


def test_a_class_that_is_in_one_fold_alone_is_told_so(tmp_path, capsys):
    path = tmp_path / "one.csv"
    path.write_text("a,sold\n" + "".join(f"{n},{'yes' if n == 7 else 'no'}\n" for n in range(30)))
    command = ["train", str(path), "--label", "sold", "--folds", "2", "--out", str(tmp_path / "m"), "--epochs", "1"]
    assert cli.run(command) != 0
    told = capsys.readouterr().err
    assert re.search(r"every label of the rows to train on \(fold [12] of 2 is held out\) is 'no'", told)


def test_the_end_of_a_training_says_of_which_class_the_pr_auc_is(tmp_path, capsys):
    path = tmp_path / "two.csv"
    path.write_text("a,sold\n" + "".join(f"{n},{'fraud' if n % 3 else 'legit'}\n" for n in range(60)))
    out = hdl(capsys, "train", path, "--label", "sold", "--out", tmp_path / "m", "--epochs", 1, "--test", path).out
    assert re.search(r"^test PR-AUC +\d\.\d{4}   of 'legit'$", out, re.M)
