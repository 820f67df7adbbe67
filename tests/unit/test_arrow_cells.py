"""Arrow's columns as cells of a frame: what each type means, and that a level's text does not depend on the type."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

from hdl.data.tabular.arrow import canonical, kind_of, of_arrow
from hdl.data.tabular.frame import Column, category_type, date_type
from hdl.data.tabular.memory import columns_of, is_table, table_of
from hdl.errors import DataError

NOON = datetime.datetime(2024, 3, 31, 12)
THREES = [
    pa.array([3, None, 10], pa.int8()), pa.array([3, None, 10], pa.uint64()), pa.array([3.0, np.nan, 10.0]),
    pa.array([3.0, None, 10.0], pa.float16()), pa.array(["3", None, "10"], pa.string_view()),
    pa.array([decimal.Decimal("3.00"), None, decimal.Decimal("10.00")]),
    pa.array([3.0, None, 10.0]).dictionary_encode(), pa.array([" 3", " ", "10 "], pa.large_string()),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.uint8()), pa.array(["3", None, "10"])),
    pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["3 ", "", "10"])),
    pa.chunked_array([pa.array(["3", None]).dictionary_encode(), pa.array(["10"]).dictionary_encode()]),
]  # fmt: skip


@pytest.mark.parametrize("array", THREES, ids=lambda array: str(array.type))
def test_a_level_is_the_same_text_whatever_its_type(array):
    made = canonical(array, "category")
    assert made.type == category_type()
    assert made.to_pylist() == ["3", None, "10"]
    if "dictionary" not in str(array.type):
        np.testing.assert_array_equal(canonical(array, "number"), [3, np.nan, 10])


def test_other_levels():
    assert canonical(pa.array([1.5, -0.0, 0.1, 1e20]), "category").to_pylist() == ["1.5", "0", "0.1", "1e+20"]
    assert canonical(pa.array([0.1], pa.float32()), "category").to_pylist() == ["0.1"]
    assert canonical(pa.array([True, None, False]), "category").to_pylist() == ["true", None, "false"]
    assert canonical(pa.array([decimal.Decimal("1.50")]), "category").to_pylist() == ["1.5"]
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), pa.array(["a", "a "]))
    assert canonical(twice, "category").dictionary.to_pylist() == ["a"]


def test_decimals_are_rounded_once():
    values = np.random.default_rng(0).integers(-(10**9), 10**9, 5000)
    exact = [decimal.Decimal(int(value)).scaleb(-3) for value in values]
    np.testing.assert_array_equal(canonical(pa.array(exact, pa.decimal128(18, 3)), "number"), list(map(float, exact)))


@pytest.mark.parametrize(
    "kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.timestamp("us", "Europe/Berlin"), pa.date64()]
)
def test_dates_are_moments_of_utc(kind):
    zoned = kind == pa.timestamp("us", "Europe/Berlin")
    moment = NOON.replace(tzinfo=datetime.UTC) if zoned else NOON.replace(hour=0) if kind == pa.date64() else NOON
    made = canonical(pa.array([moment, None], kind), "date")
    assert made.type == date_type()
    assert made.to_pylist() == [moment.replace(tzinfo=None), None]


def test_times_and_durations_are_seconds():
    hours = pa.array([datetime.timedelta(hours=2), None])
    np.testing.assert_array_equal(canonical(hours, "number"), [7200, np.nan])
    np.testing.assert_array_equal(canonical(pa.array([datetime.time(0, 1)], pa.time32("ms")), "number"), [60])


def test_types_without_a_kind_and_cells_of_another_are_refused():
    for kind in (pa.binary(), pa.list_(pa.int8()), pa.struct([("a", pa.int8())]), pa.month_day_nano_interval()):
        assert kind_of(kind) is None
    table = pa.table({"a": ["1", "x"], "b": [1, 2], "c": [b"u", b"v"]})
    for column, message in (
        (Column("a"), "column 'a': expected numbers.*'x'"),
        (Column("a", "date"), "column 'a': expected dates"),
        (Column("b", "date"), "column 'b': int64 is no date"),
        (Column("c", "category"), "column 'c': binary is no category"),
        (Column("c"), "column 'c'"),
    ):
        with pytest.raises(DataError, match=message):
            of_arrow(table, [column])


def test_frames_keep_the_order_of_their_columns():
    table = pa.table({"colour": ["red", None], "size": [1, 2], "seen": [NOON, None], "weight": [0.5, None]})
    frame = of_arrow(table, columns_of(table))
    assert [column.kind for column in frame.columns] == ["category", "number", "date", "number"]
    np.testing.assert_array_equal(frame.numbers, [[1, 0.5], [2, np.nan]])
    assert frame["colour"].to_pylist() == ["red", None]


def test_what_is_a_table():
    assert is_table(pa.table({"a": [1]}))
    assert is_table(pa.record_batch({"a": [1]}))
    for other in (np.ones((2, 2)), pa.array([1]), pa.chunked_array([[1]]), [[1]], {"a": [1]}):
        assert not is_table(other)
    with pytest.raises(DataError, match="same name: 'a'"):
        table_of(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]))
