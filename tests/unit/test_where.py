"""A filter picks exactly the rows that SQL would, and never leaves out a file or a row group with one of them."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.data.layouts.filtering import Range, check, mask, outcomes
from hdl.data.layouts.where import columns, parse
from hdl.errors import SpecError

DAYS = [dt.date(2024, 1, 1), None, dt.date(2024, 2, 1), dt.date(1999, 1, 1)]
MOMENT = dt.datetime(2024, 1, 1, 5)
TABLE = {
    "i": pa.array([1, 2, None, 4]),
    "f": pa.array([0.5, float("nan"), None, 2], pa.float32()),
    "s": pa.array(["a", "b", None, "ab"]).dictionary_encode(),
    "d": pa.array(DAYS),
    "t": pa.array([MOMENT, MOMENT, MOMENT, None], pa.timestamp("ns", "UTC")),
    "c": pa.array([Decimal("1.50"), Decimal("2"), None, Decimal("-3")]),
    "b": pa.array([True, False, None, True]),
    "u": pa.array([2**63, 1, 2, 3], pa.uint64()),
    "bytes": pa.array([b"a", b"b", None, b"c"]),
    "a b": pa.array([0, 1, 2, 3]),
}
TYPES = {name: array.type for name, array in TABLE.items()}
PICKS = {
    "i > 1": "0101", "not i > 1": "1000", "i != 2": "1001", "i <> 2": "1001", "i < 2.5": "1100", "i > 1e30": "0000",
    "1 < i": "0101", "f < 1": "1000", "not f < 1": "0001", "f is null": "0110", "i is not null": "1101",
    "s = 'a'": "1000", "s == 'a'": "1000", "s in ('a', 'b')": "1100", "s not in ('a')": "0101", "s like 'a%'": "1001",
    "s like '_'": "1100", "d >= 2024-01-15": "0010", "d = 20240201": "0010", "d = '2024-01-01'": "1000",
    "d between 2024-01-01 and 2024-12-31": "1010", "t > 2024-01-01": "1110", "t < 2024-01-01 05:00:00.000001": "1110",
    "t = 2024-01-01T06:00+01:00": "1110", "t < 2500-01-01": "1110", "c = 1.5": "1000", "c > 1.49": "1100",
    "c <= -3": "0001", "b": "1001", "not b": "0100", "b = true": "1001", "b = 'false'": "0100",
    "u > 9223372036854775807": "1000", "u >= -1": "1111", "bytes = 'b'": "0100", '"a b" > 1': "0011",
    "`a b` > 1": "0011", "i = 1 or s = 'b' and f is null": "1100", "(i = 1 or s = 'b') and f is null": "0100",
    "i > 1 or s = 'a'": "1101", "not (i > 1 and s = 'b')": "1001", "I > 1": None, "NOT i > 1 AND B": None,
}  # fmt: skip
REFUSED = {
    "z = 1": "there is no column 'z'; there are 'i', 'f', .* at character 1 of",
    "i = 1 and z = 1": "no column 'z'.* at character 11 of",
    "i = 'x'": "column 'i' holds numbers; 'x' is none, at character 1",
    "s = 5": "column 's' holds text; 5 is none; write it in quotes, '5'",
    "d = true": "column 'd' holds dates; True is none",
    "d > 'soon'": "column 'd' holds dates",
    "s": "column 's' holds text; expected a comparison",
    "i like 'x'": "column 'i' holds numbers",
    "i != b": "'b'; expected a value; columns are not compared with each other.* at character 6",
    "i =": "the end; expected a value, at character 4",
    "i = null": "'null'; expected a value; a missing one is found by 'is null'",
    "i & b": "'& b' is no column, value or sign, at character 3",
    "": "the end; expected a column or a value, at character 1",
    "(i = 1": r"the end; expected '\)'",
    "i = 1)": r"'\)'; expected 'and', 'or' or the end",
    "i not 5": "expected 'in', 'between' or 'like'",
    "d = 2024-13-01": "2024-13-01 is no date",
    "i = 1 b = 2": "expected 'and', 'or' or the end",
    "5": "expected a comparison",
    "__import__(0)": r"'\(0\)'; expected 'and', 'or'",
    "(" * 5000 + "i = 1" + ")" * 5000: "brackets within brackets",
}


@pytest.mark.parametrize("text", [text for text, rows in PICKS.items() if rows])
def test_rows_are_picked(text):
    condition = parse(text)
    check(condition, TYPES, text)
    assert "".join("01"[int(met)] for met in mask(condition, TABLE.__getitem__)) == PICKS[text]


def test_words_are_read_in_any_case_and_columns_are_not():
    assert parse("NOT i > 1 AND B") == parse("not i > 1 and B")
    assert columns(parse("I > 1 or i is NULL")) == ["I", "i"]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_filter_is_refused_with_the_place(text):
    with pytest.raises(SpecError, match=r"^where: .*" + REFUSED[text]):
        check(parse(text), TYPES, text)


NUMBERS = st.one_of(st.none(), st.integers(-3, 3), st.just(float("nan")), st.floats(-3, 3).map(lambda x: round(x, 1)))
VALUE = st.integers(-3, 3) | st.floats(-3, 3).map(lambda x: round(x, 1))
TEST = st.one_of(
    st.tuples(st.sampled_from("xy"), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), VALUE).map(
        "{0[0]} {0[1]} {0[2]}".format),
    st.tuples(st.sampled_from("xy"), st.booleans()).map(lambda of: f"{of[0]} is {'not ' * of[1]}null"),
    st.tuples(st.sampled_from("xy"), VALUE, VALUE).map("{0[0]} in ({0[1]}, {0[2]})".format),
    st.tuples(st.sampled_from("xy"), VALUE, VALUE).map("{0[0]} not between {0[1]} and {0[2]}".format),
)  # fmt: skip
CONDITION = st.recursive(
    TEST,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map("({0[0]}) {0[1]} ({0[2]})".format),
    ),
    max_leaves=6,
)  # fmt: skip


def by_hand(text, row):
    """What SQL's three values make of a row: the filter as Python, on values that know null."""
    condition = parse(text)

    def value(node):
        if hasattr(node, "parts"):
            parts = [value(part) for part in node.parts]
            if node.operator == "not":
                return None if parts[0] is None else not parts[0]
            first = {"and": False, "or": True}[node.operator]
            return first if first in parts else None if None in parts else not first
        held = row[node.column]
        missing = held is None or held != held
        if node.operator == "null":
            return missing
        if missing:
            return None
        of_any = lambda a: any(held == float(each) for each in node.values)  # noqa: E731
        return {
            "=": lambda a: held == a, "!=": lambda a: held != a, "<": lambda a: held < a, "<=": lambda a: held <= a,
            ">": lambda a: held > a, ">=": lambda a: held >= a,
        }.get(node.operator, of_any)(float(node.values[0]))  # fmt: skip

    return value(condition) is True


