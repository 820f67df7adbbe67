"""Pairs of text files as Harp has them: a line of space-separated features in one, its targets in the other.

Rows are matched by line, so a split counts lines: see `hdl.data.line_count` for how they are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from hdl.data.base import BLOCK_BYTES, FileSplit, Lines, Piece, Source
from hdl.data.block import OVERFLOW, Bad, Block
from hdl.data.delimited import Delimited
from hdl.data.guess import is_number, number
from hdl.data.line_count import Index, count, count_piece, pieces
from hdl.data.line_reader import LineReader
from hdl.data.number_lines import matrix, newlines
from hdl.data.options import Options
from hdl.data.parsed_lines import ParsedLines
from hdl.data.streams import Stream, check_whole, open_stream
from hdl.data.text import first_lines
from hdl.errors import DataError

READERS = 2  # of pieces whose numbers are read: while one waits for a file, the other computes


class TextPair(Source):
    """Features and targets in two texts of as many lines, with or without a line of names.

    Parameters
    ----------
    pairs : list of (str, str or None)
        Features' file and targets' file.
    """

    format = "pair"

    def __init__(self, pairs: list[tuple[str, str | None]], options: Options, schema: Any = None, labels: bool = True):
        super().__init__([x for x, _ in pairs], options)
        self.x = _parser([x for x, _ in pairs], options, schema)
        self.others = {x: y or "" for x, y in pairs}
        others = [y for _, y in pairs if y]
        self.y = _parser(others, options) if others and options.labelled and labels else None
        self.names, self.left_out = self.x.names, self.x.left_out
        self.reading = {"delimiter": self.x.delimiter, "header": self.x.header is not None}
        if self.y is not None:
            self.label = self.y.names or []
            if len(self.y.parser.rows.features) > 1:
                self.targets = self.y.names or [str(i) for i in range(self.y.width)]
        if others and options.labelled:
            self.reading |= {"label_by": "own file", "label_type": "number"}
        self._index: Index | None = None
        self._lengths: list[int] | None = None
        self._parsed = ParsedLines(self.x.width, self.x.delimiter, options.max_line)

    def every_file(self) -> list[str]:
        return [*self.paths, *filter(None, self.others.values())]

    def uncounted(self) -> list[Piece]:
        if self._lengths is not None:
            return []
        return pieces([path for x in self.paths for path in ([x, self.others[x]] if self.y is not None else [x])])

    def count_pieces(self, cut: Sequence[Piece], room: int) -> list[Lines]:
        own = {*self.paths} if _fast(self.x) else set()

        def counted(piece: Piece) -> Lines:
            parsed = piece.path in own and piece.length >= 0
            return self._parsed.count(piece, room) if parsed else count_piece(piece)

        with ThreadPoolExecutor(READERS, "hdl-pieces") as pool:
            return list(pool.map(counted, cut))

    def forget(self) -> None:
        self._parsed.clear()

    def take_counts(self, cut: Sequence[Piece], counts: Sequence[Lines]) -> None:
        self._index, self._lengths = Index.of_counts(cut, counts), None

    def marks(self) -> dict[str, list[list[int]]] | None:
        found = {path: own for path, own in self._index.marks.items() if len(own) > 1} if self._index else None
        return found or None

    def take_marks(self, marks: dict[str, list[list[int]]]) -> None:
        self._index, self._lengths = Index(marks), None

    def lengths(self) -> list[int]:
        """Count the lines of each pair.

        Raises
        ------
        DataError
            A file of targets has more or fewer of them than its file of features.
        """
        if self._lengths is None:
            if self._index is None or not {*self.paths} <= self._index.lengths.keys():
                cut = self.uncounted()
                self.take_counts(cut, count(cut))
            self._lengths = [self._count(path) for path in self.paths]
        return self._lengths

    def _count(self, path: str) -> int:
        assert self._index is not None, "lines are counted before"
        counted = self._index.lengths
        n = max(0, counted[path] - _skipped(self.x, path))
        other = self.others[path]
        if self.y is not None and (m := max(0, counted[other] - _skipped(self.y, other))) != n:
            what = f"{m} lines of targets, but {n} lines of features in {path}"
            raise DataError(f"{what}; if they do not belong together, name the file of samples by itself", other)
        return n

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        first, other = start + _skipped(self.x, path), self.others[path] if self.y is not None else path
        with open_stream(other) as stream:
            targets = self._lines(stream, start + _skipped(self.y or self.x, other), length)
            for lo, x, good in self._features(path, first, first + length, bad):
                where = _line(path, lo)
                numbers = np.arange(lo - first, lo - first + len(x))
                if self.y is None:
                    yield Block(x, None, where, rows=numbers).keep(good)
                    continue
                lines = targets.exactly(len(x))
                y, also = _rows(self.y, other, targets.at - len(x), lines, len(x), bad, good)
                yield Block(x, y[:, 0] if y.shape[1] == 1 else y, where, rows=numbers).keep(good & also)

    def _features(self, path: str, lo: int, hi: int, bad: Bad) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Read lines [lo, hi) of features: the first one's number, the rows, and which of them are good."""
        for start, stop, kept in self._parsed.runs(path, lo, hi, self._index):
            if kept is not None:
                yield start, kept, np.ones(len(kept), bool)
                continue
            with open_stream(path) as stream:
                lines, number = self._lines(stream, start, stop - start), start
                while text := lines.some(max(1, BLOCK_BYTES // (8 * self.x.width))):
                    yield number, *_rows(self.x, path, number, text, newlines(text), bad)
                    number = lines.at

    def _lines(self, stream: Stream, start: int, length: int) -> LineReader:
        return LineReader(stream, start, start + length, self.options.max_line, self._index)


def _parser(paths: list[str], options: Options, schema: Any = None) -> Delimited:
    """Make a reader of lines of numbers, and tell whether a line of names comes first: words above numbers."""
    none: dict[str, Any] = {"columns": (), "features": (), "ignore": (), "keep": (), "weights": None, "offset": None}
    plain = options.make(options, label=(), labelled=False, header=False, multiline=False, **none)
    parser = Delimited(paths, plain, numbers=True)
    _, lines = first_lines(paths[:1], options, 2)
    rows = [parser.split(line) for line in lines[:2]]
    numbers = [all(map(is_number, row)) for row in rows]
    if options.header or (options.header is None and numbers == [False, True]):
        return Delimited(paths, options.make(plain, header=True), schema, labels=False, numbers=True)
    return parser


def _skipped(parser: Delimited, path: str) -> int:
    """Count the lines before the samples of a file."""
    if parser.header is None:
        return 0
    return int(first_lines([path], parser.options, 1)[1][:1] == [parser.header])


def _fast(parser: Delimited) -> bool:
    """Tell whether each line is all numbers as Python writes them, every one of which is wanted."""
    rows = parser.parser.rows
    return rows.plain and len(rows.features) == parser.width and not parser.options.na_values


def _line(path: str, first: int):
    return lambda i: {"path": path, "line": first + i + 1}


def _rows(
    parser: Delimited, path: str, first: int, data: bytes, n: int, bad: Bad, wanted: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Parse n lines to float64 [n, width], and which of them are good; bad ones among the `wanted` go to `bad`."""
    width = len(parser.parser.rows.features)
    if _fast(parser):
        numbers = matrix(data, width, parser.delimiter)
        if numbers is not None and len(numbers) == n:
            return numbers, np.ones(n, bool)
    lines = data.split(b"\n")[:n]
    found = parser.parser.block(data, lambda i: {}) if all(line.strip() for line in lines) else None
    if found is not None and not found[1] and len(found[0]) == n and not np.isnan(found[0].x).any():
        return np.asarray(found[0].x, np.float64), np.ones(n, bool)
    x, good = np.zeros((n, width)), np.ones(n, bool)
    for i, line in enumerate(lines):
        try:
            x[i] = _parse(parser, line.decode("utf-8", "replace").rstrip("\r"))
        except ValueError as error:
            good[i] = False
            check_whole(path)
            if wanted is None or wanted[i]:
                bad.add(DataError(str(error), path, line=first + i + 1))
    return x, good


def _parse(parser: Delimited, line: str) -> list[float]:
    """Read the numbers of a line; raises ValueError with what is wrong."""
    fields = parser.split(line)
    if len(fields) != parser.width:
        raise ValueError(f"{len(fields)} columns, expected {parser.width}")
    out = []
    for item in parser.parser.rows.features:
        called, text = parser.called(item.at), fields[item.at][:80]
        try:
            value = number(fields[item.at])
        except ValueError:
            raise ValueError(f"{called}: {text!r} is not a number") from None
        if not abs(value) < OVERFLOW:
            raise ValueError(f"{called}: {text!r}; expected a finite float32 number")
        out.append(value)
    return out
