"""Other files of a dataset of delimited text: each may have its columns in another order, if its header says so."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from hdl.data.header import find_header
from hdl.data.names import some, unique
from hdl.data.options import Options
from hdl.data.tabular.beginning import begin
from hdl.data.tabular.parser import Parser
from hdl.errors import DataError


class File(NamedTuple):
    """The reading of one file: where its samples start, its line of names, and the parser of its order of columns."""

    start: int
    header: str | None
    parser: Parser


def file_like(
    like: File, path: str, columns: Sequence[str] | None, options: Options, first: str, schema: Any = None
) -> File:
    """Find how a file is read, beside the first one of its dataset.

    Parameters
    ----------
    like : File
        The first one.
    columns : sequence of str or None
        Its names of columns.
    options : Options
        With the delimiter of the first one, and whether its quoted fields span lines.
    first : str
        Its path.
    schema : Schema, optional
        Of a model: more columns than it needs may be there.

    Raises
    ------
    DataError
        A column is missing, or new; a header in some files only.
    """
    parser, found = like.parser, begin(path, options)
    samples = File(found.starts[0] if found.lead and found.starts else 0, None, parser)
    if not found.records:
        return samples
    if found.records[0] == like.header:
        return File(found.ends[0], like.header, parser)
    rows = []
    for record in found.records:
        with suppress(ValueError):
            rows.append(parser.split(record))
    try:
        parser.split(found.records[0])
    except ValueError:
        return samples  # what is wrong with the line is told when it is read
    rule = options if like.header is None else options.make(options, header=None)
    try:
        there = find_header(rows, rule, path, quoted=in_quotes(found.records, len(rows[0]))).there
    except DataError:
        there = False  # it may have none, as the first file has none, or has one that says the same
    if columns is None:
        if there:
            raise DataError(f"a header, which {first} has not; expected one in each file or in none", path)
        return samples
    names, _ = unique([name.strip() for name in rows[0]])
    known = set(columns)
    if not there and not any(name in known for name in names):
        return samples
    needed = [columns[i] for i in parser.rows.needed]
    features = {columns[item.at] for item in parser.rows.features}
    if not there and not features <= set(names):
        return samples
    at = {name: i for i, name in enumerate(names)}
    if missing := [name for name in needed if name not in at]:
        raise DataError(f"columns {some(missing)} of {first} are missing", path)
    more = [name for name in names if name not in known]
    if more and schema is None:
        raise DataError(f"columns {some(more)}, which {first} has not", path)
    moved = parser.rows.moved({i: at[columns[i]] for i in parser.rows.needed}, names)
    return File(found.ends[0], found.records[0], replace(parser, width=len(names), rows=moved))


def in_quotes(lines: Sequence[str], width: int) -> bool:
    """Tell whether all fields of the first line are in quotes, and those of the others are not."""
    first, *below = (line.count('"') >= 2 * width for line in lines)
    return first and lines[0].lstrip()[0] == '"' and not any(below)
