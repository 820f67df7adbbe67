"""CSV, TSV and other delimited text. Fields may be quoted; a line break inside quotes is not supported."""

from __future__ import annotations

import copy
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from hdl.data.base import OVERFLOW, Bad, Block, FileSplit, Options, fits_float32
from hdl.data.columns import choose, is_number, number
from hdl.data.header import FIELDS, LOOK, delimiter, find_header, look
from hdl.data.names import describe_repeats, some, unique
from hdl.data.text import TextSource, column, first_lines, squeeze
from hdl.errors import DataError

WIDE = 4000  # columns; of more, Arrow takes longer for a column than for the numbers in it


class Delimited(TextSource):
    """One sample a line, fields parted by a delimiter. Splits are bytes.

    Features equal Python's ``float(text)``. Each file of a dataset may have its columns in another order, if it has a
    header that says so.
    """

    format = "csv"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths, options)
        self.schema = schema
        self.first, lines = first_lines(paths, options, LOOK)
        if not lines:
            raise DataError("the file is empty, expected lines of samples", paths[0])
        self.delimiter = delimiter(lines, options, self.first)
        try:
            rows = [self.split(lines[0])]
        except ValueError as error:
            raise DataError(f"first line: {error}", self.first) from None
        rows += self._rows(lines[1 : max(2, FIELDS // len(rows[0]))])
        header = find_header(rows, options, self.first, schema, _quoted(lines, len(rows[0])))
        self.width = len(rows[0])
        self.header = lines[0] if header.there else None
        self.header_names: list[str] | None = None
        twice: dict[str, list[int]] = {}
        if header.there:
            self.header_names, twice = unique([name.strip() for name in rows.pop(0)])
            if not rows and len(lines) == 1:
                what = f"a header alone ({some(self.header_names)}); expected lines of samples below it"
                raise DataError(what, self.first)
        seen = look(rows, self.header_names, twice)
        chosen = choose(self.header_names, self.width, options, self.first, schema, seen, labels)
        self.features = chosen.features
        self.labels = chosen.labels if labels else []
        if self.header_names:
            self.names = [self.header_names[i] for i in self.features]
        self.label = [self.header_names[i] if self.header_names else str(i) for i in chosen.labels]
        if len(chosen.labels) > 1:
            self.targets = self.label
        self.left_out = [f"{self._name(i)}: {seen.index[i]}" for i in chosen.left_out]
        self.reading = {"header": header.there, "header_by": header.by, "delimiter": self.delimiter}
        if chosen.labels:
            self.reading |= {"label_by": chosen.by, "label_at": chosen.places, "label_type": None}
        if twice:
            self.reading["duplicates"] = describe_repeats(self.header_names or [], twice)
        self._others: dict[str, Delimited] = {}  # by path: files with other headers

    def _rows(self, lines: Sequence[str]) -> list[list[str]]:
        """Split the lines that can be split; what is wrong with the others is told when they are read."""
        rows = []
        for line in lines:
            with suppress(ValueError):
                rows.append(self.split(line))
        return rows

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        yield from super(Delimited, self._of(split.path))._read(split, bad)

    def _of(self, path: str) -> Delimited:
        """Give the reader of a file: itself, or one of another order of columns, where the file's header has that."""
        if path == self.first or len(self.paths) == 1:
            return self
        if path not in self._others:
            self._others[path] = self._as_in(path)
        return self._others[path]

    def _as_in(self, path: str) -> Delimited:
        lines = first_lines([path], self.options, LOOK)[1]
        if not lines or lines[0] == self.header:
            return self
        rows = self._rows(lines)
        if not rows or self._rows(lines[:1]) != rows[:1]:
            return self  # what is wrong with the line is told when it is read
        rule = self.options if self.header is None else self.options.make(self.options, header=None)
        try:
            there = find_header(rows, rule, path, quoted=_quoted(lines, len(rows[0]))).there
        except DataError:
            there = False  # it may have none, as the first file has none, or has one that says the same
        if self.header_names is None:
            if there:
                raise DataError(f"a header, which {self.first} has not; expected one in each file or in none", path)
            return self
        names, twice = unique([name.strip() for name in rows[0]])
        known = set(self.header_names)
        if not there and not any(name in known for name in names):
            return self
        if not there and not set(self.names or []) <= set(names):
            return self
        return self._reordered(path, lines[0], names, twice)

    def _reordered(self, path: str, header: str, names: list[str], twice: dict[str, list[int]]) -> Delimited:
        """Find the same columns where another file's header has them."""
        columns, at = self.header_names or [], {name: i for i, name in enumerate(names)}
        needed = [columns[i] for i in (*self.features, *self.labels)]
        if missing := [name for name in needed if name not in at]:
            raise DataError(f"columns {some(missing)} of {self.first} are missing", path)
        known = set(columns)
        more = [name for name in names if name not in known]
        if more and self.schema is None:
            raise DataError(f"columns {some(more)}, which {self.first} has not", path)
        other = copy.copy(self)
        other.__dict__.pop("_convert", None)
        other.header, other.width, other.header_names = header, len(names), names
        other.features = [at[columns[i]] for i in self.features]
        other.labels = [at[columns[i]] for i in self.labels]
        return other

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

    @cached_property
    def _convert(self) -> pa.csv.ConvertOptions:
        names = [str(i) for i in (*self.features, *self.labels)]
        types: dict[str, pa.DataType] = dict.fromkeys(names, pa.float64())
        if len(self.labels) == 1:
            types[str(self.labels[0])] = pa.dictionary(pa.int32(), pa.string())
        return pa.csv.ConvertOptions(column_types=types, null_values=[], include_columns=names)

    def fast(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        if self.delimiter == " ":
            data = squeeze(data)
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None  # Arrow would take a lone carriage return for the end of a line
        if b'"' in data and any(line.count(b'"') % 2 for line in data.split(b"\n")):
            return None  # Arrow lets quotes span lines, which shards could cut
        if self.width > WIDE and b'"' not in data and (block := self._wide(data, where)) is not None:
            return block
        names, single = [str(i) for i in range(self.width)], len(self.labels) == 1
        try:
            table = pa.csv.read_csv(
                pa.BufferReader(data),
                pa.csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                pa.csv.ParseOptions(delimiter=self.delimiter),
                self._convert,
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
        if not fits_float32(x) or (not single and self.labels and not fits_float32(y)):
            return None
        return Block(x, y, where)

    def _wide(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        """Read a few lines of very many numbers, which Arrow reads as one column much faster than as many."""
        mark, lines, labels = self.delimiter.encode(), [], []
        at = self.labels[0] if len(self.labels) == 1 else -1
        for line in data.split(b"\n"):
            if line := line.strip(b"\r"):
                ends = np.flatnonzero(np.frombuffer(line, np.uint8) == mark[0])
                if len(ends) != self.width - 1 or len(mark) > 1:
                    return None
                if at >= 0:
                    start = int(ends[at - 1]) + 1 if at else 0
                    stop = int(ends[at]) if at < len(ends) else len(line)
                    labels.append(line[start:stop])
                    line = line[:start] + b"0" + line[stop:]
                lines.append(line)
        numbers = column(b"\n".join(lines).replace(mark, b"\n")) if lines else None
        if numbers is None or len(numbers) != len(lines) * self.width or not fits_float32(numbers):
            return None
        rows = numbers.reshape(len(lines), self.width)
        x, y = rows[:, self.features], rows[:, self.labels] if len(self.labels) > 1 else None
        if at >= 0:
            with suppress(UnicodeDecodeError):
                y = np.array([label.decode().strip() for label in labels], object)
            if y is None or not all(map(is_label, y)):
                return None
        return Block(x, y, where)

    def parse(self, line: str) -> tuple[list[float], Any]:
        fields = self.split(line)
        if len(fields) != self.width:
            raise ValueError(f"{len(fields)} columns, expected {self.width}")
        x = [self._number(fields, i) for i in self.features]
        if len(self.labels) == 1:
            y: Any = fields[self.labels[0]].strip()
            y.encode()  # an error if its bytes are not UTF-8; what nobody needs may be anything
            if not is_label(y):
                what = f"label {y!r}; expected a name or a finite number" if y else "the label is empty"
                raise ValueError(f"{self._name(self.labels[0])}: {what}")
        else:
            y = [self._number(fields, i) for i in self.labels]
        return x, y

    def build(self, records: list[Any], where: Callable[[int], dict[str, Any]]) -> Block:
        x = np.array([x for x, _ in records], np.float64).reshape(len(records), len(self.features))
        if len(self.labels) == 1:
            return Block(x, np.array([y for _, y in records], object), where)
        y = np.array([y for _, y in records], np.float64).reshape(len(records), len(self.labels))
        return Block(x, y if self.labels else None, where)

    def _number(self, fields: Sequence[str], i: int) -> float:
        try:
            value = number(fields[i])
        except ValueError:
            fields[i].encode()
            raise ValueError(f"{self._name(i)}: {fields[i][:80]!r} is not a number") from None
        if not math.isfinite(value) or abs(value) >= OVERFLOW:
            raise ValueError(f"{self._name(i)}: {fields[i][:80]!r}; expected a finite float32 number")
        return value

    def _name(self, i: int) -> str:
        return f"column {i + 1}" + (f" ({self.header_names[i]!r})" if self.header_names else "")


def matrix(table: pa.Table, columns: Sequence[int]) -> np.ndarray:
    """Make a matrix, float64 [n, I], of float64 columns without nulls."""
    x = np.empty((table.num_rows, len(columns)))
    for j, i in enumerate(columns):
        x[:, j] = table.column(i).to_numpy()
    return x


def is_label(text: str) -> bool:
    """Tell whether a text is there, and is not NaN or infinity."""
    return bool(text) and (not is_number(text) or math.isfinite(number(text)))


def unpack(column: pa.ChunkedArray) -> np.ndarray | None:
    """Unpack a dictionary-encoded column of labels, object [n]; None if one is no label; equal ones share a string."""
    parts = []
    for chunk in column.chunks:
        values = np.array([value.strip() for value in chunk.dictionary.to_pylist()] or [""], object)
        if len(chunk) and not all(map(is_label, values)):
            return None
        parts.append(values[chunk.indices.to_numpy()])
    return np.concatenate(parts) if parts else np.empty(0, object)


def _quoted(lines: Sequence[str], width: int) -> bool:
    """Tell whether all fields of the first line are in quotes, and those of the others are not."""
    first, *below = (line.count('"') >= 2 * width for line in lines)
    return first and lines[0].lstrip()[0] == '"' and not any(below)
