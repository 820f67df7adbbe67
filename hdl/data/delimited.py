"""CSV, TSV and other delimited text. Fields may be quoted; a line break inside quotes is not supported."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from hdl.data.base import Bad, Block, Options
from hdl.data.columns import LABELS, is_number, number, pick
from hdl.data.streams import line_blocks, stem
from hdl.data.text import TextSource, squeeze
from hdl.errors import DataError

OVERFLOW = 2.0**128 - 2.0**103  # from here on, float64 rounds to an infinite float32


class Delimited(TextSource):
    """One sample a line, fields parted by a delimiter. Splits are bytes.

    Float features equal Python's ``float(text)`` rounded to float32.
    """

    format = "csv"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths, options)
        lines = first_lines(paths, options)
        if not lines:
            raise DataError("the file is empty, expected lines of samples", paths[0])
        self.delimiter = options.delimiter or guess_delimiter(lines[0], paths[0])
        try:
            rows = [self.split(lines[0])]
        except ValueError as error:
            raise DataError(f"first line: {error}", paths[0]) from None
        with suppress(ValueError):  # the second one is judged when it is read
            rows += [self.split(line) for line in lines[1:]]
        self.header = lines[0] if has_header(rows, options) else None
        self.width = len(rows[0])
        self.columns = [name.strip() for name in rows[0]] if self.header is not None else None
        chosen = pick(self.columns, self.width, options, paths[0], schema)
        self.features, self.labels = chosen
        if self.columns:
            self.names = [self.columns[i] for i in self.features]
        self.label = [self.columns[i] if self.columns else str(i) for i in self.labels]
        if len(self.labels) > 1:
            self.targets = self.label

    def body(self, at: int, data: bytes) -> tuple[bytes, int]:
        if at <= 3 and self.header is not None:
            blank = len(data) - len(data.lstrip(b"\r\n"))
            end = data.find(b"\n", blank) + 1 or len(data)
            if data[blank:end].strip(b"\r\n") == self.header.encode():
                return data[end:], data[:end].count(b"\n")
        return data, 0

    def split(self, line: str) -> list[str]:
        if "\r" in line:
            raise ValueError(r"a carriage return inside a line; expected lines that end in \n or \r\n")
        if self.delimiter == " ":
            line = " ".join(line.split())
        if line.count('"') % 2:
            raise ValueError("badly quoted: an odd number of quotes")
        try:
            return next(csv.reader([line], delimiter=self.delimiter))
        except csv.Error as error:  # a field beyond csv's own limit
            raise ValueError(str(error)) from None

    def fast(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        if self.delimiter == " ":
            data = squeeze(data)
        if data.count(b"\r") != data.count(b"\r\n"):
            return None  # Arrow would take a lone carriage return for the end of a line
        if b'"' in data and any(line.count(b'"') % 2 for line in data.split(b"\n")):
            return None  # Arrow lets quotes span lines, which shards could cut
        names = [str(i) for i in range(self.width)]
        text = pa.dictionary(pa.int32(), pa.string())
        single = len(self.labels) == 1
        types = {name: pa.float64() for name in names} | ({names[self.labels[0]]: text} if single else {})
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(data),
                pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                pa.csv.ParseOptions(delimiter=self.delimiter),
                pa.csv.ConvertOptions(
                    column_types=types,
                    null_values=[],
                    include_columns=[names[i] for i in (*self.features, *self.labels)],
                ),
            )
        except pa.ArrowInvalid:
            return None
        x = matrix(table, range(len(self.features)))
        y: Any = None
        if single:
            y = unpack(table.column(len(self.features)))
            if y is None:
                return None
        elif self.labels:
            y = matrix(table, range(len(self.features), table.num_columns))
        if not np.isfinite(x).all() or (not single and self.labels and not np.isfinite(y).all()):
            return None
        return Block(x, y, where)

    def parse(self, line: str) -> tuple[list[float], Any]:
        fields = self.split(line)
        if len(fields) != self.width:
            raise ValueError(f"{len(fields)} columns, expected {self.width}")
        x = [self._number(fields, i) for i in self.features]
        if len(self.labels) == 1:
            y: Any = fields[self.labels[0]].strip()
            if not is_label(y):
                what = f"label {y!r}; expected a name or a finite number" if y else "the label is empty"
                raise ValueError(f"{self._name(self.labels[0])}: {what}")
        else:
            y = [self._number(fields, i) for i in self.labels]
        return x, y

    def build(self, records: list[Any], where: Callable[[int], dict[str, Any]]) -> Block:
        x = to_float32([x for x, _ in records]).reshape(len(records), len(self.features))
        if len(self.labels) == 1:
            return Block(x, np.array([y for _, y in records], object), where)
        y = to_float32([y for _, y in records]).reshape(len(records), len(self.labels)) if self.labels else None
        return Block(x, y, where)

    def _number(self, fields: Sequence[str], i: int) -> float:
        try:
            value = number(fields[i])
        except ValueError:
            raise ValueError(f"{self._name(i)}: {fields[i][:80]!r} is not a number") from None
        if not math.isfinite(value) or abs(value) >= OVERFLOW:
            raise ValueError(f"{self._name(i)}: {fields[i][:80]!r}; expected a finite float32 number")
        return value

    def _name(self, i: int) -> str:
        return f"column {i + 1}" + (f" ({self.columns[i]!r})" if self.columns else "")


def to_float32(values: Any) -> np.ndarray:
    """float64 rounded to float32; what is beyond its range becomes infinite, without a warning."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float64).astype(np.float32)


