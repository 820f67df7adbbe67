"""Cells of text as a frame holds them: numbers, categories and dates, whole columns at a time.

A number is what Python's `float` makes of it, once what people write beside and inside of numbers is taken away as the
column's dialect says: `$5`, `45%`, `1,234`, `1,5`. A date is ISO's, or has day, month and year in the column's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.tabular.arrow import whole
from hdl.data.tabular.date_cells import moments_of
from hdl.data.tabular.flags import GROUPED, ORDERS
from hdl.data.tabular.frame import category_type, date_type

# How a value that is missing is written, beside `--na-values`. `Na` is a chemical element.
MISSING = (
    "", "NA", "na", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "Null", "None", "none", "NONE", r"\N", "?", ".",
    "<NA>", "<na>", "#N/A", "NaT",
)  # fmt: skip
MARKS = "$€£¥₹₽₩%"  # that stand before or behind numbers
BLANKS = " '\u2019\u00a0\u2009\u202f"  # that part thousands and are no decimal mark
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_WORDS = r"(?i)^[+-]?(?:inf|infinity|nan(?:\([a-z0-9_]*\))?)$"  # as Arrow reads them


@dataclass(frozen=True)
class Dialect:
    """The way that the numbers or the dates of one column are written.

    Attributes
    ----------
    decimal : {'.', ','}
    grouped : bool
        Whether the other one of point and comma parts thousands.
    mark : str
        What stands beside numbers: one of `MARKS`, or empty.
    order : {'', 'ymd', 'dmy', 'mdy'}
        Of dates; empty: not known.
    missing : tuple of str
        Texts that say that a value is missing, the usual ones among them.
    """

    decimal: str = "."
    grouped: bool = False
    mark: str = ""
    order: str = ""
    missing: tuple[str, ...] = MISSING

    @property
    def plain(self) -> bool:
        """Tells whether a number is written as Python writes it."""
        return self.decimal == "." and not self.grouped and not self.mark

    def details(self, kind: str) -> tuple[str, ...]:
        """Say in the words of `--columns` what is not usual."""
        if kind == "date":
            return (self.order,) if self.order else ()
        return tuple(filter(None, (self.mark, GROUPED * self.grouped))) if kind == "number" else ()

    @classmethod
    def of(cls, details: Sequence[str], decimal: str = ".", missing: tuple[str, ...] = MISSING) -> Dialect:
        """Make a dialect of what `details` said."""
        mark = next((word for word in details if word not in (*ORDERS, GROUPED)), "")
        order = next((word for word in details if word in ORDERS), "")
        return cls(decimal, GROUPED in details, mark, order, missing)


PLAIN = Dialect()


def _stripped(text: Any, missing: Sequence[str]) -> pa.Array:
    """Give strings without blanks around them; null where they say that a value is missing."""
    text = whole(text)
    if pa.types.is_dictionary(text.type):
        text = text.dictionary_decode()
    text = pc.utf8_trim_whitespace(text if text.type == pa.string() else text.cast(pa.string()))
    absent = pc.is_in(text, value_set=pa.array(missing, pa.string()))
    return pc.if_else(absent, pa.scalar(None, pa.string()), text)


def numbers(text: Any, dialect: Dialect = PLAIN) -> tuple[np.ndarray, np.ndarray]:
    """Read numbers.

    Parameters
    ----------
    text : pyarrow.Array or ChunkedArray of strings [n]

    Returns
    -------
    ndarray of float64 [n], ndarray of bool [n]
        NaN where a value is missing or no number; and where it is no number.

    Examples
    --------
    >>> numbers(pa.array(["1,234", "5", "NA", "x"]), Dialect(grouped=True))
    (array([1234.,    5.,   nan,   nan]), array([False, False, False,  True]))
    """
    there = _stripped(text, dialect.missing)
    values = there if dialect.plain else plain(there, dialect)
    try:
        floats = values.cast(pa.float64())
    except pa.ArrowInvalid:
        floats = _each(values)
    bad = pc.and_(there.is_valid(), floats.is_null()).to_numpy(zero_copy_only=False)
    return _floats(floats), bad


def _floats(array: pa.Array) -> np.ndarray:
    return array.to_numpy(zero_copy_only=False) if array.null_count else array.to_numpy()


def _each(values: pa.Array) -> pa.Array:
    """Read the numbers among texts; null where a text is none."""
    usual = pc.or_kleene(pc.match_substring_regex(values, _NUMBER), pc.match_substring_regex(values, _WORDS))
    floats = pc.if_else(usual, values, pa.scalar(None, pa.string())).cast(pa.float64())
    odd = np.flatnonzero(pc.and_(values.is_valid(), pc.invert(usual)).to_numpy(zero_copy_only=False))
    read = {}
    for i, cell in zip(odd.tolist(), values.take(pa.array(odd)).to_pylist(), strict=True):
        if not cell.isascii() and "_" not in cell:  # digits of other scripts, as `float` reads them
            try:
                read[i] = float(cell)
            except ValueError:
                continue
    if not read:
        return floats
    out = floats.to_pylist()
    for i, value in read.items():
        out[i] = value
    return pa.array(out, pa.float64())


def plain(text: pa.Array, dialect: Dialect) -> pa.Array:
    """Write numbers of a dialect as Python does; what is no number of the dialect becomes a text that is none."""
    if dialect.mark:
        mark = _escaped(dialect.mark)
        text = pc.replace_substring_regex(text, rf"^([+-]?)\s*{mark}\s*", r"\1")
        text = pc.replace_substring_regex(text, rf"\s*{mark}$", "")
    group, point = (",", ".") if dialect.decimal == "." else (".", ",")
    if dialect.grouped:
        for part in (group, f"[{BLANKS}]"):
            part = _escaped(part) if len(part) == 1 else part
            form = rf"^[+-]?[0-9]{{1,3}}(?:{part}[0-9]{{3}})+(?:{_escaped(point)}[0-9]*)?$"
            found = pc.match_substring_regex(text, form)
            if pc.any(found).as_py():
                text = pc.if_else(found, pc.replace_substring_regex(text, part, ""), text)
    if dialect.decimal == ",":  # a point that parts no thousands is none of this dialect
        text = pc.if_else(pc.match_substring(text, "."), pc.binary_join_element_wise("no ", text, ""), text)
        text = pc.replace_substring(text, ",", ".")
    return text


def _escaped(mark: str) -> str:
    return "\\" + mark if mark in ".$" else mark


def categories(text: Any, missing: Sequence[str] = MISSING, codes: bool = False) -> pa.DictionaryArray:
    """Read the levels of a category: text without blanks around it; booleans in lower case.

    Parameters
    ----------
    text : pyarrow.Array or ChunkedArray [n]
        Strings, or a dictionary of them.
    codes : bool
        The column was asked to be a category: a whole number is one whether `.0` follows it or not.

    Examples
    --------
    >>> categories(pa.array([" a", "TRUE", "?", "a"])).to_pylist()
    ['a', 'true', None, 'a']
    """
    text = whole(text)
    if not pa.types.is_dictionary(text.type):
        text = text.dictionary_encode()
    levels = _stripped(text.dictionary, missing)
    truth = pc.match_substring_regex(levels, r"(?i)^(?:true|false)$")
    if pc.any(truth).as_py():
        levels = pc.if_else(truth, pc.utf8_lower(levels), levels)
    if codes:
        levels = pc.replace_substring_regex(levels, r"^(-?(?:0|[1-9][0-9]*))\.0*$", r"\1")
    indices = text.indices
    if levels.null_count or len(distinct := pc.unique(levels)) < len(levels):
        distinct = pc.unique(levels.drop_null())
        indices = pc.index_in(levels, value_set=distinct).take(indices)
        levels = distinct
    return pa.DictionaryArray.from_arrays(indices.cast(pa.int32()), levels).cast(category_type())


def dates(text: Any, dialect: Dialect = PLAIN) -> tuple[pa.Array, np.ndarray]:
    """Read dates and moments, of UTC where no zone is written.

    Parameters
    ----------
    text : pyarrow.Array or ChunkedArray of strings [n]
    dialect : Dialect
        Its `order` says what a date that does not begin with its year is: day first or month first; without one it is
        no date. Whole numbers of 8 digits are year, month, day; of 10, 13, 16 and 19 digits seconds, milli-, micro- and
        nanoseconds since 1970.

    Returns
    -------
    pyarrow.Array of timestamp[us] [n], ndarray of bool [n]
        Null where a value is missing or no date; and where it is no date.

    Examples
    --------
    >>> moments, bad = dates(pa.array(["24.12.2020", "2020-12-24T01:00+02:00", "", "31.2.2020"]), Dialect(order="dmy"))
    >>> [str(moment) for moment in moments.to_pylist()], bad.tolist()
    (['2020-12-24 00:00:00', '2020-12-23 23:00:00', 'None', 'None'], [False, False, False, True])
    """
    there = _stripped(text, dialect.missing)
    try:
        moments = there.cast(date_type())
    except pa.ArrowInvalid:
        coded = there.dictionary_encode()  # most dates are there many times
        moments = moments_of(coded.dictionary, dialect.order).take(coded.indices)
    return moments, pc.and_(there.is_valid(), moments.is_null()).to_numpy(zero_copy_only=False)
