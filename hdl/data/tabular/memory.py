"""Tables in memory: those of pandas, polars and pyarrow, whatever gives Arrow's C stream, and arrays of objects.

What a column holds is told by its type, and where that says nothing (objects) by its cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.labels import is_plain_number
from hdl.data.tabular.arrow import is_text, kind_of
from hdl.data.tabular.frame import Column
from hdl.data.tabular.kinds import Field
from hdl.errors import DataError

MIXED = {b"hdl": b"mixed"}  # marks a field that holds texts and other values, all written as text


def is_table(x: Any) -> bool:
    """Tell whether an object is a table: of pyarrow, or one with columns that gives Arrow's C stream.

    Examples
    --------
    >>> is_table(pa.table({"a": [1]})), is_table(pa.array([1])), is_table(np.ones((2, 2)))
    (True, False, False)
    """
    if isinstance(x, (pa.Table, pa.RecordBatch)):
        return True
    gives = hasattr(x, "__arrow_c_stream__") or hasattr(x, "iloc")
    return gives and hasattr(x, "columns") and len(getattr(x, "shape", ())) == 2


def table_of(x: Any) -> pa.Table:
    """Convert a table to Arrow's; of an array [n, K] the columns are called x0, x1, … as scikit-learn calls them.

    Raises
    ------
    DataError
        Two columns have one name, or cells are of a type that Arrow does not know.
    """
    if isinstance(x, np.ndarray):
        return _of_columns((f"x{number}" for number in range(x.shape[1])), (x[:, i] for i in range(x.shape[1])))
    if isinstance(x, pa.RecordBatch):
        x = pa.Table.from_batches([x])
    names = list(map(str, x.column_names if isinstance(x, pa.Table) else x.columns))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"columns of the same name: {', '.join(map(repr, twice))}; expected each name once")
    if isinstance(x, pa.Table):
        return x
    if hasattr(x, "iloc"):
        return _of_columns(names, (x.iloc[:, number] for number in range(len(names))))
    return pa.table(x)


def _of_columns(names: Iterable[str], columns: Iterable[Any]) -> pa.Table:
    arrays, fields = [], []
    for name, column in zip(names, columns, strict=True):
        array, mixed = _array(column, name)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata=MIXED if mixed else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _array(column: Any, name: str) -> tuple[pa.Array, bool]:
    """Convert a pandas Series or a NumPy array [n], and tell whether it mixes texts with other values."""
    if isinstance(column, np.ndarray) and column.dtype.kind == "U":
        column = column.astype(object)
    if type(getattr(column, "dtype", None)).__name__ == "SparseDtype":
        column = column.sparse.to_dense()
    try:
        array = pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        texts = [_text(value, name, error) for value in _cells(column)]
        return pa.array(texts, pa.string()), True
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(column, np.ndarray) and is_text(array.type) and _are_numbers(array):
        array = array.cast(pa.float64())  # as np.asarray(X, float) takes texts: an array's type says nothing of columns
    return array, False


def _are_numbers(array: pa.Array) -> bool:
    texts = array.drop_null().unique().to_pylist()
    return bool(texts) and all(map(is_plain_number, texts))


def _cells(column: Any) -> list[Any]:
    """List the cells with None for what is missing."""
    if isinstance(column, np.ndarray):
        return [None if value is None or value != value else value for value in column.tolist()]  # NaN is not itself
    missing = column.isna().to_numpy()
    return [None if gone else value for value, gone in zip(column.tolist(), missing.tolist(), strict=True)]


def _text(value: Any, name: str, error: Exception) -> str | None:
    """Write a cell of a mixed column as the text of a level."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, float, np.number)):
        return str(int(value)) if float(value).is_integer() else repr(float(value))
    raise DataError(
        f"column {name!r} holds {type(value).__name__}; expected numbers, texts, booleans or dates: {error}"
    )


def fields_of(table: pa.Table) -> list[Field]:
    """Say what is known of each column, for `hdl.data.tabular.kinds.decide`.

    Of a table that else holds numbers alone, none of them missing, booleans are numbers too, 0 and 1.
    """
    plain = all(
        (kind_of(column.type) == "number" or pa.types.is_boolean(column.type)) and not column.null_count
        for column in table.columns
    )
    out = []
    for field in table.schema:
        kind, width = kind_of(field.type), None
        if pa.types.is_fixed_size_list(field.type) and kind_of(field.type.value_type) == "number":
            kind, width = "number", field.type.list_size
        reason = "" if kind else f"{field.type} is no feature"
        if _is_mixed(field):
            kind, reason = None, "texts and other values"
        out.append(Field(field.name, "number" if kind == "category" and plain else kind, reason, width=width))
    return out


def expanded(table: pa.Table) -> pa.Table:
    """Put the numbers of vectors of a fixed length in columns of their own: v[0], v[1] and so on."""
    if not any(pa.types.is_fixed_size_list(field.type) for field in table.schema):
        return table
    columns: dict[str, Any] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_fixed_size_list(field.type):
            columns |= {f"{field.name}[{i}]": pc.list_element(column, i) for i in range(field.type.list_size)}
        else:
            columns[field.name] = column
    return pa.table(columns)


def _is_mixed(field: pa.Field) -> bool:
    return bool(field.metadata) and field.metadata.get(b"hdl") == MIXED[b"hdl"]


def columns_of(table: pa.Table, categories: Sequence[bool] | None = None) -> tuple[Column, ...]:
    """Tell the kind of each column by its type.

    Parameters
    ----------
    categories : sequence of bool, optional
        Which columns are categories, whatever their type, and that no other is one; None: the types tell.

    Raises
    ------
    DataError
        A column can be no feature, or the types do not tell.
    """
    out = []
    for number, field in enumerate(table.schema):
        chosen = None if categories is None else bool(categories[number])
        kind = kind_of(field.type)
        if kind is None:
            raise DataError(f"column {field.name!r} is {field.type}, which is no feature; expected it left out")
        if chosen:
            out.append(Column(field.name, "category", "flag"))
            continue
        if _is_mixed(field):
            raise DataError(
                f"column {field.name!r} holds texts and other values; expected one type, or its name among the "
                "categories"
            )
        if chosen is False and kind == "category":
            if not pa.types.is_boolean(field.type):
                raise DataError(f"column {field.name!r} is {field.type}, and not among the categories")
            kind = "number"
        out.append(Column(field.name, kind, "type"))
    return tuple(out)
