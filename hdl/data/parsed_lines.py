"""Rows of numbers that were parsed while their lines were counted, so that a worker reads its part of a text once.

While lines are counted nobody knows their numbers; so rows are kept by the piece of the file in which their lines
begin, and found again when it is known how many lines lie before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hdl.data.base import BLOCK_BYTES, Lines, Piece
from hdl.data.line_count import Index, count_chunk
from hdl.data.number_lines import fill
from hdl.data.streams import Stream, open_stream


class ParsedLines:
    """Keeps the rows of the lines that begin in some pieces.

    Parameters
    ----------
    width : int
        Numbers of a line.
    delimiter : str
    longest : int
        Bytes of a line; a piece with a longer one is not kept.
    """

    def __init__(self, width: int, delimiter: str, longest: int):
        self.width, self.delimiter, self.longest, self.nbytes = width, delimiter, longest, 0
        # by path and piece: newlines before the rows, and these in parts
        self._rows: dict[str, dict[int, tuple[int, list[np.ndarray]]]] = {}

    def count(self, piece: Piece, room: int) -> Lines:
        """Count the lines of a piece, and keep their rows, if there is room and nothing is unusual about them.

        Parameters
        ----------
        room : int
            Bytes that all that is kept may take.
        """
        total, parts = Lines(0, 0), _Parts(self, room - self.nbytes)
        with open_stream(piece.path) as stream:
            stream.skip(max(0, piece.start - 1))
            begun = piece.start > 0 and stream.read(1) != b"\n"
            left, parts.inside = piece.length, begun
            while left > 0 and (chunk := stream.read(min(BLOCK_BYTES, left))):
                left -= len(chunk)
                counted = count_chunk(chunk)
                total = total.join(counted)
                parts.add(chunk.removeprefix(b"\xef\xbb\xbf") if stream.at == len(chunk) else chunk, counted.ends)
            if parts.fine and parts.pending:
                parts.add(_rest(stream, self.longest - len(parts.pending)), 1)
        if parts.fine and parts.rows:
            self.nbytes += sum(rows.nbytes for rows in parts.rows)
            self._rows.setdefault(piece.path, {})[piece.start] = int(begun), parts.rows
        return total

    def runs(self, path: str, lo: int, hi: int, index: Index | None) -> Iterator[tuple[int, int, np.ndarray | None]]:
        """Cut the lines [lo, hi) of a file into runs: the first line, the one behind the last, and their rows if they
        are kept."""
        marks = {offset: ends for offset, ends in index.marks.get(path, ())} if index is not None else {}
        for offset, (newlines, parts) in sorted(self._rows.get(path, {}).items()):
            if offset and offset not in marks:
                continue
            first = marks.get(offset, 0) + newlines
            for rows in parts:
                start, stop = max(lo, first), min(hi, first + len(rows))
                if start < stop:
                    if lo < start:
                        yield lo, start, None
                    yield start, stop, rows[start - first : stop - first]
                    lo = stop
                first += len(rows)
        if lo < hi:
            yield lo, hi, None

    def clear(self) -> None:
        """Forget all rows."""
        self._rows, self.nbytes = {}, 0


class _Parts:
    """Gathers the rows of a piece while all of them are fine and find room.

    Attributes
    ----------
    inside : bool
        Whether what comes next belongs to a line that began before the piece.
    pending : bytes
        The beginning of a line.
    """

    def __init__(self, lines: ParsedLines, room: int):
        self.lines, self.room, self.fine, self.inside, self.pending = lines, room, room > 0, False, b""
        self.rows: list[np.ndarray] = []

    def add(self, text: bytes, ends: int) -> None:
        """Add what comes next, in which so many lines end."""
        if not self.fine:
            return
        begin, end = text.find(b"\n") + 1, text.rfind(b"\n") + 1
        if not end:
            self.pending += b"" if self.inside else text
        else:
            rows, done = np.empty((ends, self.lines.width)), 0
            if not self.inside:
                line = self.pending + text[:begin]
                self.fine = len(line) <= self.lines.longest + 1
                done = self._fill(rows, line)
            self.inside, self.pending = False, text[end:]
            done += self._fill(rows[done:], memoryview(text)[begin:end]) if begin < end else 0
            if done:
                self.rows.append(rows[:done])
        if len(self.pending) > self.lines.longest or self.room < 0:
            self.fine = False
        if not self.fine:
            self.rows = []

    def _fill(self, rows: np.ndarray, text: bytes | memoryview) -> int:
        found = fill(rows, text, self.lines.delimiter) if self.fine else -1
        self.fine = found >= 0
        self.room -= found * rows[:1].nbytes
        return max(0, found)


def _rest(stream: Stream, longest: int) -> bytes:
    """Read on to the end of a line that began in the piece."""
    rest = b""
    while b"\n" not in rest and len(rest) <= longest and (chunk := stream.read(1 << 16)):
        rest += chunk
    end = rest.find(b"\n") + 1
    return rest[:end] if end else rest + b"\n"
