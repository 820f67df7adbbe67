"""Applies a filter: to what is known of whole files and row groups, so that they need not be read, and to rows.

Logic is SQL's: a comparison with a missing value is neither true nor false, and a row is there if the whole is true.
NaN is a missing value.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.layouts.where import Condition, Literal, Test, failure, moment, tests
from hdl.data.names import some
from hdl.errors import SpecError

ANY: frozenset[bool | None] = frozenset((True, False, None))
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip


@cache
def _arrow() -> dict[str, Callable[[Any, Any], Any]]:
    """Return Arrow's comparisons by their signs."""
    return {
        "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
    }  # fmt: skip


_WORDS = {"number": "numbers", "date": "dates", "truth": "true or false", "text": "text"}


class Range(NamedTuple):
    """Holds what is known of a column without reading it.

    Attributes
    ----------
    low, high : value or None
        No value is beyond them, whether or not there are such; None of a column of missing values.
    missing : bool
        Whether values may be missing.
    """

    low: Any
    high: Any
    missing: bool


def family(kind: pa.DataType) -> str | None:
    """Tell how values of a type compare: as number, text, date or truth; None if they do not."""
    if pa.types.is_dictionary(kind):
        return family(kind.value_type)
    if pa.types.is_boolean(kind):
        return "truth"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date"
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "text" if text or pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else None


def check(condition: Condition, types: Mapping[str, pa.DataType], text: str, names: bool = False) -> None:
    """Refuse a filter on columns that are not there, or with values that its columns cannot have.

    Parameters
    ----------
    types : mapping of str to DataType
        Of all columns.
    text : str
        The filter.
    names : bool
        Only names are known: types are not looked at.

    Raises
    ------
    SpecError
        It names the column, what there is, and the place.
    """
    for test in tests(condition):
        if test.column not in types:
            what = f"there is no column {test.column!r}; there are {some([*types])}"
            raise failure(text, test.at, what)
        kind = types[test.column]
        held = family(kind)
        if test.operator == "null" or names or pa.types.is_null(kind):
            continue
        if held is None:
            raise failure(text, test.at, f"column {test.column!r} is {kind}, which compares with nothing")
        if (test.operator == "true" and held != "truth") or (test.operator == "like" and held != "text"):
            what = f"column {test.column!r} holds {_WORDS[held]}"
            raise failure(text, test.at, f"{what}; expected a comparison, as in {test.column} = …")
        for value in test.values:
            try:
                typed(value, held)
            except ValueError as error:
                raise failure(text, test.at, f"column {test.column!r} holds {_WORDS[held]}; {error}") from None


def typed(value: Literal, held: str) -> Any:
    """Give a literal as a column that holds numbers, text, dates or truth values compares with it.

    Raises
    ------
    ValueError
        It has no such meaning.
    """
    if held == "text" and isinstance(value, str):
        return value
    if held == "truth":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
    if held == "number" and not isinstance(value, (bool, date)):
        try:
            return Decimal(value)
        except ArithmeticError:
            pass
    if held == "date":
        if isinstance(value, date):
            return _moment(value)
        written = str(value)
        if re.fullmatch(r"\d{8}", written):
            written = f"{written[:4]}-{written[4:6]}-{written[6:]}"
        if not isinstance(value, bool):
            return _moment(moment(written))
    way = f"; write it in quotes, '{value}'" if held == "text" else ""
    raise ValueError(f"{value!r} is none{way}" if isinstance(value, str) else f"{value} is none{way}")


