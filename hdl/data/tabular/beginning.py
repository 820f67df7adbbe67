"""The first records of a delimited text: what stands before the table, and whether quoted fields span lines."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hdl.data.block import Bad
from hdl.data.guess import is_number
from hdl.data.header import LOOK, MARKS
from hdl.data.options import Options
from hdl.data.streams import head, line_blocks
from hdl.data.tabular.quoted import closed
from hdl.errors import DataError

HEAD = 65536  # decoded bytes that are looked at, if no more are asked for
_SEP = re.compile(r"\"?sep=.\"?", re.IGNORECASE)  # a line in which Excel says what parts fields
SIGNS = "#%|;!*/\\@~="  # that a line before a table may begin with
TOGETHER = 200  # lines of one record, at most, among the first ones


@dataclass(frozen=True)
class Beginning:
    """The first records of a file.

    Attributes
    ----------
    path : str
    records : list of str
        Those that are not blank, without the end of their last line.
    starts, ends : list of int
        Their decoded offsets.
    lead : list of str
        Lines before the first one that are no part of the table.
    multiline : bool
        Whether quoted fields span lines.
    """

    path: str
    records: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    lead: list[str] = field(default_factory=list)
    multiline: bool = False


def begin(path: str, options: Options, size: int = HEAD, count: int = LOOK) -> Beginning:
    """Read the first records of a file: those of its first `size` decoded bytes, but `count` if there are as many.

    A line of comment (`Options.comment`) is none. Nor are the first lines that begin with a sign such as `#` or `|` and
    have another number of fields than those below, as far as they come before all others.
    """
    found = [*_lines(path, options, size, count)]
    whole = not found or found[-1][2]
    records = [(_decoded(line, options), start, start + len(line)) for start, line, _ in found]
    comment = options.comment or "\n"
    records = [item for item in records if item[0].strip() and not item[0].startswith(comment)]
    texts, starts, ends = ([item[0] for item in records], [item[1] for item in records], [item[2] for item in records])
    lead = leading(texts, options)
    before, texts, starts, ends = texts[:lead], texts[lead:], starts[lead:], ends[lead:]
    groups = None if options.multiline is False else _together(texts, whole, options)
    if groups is not None:
        texts = ["\n".join(texts[lo:hi]) for lo, hi in groups]
        starts, ends = [starts[lo] for lo, _ in groups], [ends[hi - 1] for _, hi in groups]
    return Beginning(path, texts, starts, ends, before, options.multiline or groups is not None)


def _lines(path: str, options: Options, size: int, count: int) -> Iterator[tuple[int, bytes, bool]]:
    """Give lines with their offsets and ends, and whether all of the file's were given; as little as may be is read."""
    start = head(path, size)
    whole = len(start) < size
    if not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        mark = 3 * start.startswith(b"\xef\xbb\xbf")
        lines = _cut(mark, start[mark:])
        if not whole and lines:
            lines.pop()
        if whole or sum(bool(line.strip()) and len(line) <= options.max_line for _, line in lines) >= count:
            yield from ((at, line, whole) for at, line in lines if len(line) <= options.max_line)
            return
    found = 0
    for at, data in line_blocks(path, 0, 1 << 62, options.max_line, Bad(sys.maxsize)):
        for start_of, line in _cut(at, data):
            found += bool(line.strip())
            yield start_of, line, False
            if found >= max(count, 2) and start_of + len(line) >= size:
                return


def _cut(at: int, data: bytes) -> list[tuple[int, bytes]]:
    out = []
    for line in data.splitlines(keepends=True) if b"\r" not in data else _by_newline(data):
        out.append((at, line))
        at += len(line)
    return out


def _by_newline(data: bytes) -> list[bytes]:
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return lines if lines[-1] else lines[:-1]


def _decoded(line: bytes, options: Options) -> str:
    return line.decode(options.encoding, "replace").rstrip("\n").rstrip("\r")


def leading(lines: Sequence[str], options: Options) -> int:
    """Count the first lines that are no part of the table."""
    if lines and _SEP.fullmatch(lines[0].strip()):
        return 1 + leading(lines[1:], options)
    signs = 0
    while signs < len(lines) and lines[signs].lstrip()[:1] in SIGNS:
        signs += 1
    rest = lines[signs : signs + LOOK]
    if not signs or not rest:
        return 0
    mark, width = _shape(rest, options)
    if width < 2:
        return 0
    return next((k for k in range(signs) if _fields(lines[k], mark) == width), signs)


def _shape(lines: Sequence[str], options: Options) -> tuple[str, int]:
    """Find what parts most of some lines into the same number of fields, and that number."""
    best = (0, 0, "", 1)
    for mark in [options.delimiter] if options.delimiter else [*MARKS, " "]:
        width, often = Counter(_fields(line, mark) for line in lines).most_common(1)[0]
        best = max(best, (often if width > 1 else 0, width, mark, width))
    return best[2] or ",", best[3]


def _fields(line: str, mark: str) -> int:
    try:
        line = " ".join(line.split()) if mark == " " else line
        return len(next(csv.reader([line], delimiter=mark), []))
    except csv.Error:
        return line.count(mark) + 1


def _together(lines: Sequence[str], whole: bool, options: Options) -> list[tuple[int, int]] | None:
    """Group lines to records by their quotes; None if no quoted field spans lines."""
    quotes = [line.count('"') & 1 for line in lines]
    if not any(quotes):
        return None
    groups, lo, odd = [], 0, 0
    mark, width = _shape(lines[:LOOK], options)
    for i, line in enumerate(lines):
        sign = quotes[i] and not odd and width > 1 and _fields(line, mark) == width and closed(line, mark)
        odd ^= quotes[i] and not (sign and not options.multiline)  # asked to, whoever reads records counts quotes alone
        if not odd:
            groups.append((lo, i + 1))
            lo = i + 1
    if all(hi - lo == 1 for lo, hi in groups) or (odd and whole) or max(hi - lo for lo, hi in groups) > TOGETHER:
        return None
    if options.multiline:
        return groups
    single = [lines[lo] for lo, hi in groups if hi - lo == 1][:LOOK]
    mark, width = _shape(single or [" ".join(lines[lo:hi]) for lo, hi in groups], options)
    good = sum(_fields(" ".join(lines[lo:hi]), mark) == width for lo, hi in groups)
    return groups if 10 * good >= 9 * len(groups) else None


def refuse_title(rows: Sequence[Sequence[str]], path: str) -> None:
    """Refuse a table below a line of one field, which would say how many columns there are.

    Raises
    ------
    DataError
    """
    below = {len(row) for row in rows[1:]}
    if len(rows[0]) == 1 and len(below) == 1 and len(rows) > 3 and min(below) > 1:
        what = f"the first line ({rows[0][0][:80]!r}) has 1 column, and those below have {min(below)}"
        raise DataError(f"{what}; --comment TEXT leaves out lines that begin with a text", path, line=1)


def widen_header(rows: list[list[str]]) -> None:
    """Give a line of names one more where every line below has one more field.

    R writes the names of rows so, and others end each line but the first with a delimiter.
    """
    first, below = rows[0], rows[1:]
    if below and {len(row) for row in below} == {len(first) + 1} and not any(map(is_number, first)):
        ends = not any(row[-1].strip() for row in below)
        rows[0] = [*first, ""] if ends else ["", *first]
