"""Lines of text: what CSV and libsvm share.

A block of lines is parsed by a fast path; only where that refuses it, line by line, to find and name the offenders.
A split is a range of (decoded) bytes and owns the lines that start in it.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from hdl.data.base import Bad, Block, FileSplit, Options, Source
from hdl.data.streams import check_whole, decoded_length, head, line_blocks, line_number
from hdl.errors import DataError

HEAD = 65536  # decoded bytes in which first lines are looked for


class TextSource(Source):
    """Base of readers of one sample a line."""

    records = False  # splits count bytes

    def __init__(self, paths: list[str], options: Options):
        super().__init__(paths, options)
        self._lengths: list[int] | None = None

    def lengths(self) -> list[int]:
        """Count the decoded bytes of each file; compressed files are scanned once."""
        if self._lengths is None:
            self._lengths = [decoded_length(path) for path in self.paths]
        return self._lengths

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        for at, data in line_blocks(*split, self.options.max_line, bad):
            data, skipped = self.body(at, data)
            data = self.clean(data)
            block = self.fast(data, _where(split.path, at, data, skipped))
            if block is None:
                block = self.careful(split.path, at, data, skipped, bad)
            if len(block):
                yield block

    def body(self, at: int, data: bytes) -> tuple[bytes, int]:
        """Find the lines of samples among those that start at offset `at`, and how many were left out before them."""
        return data, 0

    def clean(self, data: bytes) -> bytes:
        """Give as many lines, without what is no part of a sample."""
        return data

    @abstractmethod
    def fast(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        """Make a block of the non-blank lines, or None when anything about them is unusual."""

    @abstractmethod
    def parse(self, line: str) -> Any:
        """Parse one sample of one line; raises ValueError with what is wrong.

        Bytes that are not UTF-8 are lone surrogates, of which a UnicodeError may be raised.
        """

    @abstractmethod
    def build(self, records: list[Any], where: Callable[[int], dict[str, Any]]) -> Block:
        """Make a block of what `parse` returned."""

    def careful(self, path: str, at: int, data: bytes, skipped: int, bad: Bad) -> Block:
        """Make a block of the lines that parse; each other line is given to `bad`."""
        first, records, rows = line_number(path, at) + skipped, [], []
        for number, line in enumerate(data.split(b"\n")):
            if line.strip():
                try:
                    records.append(self.parse(line.decode("utf-8", "surrogateescape").rstrip("\r")))
                    rows.append(number)
                except ValueError as error:
                    check_whole(path)
                    message = _not_utf8(line) if isinstance(error, UnicodeError) else str(error)
                    bad.add(DataError(message, path, line=first + number))
        return self.build(records, lambda i: {"path": path, "line": first + rows[i]})


def _not_utf8(line: bytes) -> str:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} of the line is not UTF-8"
    return "the line is not UTF-8"


def _where(path: str, at: int, data: bytes, skipped: int) -> Callable[[int], dict[str, Any]]:
    """Give the place of the i-th non-blank line; computed when asked, since only errors ask."""

    @cache
    def rows() -> tuple[int, np.ndarray]:
        full = [number for number, line in enumerate(data.split(b"\n")) if line.strip()]
        return line_number(path, at) + skipped, np.array(full)

    return lambda i: {"path": path, "line": int(rows()[0] + rows()[1][i])}


def column(words: bytes) -> np.ndarray | None:
    """Read the numbers of lines of one word each, float64, or None: Arrow's is the fastest exact parser at hand."""
    read = pa.csv.ReadOptions(use_threads=False, block_size=len(words) + 1, column_names=["number"])
    convert = pa.csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[])
    try:
        return pa.csv.read_csv(pa.BufferReader(words), read, convert_options=convert).column(0).to_numpy()
    except pa.ArrowInvalid:
        return None


def first_lines(
    paths: list[str], options: Options, count: int, cleaned: Callable[[bytes], bytes] = bytes
) -> tuple[str, list[str]]:
    """Read the first file that has any, and up to `count` of its lines that are not blank once they are `cleaned`.

    A file of one line, which may be a header alone, is followed by the others' lines.
    """
    first = paths[0]
    lines: list[str] = []
    for path in paths:
        for line in _beginning(path, options.max_line, count, cleaned):
            first = first if lines else path
            text = line.decode("utf-8", "replace").rstrip("\r")
            if path == first or text != lines[0]:
                lines.append(text)
            if len(lines) == count:
                return first, lines
        if len(lines) > 1:
            break
    return first, lines


def _beginning(path: str, longest: int, count: int, cleaned: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Read `count` lines or more that are not blank once they are cleaned, or all; as little as may be of a file."""
    start = head(path, HEAD)
    whole = len(start) < HEAD
    lines = start.removeprefix(b"\xef\xbb\xbf").split(b"\n")[: None if whole else -1]
    lines = [line for line in map(cleaned, lines) if line.strip() and len(line) <= longest]
    if (whole or len(lines) >= count) and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield from lines
        return
    for _, data in line_blocks(path, 0, 1 << 62, longest, Bad(sys.maxsize)):
        yield from (line for line in map(cleaned, data.split(b"\n")) if line.strip())


def squeeze(data: bytes) -> bytes:
    """Give lines of space-separated fields one space between fields and none at the ends."""
    data = data.replace(b"\t", b" ").replace(b"\r\n", b"\n")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")
