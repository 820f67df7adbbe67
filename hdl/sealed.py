"""Temporary data that is encrypted on disk (`--encrypt-spill`): arrays of rows, read some at a time, and streams.

A file is cut into segments, each encrypted by AES-256-GCM of `cryptography`. The construction is STREAM (Hoang,
Reyhanitabar, Rogaway & Vizár 2015, "Online authenticated-encryption and its nonce-reuse misuse-resistance"), which
Tink's streaming AEAD uses too: a file has a key of its own, drawn at random, and segment i has the nonce i ‖ last,
where `last` is 1 in the segment that ends the file. So no nonce is used twice under one key, and segments that are
changed, exchanged, taken from another file or missing at the end are refused. A segment is read on its own.

Keys are in this process's memory alone; a file that has lost its process can be read by nobody. What is decrypted is in
memory too, and nowhere else: such arrays are not mapped.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import HdlError, Unavailable

SEGMENT = 1 << 16  # bytes of plain data, about: a row is never in two
TAG = 16  # bytes that a segment is longer by when it is encrypted
_NONCE = 12
_MOST = 1 << 32  # segments of a file, far below what one key may encrypt


def check() -> None:
    """Refuse what cannot be encrypted here.

    Raises
    ------
    Unavailable
        The package `cryptography` is missing.
    """
    try:
        import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401
    except ImportError as error:
        raise Unavailable(f"--encrypt-spill needs cryptography: pip install 'hdl-hadoop[hadoop]' ({error})") from None


class Segments:
    """The encrypted segments of a file, numbered from 0, written once each and in their order.

    Parameters
    ----------
    file : binary file
        Empty, without a buffer's need: it is written at its end and read at places.
    size : int
        Bytes of a segment but the last one, which may have fewer.
    """

    def __init__(self, file: Any, size: int):
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(AESGCM.generate_key(256))
        self._file, self.size, self.count, self._ended = file, size, 0, False

    def add(self, plain: Any, last: bool = False) -> None:
        """Encrypt and write the next segment; `last`: nothing follows."""
        if self._ended or self.count >= _MOST:
            raise ValueError("a sealed file that has ended was written to")
        self._file.write(self._cipher.encrypt(_nonce(self.count, last), plain, None))
        self.count, self._ended = self.count + 1, last
        if last:
            self._file.flush()

    def read(self, number: int) -> bytes:
        """Read and decrypt a segment.

        Raises
        ------
        HdlError
            The file was changed, or is cut short.
        """
        from cryptography.exceptions import InvalidTag

        last = self._ended and number == self.count - 1
        if not self._ended:
            self._file.flush()
        content = os.pread(self._file.fileno(), self.size + TAG, number * (self.size + TAG))
        try:
            return self._cipher.decrypt(_nonce(number, last), content, None)
        except (InvalidTag, ValueError):
            raise HdlError(
                f"encrypted temporary data was changed on disk: segment {number} is not what was written"
            ) from None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(_NONCE - 1, "big") + bytes([last])


class Rows:
    """An array [n, ...] in an encrypted file: rows are added at the end, then read by number, mask or slice.

    Parameters
    ----------
    file : binary file
        Empty.
    dtype : dtype
    row : tuple of int
        Shape of one row.

    Examples
    --------
    >>> import tempfile
    >>> rows = Rows(tempfile.TemporaryFile(), np.int32, (2,))
    >>> rows.append(np.int32([[1, 2], [3, 4], [5, 6]]))
    >>> rows.finish()
    >>> len(rows), rows[1:].tolist(), rows[np.array([2, 0])].tolist()
    (3, [[3, 4], [5, 6]], [[5, 6], [1, 2]])
    """

    def __init__(self, file: Any, dtype: Any, row: tuple[int, ...] = ()):
        self.dtype, self.row, self._n = np.dtype(dtype), row, 0
        self._bytes = self.dtype.itemsize * int(np.prod(row, dtype=np.int64))
        self._per = max(1, SEGMENT // max(1, self._bytes))  # rows of a segment
        self._segments = Segments(file, self._per * self._bytes)
        self._tail = np.empty((0, *row), self.dtype)
        self._ended = False

    def append(self, rows: NDArray) -> None:
        """Add rows [n, ...]."""
        rows = np.ascontiguousarray(rows, self.dtype).reshape(-1, *self.row)
        self._n += len(rows)
        rows = np.concatenate([self._tail, rows]) if len(self._tail) else rows
        whole = max(0, (len(rows) - 1) // self._per)  # the last segment is not known to be whole: it may be the last
        for number in range(whole):
            self._segments.add(rows[number * self._per : (number + 1) * self._per].data.cast("B"))
        self._tail = rows[whole * self._per :].copy()

    def finish(self) -> None:
        """Write what is left; nothing may be added later."""
        if not self._ended:
            if len(self._tail):
                self._segments.add(np.ascontiguousarray(self._tail).data.cast("B"), last=True)
            self._tail, self._ended = self._tail[:0], True

    def __len__(self) -> int:
        return self._n

    @property
    def shape(self) -> tuple[int, ...]:
        return self._n, *self.row

    @property
    def ndim(self) -> int:
        return 1 + len(self.row)

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, once they are decrypted."""
        return self._n * self._bytes

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray:
        return np.asarray(self[:], dtype)

    def __getitem__(self, rows: Any) -> NDArray:
        """Decrypt rows into memory, by slice, numbers or mask."""
        self.finish()
        if isinstance(rows, slice) and rows.step in (None, 1):
            low, high, _ = rows.indices(self._n)
            return self._range(low, max(low, high))
        numbers = np.arange(self._n)[rows] if not isinstance(rows, np.ndarray) or rows.dtype == bool else rows
        if numbers.ndim == 0:
            return self._range(int(numbers), int(numbers) + 1)[0]
        return self._gathered(np.where(numbers < 0, numbers + self._n, numbers))

    def blocks(self, rows: int) -> Iterator[NDArray]:
        """Yield all rows, some at a time."""
        for low in range(0, self._n, rows):
            yield self[low : low + rows]

    def _range(self, low: int, high: int) -> NDArray:
        out = np.empty((high - low, *self.row), self.dtype)
        for number in range(low // self._per, -(-high // self._per) if high > low else low // self._per):
            first = number * self._per
            part = self._segment(number)[max(0, low - first) : high - first]
            at = max(low, first) - low
            out[at : at + len(part)] = part
        return out

    def _gathered(self, numbers: NDArray) -> NDArray:
        """Decrypt rows in any order; each segment that is needed once."""
        out = np.empty((len(numbers), *self.row), self.dtype)
        if not len(numbers):
            return out
        if numbers.min() < 0 or numbers.max() >= self._n:
            raise IndexError(f"rows from {numbers.min()} to {numbers.max()} of {self._n}")
        segment, place = np.divmod(numbers, self._per)
        order = np.argsort(segment, kind="stable")
        needed, starts = np.unique(segment[order], return_index=True)
        for number, low, high in zip(needed.tolist(), starts, [*starts[1:], len(order)], strict=True):
            there = order[low:high]
            out[there] = self._segment(number)[place[there]]
        return out

    def _segment(self, number: int) -> NDArray:
        return np.frombuffer(self._segments.read(number), self.dtype).reshape(-1, *self.row)


class Stream(io.RawIOBase):
    """A binary file that is written, then read from its beginning, and lies encrypted meanwhile.

    What was written in the first `SEGMENT` bytes may be written over; they stay in memory.

    Parameters
    ----------
    file : binary file
        Empty.
    """

    def __init__(self, file: Any):
        self._segments, self._held = Segments(file, SEGMENT), bytearray()
        self._first: bytearray | None = None  # the first segment, once it is full
        self._at = self._end = 0
        self._reading = False
        self._part = b""
        self._part_number = -1

    def writable(self) -> bool:
        return not self._reading

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence] + offset
        return self._at

    def write(self, content: Any) -> int:
        content = memoryview(content).cast("B")
        if self._reading:
            raise io.UnsupportedOperation("a sealed stream is not written after it was read")
        if self._at != self._end:
            head = self._held if self._first is None else self._first
            if self._at + len(content) > min(len(head), self._end):
                raise io.UnsupportedOperation("a sealed stream is written over in its beginning alone")
            head[self._at : self._at + len(content)] = content
            self._at += len(content)
            return len(content)
        self._held += content
        self._at = self._end = self._end + len(content)
        while len(self._held) > SEGMENT:
            part, self._held = self._held[:SEGMENT], self._held[SEGMENT:]
            if self._first is None:
                self._first = part
            else:
                self._segments.add(bytes(part))
        return len(content)

    def readinto(self, buffer: Any) -> int:
        if not self._reading:
            self._reading = True
            if self._first is None:
                self._first = self._held
            else:
                self._segments.add(bytes(self._held), last=True)
            self._held = bytearray()
        assert self._first is not None
        number, place = divmod(self._at, SEGMENT)
        if self._at >= self._end:
            return 0
        if number != self._part_number:
            self._part = bytes(self._first) if number == 0 else self._segments.read(number - 1)
            self._part_number = number
        part = self._part[place : place + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
