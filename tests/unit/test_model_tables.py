"""A model finds the columns of its training data in other tables: by name, or by place where there are no names."""

import re

import numpy as np
import pytest

from hdl import cli, data
from hdl.errors import DataError
from hdl.spec import Spec

ROWS = [
    (f"{i}.5", "uvw"[i % 3], f"{1 + i % 12}/{13 + i % 9}/2020", f"${i}", str(i % 4) if i % 5 else "", "ab"[i % 2])
    for i in range(40)
]
NAMES = ["size", "kind", "day", "price", "count", "label"]


def write(path, names, rows, mark=","):
    lines = [mark.join(row) for row in ([names] if names else []) + [list(row) for row in rows]]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def fitted(path, **options):
    source = data.open_source(path, options)
    summary = data.summarise(source, source.splits(1)[0])
    return data.fit(summary, Spec()), source


def encoded(path, schema, labels=False, **options):
    """What the net sees of a table, dense, and its labels."""
    source = data.open_source(path, options, schema, labels=labels)
    shard = data.load(source, source.splits(2)[0] + source.splits(2)[1], schema, labelled=labels)
    x = shard.train.x
    return (x.dense() if hasattr(x, "dense") else np.asarray(x)), shard.train.y, source


@pytest.fixture
def named(tmp_path):
    path = write(tmp_path / "train.csv", NAMES, ROWS)
    schema, source = fitted(path)
    assert [column.kind for column in source.columns] == ["number", "category", "date", "number", "number"]
    return path, schema, encoded(path, schema, labels=True)


def moved(order, rows=ROWS):
    return [[row[i] for i in order] for row in rows]


def test_columns_are_found_by_name(tmp_path, named):
    _, schema, (x, y, _) = named
    order = [5, 2, 0, 4, 3, 1]
    path = write(tmp_path / "a.csv", [NAMES[i] for i in order], moved(order))
    again, labels, source = encoded(path, schema, labels=True)
    np.testing.assert_array_equal(again, x)
    np.testing.assert_array_equal(labels, y)
    assert source.names == NAMES[:5]
    rows = [[*row[:3], "note", *row[3:5]] for row in ROWS]  # another column, and no label
    path = write(tmp_path / "b.csv", [*NAMES[:3], "more", *NAMES[3:5]], rows)
    np.testing.assert_array_equal(encoded(path, schema)[0], x)
    path = write(tmp_path / "c.csv", [*NAMES[:2], *NAMES[3:]], moved([0, 1, 3, 4, 5]))
    with pytest.raises(DataError, match=r"c.csv: columns 'day' of the model's training data are missing"):
        encoded(path, schema)


def test_columns_are_found_by_place_where_there_are_no_names(tmp_path, named):
    _, schema, (x, y, _) = named
    for rows, labels in ((ROWS, True), (ROWS, False), (moved(range(5)), False)):
        again, found, _ = encoded(write(tmp_path / "a.csv", None, rows), schema, labels)
        np.testing.assert_array_equal(again, x)
        assert not labels or found.tolist() == y.tolist()
    with pytest.raises(DataError, match=r"a.csv: .*columns"):
        encoded(write(tmp_path / "a.csv", None, moved(range(4))), schema)


@pytest.mark.parametrize("at", [0, 2, 5])
@pytest.mark.parametrize("ignore", ["", "1", "3,4"])
def test_a_model_without_names(tmp_path, at, ignore):
    order = [i for i in range(5)]
    order.insert(at, 5)
    path = write(tmp_path / "train.csv", None, moved(order))
    options = {"label": str(at), "ignore": ignore, "columns": "-1:category" if at == 5 and not ignore else ""}
    options = {name: value for name, value in options.items() if value}
    options.pop("columns", None)
    schema, source = fitted(path, **options)
    x, y, _ = encoded(path, schema, labels=True)
    without = write(tmp_path / "a.csv", None, moved(range(5)))
    np.testing.assert_array_equal(encoded(without, schema)[0], x)
    with_header = write(tmp_path / "b.csv", [f"c{i}" for i in range(6)], moved(order))
    again, labels, _ = encoded(with_header, schema, labels=True)
    np.testing.assert_array_equal(again, x)
    assert labels.tolist() == y.tolist()
    assert source.names is None


