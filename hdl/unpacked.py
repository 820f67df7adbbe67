"""gzip's and zlib's streams. Files that a command names are unpacked by a thread while the command is still imported.

It needs little of the standard library, so that `hdl.__main__` may begin before the command line is there.
"""

from __future__ import annotations

import io
import os
import threading
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO

STEP = 1 << 20  # packed bytes that are read at a time
BLOCK = 16 << 20  # decoded bytes at a time that the thread asks for: seldom, as it waits for Python's lock then
MOST = 1 << 28  # decoded bytes that are kept for readers to come
WBITS = {"gzip": 31, "deflate": 15}  # as zlib names the formats

DEADLINE = 60.0  # seconds that a reader waits for the thread, before he unpacks the file himself
Key = tuple[int, int, int, int]  # what tells a file from others, and from itself before it was changed

_files = dict[Key, "_File"]()


class Inflated:
    """Unpacks streams of gzip or zlib, one after another; zeros may stand between them, as on tapes.

    Parameters
    ----------
    raw : binary file
    kind : {'gzip', 'deflate'}
    """

    def __init__(self, raw: BinaryIO, kind: str):
        self.raw, self.wbits, self.packed = raw, WBITS[kind], b""
        self.unpacker = zlib.decompressobj(self.wbits)

    def read(self, count: int) -> bytes:
        """Read decoded bytes, at most `count`; none at the end.

        Raises
        ------
        EOFError
            The last stream has no end.
        zlib.error
        """
        while self._more():
            if self.unpacker.eof:
                self.unpacker = zlib.decompressobj(self.wbits)
            data = self.unpacker.decompress(self.packed, count)
            self.packed = self.unpacker.unconsumed_tail or self.unpacker.unused_data
            if data:
                return data
        if not self.unpacker.eof:
            raise EOFError("the stream has no end")
        return b""

    def _more(self) -> bool:
        """Tell whether there are packed bytes, once they have been read."""
        while True:
            if self.unpacker.eof:
                self.packed = self.packed.lstrip(b"\0")
            if self.packed:
                return True
            self.packed = self.raw.read(STEP)
            if not self.packed:
                return False

    def close(self) -> None:
        self.packed = b""


class _File:
    """A file that is unpacked ahead."""

    def __init__(self, path: str):
        self.path, self.begun, self.done = path, False, threading.Event()
        self.data: bytes | None = None  # where it could not be unpacked

    def unpack(self, room: int) -> None:
        """Unpack the whole file, if that is no more than `room` bytes; of damage its reader is to tell."""
        self.begun = True
        try:
            with open(self.path, "rb") as raw:
                stream, parts = Inflated(raw, "gzip"), list[bytes]()
                while (part := stream.read(BLOCK)) and (room := room - len(part)) >= 0:
                    parts.append(part)
            self.data = None if part else b"".join(parts)
        except (OSError, EOFError, zlib.error, MemoryError):
            pass
        finally:
            self.done.set()


class Kept(io.BytesIO):
    """The bytes of a file, which are forgotten once they have been read to the end."""

    def __init__(self, key: Key, data: bytes):
        super().__init__(data)
        self.key, self.data = key, data

    def read(self, count: int | None = -1, /) -> bytes:
        data = super().read(count)
        if not data:
            _files.pop(self.key, None)
        return data

    def view(self, count: int) -> memoryview:
        """Read without a copy."""
        start = self.tell()
        data = memoryview(self.data)[start : start + count]
        self.seek(start + len(data))
        return data


def begin(words: Iterable[str]) -> None:
    """Begin to unpack the local gzip files that are named, or lie in named folders, if a processor is free for it."""
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        return
    found = list[tuple[int, Key, str]]()
    for word in words:
        with suppress(OSError):
            for path in [f"{word}/{name}" for name in os.listdir(word)] if os.path.isdir(word) else [word]:
                if path.endswith(".gz") and os.path.isfile(path):
                    found.append(((key := _key(os.stat(path)))[2], key, path))
    _files.update((key, _File(path)) for size, key, path in sorted(found, reverse=True) if size <= MOST)
    if _files:  # the largest one first, which holds samples
        threading.Thread(target=_unpack, name="hdl-unpack", daemon=True).start()


def opened(raw: BinaryIO) -> Kept | None:
    """Return what was unpacked of a file that is open, from its beginning; None where nothing was."""
    if not _files:
        return None
    try:
        key = _key(os.fstat(raw.fileno()))
    except (AttributeError, OSError):  # it is no local one
        return None
    file = _files.get(key)
    if file is None or not file.begun or not file.done.wait(DEADLINE) or file.data is None:
        _files.pop(key, None)
        return None
    return Kept(key, file.data)


def end() -> None:
    """Forget what nobody has read by now."""
    _files.clear()


def _unpack() -> None:
    room = MOST
    for key, file in [*_files.items()]:
        if key in _files:
            file.unpack(room)
            room -= len(file.data or b"")


def _key(stat: os.stat_result) -> Key:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
