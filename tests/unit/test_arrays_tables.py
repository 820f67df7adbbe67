"""Tables in memory as a dataset: the kinds of their columns, what options say of them, and what a model knows."""

import numpy as np
import pyarrow as pa
import pytest

from hdl import data
from hdl.data import Arrays, Options
from hdl.errors import DataError
from hdl.spec import Spec
from tests.unit.visits import table

pd = pytest.importorskip("pandas")


def blocks(source):
    return [block for splits in source.splits(3) for block in source.read(splits)]


def test_columns_are_of_the_kinds_of_their_types():
    x, y = table()
    source = Arrays(x, y)
    assert source.names == x.columns.tolist()
    assert [column.kind for column in source.columns] == [
        "number",
        "category",
        "category",
        "date",
        "number",
        "category",
    ]
    read = blocks(source)
    assert sum(map(len, read)) == len(x)
    np.testing.assert_array_equal(np.concatenate([block.x["age"] for block in read]), x["age"])
    colours = [colour for block in read for colour in block.x["colour"].to_pylist()]
    assert colours == [None if pd.isna(colour) else colour for colour in x["colour"]]


def test_options_say_otherwise():
    x, y = table()
    options = Options.make(columns="visits:category", ignore="age,s*")
    source = Arrays(x, y, options)
    assert [tuple(column[:2]) for column in source.columns] == [
        ("colour", "category"), ("member", "category"), ("visits", "category"),
    ]  # fmt: skip
    assert [name for left in source.left_out for name in ("age", "seen", "shop") if f"'{name}'" in left] == [
        "age",
        "seen",
        "shop",
    ]
    with pytest.raises(DataError, match="ages:number': no such column"):
        Arrays(x, y, Options.make(columns="ages:number"))


def test_numbers_alone_are_a_matrix_in_which_nan_is_missing():
    source = Arrays(pd.DataFrame({"a": [1, np.nan], "b": pd.Series([4, None], dtype="Int64")}))
    (block,) = [block for splits in source.splits(1) for block in source.read(splits)]
    np.testing.assert_array_equal(block.x, [[1, 4], [np.nan, np.nan]])
    plain = Arrays(pd.DataFrame({"a": [1, 2], "b": [True, False]}))
    np.testing.assert_array_equal(next(plain.read(plain.splits(1)[0])).x, [[1, 1], [2, 0]])


def test_vectors_become_numbers_and_what_is_no_feature_is_left_out():
    made = pa.table({"v": pa.array([[1.0, 2], [3, 4]], pa.list_(pa.float64(), 2)), "s": [{"a": 1}] * 2, "n": [5, None]})
    source = Arrays(made)
    assert source.names == ["v[0]", "v[1]", "n"]
    np.testing.assert_array_equal(next(source.read(source.splits(1)[0])).x, [[1, 2, 5], [3, 4, np.nan]])
    assert len(source.left_out) == 1
    assert "'s'): struct<a: int64> is no feature" in source.left_out[0]


def test_a_models_kinds_decide():
    x, y = table()
    trained = Arrays(x, y)
    schema = data.fit(data.summarise(trained, trained.splits(1)[0]), Spec(loss="squared"))
    strange = x.assign(colour=3, visits=x["visits"].astype(str), more=1)[[*x.columns[::-1], "more"]]
    read = next(Arrays(strange, schema=schema).read(trained.splits(1)[0])).x
    assert [column.kind for column in read.columns] == [column.kind for column in trained.columns]
    np.testing.assert_array_equal(read["visits"], x["visits"])
    assert set(read["colour"].to_pylist()) == {"3"}
    assert schema.encodings.encode(read).shape == (len(x), schema.inputs)
