"""CSV, TSV and other delimited text, as people write it. Fields may be quoted, and quoted fields may span lines."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.base import FileSplit, numbered
from hdl.data.block import Bad, Block
from hdl.data.columns import Choice, choose, place
from hdl.data.header import FIELDS, LOOK, delimiter, find_header, look
from hdl.data.names import describe_repeats, some, unique
from hdl.data.options import Options
from hdl.data.streams import check_whole, line_number
from hdl.data.tabular import sniffer
from hdl.data.tabular.beginning import HEAD, Beginning, begin, refuse_title, widen_header
from hdl.data.tabular.cells import MISSING, Dialect
from hdl.data.tabular.charset import codec_of, in_utf8
from hdl.data.tabular.flags import Wish, parse
from hdl.data.tabular.found import beginning_of, table_of
from hdl.data.tabular.kinds import MOST, Field, decide
from hdl.data.tabular.label_cells import LabelCells, look_at_labels
from hdl.data.tabular.orders import File, file_like, in_quotes
from hdl.data.tabular.parser import Parser, split
from hdl.data.tabular.quoted import at_records, record_blocks
from hdl.data.tabular.text_rows import TextRows, Where, Wrong
from hdl.data.text import TextSource, places
from hdl.errors import DataError

CELLS = 1 << 20  # decoded bytes of the first file whose cells tell the kinds of columns,
OTHERS = 8  # beside the first ones of as many others


class Delimited(TextSource):
    """One sample a record, fields parted by a delimiter. Splits are bytes.

    A number equals Python's ``float(text)``. Each file of a dataset may have its columns in another order, if it has a
    header that says so.

    Parameters
    ----------
    numbers : bool
        Every feature is a number, whatever its cells look like.
    """

    format = "csv"

    def __init__(
        self, paths: list[str], options: Options, schema: Any = None, labels: bool = True, numbers: bool = False
    ):
        super().__init__(paths, options)
        self.schema, self.wanted, self._plain = schema, labels, numbers
        self.encoding = codec_of(options.encoding, paths[0])
        wishes = parse(options.columns)
        self._settled = bool(wishes) and all(wish.settled for wish in wishes)
        found, lines = self._first(HEAD if self._settled or numbers else CELLS)
        self.first, self.multiline = found.path, found.multiline
        self.delimiter = delimiter(lines[:LOOK], options, self.first)
        try:
            rows = [self.split(lines[0])]
        except ValueError as error:
            raise DataError(f"first line: {error}", self.first) from None
        self.width = len(rows[0])
        rows += self._rows(lines[1 : max(2, FIELDS // self.width)])
        refuse_title(rows, self.first)
        widen_header(rows)
        self.width = len(rows[0])
        quoted = in_quotes(lines[:LOOK], self.width)
        header = find_header(rows[:LOOK], options, self.first, schema, quoted, rows[LOOK:])
        self.header_names: list[str] | None = None
        twice: dict[str, list[int]] = {}
        if header.there:
            self.header_names, twice = unique([name.strip() for name in rows.pop(0)])
            if not rows and len(lines) == 1 and header.by != "model":  # no row of a model's table is no mistake
                what = f"a header alone ({some(self.header_names)}); expected lines of samples below it"
                raise DataError(what, self.first)
            if not rows and lines[1:] and not self._settled:
                self._refuse_all(lines[1])
        self.titles = self.header_names or [str(i) for i in range(self.width)]
        self._repeated = twice
        seen = look(rows[: LOOK - header.there], self.header_names, twice)
        seen = replace(seen, index={}) if self._settled else seen
        chosen = choose(self.header_names, self.width, options, self.first, schema, seen, labels)
        self.reading = {"header": header.there, "header_by": header.by, "delimiter": self.delimiter}
        self.reading |= beginning_of(found, self.encoding)
        start = found.ends[0] if header.there else found.starts[0] if found.lead else 0
        self._file = File(start, lines[0] if header.there else None, self._parser(rows, seen.index, chosen))
        self._files: dict[str, File] = {}
        if twice:
            self.reading["duplicates"] = describe_repeats(self.header_names or [], twice)

    @property
    def header(self) -> str | None:
        """The first file's line of names."""
        return self._file.header

    @property
    def parser(self) -> Parser:
        """The parser of the first file's order of columns."""
        return self._file.parser

    def _of(self, path: str) -> File:
        """Say how a file is read."""
        if path == self.first or len(self.paths) == 1:
            return self._file
        if path not in self._files:
            self._files[path] = file_like(self._file, path, self.header_names, self._as_here(), self.first, self.schema)
        return self._files[path]

    def split(self, line: str) -> list[str]:
        """Split a record into its fields; raises ValueError with what is wrong."""
        return split(line, self.delimiter, self.multiline)

    def _refuse_all(self, line: str) -> None:
        """Say what is wrong with the first record below the header, where none of those that are looked at is right."""
        try:
            self.split(line)
        except ValueError as error:
            raise DataError(f"the first record below the header: {error}", self.first) from None

    def _rows(self, lines: Sequence[str]) -> list[list[str]]:
        """Split the lines that can be split; what is wrong with the others is told when they are read."""
        if self.delimiter != " " and not any('"' in line or "\r" in line for line in lines):
            with suppress(csv.Error):
                return [*csv.reader(lines, delimiter=self.delimiter)]
        rows = []
        for line in lines:
            with suppress(ValueError):
                rows.append(self.split(line))
        return rows

    def _first(self, size: int) -> tuple[Beginning, list[str]]:
        """Read the beginning of the first file that has any; one record, maybe a header, is followed by the others'."""
        first: Beginning | None = None
        lines: list[str] = []
        for path in self.paths:
            found = begin(path, self.options, size)
            first = first or (found if found.records else None)
            lines += [line for line in found.records if not lines or found is first or line != lines[0]]
            if len(lines) > 1:
                break
        if first is None:
            raise DataError("the file is empty, expected lines of samples", self.paths[0])
        return first, lines

    def _parser(self, rows: list[list[str]], index: Mapping[int, str], chosen: Choice) -> Parser:
        """Decide what the columns are, by their first cells where nothing else says it."""
        options, schema, plain = self.options, self.schema, self._plain
        cells = [] if plain else self._cells(rows)
        kind = "number" if plain else None
        fields = [Field(name, kind, "", None if plain else cells[i]) for i, name in enumerate(self.titles)]
        point = self.delimiter == "," or any(map(sniffer.has_point, cells))
        decision = decide(fields, chosen.features, options, self.first, chosen.taken, schema, point=point)
        self.columns, self.pins = decision.columns, decision.pins
        self.label = [self.titles[i] for i in chosen.labels]
        self.targets = self.label if len(chosen.labels) > 1 else None
        if self.header_names:
            self.names = [column.name for column in self.columns]
        self.left_out = [f"{self.called(i)}: {index[i]}" for i in chosen.left_out] + decision.left_out
        usual = Dialect(options.decimal or ".", missing=tuple(dict.fromkeys((*MISSING, *options.na_values))))
        about = LabelCells()
        if chosen.labels and self.wanted and cells:
            wishes = {i: wish for wish in parse(options.columns) for i in chosen.labels if wish.name == self.titles[i]}
            columns = {self.called(i): cells[i] for i in chosen.labels}
            about = look_at_labels(columns, [*wishes.values()], usual, point, decision.label_kind, schema, self.first)
        if decision.label_kind == "category":
            self.pins += tuple(str(Wish(self.titles[i], "category", (), "flag", True)) for i in chosen.labels)
        elif about.dialect is not None:
            details = about.dialect.details("number")
            self.pins += (str(Wish(self.titles[chosen.labels[0]], "number", details, "values", True)),)
        kept = {
            self.titles[i]: i
            for i in (place(self.titles, name, "keep", self.first, self._repeated) for name in options.keep)
        }
        self.kept_schema = pa.schema([(name, pa.string()) for name in kept]) if kept else None
        if chosen.labels:
            typed = "text" if decision.label_kind == "category" else None
            self.reading |= {"label_by": chosen.by, "label_at": chosen.places, "label_type": typed}
        if notes := [*decision.notes, *about.notes]:
            self.reading["cells"] = notes
        if not plain:
            self.reading["table"] = table_of(decision, chosen, self.width, index)
        labels = chosen.labels if self.wanted else []
        beside, how = (chosen.weights, chosen.offset, kept), (usual, about.dialect, about.dotted)
        made = TextRows(decision.features, labels, *beside, self.titles, *how, options.na_values, schema is not None)
        return Parser(self.delimiter, self.width, made, self.multiline)

    def _cells(self, rows: list[list[str]]) -> list[list[str]]:
        """Give the first cells of each column, of some other files too."""
        rows = [row for row in rows if len(row) == self.width]
        others = [path for path in self.paths if path != self.first] if not self._settled else []
        for path in others[:: max(1, len(others) // OTHERS)][:OTHERS]:
            found = self._rows(begin(path, self._as_here()).records)
            names = [name.strip() for name in found[0]] if found and self.header_names else []
            if names and set(names) == set(self.header_names or ()):
                order = [names.index(name) for name in self.header_names or ()]
                found = [[row[i] for i in order] for row in found[1:] if len(row) == self.width]
            rows += [row for row in found if len(row) == self.width]
        return [[cell.strip() for cell in column] for column in zip(*rows, strict=True)] or [[] for _ in self.titles]

    def _as_here(self) -> Options:
        """Give the options with which other files begin as the first one does."""
        return self.options.make(self.options, multiline=self.multiline, delimiter=self.delimiter)

    def settled(self) -> Options:
        """Give the options that say what was found out, so that whoever opens the files again need not look."""
        found: dict[str, Any] = {"header": self.header is not None, "delimiter": self.delimiter}
        if self.label:
            at = {name: i for i, name in enumerate(self.titles)}
            found["label"] = [str(at[name]) if name in self._repeated else name for name in self.label]
        return self.options.make(self.options, columns=self.pins, multiline=self.multiline, **found)

    def splits(self, shards: int) -> list[list[FileSplit]]:
        """Cut the dataset as any; where quoted fields span lines, each cut moves to where the next record starts."""
        parts = super().splits(shards)
        if not self.multiline or numbered(self.paths, shards):
            return parts
        moved = at_records([split for own in parts for split in own])
        ends = [[moved[split] for split in own] for own in parts]
        return [[split for split in own if split.length > 0] for own in ends]

    def blocks(self, split: FileSplit, bad: Bad) -> Iterator[tuple[int, bytes]]:
        """Give the records of a split as they are stored, some at a time, and their offsets."""
        if self.multiline:
            return record_blocks(*split, self.options.max_line, bad)
        return super().blocks(split, bad)

    def body(self, path: str, at: int, data: bytes) -> tuple[bytes, int]:
        start = self._of(path).start
        if at >= start:
            return data, 0
        return data[start - at :], data[: start - at].count(b"\n")

    def like_first(self, path: str, at: int, data: bytes) -> bytes:
        data, parser = self.body(path, at, data)[0], self._of(path).parser
        return data if parser is self.parser else parser.reordered(data, self.parser, self.options.encoding)

    def clean(self, data: bytes) -> bytes:
        if self.encoding:
            data = in_utf8(data, self.encoding)
        if self.options.comment and (comment := self.options.comment.encode()) in data:
            data = re.sub(rb"(?m)^" + re.escape(comment) + rb"[^\n]*", b"", data)
        return data

    def decode(self, path: str, at: int, data: bytes, skipped: int, bad: Bad) -> Block:
        parser, header = self._of(path).parser, (self._of(path).header or "").encode()
        where: Where = places(path, at, data, skipped) if not self.multiline else self._where(path, at, data, skipped)
        again = bool(header) and header in data  # of files that were put one behind another
        found = None if again else parser.block(data, where)
        numbers, errors = None, list[tuple[int, str]]()
        if found is None:
            records = parser.records(data, self.options.encoding, header)
            first, lines = line_number(path, at) + skipped, records.lines
            numbers, seen, errors = np.array(records.numbers, np.int64), records.seen, records.errors
            errors = [(first + line, message) for line, message in errors]
            where = lambda i: {"path": path, "line": first + lines[i]}  # noqa: E731
            found = parser.rows.block(parser.columns(records.rows), len(lines), where)
        block, wrong, unlabelled = found
        seen = len(block) if numbers is None else seen
        good = ~unlabelled
        if wrong:
            errors = sorted(errors + self._errors(wrong, unlabelled, where, good, bad.limit == 0))
        for line, message in errors:
            check_whole(path)
            bad.add(DataError(message, path, line=line))
        bad.unlabelled += int(unlabelled.sum())
        block = replace(block, rows=np.arange(len(block)) if numbers is None else numbers, seen=seen)
        return block.keep(good)

    def _where(self, path: str, at: int, data: bytes, skipped: int) -> Where:
        """Give the place of the i-th record; computed when asked, since only errors ask."""
        lines: list[int] = []

        def where(i: int) -> dict[str, Any]:
            if not lines:
                first = line_number(path, at) + skipped
                lines.extend(first + line for line, _ in self._of(path).parser.each(data))
            return {"path": path, "line": lines[i]}

        return where

    def _errors(
        self, wrong: Sequence[Wrong], unlabelled: np.ndarray, where: Where, good: np.ndarray, last: bool
    ) -> list[tuple[int, str]]:
        """Say what is wrong with each row, with its line; the first one, if it is the last, says it of all columns."""
        rows = sorted({row for item in wrong for row in item.texts if not unlabelled[row]})
        out = []
        for row in rows:
            good[row] = False
            said = [self._said(item, row) for item in wrong if row in item.texts]
            if last and row == rows[0]:
                for item in [item for item in wrong if row not in item.texts][:MOST]:
                    other = next((other for other in item.texts if not unlabelled[other]), None)
                    said += [] if other is None else [f"line {where(other)['line']}, {self._said(item, other)}"]
            out.append((where(row)["line"], "; ".join(said)))
        return out

    def _said(self, item: Wrong, row: int) -> str:
        return f"{self.called(item.column)}: {item.said(row)}"

    def called(self, i: int) -> str:
        """Name a column for people."""
        return f"column {i + 1}" + (f" ({self.header_names[i]!r})" if self.header_names else "")
