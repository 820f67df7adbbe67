"""Parses the lines of a delimited text: whole blocks of them by Arrow; where that refuses, record by record."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from hdl.arrow import pa, pycsv
from hdl.data.block import OVERFLOW, Block, fits_float32
from hdl.data.guess import is_finite
from hdl.data.number_lines import NONE, TEXT, with_text
from hdl.data.tabular.quoted import closed
from hdl.data.tabular.text_rows import TextRows, Where, Wrong
from hdl.data.text import column, not_utf8, squeeze

WIDE = 4000  # columns; of more, Arrow takes longer for a column than for the numbers in it


@dataclass
class Records:
    """The records of some text, split into fields.

    Attributes
    ----------
    rows : list of list of str
        Fields of those that can be split.
    lines, numbers : list of int
        The first line of each of them, and its number among all records.
    errors : list of (int, str)
        What is wrong with the others, by the first line.
    seen : int
        All records.
    """

    rows: list[list[str]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    errors: list[tuple[int, str]] = field(default_factory=list)
    seen: int = 0


@dataclass
class Parser:
    """Parses text of one file's order of columns.

    Parameters
    ----------
    delimiter : str
        A space stands for any white space.
    width : int
        Number of columns.
    rows : TextRows
    multiline : bool
        Whether quoted fields span lines.
    """

    delimiter: str
    width: int
    rows: TextRows
    multiline: bool = False

    def split(self, line: str) -> list[str]:
        """Split a record into its fields; raises ValueError with what is wrong."""
        return split(line, self.delimiter, self.multiline)

    def block(self, data: bytes, where: Where) -> tuple[Block, list[Wrong], np.ndarray] | None:
        """Make a block of text without blank lines inside of records; None where anything about the lines is unusual.

        Returns as `TextRows.block`.
        """
        if (plain := self._plain(data, where)) is not None:
            return plain
        even = self._even(data)
        if even is None:
            return None
        data = even
        if self.width > WIDE and b'"' not in data and (wide := self._wide(data, where)) is not None:
            return wide
        for typed in (True, False):
            try:
                table = self._table(data, typed)
            except pa.ArrowInvalid:
                continue
            if b'"' in data and table.num_rows != self._count(data):
                return None  # a quote inside of a field, where Arrow opens quotes and others do not
            columns = dict(zip(self.rows.needed, table.columns, strict=True))
            out = self.rows.block(columns, table.num_rows, where)
            if not typed or fits(out[0]):
                return out
        return None

    def _plain(self, data: bytes, where: Where) -> tuple[Block, list[Wrong], np.ndarray] | None:
        """Read lines of which all that is needed are plain numbers, and a label; None if they are not all so."""
        if self._cells is None:
            return None
        cells, columns = self._cells
        found = with_text(data if data.endswith(b"\n") else data + b"\n", self.delimiter, cells, columns)
        if found is None:
            return None
        numbers, texts = found
        return self.rows.of_numbers(numbers, texts, where)

    @cached_property
    def _cells(self) -> tuple[np.ndarray, int] | None:
        """Where each cell of a line goes, and how many numbers that makes; None if it takes more than numbers."""
        at = self.rows.numbers_in_order()
        if at is None or len({*at}) < len(at) or any(map(is_finite, self.rows.missing)):
            return None
        cells = np.full(self.width, NONE, np.int32)
        cells[at] = np.arange(len(at))
        if len(self.rows.labels) == 1:
            if cells[self.rows.labels[0]] != NONE:
                return None
            cells[self.rows.labels[0]] = TEXT
        return cells, len(at)

    def _even(self, data: bytes) -> bytes | None:
        """Give text that Arrow splits as `split` does; None if there is none."""
        if self.delimiter == " ":
            data = squeeze(data)
        if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
            return None  # Arrow would take a lone carriage return for the end of a line
        if not self.multiline and b'"' in data and _odd_quotes(data):
            return None  # Arrow lets quotes span lines, which shards could cut
        return data

    def _table(self, data: bytes, typed: bool) -> pa.Table:
        names = [str(i) for i in range(self.width)]
        return pycsv.read_csv(
            pa.BufferReader(data),
            pycsv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
            pycsv.ParseOptions(delimiter=self.delimiter, newlines_in_values=self.multiline),
            self._typed if typed else self._text,
        )

    @cached_property
    def _typed(self) -> pycsv.ConvertOptions:
        types = {str(i): kind for i, kind in self.rows.types().items()}
        return pycsv.ConvertOptions(
            column_types=types,
            include_columns=[str(i) for i in self.rows.needed],
            null_values=[blank + token for token in self.rows.missing for blank in ("", " ")],
            decimal_point=self.rows.usual.decimal,
        )

    @cached_property
    def _text(self) -> pycsv.ConvertOptions:
        types = {str(i): kind for i, kind in self.rows.types().items()}
        types = {name: kind if pa.types.is_dictionary(kind) else pa.string() for name, kind in types.items()}
        return pycsv.ConvertOptions(column_types=types, include_columns=[*types], null_values=[])

    def _wide(self, data: bytes, where: Where) -> tuple[Block, list[Wrong], np.ndarray] | None:
        """Read a few lines of very many numbers, which Arrow reads as one column much faster than as many."""
        rows, label = self.rows, self.rows.labels[0] if len(self.rows.labels) == 1 else -1
        if not rows.plain:
            return None
        mark, lines, labels = self.delimiter.encode(), [], []
        for line in data.split(b"\n"):
            if line := line.strip(b"\r"):
                ends = np.flatnonzero(np.frombuffer(line, np.uint8) == mark[0])
                if len(ends) != self.width - 1 or len(mark) > 1:
                    return None
                if label >= 0:
                    start = int(ends[label - 1]) + 1 if label else 0
                    stop = int(ends[label]) if label < len(ends) else len(line)
                    labels.append(line[start:stop])
                    line = line[:start] + b"0" + line[stop:]
                lines.append(line)
        numbers = column(b"\n".join(lines).replace(mark, b"\n") + b"\n", rows.missing) if lines else None
        if numbers is None or len(numbers) != len(lines) * self.width or not in_range(numbers):
            return None
        try:
            texts = {label: pa.array([text.decode() for text in labels], pa.string())} if label >= 0 else {}
        except UnicodeDecodeError:
            return None
        matrix = numbers.reshape(len(lines), self.width)
        floats = {i: pa.array(matrix[:, i]) for i in rows.labels} if label < 0 else texts
        wrong: list[Wrong] = []
        y, unlabelled = rows.label_values(floats, len(lines), wrong)
        return Block(matrix[:, [item.at for item in rows.features]], y, where), wrong, unlabelled

    def records(self, data: bytes, encoding: str, header: bytes = b"") -> Records:
        """Split text record by record; bytes that are not UTF-8 matter in columns that are needed.

        A record that is the header is none.
        """
        out = Records()
        for line, raw in self.each(data):
            try:
                if header and raw.rstrip(b"\r") == header:
                    raise ValueError("the line of names once more; expected a record")
                fields = self.split(raw.decode("utf-8", "surrogateescape").rstrip("\r"))
                if len(fields) != self.width:
                    raise ValueError(f"{len(fields)} columns, expected {self.width}")
                for i in self.rows.needed:
                    fields[i].encode()
                out.rows.append(fields)
                out.lines.append(line)
                out.numbers.append(out.seen)
            except UnicodeError:
                out.errors.append((line, not_utf8(raw, encoding)))
            except ValueError as error:
                out.errors.append((line, str(error)))
            out.seen += 1
        return out

    def _count(self, data: bytes) -> int:
        """Count the records that are not blank."""
        if self.multiline:
            return sum(1 for _ in self.each(data))
        return sum(map(bool, map(bytes.strip, data.split(b"\n"))))

    def each(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Give the records that are not blank, and the number of their first line, from 0."""
        held: list[bytes] = []
        first = odd = 0
        for number, line in enumerate(data.split(b"\n")):
            if not self.multiline:
                if line.strip():
                    yield number, line
                continue
            first = first if held else number
            held.append(line)
            odd ^= line.count(b'"') & 1
            if not odd:
                if (whole := b"\n".join(held)).strip():
                    yield first, whole
                held = []
        if held:
            yield first, b"\n".join(held)

    def reordered(self, data: bytes, like: Parser, encoding: str) -> bytes:
        """Write records with the columns that are needed where another parser has them; bad ones stay as they are."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator="\n")
        places = list(zip(like.rows.needed_in_order, self.rows.needed_in_order, strict=True))
        for _, raw in self.each(data):
            line = raw.decode(encoding, "surrogateescape").rstrip("\r")
            try:
                fields = self.split(line)
            except ValueError:
                fields = []
            if len(fields) == self.width:
                row = [""] * like.width
                for there, here in places:
                    row[there] = fields[here]
                writer.writerow(row)
            else:
                out.write(line + "\n")
        return out.getvalue().encode(encoding, "surrogateescape")

    def columns(self, rows: list[list[str]]) -> Mapping[int, pa.Array]:
        """Make columns of text of split records."""
        return {i: pa.array([row[i] for row in rows], pa.string()) for i in self.rows.needed}


def _odd_quotes(data: bytes) -> bool:
    """Tell whether some line has an odd number of quotes."""
    text = np.frombuffer(data, np.uint8)
    quotes, ends = np.flatnonzero(text == ord('"')), np.flatnonzero(text == ord("\n"))
    before = np.searchsorted(quotes, np.append(ends, len(text)))
    return bool((np.diff(before, prepend=0) & 1).any())


def split(line: str, delimiter: str, multiline: bool = False) -> list[str]:
    """Split a record into its fields.

    Raises
    ------
    ValueError
        It is badly quoted, or holds the end of a line that is none.
    """
    if "\r" in line and not (multiline and line.count("\r") == line.count("\r\n")):
        raise ValueError(r"a carriage return inside a line; expected lines that end in \n or \r\n")
    if delimiter == " ":
        line = " ".join(line.split())
    if line.count('"') % 2 and not closed(line, delimiter):
        hint = "" if multiline else "; --multiline reads quoted fields that span lines"
        if '\\"' in line:
            hint = '; a quote inside of a field is written twice, "", and not behind a backslash'
        raise ValueError(f"badly quoted: an odd number of quotes{hint}")
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        if "\n" in line:
            raise ValueError("badly quoted: the line ends inside of a field that does not begin with a quote") from None
        raise ValueError(str(error)) from None  # a field beyond csv's own limit


def fits(block: Block) -> bool:
    """Tell whether all numbers that are there are within float32's range."""
    x = getattr(block.x, "numbers", block.x)
    parts = [x, *(part for part in (block.weight, block.offset) if part is not None)]
    if block.y is not None and block.y.ndim == 2:
        parts.append(block.y)
    return all(map(in_range, parts))


def in_range(values: np.ndarray) -> bool:
    """Tell whether values are finite float32 numbers or missing."""
    return fits_float32(values) or not (np.abs(values) >= OVERFLOW).any()
