"""Columns of a typed file as a table's cells: structs flattened, vectors recognised, types of several files unified."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data.layouts.filtering import family
from hdl.data.names import unique
from hdl.data.tabular.arrow import whole

VECTOR = {"type", "size", "indices", "values"}  # fields of Spark's VectorUDT
MOSTLY = 0.9  # so many of a column's first vectors have its length; others are bad
DEEPEST = 8  # structs within structs that are flattened


@cache
def _signed() -> tuple[pa.DataType, ...]:
    """Return Arrow's signed whole numbers, by their width."""
    return pa.int8(), pa.int16(), pa.int32(), pa.int64()


@cache
def _unsigned() -> tuple[pa.DataType, ...]:
    """Return Arrow's unsigned whole numbers, by their width."""
    return pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()


@dataclass(frozen=True)
class Cell:
    """Describes a column of a file.

    Attributes
    ----------
    name : str
        `a.b` in a struct `a`.
    kind : DataType
    top : int
        The file's column that it is, or is in.
    steps : tuple of str
        The way to it inside of a struct.
    number : int or None
        What an Iceberg table knows the top column by.
    """

    name: str
    kind: pa.DataType
    top: int
    steps: tuple[str, ...] = ()
    number: int | None = None


@dataclass
class File:
    """Describes a file.

    Attributes
    ----------
    path : str
    cells : dict of str to Cell
        By name.
    rows : int
        In the unit of its splits.
    extra : Any
        What its format's reader needs beside.
    twice : dict of str to list of int
        Names that several columns have, and these columns.
    index : dict of str to str
        Columns that number or name the rows, and how that is known.
    pins : tuple of str
        Kinds of columns as the file itself says them.
    roles : dict
        Options that the file itself says: columns of the `label` (a list), `weights` and `offset`.
    """

    path: str
    cells: dict[str, Cell]
    rows: int
    extra: Any = None
    twice: dict[str, list[int]] = field(default_factory=dict)
    index: dict[str, str] = field(default_factory=dict)
    pins: tuple[str, ...] = ()
    roles: dict[str, Any] = field(default_factory=dict)


def flatten(names: Sequence[str], kinds: Sequence[pa.DataType]) -> list[Cell]:
    """List the cells of a file's columns: those of a struct each by themselves, but for Spark's vectors.

    Examples
    --------
    >>> [cell.name for cell in flatten(["a", "b"], [pa.int8(), pa.struct({"c": pa.int8(), "d": pa.string()})])]
    ['a', 'b.c', 'b.d']
    """
    out: list[Cell] = []
    for top, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        out += _flat(name, kind, top, ())
    names, twice = unique([cell.name for cell in out])  # a column may be called a.b beside a struct a with a field b
    return [replace(cell, name=name) for cell, name in zip(out, names, strict=True)] if twice else out


def _flat(name: str, kind: pa.DataType, top: int, steps: tuple[str, ...]) -> Iterator[Cell]:
    if not pa.types.is_struct(kind) or is_spark_vector(kind) or len(steps) >= DEEPEST or not kind.num_fields:
        yield Cell(name, kind, top, steps)
        return
    for part in kind:
        yield from _flat(f"{name}.{part.name}", part.type, top, (*steps, part.name))


def is_spark_vector(kind: pa.DataType) -> bool:
    """Tell whether a type is that of Spark's vectors, dense or sparse."""
    if not pa.types.is_struct(kind) or {part.name for part in kind} != VECTOR:
        return False
    values = kind.field("values").type
    return is_list(values) and family(values.value_type) == "number"


def is_list(kind: pa.DataType) -> bool:
    """Tell whether a type holds lists, of whatever lengths."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_vector(kind: pa.DataType) -> bool:
    """Tell whether a type holds vectors of numbers, if their lengths are equal."""
    return is_spark_vector(kind) or (is_list(kind) and family(kind.value_type) in ("number", "truth"))


def width(kind: pa.DataType, cells: pa.Array) -> int | None:
    """Find the length of the vectors among some cells, of nearly all of them; None if there is none."""
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size
    cells = cells.drop_null()
    lengths, counts = np.unique(_lengths(cells), return_counts=True) if len(cells) else ((), ())
    most = int(np.argmax(counts)) if len(cells) else 0
    return int(lengths[most]) if len(cells) and counts[most] >= MOSTLY * len(cells) and lengths[most] > 0 else None


def _lengths(cells: pa.Array) -> np.ndarray:
    """Count the numbers of each vector; -1 of a missing one."""
    if not is_spark_vector(cells.type):
        return pc.fill_null(pc.list_value_length(cells), -1).to_numpy(zero_copy_only=False)
    _, size, _, values = _spark(cells)
    dense = pc.list_value_length(values)
    return pc.fill_null(pc.coalesce(size.cast(pa.int32()), dense), -1).to_numpy(zero_copy_only=False)


def _spark(cells: pa.Array) -> list[pa.Array]:
    return [pc.struct_field(cells, name) for name in ("type", "size", "indices", "values")]


def vectors(cells: pa.Array, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Make vectors rows of numbers.

    Returns
    -------
    ndarray [n, length], ndarray of bool [n]
        NaN where a vector or a number of it is missing; and the rows whose vectors have another length.
    """
    lengths = _lengths(cells)
    wrong = (lengths != length) & (lengths >= 0)
    if is_spark_vector(cells.type):
        return _spark_rows(cells, length, wrong), wrong
    there = lengths == length
    kept = cells if there.all() else cells.filter(pa.array(there))
    flat = kept.flatten()
    if flat.null_count or pa.types.is_decimal(flat.type) or pa.types.is_dictionary(flat.type):
        flat = flat.cast(pa.float64())
    inside = flat.to_numpy(zero_copy_only=False).reshape(-1, length)
    if there.all():
        return inside, wrong
    out = np.full((len(cells), length), np.nan)
    out[there] = inside
    return out, wrong