def test_how_cells_were_written_in_training_is_known(tmp_path, named):
    """Days that may be months, and numbers without their mark, are read as in training."""
    _, schema, (x, _, _) = named
    wanted = [i for i, row in enumerate(ROWS) if row[3] == "$7"]
    (i,) = wanted
    path = write(tmp_path / "a.csv", NAMES[:5], [(ROWS[i][0], ROWS[i][1], ROWS[i][2], "7", ROWS[i][4])])
    np.testing.assert_array_equal(encoded(path, schema)[0], x[i : i + 1])
    path = write(tmp_path / "a.csv", NAMES[:5], [("7.5", "u", "2/3/2020", "7", "1")])
    source = data.open_source(path, schema=schema, labels=False)
    (block,) = list(source.read(source.splits(1)[0]))
    assert str(block.x["day"][0].as_py()) == "2020-02-03 00:00:00"
    path = write(tmp_path / "a.csv", NAMES[:5], [("7.5", "u", "soon", "7", "1")])
    with pytest.raises(DataError, match=r"a.csv:2: column 3 \('day'\): 'soon' is not a date \(--na-values soon"):
        encoded(path, schema)
    source = encoded(path, schema, na_values="soon")[2]
    assert source.columns[2].kind == "date"


def test_cells_of_a_kind_that_training_did_not_have(tmp_path, named):
    """A column that looks like numbers stays a category where the model knows it as one."""
    _, schema, _ = named
    path = write(tmp_path / "a.csv", NAMES[:5], [("7.5", str(i), "1/13/2020", "7", "1") for i in range(3)])
    source = data.open_source(path, schema=schema, labels=False)
    (block,) = list(source.read(source.splits(1)[0]))
    assert block.x["kind"].to_pylist() == ["0", "1", "2"]


def test_flags_of_training_that_new_data_cannot_follow(tmp_path):
    rows = [(str(i), *row, f"{i}.5") for i, row in enumerate(ROWS)]
    path = write(tmp_path / "train.csv", ["id", *NAMES, "w"], rows)
    options = {
        "label": "label",
        "ignore": "id",
        "weights": "w",
        "columns": "count:category",
        "features": "size,count,id",
    }
    schema, source = fitted(path, **options)
    assert [column.name for column in source.columns] == ["size", "count"]
    x, _, _ = encoded(path, schema, **options)
    plain = write(tmp_path / "a.csv", NAMES[:5], moved(range(5)))
    kept = {name: value for name, value in options.items() if name != "label"}
    np.testing.assert_array_equal(encoded(plain, schema, **kept)[0], x)


def test_missing_and_unseen_cells_have_an_answer(tmp_path, named):
    _, schema, (x, _, _) = named
    path = write(tmp_path / "a.csv", NAMES[:5], [("", "", "", "", ""), ("1.5", "never", "1/13/2020", "$1", "1")])
    again, _, _ = encoded(path, schema)
    assert again.shape == (2, x.shape[1])
    assert np.isfinite(again).all()


def test_the_settled_options_open_a_models_data_again(tmp_path, named):
    _, schema, (x, _, _) = named
    path = write(tmp_path / "a.csv", NAMES[:5], moved(range(5)))
    settled = data.open_source(path, None, schema, labels=False).settled()
    again = data.open_source(path, settled, schema, labels=False)
    shard = data.load(again, again.splits(1)[0], schema, labelled=False)
    np.testing.assert_array_equal(shard.train.x.dense(), x)
    assert again.settled() == settled


def test_a_reading_that_training_did_not_have_is_told(tmp_path, capsys):
    path, table = write(tmp_path / "train.csv", NAMES, ROWS), str(tmp_path / "table")
    assert cli.run(["train", path, "--out", table, "--epochs", "1", "--no-report", "-q"]) == 0
    dotted = write(tmp_path / "a.csv", NAMES, [(*row[:5], row[5] + ".") for row in ROWS])
    for data_of, told in ((path, False), (dotted, True)):
        capsys.readouterr()
        assert cli.run(["evaluate", table, data_of]) == 0
        out, err = capsys.readouterr()
        assert re.search(r"^samples +40$", out, re.M)
        assert ("the labels end with a dot, which is no part of them" in err) == told
        assert "'$1'" not in err  # as training said