def _moment(value: Any) -> Any:
    """Give dates and moments, of any zone, as naive moments in UTC, which compare; other values as they are."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


def outcomes(condition: Condition, known: Callable[[str], Range | None]) -> frozenset[bool | None]:
    """Find what a condition may be, of True, False and None (neither), on rows of which little is known.

    Parameters
    ----------
    known : function of a column's name
        None where nothing is known.

    Examples
    --------
    >>> from hdl.data.layouts.where import parse
    >>> outcomes(parse("a > 3 and b = 'x'"), lambda name: Range(1, 2, False) if name == "a" else None)
    frozenset({False})
    """
    if isinstance(condition, Test):
        return _possible(condition, known(condition.column))
    parts = [outcomes(part, known) for part in condition.parts]
    if condition.operator == "not":
        return frozenset(None if value is None else not value for value in parts[0])
    found = parts[0]
    for part in parts[1:]:
        found = frozenset(_both(a, b) if condition.operator == "and" else _either(a, b) for a in found for b in part)
    return found


def _both(a: bool | None, b: bool | None) -> bool | None:
    return False if a is False or b is False else None if a is None or b is None else True


def _either(a: bool | None, b: bool | None) -> bool | None:
    return True if a is True or b is True else None if a is None or b is None else False


def _possible(test: Test, there: Range | None) -> frozenset[bool | None]:
    if there is None:
        return ANY
    low, high = _moment(there.low), _moment(there.high)
    found: set[bool | None] = set()
    if there.missing:
        found.add(True if test.operator == "null" else None)
    if low is not None and high is not None:
        try:
            found |= {False} if test.operator == "null" else _compared(test, low, high)
        except (TypeError, ValueError, SpecError):  # values of another type than was thought: nothing is known
            return ANY
    return frozenset(found)


def _compared(test: Test, low: Any, high: Any) -> set[bool | None]:
    """Find what a comparison may be for values of which none is beyond low and high."""
    held = _held(low)
    if test.operator == "true":
        return {bool(low), bool(high)}
    if test.operator == "like":
        return {_like(low, str(test.values[0]))} if low == high else {True, False}
    values = [typed(value, held) for value in test.values]
    if isinstance(low, float) or isinstance(high, float):  # rows are compared as doubles, too
        values = [float(value) for value in values]
    if test.operator in ("=", "in"):
        found: set[bool | None] = set()
        if any(low <= value <= high for value in values):
            found.add(True)
        if not (low == high and any(low == value for value in values)):
            found.add(False)
        return found
    if test.operator == "!=":
        return {not value for value in _compared(test.__class__(test.column, "=", test.values), low, high)}
    compare, value = _COMPARE[test.operator], values[0]
    return {compare(low, value), compare(high, value)}


def _held(value: Any) -> str:
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, datetime):
        return "date"
    if isinstance(value, str):
        return "text"
    if isinstance(value, (int, float, Decimal)):
        return "number"
    raise TypeError(f"no rule compares {type(value).__name__}")


def _like(value: str, pattern: str) -> bool:
    parts = ("." if mark == "_" else ".*" if mark == "%" else re.escape(mark) for mark in pattern)
    return bool(re.fullmatch("".join(parts), value, re.S))


def mask(condition: Condition, column: Callable[[str], pa.Array]) -> np.ndarray:
    """Find the rows that meet a condition which `check` has seen, bool [n].

    Parameters
    ----------
    column : function of a column's name
        Its values, [n].
    """
    return pc.fill_null(_true(condition, column), False).to_numpy(zero_copy_only=False)


def _true(condition: Condition, column: Callable[[str], pa.Array]) -> pa.Array:
    if isinstance(condition, Test):
        return _row_test(condition, column(condition.column))
    parts = [_true(part, column) for part in condition.parts]
    if condition.operator == "not":
        return pc.invert(parts[0])
    found, join = parts[0], pc.and_kleene if condition.operator == "and" else pc.or_kleene
    for part in parts[1:]:
        found = join(found, part)
    return found


def _row_test(test: Test, values: pa.Array) -> pa.Array:
    if test.operator == "null":
        return pc.is_null(values, nan_is_null=True)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.bool_())
    held = str(family(values.type))
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if held == "text" and not pa.types.is_string(values.type):
        values = values.cast(pa.string())
    if pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)
    if held == "date":
        unit = "ns" if pa.types.is_timestamp(values.type) and values.type.unit == "ns" else "us"
        values = values.cast(pa.timestamp(unit))
    if test.operator == "true":
        return values
    if test.operator == "like":
        return pc.match_like(values, str(test.values[0]))
    sign = "=" if test.operator == "in" else test.operator
    found = None
    for value in test.values:
        one = _arrow()[sign](*_alike(values, typed(value, held)))
        found = one if found is None else pc.or_kleene(found, one)
    return found


def _alike(values: pa.Array, value: Any) -> tuple[pa.Array, pa.Scalar]:
    """Give values and a literal of types that Arrow compares without loss."""
    if not isinstance(value, Decimal):
        if pa.types.is_timestamp(values.type) and not 1678 <= value.year <= 2261:  # beyond nanoseconds
            values = values.cast(pa.timestamp("us"), safe=False)
        return values, pa.scalar(value, values.type)
    whole = value == value.to_integral_value()
    if pa.types.is_integer(values.type) and whole and -(2**63) <= value < 2**63:
        wide = values.cast(pa.int64()) if values.type != pa.uint64() else values
        if wide.type == pa.uint64() and value < 0:
            return values.cast(pa.float64(), safe=False), pa.scalar(float(value))
        return wide, pa.scalar(int(value), wide.type)
    if pa.types.is_decimal(values.type) and value.adjusted() < 38:
        exact = pa.scalar(Decimal(int(value)) if whole else value)
        spare = exact.type.precision - exact.type.scale + max(values.type.scale, exact.type.scale)
        if spare <= 38 and values.type.precision - values.type.scale + max(values.type.scale, exact.type.scale) <= 38:
            return values, exact
    return values.cast(pa.float64(), safe=False), pa.scalar(float(value))
