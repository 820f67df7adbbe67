"""Columns of a Parquet file by its metadata, each by a name of its own, and the labels that they can hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdl.arrow import pa, pq
from hdl.data.names import unique

KEY = b"hdl"  # of the file's metadata: JSON that only hdl's own files have
INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name


@dataclass(frozen=True)
class File:
    """Describes a Parquet file.

    Attributes
    ----------
    path : str
    names : list of str
        Of the columns, each only once: see `hdl.data.names.unique`.
    types : list of DataType
    rows : int
    own : dict
        hdl's own metadata.
    twice : dict of str to list of int
        Names that several columns have, and these columns.
    index : dict of int to str
        Columns that are pandas' index of the rows, and how that is known.
    """

    path: str
    names: list[str]
    types: list[pa.DataType]
    rows: int
    own: dict[str, Any]
    twice: dict[str, list[int]]
    index: dict[int, str]
    at: dict[str, int] = field(init=False)
    starts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        counts = np.cumsum([0, *map(_leaves, self.types)]).tolist()
        object.__setattr__(self, "at", {name: i for i, name in enumerate(self.names)})
        object.__setattr__(self, "starts", counts)

    def type(self, name: str) -> pa.DataType:
        """Give the type of a column."""
        return self.types[self.at[name]]

    @property
    def texts(self) -> list[int]:
        """List the columns of text."""
        return [i for i, kind in enumerate(self.types) if label_type(kind) == "text"]

    def leaves(self, columns: Iterable[int]) -> list[int]:
        """List the numbers that Parquet gives to what columns hold: a nested one holds several."""
        return [leaf for i in columns for leaf in range(self.starts[i], self.starts[i + 1])]


def describe(path: str, file: pq.ParquetFile) -> File:
    """Describe an open file by its metadata."""
    schema = file.schema_arrow
    metadata = schema.metadata or {}
    names, twice = unique(schema.names)
    index = {i: "pandas' row index" for i, name in enumerate(schema.names) if INDEX.fullmatch(name)}
    with suppress(ValueError, TypeError, AttributeError):  # what others wrote there need not make sense
        named = {name for name in json.loads(metadata.get(b"pandas", b"{}")).get("index_columns", []) if name}
        index |= {i: "pandas' row index" for i, name in enumerate(schema.names) if name in named}
    own = json.loads(metadata.get(KEY, b"{}"))
    return File(path, names, list(schema.types), file.metadata.num_rows, own, twice, {} if own else index)


def is_number(kind: pa.DataType) -> bool:
    """Tell whether a column holds numbers or booleans."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Tell whether a column holds as many numbers in each row."""
    return pa.types.is_fixed_size_list(kind) and is_number(kind.value_type)


def label_type(kind: pa.DataType) -> str | None:
    """Tell what labels of a column are: text, number or boolean; None if it cannot hold labels."""
    if pa.types.is_dictionary(kind):
        return label_type(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean"
    if is_number(kind) or is_vector(kind) or pa.types.is_decimal(kind):
        return "number"
    return "text" if _is_text(kind) or _is_bytes(kind) else None


def exact(kinds: Iterable[pa.DataType]) -> Any:
    """Find the smallest type of features that holds all values of some columns: uint8, float32 or float64."""
    kinds = set(kinds)
    if kinds <= {pa.uint8(), pa.bool_()}:
        return np.uint8
    small = {pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.float16(), pa.float32()}
    return np.float32 if kinds <= small else np.float64


def plain_labels(column: pa.Array) -> np.ndarray:
    """Give labels [n] or targets [n, O] of a column as a `Block` holds them; text that is not UTF-8 is None."""
    kind = column.type
    if is_vector(kind):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), kind.list_size)
    if pa.types.is_dictionary(kind):
        values = plain_labels(column.dictionary)
        return values[column.indices.to_numpy(zero_copy_only=False)]
    if label_type(kind) == "text":
        return _texts(column)
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    values = column.to_numpy(zero_copy_only=False)
    if kind in (pa.bool_(), pa.uint64()):
        return values
    return values.astype(np.int64 if pa.types.is_integer(kind) else np.float64)


def _texts(column: pa.Array) -> np.ndarray:
    with suppress(UnicodeDecodeError):
        if not _is_bytes(column.type):
            return np.array(column.to_pylist(), object)
    wide = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
    raw = column.to_pylist() if _is_bytes(column.type) else column.cast(wide).to_pylist()
    out = np.empty(len(raw), object)
    for i, value in enumerate(raw):
        with suppress(UnicodeDecodeError, AttributeError):
            out[i] = value.decode()
    return out


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return plain or pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind)


def _leaves(kind: pa.DataType) -> int:
    """Count how many of Parquet's columns hold one of Arrow's."""
    if pa.types.is_struct(kind):
        return sum(_leaves(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_map(kind):
        return _leaves(kind.key_type) + _leaves(kind.item_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _leaves(kind.value_type)
    return 1
