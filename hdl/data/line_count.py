"""Counts lines of texts, many pieces at the same time, and notes where lines start, for readers to begin there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from hdl import fs
from hdl.data.base import BLOCK_BYTES, Lines, Piece
from hdl.data.number_lines import newlines
from hdl.data.streams import compression, open_stream

PIECE_BYTES = 32 << 20  # counted one after the other; between two pieces a reader may begin
THREADS = 8  # they wait for files, of which HDFS has many on other machines


def pieces(paths: Iterable[str]) -> list[Piece]:
    """Cut files into pieces, by their lengths alone; an empty file has one, too."""
    out = []
    for path in paths:
        if compression(path) is not None:
            out.append(Piece(path, 0, -1))
            continue
        size = fs.size(path)
        out += [Piece(path, at, min(PIECE_BYTES, size - at)) for at in range(0, max(size, 1), PIECE_BYTES)]
    return out


def count_piece(piece: Piece) -> Lines:
    """Count the lines of one piece.

    Examples
    --------
    >>> import tempfile
    >>> file = tempfile.NamedTemporaryFile()
    >>> _ = file.write(b"1 2\\n\\n3 4\\n \\n\\n"); file.flush()
    >>> count_piece(Piece(file.name, 0, 13))
    Lines(ends=5, filled=3)
    """
    total = Lines(0, 0)
    for chunk in _chunks(piece):
        total = total.join(count_chunk(chunk))
    return total


def count(cut: Sequence[Piece]) -> list[Lines]:
    """Count the lines of each piece, some of them at the same time."""
    if len(cut) == 1:
        return [count_piece(cut[0])]
    with ThreadPoolExecutor(min(THREADS, max(1, len(cut))), "hdl-lines") as pool:
        return list(pool.map(count_piece, cut))


class Index:
    """Places from which the lines of files can be read, and the files' lengths in lines, where these are known.

    Attributes
    ----------
    marks : dict
        Of each file, pairs of an offset and the newlines before it, in their order.
    lengths : dict
        By file.
    """

    def __init__(self, marks: dict[str, list[list[int]]], lengths: dict[str, int] | None = None):
        self.marks, self.lengths = marks, lengths or {}

    @classmethod
    def of_counts(cls, cut: Sequence[Piece], counts: Sequence[Lines]) -> Index:
        """Make the index of files of the counts of all their pieces."""
        marks: dict[str, list[list[int]]] = {}
        whole: dict[str, Lines] = {}
        for piece, lines in zip(cut, counts, strict=True):
            before = whole.get(piece.path, Lines(0, 0))
            marks.setdefault(piece.path, []).append([piece.start, before.ends])
            whole[piece.path] = before.join(lines)
        return cls(marks, {path: lines.filled for path, lines in whole.items()})

    def place(self, path: str, line: int) -> tuple[int, int]:
        """Find the last place known from which reading comes to a line, from 0: its offset, and the newlines before
        it, which are at most as many as the lines before."""
        marks = self.marks.get(path, ())
        at = bisect_left(marks, line, key=lambda mark: mark[1]) - 1  # the last with fewer newlines than lines before
        offset, ends = marks[at] if at >= 0 else (0, 0)
        return offset, ends


def _chunks(piece: Piece) -> Iterator[bytes]:
    with open_stream(piece.path) as stream:
        if piece.length < 0:
            while chunk := stream.read(BLOCK_BYTES):
                yield chunk
            return
        stream.skip(piece.start)
        left = piece.length
        while left > 0 and (chunk := stream.read(min(BLOCK_BYTES, left))):
            left -= len(chunk)
            yield chunk


def count_chunk(chunk: bytes) -> Lines:
    """Count the lines of some bytes, of which there is at least one."""
    ends = newlines(chunk)
    last = chunk[-1:]
    if last.strip():
        return Lines(ends, ends + 1)
    reach = 4096
    while not (tail := chunk[-reach:].rstrip()) and reach < len(chunk):
        reach *= 8
    if not tail:
        return Lines(ends, 0)
    end = max(0, len(chunk) - reach) + len(tail)  # behind the last byte that is not blank
    return Lines(ends, ends - chunk.count(b"\n", end) + 1)
