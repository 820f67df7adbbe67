"""JSON lines: an object a line. Splits are bytes, and own the lines that start in them, as those of other text do.

Columns and their types are those of the first lines: nested objects are flattened, numbers are doubles, and a value of
another kind further on makes its line a bad record.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from hdl.arrow import pa, pyjson
from hdl.data.block import Bad
from hdl.data.layouts.cells import Cell, File, flatten
from hdl.data.layouts.table import Batch, Table
from hdl.data.names import flag_of
from hdl.data.options import Options
from hdl.data.streams import check_whole, decoded_length, head, line_blocks, line_number
from hdl.data.tabular import cells as text_cells
from hdl.errors import DataError

START = 1 << 20  # decoded bytes of a file whose lines tell its columns
MOSTLY = 0.9  # so many of a column's first values are of its kind; others are bad
_FAMILIES = {
    bool: "truth values", int: "numbers", float: "numbers", str: "text", dict: "objects", list: "lists"
}  # fmt: skip
EXACT = 2**53  # whole numbers beyond are no doubles
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?")


class JsonLines(Table):
    """One sample a line."""

    format = "json"
    unit = "line"
    look = START

    def __init__(self, paths: list[str], options: Options, *rest: Any):
        super().__init__(paths, options, *rest)
        self.records = False

    def _describe(self, path: str) -> File:
        start = head(path, START)
        lines = start.removeprefix(b"\xef\xbb\xbf")
        if len(start) == START:
            lines = lines[: lines.rfind(b"\n") + 1]
            if not lines:
                raise DataError(f"the first line is longer than {START} bytes; expected an object a line", path)
        objects = list[dict[str, Any]]()
        for line in lines.split(b"\n"):
            with suppress(ValueError):  # told when it is read
                if line.strip() and isinstance(value := json.loads(line), dict):
                    objects.append(value)
        if lines.strip() and not objects:
            raise DataError("no line is a JSON object; expected one a line", path, line=1)
        kinds = _struct(objects, self.odd, (), frozenset(self.options.keep))
        cells = flatten([part.name for part in kinds], [part.type for part in kinds])
        return File(path, {cell.name: cell for cell in cells}, decoded_length(path), kinds)

    def _batches(self, file: File, start: int, length: int, needed: Sequence[Cell], bad: Bad) -> Iterator[Batch]:
        tops = sorted({cell.top for cell in needed})
        wanted = [file.extra.field(top) for top in tops]
        dates = {part.name for part in wanted if pa.types.is_timestamp(part.type)}
        schema = pa.schema([pa.field(part.name, pa.string()) if part.name in dates else part for part in wanted])
        for at, data in line_blocks(file.path, start, length, self.options.max_line, bad):
            table, rows, records = _parsed(data, schema, _places(file.path, at, data), bad)
            columns, fine = {}, np.ones(len(rows), bool)
            where = _at(_places(file.path, at, data), rows)
            for top, part in zip(tops, wanted, strict=True):
                values: Any = table.column(part.name).combine_chunks()
                if part.name in dates:
                    values, wrong = text_cells.dates(values)
                    for i in np.flatnonzero(np.asarray(wrong) & fine):
                        fine[i] = False
                        given = table.column(part.name)[int(i)].as_py()
                        bad.add(DataError(f"column {part.name!r}: {given[:80]!r} is no date", **where(int(i))))
                columns[top] = values
            if not fine.all():
                columns = {top: values.filter(pa.array(fine)) for top, values in columns.items()}
                rows = rows[fine]
                where = _at(_places(file.path, at, data), rows)
            yield Batch(0, len(rows), columns, rows, records, where)


def _places(path: str, at: int, data: bytes) -> Callable[[int], dict[str, Any]]:
    """Give the place of the i-th line that is not blank; it is found when an error asks."""

    @cache
    def lines() -> tuple[int, list[int]]:
        return line_number(path, at), [i for i, line in enumerate(data.split(b"\n")) if line.strip()]

    return lambda i: {"path": path, "line": lines()[0] + lines()[1][i]}


def _at(places: Callable[[int], dict[str, Any]], rows: np.ndarray) -> Callable[[int], dict[str, Any]]:
    return lambda i: places(int(rows[i]))


def _parsed(
    data: bytes, schema: pa.Schema, places: Callable[[int], dict[str, Any]], bad: Bad
) -> tuple[pa.Table, np.ndarray, int]:
    """Parse lines; returns the table, the numbers of its rows among the lines that are not blank, and their count."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    try:
        table = _read(b"\n".join(lines), schema)
        if table.num_rows == len(lines):
            return table, np.arange(len(lines)), len(lines)
    except pa.ArrowInvalid:
        pass
    tables, rows = [], []
    for i, line in enumerate(lines):
        try:
            if not isinstance(value := json.loads(line), dict):
                raise ValueError(f"a JSON {type(value).__name__}; expected an object")
            tables.append(_read(line, schema))
            rows.append(i)
        except ValueError as error:  # Arrow's are such, too
            place = places(i)
            check_whole(place["path"])
            bad.add(DataError(_why(error), **place))
    empty = pa.schema(schema).empty_table()
    return pa.concat_tables([empty, *tables]), np.array(rows, np.int64), len(lines)


