"""Counts lines of texts, many pieces at the same time, and notes where lines start, for readers to begin there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from hdl import fs
from hdl.data.base import BLOCK_BYTES
from hdl.data.streams import compression, open_stream

PIECE_BYTES = 32 << 20  # counted one after the other; between two pieces a reader may begin
THREADS = 8  # they wait for files, of which HDFS has many on other machines


class Piece(NamedTuple):
    """Bytes [start, start + length) of a file; of a packed one the whole, whose `length` is below 0."""

    path: str
    start: int
    length: int


class Lines(NamedTuple):
    """Counts of a piece, or of pieces one behind the other.

    Attributes
    ----------
    ends : int
        Its newlines.
    filled : int
        Its lines up to the last one that is not blank; 0 where all are.
    """

    ends: int
    filled: int

    def join(self, other: Lines) -> Lines:
        """Count the lines of this piece and the one behind it, of which a line may lie in both."""
        return Lines(self.ends + other.ends, self.ends + other.filled if other.filled else self.filled)


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
        total = total.join(_of_chunk(chunk))
    return total


def count(cut: Sequence[Piece]) -> list[Lines]:
    """Count the lines of each piece, some of them at the same time."""
    if len(cut) == 1:
        return [count_piece(cut[0])]
    with ThreadPoolExecutor(min(THREADS, max(1, len(cut))), "hdl-lines") as pool:
        return list(pool.map(count_piece, cut))


class Index:
    """The lengths of files in lines, and places from which their lines can be read.

    Parameters
    ----------
    cut : sequence of Piece
        All pieces of some files.
    counts : sequence of Lines
        Of each.
    """

    def __init__(self, cut: Sequence[Piece], counts: Sequence[Lines]):
        self.lengths: dict[str, int] = {}
        self.marks: dict[str, list[tuple[int, int]]] = {}  # (offset of a piece, newlines before it)
        whole: dict[str, Lines] = {}
        for piece, lines in zip(cut, counts, strict=True):
            before = whole.get(piece.path, Lines(0, 0))
            self.marks.setdefault(piece.path, []).append((piece.start, before.ends))
            whole[piece.path] = before.join(lines)
        self.lengths = {path: lines.filled for path, lines in whole.items()}

    def place(self, path: str, line: int) -> tuple[int, int]:
        """Find the last place known from which reading comes to a line, from 0: its offset, and the newlines before
        it, which are at most as many as the lines before."""
        best = (0, 0)
        for offset, ends in self.marks.get(path, ()):
            if ends < line or not offset:  # behind as many newlines a line has begun before the piece, or with it
                best = (offset, ends)
        return best


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


def _of_chunk(chunk: bytes) -> Lines:
    ends = chunk.count(b"\n")
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
