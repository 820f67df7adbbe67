"""Cells of text become numbers, categories and dates, as people write them, or are told to be none."""

import math
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.data.tabular.cells import MISSING, PLAIN, Dialect, categories, dates, numbers

GERMAN, GROUPED = Dialect(decimal=",", grouped=True), Dialect(grouped=True)
DOLLARS, SHARES, BIG = Dialect(mark="$"), Dialect(mark="%"), Dialect(mark="$", grouped=True)

NUMBERS = [
    ("5", 5), (" 39 ", 39), ("-1.5e3", -1500), ("+2", 2), (".5", 0.5), ("7.", 7), ("007", 7), ("1e400", math.inf),
    ("-inf", -math.inf), ("٣", 3), ("x", None), ("1_0", None), ("0x1", None), ("1,5", None), ("--5", None),
    ("5 5", None), ("$5", None), ("5%", None), ("1,234", None), ("-", None),
]  # fmt: skip
WRITTEN = [
    (GROUPED, "1,234", 1234), (GROUPED, "-1,234,567.5", -1234567.5), (GROUPED, "12,34", None),
    (GROUPED, "1,2345", None),
    (GROUPED, "1 234", 1234), (GROUPED, "1'234.5", 1234.5), (GROUPED, "1\u202f234", 1234), (GROUPED, "0.5", 0.5),
    (GERMAN, "1,5", 1.5), (GERMAN, "1.234,5", 1234.5), (GERMAN, "1.234", 1234), (GERMAN, "1.5", None), (GERMAN, "5", 5),
    (GERMAN, "1 234,5", 1234.5), (GERMAN, ",5", 0.5), (GERMAN, "1,5e3", 1500), (Dialect(decimal=","), "1.234", None),
    (DOLLARS, "$5", 5), (DOLLARS, "-$ 5.5", -5.5), (DOLLARS, "$-5", -5),
    (DOLLARS, "5 $", 5), (DOLLARS, "5", 5), (DOLLARS, "$$5", None), (DOLLARS, "$", None),
    (DOLLARS, "€5", None), (Dialect(mark="€", decimal=",", grouped=True), "1.234,50 €", 1234.5),
    (SHARES, "45%", 45), (SHARES, "4.5 %", 4.5), (BIG, "$1,234.5", 1234.5),
]  # fmt: skip


def one(text, dialect):
    (value,), (bad,) = numbers(pa.array([text]), dialect)
    return None if bad else value


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_a_number_is_what_python_makes_of_it(text, value):
    assert one(text, PLAIN) == value
    many, bad = numbers(pa.array(["1.5", text, "x"]))  # the same among others
    assert (many[0], bad.tolist()) == (1.5, [False, value is None, True])
    assert value is None or many[1] == value


@pytest.mark.parametrize(("dialect", "text", "value"), WRITTEN)
def test_numbers_as_people_write_them(dialect, text, value):
    assert one(text, dialect) == value


@given(
    st.lists(st.one_of(st.floats(allow_nan=False).map(repr), st.text("0123456789.,-+eE $%", max_size=6)), max_size=8)
)
@settings(max_examples=300, deadline=None)
def test_a_number_does_not_depend_on_its_neighbours(cells):
    for dialect in (PLAIN, GROUPED, GERMAN, DOLLARS):
        together = numbers(pa.array(cells, pa.string()), dialect)
        alone = [numbers(pa.array([cell]), dialect) for cell in cells]
        for part in (0, 1):
            np.testing.assert_array_equal(together[part], [pair[part][0] for pair in alone])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=9))
@settings(max_examples=200, deadline=None)
def test_numbers_keep_every_bit(values):
    read, bad = numbers(pa.array([repr(value) for value in values], pa.string()))
    assert read.tobytes() == np.array(values, np.float64).tobytes()
    assert not bad.any()


@pytest.mark.parametrize("token", [*MISSING, " NA ", "\t", "oops"])
def test_missing_cells(token):
    dialect = Dialect(missing=(*MISSING, "oops"))
    values, bad = numbers(pa.array([token, "1"]), dialect)
    assert (math.isnan(values[0]), values[1], bad.any()) == (True, 1, False)
    assert categories(pa.array([token, "a"]), dialect.missing).to_pylist() == [None, "a"]
    moments, bad = dates(pa.array([token, "2020-01-01"]), dialect)
    assert (moments.null_count, bad.any()) == (1, False)


def test_a_chemical_element_is_not_missing():
    assert categories(pa.array(["Na", "K", "na"])).to_pylist() == ["Na", "K", None]


@pytest.mark.parametrize("make", [pa.array, lambda cells: pa.chunked_array([pa.array(cells[:2]), pa.array(cells[2:])]),
                                  lambda cells: pa.array(cells).dictionary_encode()])  # fmt: skip