def _why(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the line is not UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error.msg.removesuffix(' at')} at character {error.pos + 1}"
    said = re.sub(r" in row \d+", "", str(error).removeprefix("JSON parse error: "))
    if match := re.match(r"Column\(/(.*?)\) was specified twice", said):
        return f"column {match[1].replace('/', '.')!r} is there twice"
    if match := re.match(r"Column\(/(.*?)\) (?:changed from \w+ to|was) (\w+)", said):
        name = match[1].replace("/", ".")
        mend = flag_of("(--ignore {} leaves it out)", name)
        return f"column {name!r} is a {match[2]} here, unlike in most of the first lines {mend}"
    return said


def _read(data: bytes, schema: pa.Schema) -> pa.Table:
    if not len(schema):
        return pa.table({"": pa.nulls(data.count(b"\n") + 1)})
    return pyjson.read_json(
        pa.BufferReader(data), pyjson.ReadOptions(use_threads=False, block_size=len(data) + 1),
        pyjson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    ).select(schema.names)  # fmt: skip


def _struct(
    objects: Sequence[dict[str, Any]], odd: dict[str, str], above: tuple[str, ...], keep: frozenset[str]
) -> Any:
    """Find the type of objects: of each key that of its values; what has none is told in `odd`."""
    values: dict[str, list[Any]] = {}
    for each in objects:
        for key, value in each.items():
            if value is not None:
                values.setdefault(key, []).append(value)
            else:
                values.setdefault(key, [])
    parts = []
    for key, there in values.items():
        name = ".".join((*above, key))
        kind, why = _kind(there, odd, (*above, key), keep)
        if kind is None:
            odd[name] = why
            if not above:
                parts.append((key, pa.struct([])))
        elif why == "":
            parts.append((key, kind))
    return pa.struct(parts)


def _kind(values: list[Any], odd: dict[str, str], path: tuple[str, ...], keep: frozenset[str]) -> tuple[Any, str]:
    """Find the type of some values, or why they have none."""
    if not values:
        return None, "only null in the first lines"
    families = [_FAMILIES[type(value)] for value in values]
    most, count = Counter(families).most_common(1)[0]
    if count < MOSTLY * len(values):
        return None, f"values of several kinds in the first lines ({' and '.join(sorted(set(families)))})"
    values = [value for value, held in zip(values, families, strict=True) if held == most]  # others are told later
    types = set(map(type, values))
    if types == {bool}:
        return pa.bool_(), ""
    if types <= {int, float}:
        large = types == {int} and (max(map(abs, values)) > EXACT or path[0] in keep)
        return (pa.int64() if large and max(map(abs, values)) < 2**63 else pa.float64()), ""
    if types == {str}:
        moment = len(path) == 1 and sum(map(bool, map(_MOMENT.fullmatch, values))) >= MOSTLY * len(values)
        return (pa.timestamp("us") if moment else pa.string()), ""
    if types == {dict}:
        return _struct(values, odd, path, keep), ""
    if types == {list} and (inside := [value for each in values for value in each]):
        if set(map(type, inside)) <= {int, float}:
            return pa.list_(pa.float64()), ""
        return None, "lists of what are no numbers"
    return None, "empty lists in the first lines"
