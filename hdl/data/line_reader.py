"""Reads a run of a text's lines, whole blocks of bytes at a time."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hdl.data.base import BLOCK_BYTES
from hdl.data.line_count import Index
from hdl.data.number_lines import newlines
from hdl.data.streams import Stream
from hdl.errors import DataError


class LineReader:
    """Reads the lines [start, stop) of a stream in their order.

    Parameters
    ----------
    longest : int
        Bytes of a line; a longer one is refused.
    index : Index, optional
        Places from which reading may begin.

    Examples
    --------
    >>> import tempfile
    >>> from hdl.data.streams import open_stream
    >>> file = tempfile.NamedTemporaryFile()
    >>> _ = file.write(b"1\\n2\\n3\\n4"); file.flush()
    >>> with open_stream(file.name) as stream:
    ...     lines = LineReader(stream, 1, 4, 99)
    ...     lines.some(2), lines.some(2), lines.some(2)
    (b'2\\n3\\n', b'4\\n', b'')
    """

    def __init__(self, stream: Stream, start: int, stop: int, longest: int, index: Index | None = None):
        offset, number = index.place(stream.path, start) if index is not None else (0, 0)
        stream.skip(offset)
        self.stream, self.start, self.stop, self.longest = stream, start, stop, longest
        self._block, self._pending = _Block(b"", number), b""

    @property
    def at(self) -> int:
        """The number of the next line, from 0."""
        return self._block.number

    def some(self, most: int) -> bytes:
        """Give the next lines that are at hand, each with its newline: up to so many of them, and none at the end."""
        while self.at < self.stop and (self.at < self.start or not self._block.left):
            self._block.take(self.start - self.at)
            if not self._block.left and not self._fill():
                return b""
        return self._block.take(min(most, self.stop - self.at))

    def exactly(self, count: int) -> bytes:
        """Give the next lines, so many of them; fewer at the end."""
        parts = []
        while count and (part := self.some(count)):
            parts.append(part)
            count -= newlines(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fill(self) -> bool:
        """Read the next whole lines; tells whether there are any."""
        number, end = self.at, 0
        while not end:
            chunk = self.stream.read(min(BLOCK_BYTES, self.longest))
            at_start = self.stream.at == len(chunk)
            text = self._pending + (chunk.removeprefix(b"\xef\xbb\xbf") if at_start else chunk)
            if not chunk and text:
                text += b"\n"
            first, end = text.find(b"\n"), text.rfind(b"\n") + 1
            self._pending = text[end:]
            if max(first, len(self._pending)) > self.longest:
                line = number if first > self.longest else number + newlines(text[:end])
                what = f"the line is longer than {self.longest} bytes (max_line)"
                raise DataError(what, self.stream.path, line=line + 1)
            if not chunk:
                break
        self._block = _Block(text[:end], number)
        return end > 0


class _Block:
    """Some whole lines, which are taken from their beginning.

    Attributes
    ----------
    number, left : int
        The next line's, from 0, and how many are left.
    """

    def __init__(self, text: bytes, number: int):
        self.text, self.number, self.left = text, number, newlines(text)
        self._lines, self._at = self.left, 0

    def take(self, count: int) -> bytes:
        count = max(0, min(count, self.left))
        self.number += count
        self.left -= count
        if count == self._lines:
            return self.text
        begin = self._at
        if count:
            self._at = int(self._ends[self._lines - self.left - 1]) + 1
        return self.text[begin : self._at]

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.flatnonzero(np.frombuffer(self.text, np.uint8) == ord("\n"))