def _spark_rows(cells: pa.Array, length: int, wrong: np.ndarray) -> np.ndarray:
    kinds, _, indices, values = _spark(cells)
    out = np.full((len(cells), length), np.nan)
    kind = pc.fill_null(kinds.cast(pa.int32()), -1).to_numpy(zero_copy_only=False)
    dense = (kind == 1) & ~wrong
    if dense.any():
        flat = values.filter(pa.array(dense)).flatten().cast(pa.float64())
        out[dense] = flat.to_numpy(zero_copy_only=False).reshape(-1, length)
    sparse = np.flatnonzero((kind == 0) & ~wrong)
    if len(sparse):
        out[sparse] = 0.0
        rows = pa.array(sparse)
        at, held = indices.take(rows), values.take(rows)
        counts = pc.fill_null(pc.list_value_length(at), 0).to_numpy(zero_copy_only=False)
        places = at.flatten().to_numpy(zero_copy_only=False)
        numbers = held.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
        owner = np.repeat(sparse, counts)
        if len(places) != len(numbers) or (places < 0).any() or (places >= length).any():
            wrong[sparse] = True
        else:
            out[owner, places] = numbers
    return out


def is_bytes(kind: pa.DataType) -> bool:
    """Tell whether a type holds bytes, which may be text that nobody called so."""
    plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return plain or pa.types.is_fixed_size_binary(kind)


def are_texts(values: pa.Array | None) -> bool:
    """Tell whether all of some bytes are UTF-8; Spark, Hive and Impala may write text so."""
    if values is None or values.null_count == len(values):
        return False
    try:
        texts = values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return not any(re.search(r"[\x00-\x08\x0e-\x1f]", text or "") for text in texts.to_pylist())


def take(batch: Mapping[int, pa.Array], cell: Cell) -> pa.Array:
    """Give the values of a cell out of a file's columns, by their places; missing where a struct is."""
    values = whole(batch[cell.top])
    for step in cell.steps:
        values = pc.struct_field(values, step)
    return values


def joined(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    """Find the type that holds the values of two types, as files of one table may have them; None: there is none.

    Examples
    --------
    >>> [str(joined(pa.int32(), other)) for other in (pa.int64(), pa.float32(), pa.string())]
    ['int64', 'double', 'None']
    """
    if a == b or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if pa.types.is_dictionary(a) or pa.types.is_dictionary(b):
        a, b = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (a, b))
        return joined(a, b)
    if is_vector(a) and is_vector(b):
        fixed = {kind.list_size for kind in (a, b) if pa.types.is_fixed_size_list(kind)}
        return a if len(fixed) < 2 and is_spark_vector(a) == is_spark_vector(b) else None
    held = family(a)
    if held is None or held != family(b):
        return None
    if held == "text":
        return pa.string()
    if held == "date":
        return pa.timestamp("us")
    for kinds in (_signed(), _unsigned()):
        if a in kinds and b in kinds:
            return kinds[max(kinds.index(a), kinds.index(b))]
    if pa.types.is_decimal(a) and pa.types.is_decimal(b):
        scale = max(a.scale, b.scale)
        whole_digits = max(a.precision - a.scale, b.precision - b.scale)
        return pa.decimal128(whole_digits + scale, scale) if whole_digits + scale <= 38 else pa.float64()
    if pa.types.is_integer(a) and pa.types.is_integer(b):
        signed, unsigned = (a, b) if a in _signed() else (b, a)
        wide = _unsigned().index(unsigned) + 1
        return _signed()[max(_signed().index(signed), wide)] if wide < len(_signed()) else pa.float64()
    if a in (pa.float16(), pa.float32()) and b in (pa.float16(), pa.float32()):
        return pa.float32()
    return pa.float64()


def cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Give values of a file as the type that all files have in common."""
    if values.type == kind or is_vector(kind):
        return values
    if pa.types.is_dictionary(values.type):
        if values.type.value_type == kind:
            return values
        values = values.cast(values.type.value_type)
    if is_bytes(values.type) and pa.types.is_string(kind):
        return _decoded(values)
    return values.cast(kind, safe=False)


def _decoded(values: pa.Array) -> pa.Array:
    """Give bytes as text; missing where they are none."""
    try:
        return values.cast(pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        pass
    out: list[str | None] = []
    for value in values.to_pylist():
        try:
            out.append(None if value is None else value.decode())
        except UnicodeDecodeError:
            out.append(None)
    return pa.array(out, pa.string())


def missing(n: int, kind: pa.DataType) -> pa.Array:
    """Give cells that are all missing."""
    return pa.nulls(n, kind)


def drifted(kinds: Iterable[pa.DataType]) -> list[str]:
    """Name the types that files have, each once, in their order."""
    return list(dict.fromkeys(map(str, kinds)))
