"""Rows of numbers that were parsed while their lines were counted, so that a worker reads its part of a text once.

While lines are counted nobody knows their numbers; so rows are kept by the piece of the file in which their lines
begin, and found again when it is known how many lines lie before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from hdl.data.base import BLOCK_BYTES, Lines, Piece
from hdl.data.line_count import Index, count_chunk
from hdl.data.streams import Stream, open_stream

Parse = Callable[[bytes], np.ndarray | None]


class ParsedLines:
    """Keeps the rows of the lines that begin in some pieces.

    Parameters
    ----------
    longest : int
        Bytes of a line; a piece with a longer one is not kept.
    """

    def __init__(self, longest: int):
        self.longest, self.nbytes = longest, 0
        self._rows: dict[str, dict[int, tuple[int, np.ndarray]]] = {}  # by path and piece: newlines before them; rows

    def count(self, piece: Piece, parse: Parse, room: int) -> Lines:
        """Count the lines of a piece, and keep their rows, if there is room and nothing is unusual about them.

        Parameters
        ----------
        parse : function of whole lines
            Gives their rows, or None.
        room : int
            Bytes that all that is kept may take.
        """
        total, parts = Lines(0, 0), _Parts(parse, room - self.nbytes)
        with open_stream(piece.path) as stream:
            stream.skip(max(0, piece.start - 1))
            begun = piece.start > 0 and stream.read(1) != b"\n"
            inside, left, pending = begun, piece.length, b""  # inside: of a line that began before
            while left > 0 and (chunk := stream.read(min(BLOCK_BYTES, left))):
                left -= len(chunk)
                total = total.join(count_chunk(chunk))
                if parts.fine:
                    text = pending + (chunk.removeprefix(b"\xef\xbb\xbf") if stream.at == len(chunk) else chunk)
                    if inside:
                        inside, text = b"\n" not in text, text[text.find(b"\n") + 1 or len(text) :]
                    end = text.rfind(b"\n") + 1
                    pending = text[end:]
                    parts.add(text[:end])
                    parts.fine = parts.fine and len(pending) <= self.longest
            if parts.fine and pending:
                parts.add(_finished(stream, pending, self.longest))
        if parts.fine and parts.rows:
            rows = np.concatenate(parts.rows)
            self.nbytes += rows.nbytes
            self._rows.setdefault(piece.path, {})[piece.start] = int(begun), rows
        return total

    def runs(self, path: str, lo: int, hi: int, index: Index | None) -> Iterator[tuple[int, int, np.ndarray | None]]:
        """Cut the lines [lo, hi) of a file into runs: the first line, the one behind the last, and their rows if they
        are kept."""
        marks = {offset: ends for offset, ends in index.marks.get(path, ())} if index is not None else {}
        for offset, (newlines, rows) in sorted(self._rows.get(path, {}).items()):
            if offset and offset not in marks:
                continue
            first = marks.get(offset, 0) + newlines
            start, stop = max(lo, first), min(hi, first + len(rows))
            if start < stop:
                if lo < start:
                    yield lo, start, None
                yield start, stop, rows[start - first : stop - first]
                lo = stop
        if lo < hi:
            yield lo, hi, None

    def clear(self) -> None:
        """Forget all rows."""
        self._rows, self.nbytes = {}, 0


class _Parts:
    """Gathers the rows of a piece while all of them are fine and find room."""

    def __init__(self, parse: Parse, room: int):
        self.parse, self.room, self.fine = parse, room, room > 0
        self.rows: list[np.ndarray] = []

    def add(self, text: bytes) -> None:
        if not text:
            return
        rows = self.parse(text)
        self.room -= 0 if rows is None else rows.nbytes
        if rows is None or self.room < 0:
            self.fine, self.rows = False, []
        else:
            self.rows.append(rows)


def _finished(stream: Stream, line: bytes, longest: int) -> bytes:
    """Read on to the end of a line that began in the piece."""
    while b"\n" not in line and len(line) <= longest and (chunk := stream.read(1 << 16)):
        line += chunk
    end = line.find(b"\n") + 1
    return line[:end] if end else line + b"\n"
