"""What cannot be held out, and what says it in two ways, is refused before anything is trained, with the reason."""

import re

import numpy as np
import pyarrow as pa
import pytest

from hdl.cli import holdout as flag
from hdl.data import Options
from hdl.errors import DataError, SpecError
from hdl.table import Table
from tests.unit.holdouts import N, train, visits, write


@pytest.fixture(params=["csv", "parquet"])
def suffix(request):
    return request.param


@pytest.fixture
def path(tmp_path, suffix):
    return write(visits(), tmp_path / f"d.{suffix}")


def renamed(name):
    """The table, whose column of 0 and 1 is called otherwise."""
    return visits().rename_columns([name if each == "flag" else each for each in visits().column_names])


REFUSED = {
    "no such column": ({"column": "nope"}, r"there is no column 'nope'; there are 'a', 'b'"),
    "no such column in a condition": ({"where": "nope = 1"}, "there is no column 'nope'; there are 'a', 'b'"),
    "no condition": ({"where": "a >"}, r"validation: .*expected a value"),
    "the label": ({"column": "class"}, r"column 'class' holds?|is the label|is '(yes|no)'"),
    "text that is no truth": ({"column": "split"}, r"column 'split' is 'train'.*column:split=VALUE"),
    "numbers beyond 0 and 1": ({"column": "fold"}, r"column 'fold' is '?[23].*column:fold=VALUE"),
    "none": ({"column": "fold", "value": "9"}, rf"none of {N} rows is held out \(where column fold is 9\)"),
    "none by a condition": ({"where": "a > 1e9"}, rf"none of {N} rows is held out"),
    "all": ({"where": "a < 1e9"}, rf"all {N} rows are held out .*none is left to train on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_nothing_out_or_all_or_is_not_there_is_refused(path, tmp_path, name):
    rule, message = REFUSED[name]
    with pytest.raises((DataError, SpecError), match=message):
        train(path, tmp_path / "m", holdout=rule)
    assert Table(str(tmp_path / "m")).latest() is None


def test_a_class_that_is_in_held_out_rows_alone_is_named(path, tmp_path, suffix):
    table = visits()
    labels = table["class"].to_pylist()
    labels[-1] = "maybe"
    table = table.set_column(table.schema.names.index("class"), "class", pa.array(labels))
    path = write(table, tmp_path / f"more.{suffix}")
    with pytest.raises(DataError, match=r"label 'maybe' is in rows that are held out alone .*classes are 'no', 'yes'"):
        train(path, tmp_path / "m", holdout={"column": "is_test"})
    valid = write(table.slice(N - 20), tmp_path / f"v.{suffix}")
    outcome_of = write(visits(60, 1), tmp_path / f"t.{suffix}")
    with pytest.raises(DataError, match="label 'maybe'"):
        train(outcome_of, tmp_path / "n", holdout={"path": valid})


def test_a_condition_on_the_label_holds_out_what_it_says(path, tmp_path):
    """Of a regression that is a look beyond the targets that were trained on; of classes one would be missing."""
    with pytest.raises(DataError, match=r"every label of the rows to train on .* is 'no'"):
        train(path, tmp_path / "m", holdout={"where": "class = 'yes'"})
    options = Options.make(label="a")
    outcome = train(path, tmp_path / "r", options=options, holdout={"where": "a > 1.0"})
    assert {row["val_samples"] for row in outcome.rows} == {sum(a > 1 for a in visits()["a"].to_pylist())}


def test_a_missing_mark_is_refused_with_its_place(tmp_path, suffix):
    table = visits().set_column(4, "is_test", pa.array([None if i == 17 else i > 200 for i in range(N)]))
    path = write(table, tmp_path / f"d.{suffix}")
    with pytest.raises(DataError, match=r"(:19|record 18).*column 'is_test' is missing"):
        train(path, tmp_path / "m", holdout={"column": "is_test"})


def test_a_column_called_as_what_is_trained_on_may_mean_either(tmp_path, suffix):
    path = write(renamed("is_train"), tmp_path / f"d.{suffix}")
    with pytest.raises(SpecError, match=r"1 may mean either; --validation column:is_train=0 holds out"):
        train(path, tmp_path / "m", holdout={"column": "is_train"})
    outcome = train(path, tmp_path / "n", holdout={"column": "is_train", "value": "0"})
    assert {row["val_samples"] for row in outcome.rows} == {3 * N // 4}


def test_columns_whose_names_are_kinds_or_patterns_are_no_features(tmp_path, suffix):
    for number, name in enumerate(("number", "[x]*", "a b", "date")):
        path = write(renamed(name), tmp_path / f"{number}.{suffix}")
        outcome = train(path, tmp_path / f"m{number}", holdout={"column": name})
        assert {row["val_samples"] for row in outcome.rows} == {N // 4}
        names = Table(outcome.table).read(0).about["schema"]["names"]
        assert set(names) == set(visits().column_names) - {"class", "flag"}


def test_samples_that_are_no_table_have_no_columns(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=rng.normal(size=(30, 3)), y=np.arange(30) % 2)
    for rule in ({"column": "x"}, {"where": "x > 0"}):
        with pytest.raises(DataError, match="picks rows of tables, and npz samples are none"):
            train(str(tmp_path / "d.npz"), tmp_path / "m", holdout=rule)
    outcome = train(str(tmp_path / "d.npz"), tmp_path / "n", holdout={"folds": 3, "fold": 2, "stratified": True})
    assert {row["val_samples"] for row in outcome.rows} <= set(range(8, 13))


def test_data_of_its_own_that_is_trained_on_or_lacks_columns_is_refused(path, tmp_path, suffix):
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is trained on as well"):
        train(path, tmp_path / "m", holdout={"path": path})
    both = write(visits(), tmp_path / "folder" / f"a.{suffix}")
    with pytest.raises(DataError, match=f"a.{suffix} is trained on as well"):
        train(str(tmp_path / "folder"), tmp_path / "m", holdout={"path": both})
    with pytest.raises(DataError, match="there is no such file"):
        train(path, tmp_path / "m", holdout={"path": str(tmp_path / "nope.csv")})
    less = write(visits().drop_columns(["town"]), tmp_path / f"less.{suffix}")
    with pytest.raises(DataError, match=r"columns? 'town' of the model's training data"):
        train(path, tmp_path / "m", holdout={"path": less})
    blind = write(visits().drop_columns(["class"]), tmp_path / f"blind.{suffix}")
    with pytest.raises(DataError, match="label 'class' is not a column"):
        train(path, tmp_path / "m", holdout={"path": blind})
    assert Table(str(tmp_path / "m")).latest() is None


def test_the_flag_tells_its_forms_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("0.2", "fold=3", "valid.csv"):
        (tmp_path / name).write_text("")
    assert flag.fields("0.2")["validation"] == 0.2
    assert flag.fields("./0.2")["holdout"] == {"path": "./0.2"}
    assert flag.fields("file:0.2")["holdout"] == {"path": "0.2"}
    assert flag.fields("valid.csv")["holdout"] == {"path": "valid.csv"}
    assert flag.fields("column:fold=3")["holdout"] == {"column": "fold", "value": "3"}
    assert flag.fields("split=valid")["holdout"] == {"column": "split", "value": "valid"}
    assert flag.fields("where: dt > 2024-06-01 ")["holdout"] == {"where": "dt > 2024-06-01"}
    for text, message in {
        "fold=3": "give file:fold=3 or column:fold=3",
        "is_test": "if it is a column: column:is_test",
        "a > 3": "a condition is written 'where:a > 3'",
        "nope.csv": "there is no file or folder 'nope.csv'",
        "20%": "a number from 0 to 1",
        "2": "at least 0 and below 1",
        "column:": "nothing behind column:",
        "column:=3": "expected column:NAME",
        "where:a >": "--validation: where: the end",
    }.items():
        with pytest.raises(SpecError, match=re.escape(message)):
            flag.fields(text)