def test_categories(make):
    cells = [" a", "a ", "TRUE", "false", "?", "True", "b c", "", "5.0", "05"]
    found = categories(make(cells))
    assert found.to_pylist() == ["a", "a", "true", "false", None, "true", "b c", None, "5.0", "05"]
    assert len(set(found.dictionary.to_pylist())) == len(found.dictionary)
    assert found.type == pa.dictionary(pa.int32(), pa.string())
    assert categories(make(cells), codes=True).to_pylist()[-2:] == ["5", "05"]
    assert categories(pa.array(["-1.00", "1.50", "0.0", "1."]), codes=True).to_pylist() == ["-1", "1.50", "0", "1"]
    assert categories(pa.array([], pa.string())).to_pylist() == []
    assert categories(pa.array(["", "NA"])).to_pylist() == [None, None]


DATES = [
    ("2011-01-02", "", "2011-01-02T00:00:00"),
    ("2011/1/2", "", "2011-01-02T00:00:00"),
    ("2011.01.02 7:05", "", "2011-01-02T07:05:00"),
    ("2011-01/02", "", None),
    ("2011-01-02T03", "", "2011-01-02T03:00:00"),
    ("2011-01-02T03:04:05.123456789Z", "", "2011-01-02T03:04:05.123456"),
    ("2011-01-02 03:04:05,5", "", "2011-01-02T03:04:05.500000"),
    ("2011-01-02 03:04:05+0530", "", "2011-01-01T21:34:05"),
    ("2011-01-02 03:04:05 -08", "", "2011-01-02T11:04:05"),
    ("2011-01-02T03:04 UTC", "", "2011-01-02T03:04:00"),
    ("1900-02-29", "", None),
    ("2000-02-29", "", "2000-02-29T00:00:00"),
    ("1850-06-30", "", "1850-06-30T00:00:00"),
    ("9999-12-31", "", "9999-12-31T00:00:00"),
    ("2011-13-01", "", None),
    ("2011-01-02 24:00", "", None),
    ("2011-01-02 10:60", "", None),
    ("20110102", "", "2011-01-02T00:00:00"),
    ("1300000000", "", "2011-03-13T07:06:40"),
    ("1300000000123", "", "2011-03-13T07:06:40.123000"),
    ("13000000", "", None),
    ("9999999999999999999", "", None),
    ("2.1.2011", "", None),
    ("2.1.2011", "dmy", "2011-01-02T00:00:00"),
    ("31/01/2011 5:06", "dmy", "2011-01-31T05:06:00"),
    ("31/01/2011", "mdy", None),
    ("01/31/2011 08:00:00 PM", "mdy", "2011-01-31T20:00:00"),
    ("01/31/2011 12:30 am", "mdy", "2011-01-31T00:30:00"),
    ("01/31/2011 13:30 pm", "mdy", None),
    ("1-2-68", "dmy", "2068-02-01T00:00:00"),
    ("1-2-69", "dmy", "1969-02-01T00:00:00"),
    ("2011-01-02", "mdy", "2011-01-02T00:00:00"),
    ("24-Dec-2020", "", "2020-12-24T00:00:00"),
    ("24 december 2020 5:06", "", "2020-12-24T05:06:00"),
    ("Sept. 3, 2020", "", "2020-09-03T00:00:00"),
    ("May 1st, 2020", "mdy", "2020-05-01T00:00:00"),
    ("01JAN2020", "", "2020-01-01T00:00:00"),
    ("31-Feb-2020", "", None),
    ("1-Mayor-2020", "", None),
    ("tomorrow", "dmy", None),
]


@pytest.mark.parametrize(("text", "order", "expected"), DATES)
@pytest.mark.parametrize("beside", [[], ["2020-01-01"], ["no date"]])
def test_dates(text, order, expected, beside):
    moments, bad = dates(pa.array([text, *beside, text, ""]), Dialect(order=order))
    assert moments.type == pa.timestamp("us")
    value = None if expected is None else datetime.fromisoformat(expected)
    assert moments[0].as_py() == moments[-2].as_py() == value
    assert bad.tolist()[0] is (expected is None)
    assert (moments[-1].as_py(), bad.tolist()[-1]) == (None, False)


@given(
    st.lists(st.datetimes(datetime(1000, 1, 1)), max_size=5),
    st.sampled_from(["%d.%m.%Y %H:%M:%S.%f", "%Y/%m/%d %H:%M:%S.%f"]),
)
@settings(max_examples=100, deadline=None)
def test_moments_keep_every_microsecond(moments, form):
    texts = [f"{moment:{form}}" for moment in moments]
    read, bad = dates(pa.array(texts, pa.string()), Dialect(order="dmy"))
    assert read.to_pylist() == moments
    assert not bad.any()
