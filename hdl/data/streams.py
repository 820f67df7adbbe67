"""Byte streams: plain or packed (gzip, bzip2, zstd, deflate, snappy, LZ4); and whole lines out of them."""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

from hdl import fs, unpacked
from hdl.arrow import pa
from hdl.data import blocked
from hdl.data.base import BLOCK_BYTES
from hdl.data.block import Bad
from hdl.errors import DataError

_MAGIC = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4 frame",
    blocked.FRAMED: "snappy",
}  # fmt: skip
TO_UTF8 = " (iconv -f UTF-16 -t UTF-8 makes it)"
_SUFFIX = {
    ".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd", ".zstd": "zstd", ".deflate": "deflate", ".snappy": "snappy",
    ".lz4": "lz4",
}  # fmt: skip


def stem(path: str) -> str:
    """Strips the suffix of compression from a path."""
    for suffix in _SUFFIX:
        if path.endswith(suffix):
            return path[: -len(suffix)]
    return path


def compression(path: str) -> str | None:
    """Recognises a compression, or None, by the file's first bytes; what Hadoop packs without a magic by its name too.

    Raises
    ------
    DataError
        The name promises a compression that the bytes do not start as.
    """
    with _opened(path) as file:
        return _compression(path, file.read(10))


def _opened(path: str) -> BinaryIO:
    try:
        return fs.open(path)
    except FileNotFoundError:
        raise DataError("there is no such file", path) from None


def _compression(path: str, head: bytes) -> str | None:
    stored = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    promised = next((name for suffix, name in _SUFFIX.items() if path.endswith(suffix)), None)
    if promised == "deflate" and head[:1] == b"\x78" and int.from_bytes(head[:2]) % 31 == 0:
        return promised
    if promised in ("snappy", "lz4") and stored is None and blocked.starts(head):
        return promised
    if promised and head and (stored or "").split(" ")[0] != promised:
        raise DataError(f"the file starts with {head[:4].hex(' ')}, expected the start of {promised}", path, offset=0)
    return stored


class Stream:
    """A file's decoded bytes, read forward; damage becomes a DataError with the decoded offset.

    Examples
    --------
    >>> import gzip, tempfile
    >>> file = tempfile.NamedTemporaryFile(suffix=".gz")
    >>> _ = file.write(gzip.compress(b"12345")); file.flush()
    >>> with open_stream(file.name) as stream:
    ...     stream.skip(2), stream.read(9)
    (2, b'345')
    """

    def __init__(self, path: str):
        self.path, self.at = path, 0
        self.raw: BinaryIO = _opened(path)
        try:
            self.kind = _compression(path, self.raw.read(10))
            self.raw.seek(0)
        except BaseException:
            self.raw.close()
            raise
        self.file: Any = self.raw
        if self.kind in unpacked.WBITS:
            self.file = unpacked.opened(self.raw) or unpacked.Inflated(self.raw, self.kind)
        elif self.kind == "bzip2":
            self.file = bz2.BZ2File(self.raw)
        elif self.kind == "zstd":
            self.file = pa.CompressedInputStream(pa.PythonFile(self.raw, "r"), "zstd")
        elif self.kind == "lz4 frame":
            self.file = pa.CompressedInputStream(pa.PythonFile(self.raw, "r"), "lz4")
        elif self.kind in ("snappy", "lz4"):
            self.file = blocked.Blocked(self.raw, self.kind)

    def read(self, count: int, /) -> bytes:
        """Reads exactly `count` bytes, fewer only at the end."""
        try:
            data = self.file.read(min(count, BLOCK_BYTES))
            parts, held = [data], len(data)
            while held < count and data:  # what a false header promises is never allocated at once
                data = self.file.read(min(count - held, BLOCK_BYTES))
                parts.append(data)
                held += len(data)
        except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
            if self.kind is None:
                raise
            what = f"truncated or corrupt {self.kind} ({error}) after {self.at} decoded bytes"
            raise DataError(what + "; expected a whole stream", self.path) from None
        self.at += held
        return parts[0] if held == len(parts[0]) else b"".join(parts)

    def view(self, count: int) -> bytes | memoryview:
        """Reads as `read` does, without a copy where the whole file lies in memory already."""
        if not isinstance(self.file, unpacked.Kept):
            return self.read(count)
        data = self.file.view(count)
        self.at += len(data)
        return data

    def skip(self, count: int) -> int:
        """Moves `count` bytes forward; returns how many there were."""
        if self.kind is None:
            count = max(0, min(count, fs.size(self.path) - self.at))
            self.file.seek(self.at + count)
            self.at += count
            return count
        start = self.at
        while self.at - start < count and self.read(min(BLOCK_BYTES, count - (self.at - start))):
            pass
        return self.at - start

    def close(self) -> None:
        self.file.close()
        self.raw.close()