@given(text=CONDITION, x=st.lists(NUMBERS, min_size=1, max_size=8), data=st.data())
@settings(max_examples=300, deadline=None)
def test_rows_are_those_of_sql_and_nothing_with_one_of_them_is_passed_over(text, x, data):
    y = data.draw(st.lists(NUMBERS, min_size=len(x), max_size=len(x)))
    floats = [pa.array([None if v is None else float(v) for v in values]) for values in (x, y)]
    held = dict(zip("xy", floats, strict=True))
    condition = parse(text)
    check(condition, {name: array.type for name, array in held.items()}, text)
    picked = mask(condition, held.__getitem__)
    assert picked.tolist() == [by_hand(text, {"x": a, "y": b}) for a, b in zip(x, y, strict=True)]

    def known(name):
        there = [v for v in (x if name == "x" else y) if v is not None and v == v]
        return Range(min(there), max(there), len(there) < len(x)) if there else Range(None, None, True)

    for ranges in (known, lambda name: known(name) if name == "x" else None, lambda name: None):
        possible = outcomes(condition, ranges)
        assert True in possible or not picked.any()
        assert possible != {True} or picked.all()


def test_a_filter_that_no_range_meets_is_seen():
    inside = {"dt": Range(dt.date(2024, 1, 1), dt.date(2024, 1, 31), False), "c": Range("DE", "FR", False)}
    for text, met in {"dt >= 2024-02-01": False, "dt < 2024-01-02": True, "c = 'AT'": False, "c = 'ES'": True,
                      "c like 'D%'": True, "not dt > 2023-12-31": False, "dt is null": False}.items():  # fmt: skip
        assert (True in outcomes(parse(text), inside.get)) is met, text
    assert outcomes(parse("dt > 2023-01-01"), inside.get) == {True}
    assert outcomes(parse("c = 5"), inside.get) == {True, False, None}  # of another type: nothing is known


def test_a_range_of_doubles_is_compared_as_rows_are():
    """1.8 is no double: what a row group's statistics say equals the literal as rows do."""
    assert outcomes(parse("x = 1.8"), lambda name: Range(1.8, 1.8, False)) == {True}
    assert outcomes(parse("x != 1.8"), lambda name: Range(1.8, 1.8, False)) == {False}


@pytest.mark.parametrize("text", ["c < 1e30", "c < 1e400", "i < 1e400", "u < 1e400", "f < 1e400", "c > -1e39"])
def test_literals_beyond_every_value(text):
    kind = text[0]
    assert mask(parse(text), TABLE.__getitem__).tolist() == [
        value is not None and value == value for value in TABLE[kind].to_pylist()
    ]


def test_numbers_beyond_doubles_are_told_apart():
    held = pa.array([2**53, 2**53 + 1, 2**53 + 2])
    assert mask(parse(f"x = {2**53 + 1}"), lambda name: held).tolist() == [False, True, False]
    assert np.count_nonzero(mask(parse(f"x > {2**53}"), lambda name: held)) == 2
