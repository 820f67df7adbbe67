"""Files of one table whose columns changed over time are one table; what cannot be one is refused with both names."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.layouts.cells import joined
from hdl.errors import DataError

Y = pa.array([0, 1])


def fill(folder, *tables):
    folder.mkdir(exist_ok=True)
    for number, columns in enumerate(tables):
        pq.write_table(pa.table({**columns, "label": Y}), folder / f"{number}.parquet")
    return str(folder)


def rows(path, options=None, schema=None):
    """Rows as lists of Python's values, by the driver's and by a worker's reading."""
    source = data.open_source(path, options, schema)
    out = []
    for reader in (source, data.open_source(path, source.settled(), schema)):
        found = []
        for block in (block for part in source.splits(3) for block in reader.read(part)):
            for i in range(len(block)):
                row, number, other = [], 0, 0
                for column in source.columns:
                    if column.kind == "number":
                        value = float((block.x if isinstance(block.x, np.ndarray) else block.x.numbers)[i, number])
                        row.append(None if value != value else value)
                        number += 1
                    else:
                        row.append(block.x.others[other][i].as_py())
                        other += 1
                found.append(row)
        out.append(found)
    assert out[0] == out[1]
    return source, out[0]


PAIRS = {
    "int to long": (pa.array([1, 2], pa.int32()), pa.array([2**40, None], pa.int64()), [1, 2, 2.0**40, None]),
    "float to double": (pa.array([0.5, 2], pa.float32()), pa.array([0.1, 1e30]), [0.5, 2, 0.1, 1e30]),
    "int to double": (pa.array([1, 2], pa.int32()), pa.array([0.5, None]), [1, 2, 0.5, None]),
    "unsigned and signed": (pa.array([255, 0], pa.uint8()), pa.array([-1, 1], pa.int8()), [255, 0, -1, 1]),
    "decimals": (pa.array([Decimal("1.5"), None]), pa.array([Decimal("2.25"), Decimal("300")]), [1.5, None, 2.25, 300]),
    "decimal and int": (pa.array([Decimal("1.5"), None]), pa.array([2, 3]), [1.5, None, 2, 3]),
    "nothing, then numbers": (pa.array([None, None]), pa.array([2, 3]), [None, None, 2, 3]),
    "text and dictionary": (pa.array(["a", None]), pa.array(["b", "a"]).dictionary_encode(), ["a", None, "b", "a"]),
    "text and large text": (pa.array(["a", "b"]), pa.array(["c", None], pa.large_string()), ["a", "b", "c", None]),
    "date and timestamp": (pa.array([dt.date(2024, 1, 2), None]), pa.array([dt.datetime(2024, 1, 2, 3)] * 2),
                           [dt.datetime(2024, 1, 2), None, *[dt.datetime(2024, 1, 2, 3)] * 2]),
}  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_types_are_widened(tmp_path, name, turned):
    first, second, expected = PAIRS[name]
    if turned:
        first, second, expected = second, first, expected[2:] + expected[:2]
    source, found = rows(fill(tmp_path, {"v": first, "other": ["x", "y"]}, {"v": second, "other": ["x", "y"]}))
    assert [row[0] for row in found] == expected
    assert source.reading["drift"][0].startswith("v: ")


def test_columns_that_were_added_left_out_or_moved(tmp_path):
    folder = fill(
        tmp_path, {"a": [1, 2], "b": ["u", "v"]}, {"more": [0.5, 1.5], "b": ["u", "v"], "a": [3, 4]}, {"a": [5, 6]}
    )
    source, found = rows(folder)
    assert source.names == ["a", "b", "more"]
    assert found == [[1, "u", None], [2, "v", None], [3, "u", 0.5], [4, "v", 1.5], [5, None, None], [6, None, None]]
    assert source.reading["drift"] == ["b: missing in 1 of 3 files", "more: missing in 2 of 3 files"]


def test_types_that_do_not_go_together_are_refused_with_both_files(tmp_path):
    folder = fill(tmp_path, {"a": [1, 2], "b": [1, 2]}, {"a": ["u", "v"], "b": [1, 2]})
    with pytest.raises(
        DataError, match=r"1.parquet: column 'a' is string; in .*0.parquet it is int64, and no type.*--ignore a"
    ):
        data.open_source(folder)
    source, found = rows(folder, {"ignore": "a"})
    assert (source.names, len(found)) == (["b"], 4)


def test_another_table_in_the_folder_is_refused(tmp_path):
    folder = fill(tmp_path, {"a": [1, 2], "b": [1, 2], "c": [1, 2]}, {"name": ["u", "v"], "street": ["u", "v"]})
    with pytest.raises(
        DataError, match=r"1.parquet: a table of other columns \('name', 'street', 'label'\) than .*0.parquet"
    ):
        data.open_source(folder)


def test_a_file_without_the_label_is_refused(tmp_path):
    folder = fill(tmp_path, {"a": [1, 2], "b": [1, 2]})
    pq.write_table(pa.table({"a": [1, 2], "b": [1, 2]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1.parquet: columns 'label' of .*0.parquet are missing"):
        data.open_source(folder)
    assert len(list(data.open_source(folder, labels=False).splits(1)[0])) == 2


def test_many_files_are_joined_in_their_order(tmp_path):
    """More than are described one after another."""
    folder = fill(tmp_path, *({"a": [i, i + 0.5], f"c{i % 3}": ["u", None]} for i in range(20)))
    source, found = rows(folder)
    assert source.names == ["a", "c0", "c1", "c2"]
    assert sorted(row[0] for row in found) == sorted(v for i in range(20) for v in (i, i + 0.5))


KINDS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(),
         pa.float64(), pa.decimal128(9, 2), pa.decimal128(20, 0), pa.string(), pa.binary(), pa.date32(),
         pa.timestamp("ms", "UTC"), pa.bool_(), pa.null(), pa.list_(pa.int64()), pa.list_(pa.float32(), 3)]  # fmt: skip


@given(st.lists(st.sampled_from(KINDS), min_size=2, max_size=4))
@settings(max_examples=200, deadline=None)
def test_the_type_that_holds_both_does_not_depend_on_which_came_first(kinds):
    a, b = kinds[:2]
    one, other = joined(a, b), joined(b, a)
    assert (one is None) == (other is None)
    if one is not None and not pa.types.is_list(a) and not pa.types.is_list(b):
        assert one == other
        assert joined(one, a) == joined(one, b) == one
