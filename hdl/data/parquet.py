"""Parquet: columns of numbers with a label column, or one column of vectors as `hdl import` writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from hdl import fs
from hdl.arrow import pa, pq
from hdl.data.base import BLOCK_BYTES, FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.columns import choose
from hdl.data.csr import Csr
from hdl.data.damage import guarded
from hdl.data.guess import Look
from hdl.data.header import LOOK
from hdl.data.names import describe_repeats, some
from hdl.data.options import Options
from hdl.data.parquet_file import (
    INDEX,
    KEY,
    File,
    describe,
    exact,
    is_number,
    is_vector,
    label_type,
    plain_labels,
)
from hdl.data.records import plain_x
from hdl.errors import DataError

__all__ = ["KEY", "Parquet"]
WIDE = 1000  # columns whose first values are looked at
FEW_ROWS = 32  # at least so many at once, unless they are large: a batch has its cost for each column


def is_own(path: str) -> bool:
    """Tell whether a file has features as `hdl import` writes matrices: vectors, or indices and values."""
    with fs.open(path) as handle, guarded(path, "Parquet"):
        schema = pq.read_schema(handle)
    own = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    return bool(own) and "pins" not in own and ("x" in schema.names or "indices" in schema.names)


class Parquet(Source):
    """Reads what hdl itself wrote: one sample a row. Splits count rows.

    Features are columns of numbers, or one column of fixed-size lists of them; hdl's own files may also hold sparse
    rows as lists of `indices` (from 0, ascending) and `values`. Each file may have its columns in another order, and
    numbers of another type.
    """

    format = "parquet"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths, options)
        self.schema = schema
        self._files: dict[str, File] = {}
        first = self.first = self._file(paths[0])
        own = self.own = first.own
        self.sparse = "indices" in first.names and "features" in own
        if own:
            self.label = list(own.get("label") or [])
            self.names, self.targets = own.get("names"), own.get("targets")
            self.image = tuple(own["image"]) if own.get("image") else None
            self.features = [name for name in first.names if name != "y"]
            self.labels = [name for name in first.names if name == "y"] if options.labelled and labels else []
            chosen, by, at = self.labels, "own file", list[int]()
        else:
            look = Look(first.twice, first.index, first.texts, lambda i: self._start.get(i, ()))
            choice = choose(first.names, len(first.names), options, paths[0], schema, look, labels)
            self.features, chosen = ([first.names[i] for i in numbers] for numbers in choice[:2])
            self.labels, by = chosen if labels else [], choice.by or ""
            self.label, self.names = chosen, self.features
            self.targets = chosen if len(chosen) > 1 else None
            self.left_out, at = [f"{first.names[i]}: {first.index[i]}" for i in choice.left_out], choice.places
        if chosen:
            kind = first.types[first.at[chosen[0]]]
            self.reading = {"label_by": by, "label_at": at, "label_type": label_type(kind)}
        if depth := own.get("reading", {}).get("depth"):
            self.reading["depth"] = depth
        if first.twice:
            self.reading["duplicates"] = describe_repeats(first.names, first.twice)
        self.vectors = not self.sparse and len(self.features) == 1 and is_vector(first.type(self.features[0]))
        if self.vectors:
            self.names = own.get("names")
        if own and self.names and schema is not None and schema.names:
            self.names = list(schema.names)
        self._check(first)
        self._lengths: list[int] | None = None

    def lengths(self) -> list[int]:
        """Count the rows of each file."""
        if self._lengths is None:
            self._lengths = [self._file(path).rows for path in self.paths]
        return self._lengths

    def _file(self, path: str) -> File:
        """Describe a file, once it has been compared with the first one."""
        if path not in self._files:
            with fs.open(path) as handle, guarded(path, "Parquet"):
                self._files[path] = describe(path, pq.ParquetFile(handle))
            if len(self._files) > 1:
                self._compare(self._files[path])
        return self._files[path]

    def _compare(self, file: File) -> None:
        first = self.first
        if absent := [name for name in (*self.features, *self.labels) if name not in file.at]:
            raise DataError(f"columns {some(absent)} of {first.path} are missing", file.path)
        known = set(first.names)
        more = [name for name in file.names if name not in known and not INDEX.fullmatch(name)]
        if more and self.schema is None:
            raise DataError(f"columns {some(more)}, which {first.path} has not", file.path)
        self._check(file)
        for name in self.features if self.vectors else ():
            if not is_vector(file.type(name)) or file.type(name).list_size != first.type(name).list_size:
                what = f"column {name!r} is {file.type(name)}; in {first.path} it is {first.type(name)}"
                raise DataError(what, file.path)
        for name in self.labels:
            kind, other = label_type(file.type(name)), label_type(first.type(name))
            if kind != other:
                raise DataError(f"label column {name!r} holds {kind}s; in {first.path} it holds {other}s", file.path)

    def _check(self, file: File) -> None:
        """Refuses columns that are needed and cannot be read."""
        plain = [] if self.sparse or self.vectors else self.features
        for name in (*plain, *(self.labels if len(self.labels) > 1 else ())):
            if not is_number(kind := file.type(name)):
                nested = " (nested)" if pa.types.is_nested(kind) else ""
                what = f"column {name!r} is {kind}{nested}; expected numbers in every column but the label"
                raise DataError(what, file.path)
        for name in self.labels if len(self.labels) == 1 else ():
            if label_type(kind := file.type(name)) is None:
                what = f"label column {name!r} is {kind}; expected numbers or text (--label names another column)"
                raise DataError(what, file.path)

    @cached_property
    def _start(self) -> dict[int, list[Any]]:
        """Read the first values of the last column, those of text, and the first ones."""
        first = self.first
        columns = sorted({*first.texts[:1], *range(min(WIDE, len(first.names))), len(first.names) - 1})
        columns = [i for i in columns if first.types[i] is not None and not pa.types.is_nested(first.types[i])]
        with fs.open(first.path) as handle, guarded(first.path, "Parquet"), suppress(StopIteration, UnicodeDecodeError):
            reader = pq.ParquetFile(handle).reader
            groups = [*range(reader.num_row_groups)][:1]
            batch = next(reader.iter_batches(LOOK, groups, column_indices=first.leaves(columns), use_threads=False))
            return {i: column.to_pylist() for i, column in zip(columns, batch.columns, strict=True)}
        return {}

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        known = self._file(path)
        needed = [known.at[name] for name in (*self.features, *self.labels)]
        held = sorted(set(needed))  # Arrow gives columns in the file's order
        place = {column: i for i, column in enumerate(held)}
        order = [place[column] for column in needed]
        with fs.open(path) as handle, guarded(path, "Parquet"):
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
            width = self._width()
            at, size = first, max(1, BLOCK_BYTES // width, min(FEW_ROWS, 16 * BLOCK_BYTES // width))
            batches = file.reader.iter_batches(size, groups, column_indices=known.leaves(held), use_threads=False)
            for batch in batches:
                lo, hi = max(start - at, 0), min(start + length - at, batch.num_rows)
                if lo < hi:
                    columns = [batch.column(i).slice(lo, hi - lo) for i in order]
                    yield self._block(known, columns, at + lo, bad)
                at += batch.num_rows
                if at >= start + length:
                    return

    def _width(self) -> int:
        """Estimate the bytes of a row."""
        if self.sparse:
            return 4096
        types = [self.first.type(name) for name in self.features]
        return 4 * sum(t.list_size if is_vector(t) else 1 for t in types)

    def _block(self, file: File, columns: list[pa.Array], first: int, bad: Bad) -> Block:
        def where(i: int) -> dict[str, Any]:
            return {"path": f"{file.path} record {first + i + 1}"}

        good = np.ones(len(columns[0]), bool)
        for name, column in zip((*self.features, *self.labels), columns, strict=True):
            if not column.null_count and not is_vector(column.type):
                continue
            empty = ~np.asarray(column.is_valid())
            if is_vector(column.type) and (inside := column.flatten()).null_count and not empty.any():
                empty |= (~np.asarray(inside.is_valid())).reshape(len(column), -1).any(axis=1)
            for i in np.flatnonzero(empty & good):
                good[i] = False
                bad.add(DataError(f"column {name!r} is null; expected a value", **where(int(i))))
        rows = np.flatnonzero(good)
        if not len(rows):
            return Block(np.empty((0, 1), np.float32), None, where)
        if not good.all():
            columns = [column.take(pa.array(rows)) for column in columns]
        n = len(self.features)
        block = Block(self._x(file, columns[:n]), self._y(columns[n:]), lambda i: where(int(rows[i])))
        if block.y is None or block.y.dtype != object:
            return block
        good = np.array([value is not None for value in block.y.tolist()], bool)
        for i in np.flatnonzero(~good):
            bad.add(DataError(f"label column {self.labels[0]!r} holds bytes that are not UTF-8", **block.where(int(i))))
        return block.keep(good)

    def _x(self, file: File, columns: list[pa.Array]) -> np.ndarray | Csr:
        if self.sparse:
            indices, values = columns[self.features.index("indices")], columns[self.features.index("values")]
            ends = indices.offsets.to_numpy().astype(np.int64)
            csr = Csr(
                np.asarray(values.flatten()),
                np.asarray(indices.flatten(), np.int32),
                ends - ends[0],
                int(file.own["features"]),
            )
            if len(csr.data) != len(csr.indices) or (csr.indices < 0).any() or (csr.indices >= csr.columns).any():
                raise DataError(f"indices and values do not fit each other and {csr.columns} features", file.path)
            return csr
        if self.vectors:
            flat = columns[0].flatten().to_numpy(zero_copy_only=False)
            x = plain_x(flat.reshape(len(columns[0]), columns[0].type.list_size))
            return x if self._order(file) is None else np.ascontiguousarray(x[:, self._order(file)])
        dtype = exact(column.type for column in columns)
        x = np.empty((len(columns[0]), len(columns)), dtype)
        for j, column in enumerate(columns):
            x[:, j] = column.to_numpy(zero_copy_only=False)
        return x

    def _order(self, file: File) -> list[int] | None:
        """Find where a file of vectors has the features, if it has them in another order."""
        there = file.own.get("names")
        if not there or not self.names or there == self.names:
            return None
        at = {name: i for i, name in enumerate(there)}
        if absent := [name for name in self.names if name not in at]:
            raise DataError(f"columns {some(absent)} of the other data are missing", file.path)
        return [at[name] for name in self.names]

    def _y(self, columns: list[pa.Array]) -> np.ndarray | None:
        if not columns:
            return None
        if len(columns) == 1:
            return plain_labels(columns[0])
        dtype = np.float64 if exact(column.type for column in columns) == np.float64 else np.float32
        y = np.empty((len(columns[0]), len(columns)), dtype)
        for j, column in enumerate(columns):
            y[:, j] = column.to_numpy(zero_copy_only=False)
        return y