def matrix(table: pa.Table, columns: Sequence[int]) -> np.ndarray:
    """float32 [n, I] of float64 columns without nulls."""
    x = np.empty((table.num_rows, len(columns)), np.float32)
    with np.errstate(over="ignore"):
        for j, i in enumerate(columns):
            x[:, j] = table.column(i).to_numpy()
    return x


def is_label(text: str) -> bool:
    """Whether a text is there, and is not NaN or infinity."""
    return bool(text) and (not is_number(text) or math.isfinite(number(text)))


def unpack(column: pa.ChunkedArray) -> np.ndarray | None:
    """object [n] of a dictionary-encoded column of labels, None if one is not; equal labels share one string."""
    parts = []
    for chunk in column.chunks:
        values = np.array([value.strip() for value in chunk.dictionary.to_pylist()] or [""], object)
        if len(chunk) and not all(map(is_label, values)):
            return None
        parts.append(values[chunk.indices.to_numpy()])
    return np.concatenate(parts) if parts else np.empty(0, object)


def first_lines(paths: list[str], options: Options, count: int = 2) -> list[str]:
    """Up to `count` non-blank lines of the first file that has any."""
    for path in paths:
        found: list[str] = []
        for _, data in line_blocks(path, 0, 1 << 62, options.max_line, Bad(sys.maxsize)):
            for line in data.split(b"\n"):
                if line.strip():
                    found.append(line.decode("utf-8", "replace").rstrip("\r"))
                if len(found) == count:
                    return found
        if found:
            return found
    return []


def guess_delimiter(line: str, path: str) -> str:
    """The most frequent of comma, tab, semicolon and bar; a space if there is none of them."""
    if stem(path).endswith(".tsv"):
        return "\t"
    counts = {mark: line.count(mark) for mark in ",\t;|"}
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] else " "


def has_header(rows: list[list[str]], options: Options) -> bool:
    """Whether the first of one or two lines holds names.

    It does if a field is a usual name of a label; or if most of its fields are not numbers, and either it is alone
    or some of them stand above numbers.
    """
    if options.header is not None:
        return options.header
    words = [not is_number(field) for field in rows[0]]
    if not any(words):
        return False
    names = [field.strip().lower() for field in rows[0]]
    if any(name in LABELS for name in names) or any(field.strip() in options.label for field in rows[0]):
        return True
    if 2 * sum(words) <= len(words):
        return False
    return len(rows) == 1 or any(word and is_number(below) for word, below in zip(words, rows[1], strict=False))