@contextmanager
def open_stream(path: str) -> Iterator[Stream]:
    """Opens a `Stream` that is closed at the end of the block."""
    stream = Stream(path)
    try:
        yield stream
    finally:
        stream.close()


def decoded_length(path: str) -> int:
    """Counts the bytes of a file after decoding; compressed files are scanned once."""
    if compression(path) is None:
        return fs.size(path)
    with open_stream(path) as stream:
        return stream.skip(1 << 62)


@lru_cache(maxsize=64)
def check_whole(path: str) -> None:
    """Raises if a compressed file is damaged: checksums come last, so what looks like a bad sample may be damage."""
    decoded_length(path)


def head(path: str, count: int = 65536) -> bytes:
    """Reads the first decoded bytes of a file."""
    with open_stream(path) as stream:
        return stream.read(count)


def line_number(path: str, offset: int) -> int:
    """Finds the number, from 1, of the line that starts at a decoded offset. Reads the file: for error messages."""
    with open_stream(path) as stream:
        lines = 1
        while stream.at < offset:
            lines += stream.read(min(BLOCK_BYTES, offset - stream.at)).count(b"\n")
        return lines


def line_blocks(path: str, start: int, length: int, longest: int, bad: Bad) -> Iterator[tuple[int, bytes]]:
    """Gives the lines that start in [start, start + length), some at a time.

    Parameters
    ----------
    start, length : int
        Decoded bytes.
    longest : int
        Bytes; a longer line is given to `bad` and read past without being held.

    Yields
    ------
    (int, bytes)
        Offset of the first line, and whole lines; only the file's last one may lack its newline.
    """
    stop = start + length
    step = min(BLOCK_BYTES, longest)  # at most the first line of what is held can then be too long
    with open_stream(path) as stream:
        pending, at, more = b"", start, True
        if start:  # a line starts here only if the byte before is a newline
            stream.skip(start - 1)
            pending = _past_newline(stream, step)
            at = stream.at - len(pending)
        while at < stop and (pending or more):
            if b"\n" not in pending:
                chunk = stream.read(step)
                pending, more = pending + chunk, bool(chunk)
            if at == 0:
                pending, at = _without_mark(path, pending)
                stop = max(stop, at + 1)  # the first line starts at 0, even if a cut goes through the mark
            first = pending.find(b"\n")
            if (len(pending) if first < 0 else first) > longest:
                line = line_number(path, at)
                bad.add(DataError(f"the line is longer than {longest} bytes (max_line)", path, line=line))
                pending = pending[first + 1 :] if first >= 0 else _past_newline(stream, step)
                at = stream.at - len(pending)
                continue
            end = pending.rfind(b"\n") + 1 if more else len(pending)
            if at + end >= stop:  # the last line is the one that holds the byte stop - 1
                end = pending.find(b"\n", max(0, stop - 1 - at)) + 1 or len(pending)
            if end:
                yield at, pending[:end]
            pending, at = pending[end:], at + end


def _past_newline(stream: Stream, step: int) -> bytes:
    """Reads past the next newline; returns what has been read after it."""
    while chunk := stream.read(step):
        if (end := chunk.find(b"\n")) >= 0:
            return chunk[end + 1 :]
    return b""


def _without_mark(path: str, data: bytes) -> tuple[bytes, int]:
    """Strips a UTF-8 byte-order mark from the start of a file; returns what is left, and its offset."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"the file starts with {data[:2].hex(' ')} (UTF-16), expected UTF-8{TO_UTF8}", path, offset=0)
    return (data[3:], 3) if data.startswith(b"\xef\xbb\xbf") else (data, 0)
