"""Lines of text: what CSV and libsvm share.

A block of lines is parsed by a fast path; only where that refuses it, line by line, to find and name the offenders.
A split is a range of (decoded) bytes and owns the lines that start in it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from hdl.arrow import pa, pycsv
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.options import Options
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

    def blocks(self, split: FileSplit, bad: Bad) -> Iterator[tuple[int, bytes]]:
        """Give the lines of a split as they are stored, some at a time, and their offsets: see `line_blocks`."""
        yield from line_blocks(*split, self.options.max_line, bad)

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        seen, counted = 0, bad.count
        for at, data in self.blocks(split, bad):
            seen += bad.count - counted  # lines that are too long come before those that are given
            data, skipped = self.body(split.path, at, data)
            block = self.decode(split.path, at, self.clean(data), skipped, bad)
            block = block.after(seen)
            seen = int(block.seen or 0)
            yield block if len(block) else replace(Block.none(seen), lost=block.lost)
            counted = bad.count  # whoever took the block may have added to it
        if bad.count > counted:
            yield Block.none(seen + bad.count - counted)

    def body(self, path: str, at: int, data: bytes) -> tuple[bytes, int]:
        """Find the lines of samples among those that start at offset `at`, and how many were left out before them."""
        return data, 0

    def like_first(self, path: str, at: int, data: bytes) -> bytes:
        """Give the samples among lines that start at offset `at` as the dataset's first file would hold them."""
        return self.body(path, at, data)[0]

    def decode(self, path: str, at: int, data: bytes, skipped: int, bad: Bad) -> Block:
        """Make a block of lines; records that cannot be read go to `bad`, and show as gaps in `Block.rows`."""
        block = self.fast(data, places(path, at, data, skipped))
        return self.careful(path, at, data, skipped, bad) if block is None else block

    def clean(self, data: bytes) -> bytes:
        """Give as many lines, without what is no part of a sample."""
        return data

    def fast(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        """Make a block of the non-blank lines, or None when anything about them is unusual."""
        raise NotImplementedError

    def parse(self, line: str) -> Any:
        """Parse one sample of one line; raises ValueError with what is wrong.

        Bytes that are not UTF-8 are lone surrogates, of which a UnicodeError may be raised.
        """
        raise NotImplementedError

    def build(self, records: list[Any], where: Callable[[int], dict[str, Any]]) -> Block:
        """Make a block of what `parse` returned."""
        raise NotImplementedError

    def careful(self, path: str, at: int, data: bytes, skipped: int, bad: Bad) -> Block:
        """Make a block of the lines that parse; each other line is given to `bad`."""
        first, records, lines, rows, seen = line_number(path, at) + skipped, [], [], [], 0
        for number, line in enumerate(data.split(b"\n")):
            if line.strip():
                try:
                    records.append(self.parse(line.decode("utf-8", "surrogateescape").rstrip("\r")))
                    lines.append(number)
                    rows.append(seen)
                except ValueError as error:
                    check_whole(path)
                    message = not_utf8(line) if isinstance(error, UnicodeError) else str(error)
                    bad.add(DataError(message, path, line=first + number))
                seen += 1
        block = self.build(records, lambda i: {"path": path, "line": first + lines[i]})
        return replace(block, rows=np.array(rows, np.int64), seen=seen)


def not_utf8(line: bytes, encoding: str = "utf-8") -> str:
    """Say where a line is not in its encoding."""
    if encoding != "utf-8":
        return f"the line is not in {encoding}, as --encoding says"
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} of the line is not UTF-8; --encoding latin-1 or cp1252 may be what it is in"
    return "the line is not UTF-8"


def places(path: str, at: int, data: bytes, skipped: int) -> Callable[[int], dict[str, Any]]:
    """Give the place of the i-th non-blank line; computed when asked, since only errors ask."""

    @cache
    def rows() -> tuple[int, np.ndarray]:
        full = [number for number, line in enumerate(data.split(b"\n")) if line.strip()]
        return line_number(path, at) + skipped, np.array(full)

    return lambda i: {"path": path, "line": int(rows()[0] + rows()[1][i])}


def column(words: bytes, missing: Sequence[str] = ()) -> np.ndarray | None:
    """Read the numbers of lines of one word each, float64, or None: Arrow's is the fastest exact parser at hand.

    A word that says that a value is `missing` is NaN.
    """
    read = pycsv.ReadOptions(use_threads=False, block_size=len(words) + 1, column_names=["number"])
    parse = pycsv.ParseOptions(ignore_empty_lines=not missing)
    convert = pycsv.ConvertOptions(column_types={"number": pa.float64()}, null_values=[*missing])
    try:
        return pycsv.read_csv(pa.BufferReader(words), read, parse, convert).column(0).to_numpy()
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
