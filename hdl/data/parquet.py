"""Parquet: columns of numbers with a label column, or one column of vectors as `hdl import` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hdl import fs
from hdl.data.base import BLOCK_BYTES, Bad, Block, FileSplit, Options, Source
from hdl.data.columns import pick
from hdl.data.csr import Csr
from hdl.data.records import plain_x
from hdl.errors import DataError

KEY = b"hdl"  # of the file's metadata: JSON that only hdl's own files have


class Parquet(Source):
    """One sample a row. Splits count rows.

    Features are columns of numbers, or one column of fixed-size lists of them; hdl's own files may also hold sparse
    rows as lists of `indices` (from 0, ascending) and `values`.
    """

    format = "parquet"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths, options)
        self.schema, self.own, _ = _open(paths[0])
        columns = self.schema.names
        self.sparse = "indices" in columns and "features" in self.own
        vectors = [name for name in columns if _vector(self.schema.field(name).type)]
        if self.own:
            self.label = list(self.own.get("label") or [])
            self.names, self.targets = self.own.get("names"), self.own.get("targets")
            self.image = tuple(self.own["image"]) if self.own.get("image") else None
        inside = [name for name in columns if name == "y"] if self.own else []
        if self.own:
            self.features = [name for name in columns if name != "y"]
            self.labels = inside if options.labelled else []
        else:
            chosen = pick(columns, len(columns), options, paths[0], schema)
            self.features, self.labels = ([columns[i] for i in numbers] for numbers in chosen)
            self.label, self.names = self.labels, self.features
            self.targets = self.labels if len(self.labels) > 1 else None
        dense = [] if self.sparse else self.features
        if len(dense) == 1 and dense[0] in vectors:
            self.names = self.own.get("names")
        else:
            for name in dense:
                _check(paths[0], name, self.schema.field(name).type)
        for name in self.labels if len(self.labels) > 1 else ():
            _check(paths[0], name, self.schema.field(name).type)
        self._lengths: list[int] | None = None

    def lengths(self) -> list[int]:
        """Rows of each file."""
        if self._lengths is None:
            self._lengths = [self._rows(path) for path in self.paths]
        return self._lengths

    def _rows(self, path: str) -> int:
        schema, _, rows = _open(path)
        if not schema.equals(self.schema):
            wrong = next((f for f in schema if f not in list(self.schema)), None) or "fewer columns"
            raise DataError(f"other columns than in {self.paths[0]}: {wrong}", path)
        return rows

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        columns = [*self.features, *self.labels]
        with fs.open(path) as handle, _guarded(path):
            file = pq.ParquetFile(handle)
            groups: list[int] = []
            first = at = 0
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if at < start + length and at + rows > start and rows:
                    first = first if groups else at
                    groups.append(number)
                at += rows
            if not groups:
                return
            at, size = first, max(1, BLOCK_BYTES // self._width())
            batches = file.iter_batches(size, row_groups=groups, columns=columns, use_threads=False)
            for batch in batches:
                lo, hi = max(start - at, 0), min(start + length - at, batch.num_rows)
                if lo < hi:
                    yield self._block(path, batch.slice(lo, hi - lo), at + lo, bad)
                at += batch.num_rows
                if at >= start + length:
                    return

    def _width(self) -> int:
        """About the bytes of a row."""
        if self.sparse:
            return 4096
        types = [self.schema.field(name).type for name in self.features]
        return 4 * sum(t.list_size if _vector(t) else 1 for t in types)

    def _block(self, path: str, batch: pa.RecordBatch, first: int, bad: Bad) -> Block:
        def where(i: int) -> dict[str, Any]:
            return {"path": f"{path} record {first + i + 1}"}

        good = np.ones(batch.num_rows, bool)
        for name in batch.schema.names:
            column = batch.column(name)
            empty = ~np.asarray(column.is_valid()) if column.null_count else np.zeros(len(column), bool)
            if _vector(column.type) and (inside := column.flatten()).null_count and not empty.any():
                empty |= (~np.asarray(inside.is_valid())).reshape(len(column), -1).any(axis=1)
            for i in np.flatnonzero(empty & good):
                good[i] = False
                bad.add(DataError(f"column {name!r} is null; expected a value", **where(int(i))))
        if not good.all():
            rows = np.flatnonzero(good)
            kept = self._block(path, batch.take(pa.array(rows)), 0, bad) if len(rows) else None
            if kept is None:
                return Block(np.empty((0, 1), np.float32), None, where)
            return Block(kept.x, kept.y, lambda i: where(int(rows[i])))
        return Block(self._x(path, batch), self._y(batch), where)

    def _x(self, path: str, batch: pa.RecordBatch) -> np.ndarray | Csr:
        if self.sparse:
            indices, values = batch.column("indices"), batch.column("values")
            ends = indices.offsets.to_numpy().astype(np.int64)
            csr = Csr(
                np.asarray(values.flatten(), np.float32),
                np.asarray(indices.flatten(), np.int32),
                ends - ends[0],
                int(self.own["features"]),
            )
            if len(csr.data) != len(csr.indices) or (csr.indices < 0).any() or (csr.indices >= csr.columns).any():
                raise DataError(f"indices and values do not fit each other and {csr.columns} features", path)
            return csr
        columns = [batch.column(name) for name in self.features]
        if len(columns) == 1 and _vector(columns[0].type):
            flat = columns[0].flatten().to_numpy(zero_copy_only=False)
            return plain_x(flat.reshape(len(columns[0]), columns[0].type.list_size))
        kinds = {column.type for column in columns}
        dtype = np.uint8 if kinds <= {pa.uint8(), pa.bool_()} else np.float32
        x = np.empty((batch.num_rows, len(columns)), dtype)
        with np.errstate(over="ignore"):
            for j, column in enumerate(columns):
                x[:, j] = column.to_numpy(zero_copy_only=False)
        return x

    def _y(self, batch: pa.RecordBatch) -> np.ndarray | None:
        if not self.labels:
            return None
        if len(self.labels) > 1:
            out = np.empty((batch.num_rows, len(self.labels)), np.float32)
            for j, name in enumerate(self.labels):
                out[:, j] = batch.column(name).to_numpy(zero_copy_only=False)
            return out
        column = batch.column(self.labels[0])
        kind = column.type
        if _vector(kind):
            return np.asarray(column.flatten(), np.float32).reshape(len(column), kind.list_size)
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return column.to_numpy(zero_copy_only=False).astype(np.int64)
        if pa.types.is_floating(kind):
            return column.to_numpy(zero_copy_only=False).astype(np.float64)
        if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return np.array(column.to_pylist(), object)
        raise DataError(f"label column {self.labels[0]!r} is {kind}; expected numbers or text", self.paths[0])


def _vector(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) and _number(kind.value_type)


def _number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _check(path: str, name: str, kind: pa.DataType) -> None:
    if not _number(kind):
        nested = " (nested)" if pa.types.is_nested(kind) else ""
        raise DataError(f"column {name!r} is {kind}{nested}; expected numbers in every column but the label", path)


class _guarded:
    """Turns Arrow's errors into DataError."""

    def __init__(self, path: str):
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        # a missing file is the builtin's own error, and so is a DataError
        if isinstance(error, (pa.ArrowException, OSError)) and not isinstance(error, (FileNotFoundError, DataError)):
            reason = str(error).splitlines()[0]
            raise DataError(f"truncated or corrupt Parquet ({reason}); expected a whole file", self.path) from None


def _open(path: str) -> tuple[pa.Schema, dict[str, Any], int]:
    """Schema, hdl's own metadata and number of rows."""
    with fs.open(path) as handle, _guarded(path):
        file = pq.ParquetFile(handle)
        schema, rows = file.schema_arrow, file.metadata.num_rows
    own = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    return schema.remove_metadata(), own, rows
