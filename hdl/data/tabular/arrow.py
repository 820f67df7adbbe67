"""Arrow's columns as a frame holds them: the kind of each type, and cells whose text does not depend on the type.

So a whole number that is a category is `3`, whether it was an int8, a double, a decimal or a dictionary of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.tabular.frame import Column, Frame, category_type, date_type, type_of
from hdl.errors import DataError

WHOLE = 2.0**63  # whole numbers below are integers' text


def kind_of(kind: pa.DataType) -> str | None:
    """Tell which kind of column a type makes: number, category or date; None: it cannot be a feature.

    Examples
    --------
    >>> [kind_of(pa.decimal128(9, 2)), kind_of(pa.bool_()), kind_of(pa.date32()), kind_of(pa.list_(pa.int8()))]
    ['number', 'category', 'date', None]
    """
    types = pa.types
    if types.is_dictionary(kind):
        return None if kind_of(kind.value_type) is None else "category"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind):
        return "number"
    if types.is_duration(kind) or types.is_time(kind):  # in seconds
        return "number"
    if is_text(kind) or types.is_boolean(kind):
        return "category"
    return "date" if types.is_date(kind) or types.is_timestamp(kind) else None


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def of_arrow(table: pa.Table | pa.RecordBatch, columns: Sequence[Column]) -> Frame:
    """Make a frame of the named columns.

    Raises
    ------
    DataError
        A column does not hold its kind: see `canonical`.
    """
    numbers = [column for column in columns if column.kind == "number"]
    matrix = np.empty((table.num_rows, len(numbers)))
    for number, column in enumerate(numbers):
        matrix[:, number] = _named(table, column)
    others = [_named(table, column) for column in columns if column.kind != "number"]
    return Frame(matrix, others, tuple(columns))


def _named(table: pa.Table | pa.RecordBatch, column: Column) -> Any:
    try:
        return canonical(table.column(column.name), column.kind)
    except DataError as error:
        raise DataError(f"column {column.name!r}: {error}") from None


def canonical(array: Any, kind: str) -> Any:
    """Make cells what a frame holds of a kind.

    Parameters
    ----------
    array : pyarrow.Array or ChunkedArray [n]
    kind : {'number', 'category', 'date'}

    Returns
    -------
    ndarray of float64 [n], or pyarrow.Array [n]
        Of numbers NaN is missing, of the others null; a text of white space alone is missing too. Times of the day and
        durations are seconds.

    Raises
    ------
    DataError
        The type cannot be of this kind, or a text is no number or date.
    """
    array = whole(array)
    if kind == "category":
        return _category(array)
    if array.type == type_of(kind):
        return array
    if pa.types.is_dictionary(array.type):
        array = pc.dictionary_decode(array)
    return _numbers(array) if kind == "number" else _dates(array)


def whole(array: Any) -> pa.Array:
    """Give an array in one piece."""
    if not isinstance(array, pa.ChunkedArray):
        return array
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    array = array.combine_chunks()
    return array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)


def _trimmed(array: pa.Array) -> pa.Array:
    """Take texts without the white space around them, which says nothing, as in text files; nothing is missing."""
    texts = pc.utf8_trim_whitespace(array.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _numbers(array: pa.Array) -> np.ndarray:
    kind = array.type
    if is_text(kind):
        array = _trimmed(array)
    elif pa.types.is_decimal(kind):
        array = array.cast(pa.string())  # by way of text it is rounded once, as in a text file
    elif pa.types.is_duration(kind) or pa.types.is_time(kind):
        units = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}
        integers = pa.int64() if pa.types.is_duration(kind) or kind.bit_width == 64 else pa.int32()
        return _filled(array.cast(integers).cast(pa.float64(), safe=False)) / units[kind.unit]
    elif pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        raise DataError(f"{kind} is no number; expected it as a date")
    try:
        return _filled(array.cast(pa.float64(), safe=False))
    except pa.ArrowNotImplementedError:
        raise DataError(f"{kind} is no number") from None
    except pa.ArrowInvalid as error:
        raise DataError(f"expected numbers: {error}") from None


def _filled(array: pa.Array) -> np.ndarray:
    """Give floats with NaN where they are missing."""
    return array.to_numpy(zero_copy_only=False) if array.null_count == 0 else pc.fill_null(array, np.nan).to_numpy()


def _dates(array: pa.Array) -> pa.Array:
    kind = array.type
    if kind_of(kind) != "date" and not is_text(kind) and not pa.types.is_null(kind):
        raise DataError(f"{kind} is no date; expected dates or timestamps")
    if is_text(kind):
        array = _trimmed(array)
    try:
        return array.cast(date_type(), safe=False)  # nanoseconds are cut off; a zone's moments are stored in UTC
    except pa.ArrowInvalid as error:
        raise DataError(f"expected dates: {error}") from None


def _category(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        given = array.dictionary
        levels = _text(given)
        if levels.null_count == 0 and (levels.equals(given) or len(pc.unique(levels)) == len(levels)):
            same = array.type == category_type() and levels.equals(given)
            return array if same else pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), levels)
        array = pc.dictionary_decode(array)
    return _text(array).cast(category_type())


def _text(array: pa.Array) -> pa.Array:
    """Write cells as the text of a level."""
    kind = array.type
    if is_text(kind):
        return _trimmed(array)
    if pa.types.is_floating(kind):
        return _written(array)
    if pa.types.is_decimal(kind):
        texts = array.cast(pa.string())
        return texts if kind.scale <= 0 else pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
    if kind_of(kind) is None:
        raise DataError(f"{kind} is no category; expected text, booleans, numbers or dates")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        array = array.cast(date_type(), safe=False)
    elif pa.types.is_duration(kind) or pa.types.is_time(kind):
        return _written(pa.array(_numbers(array), from_pandas=True))
    return array.cast(pa.string())


def _written(array: pa.Array) -> pa.Array:
    """Write floats: whole ones as integers are written, others as shortly as they can be told apart."""
    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    there = ~np.isnan(values)  # a null is NaN here
    integral = there & (np.abs(values) < WHOLE) & (values == np.floor(np.where(np.isfinite(values), values, 0.5)))
    integers = pa.array(np.where(integral, values, 0).astype(np.int64)).cast(pa.string())
    texts = pc.if_else(pa.array(integral), integers, array.cast(pa.string()))
    return pc.if_else(pa.array(there), texts, pa.scalar(None, pa.string()))
