"""Files that hdfs-native reads and writes; where it fails, Hadoop's own client goes on or begins anew."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from concurrent.futures import wait
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

from hdl.hdfs_answers import begin, first_line, understood, within
from hdl.hdfs_client import Unable
from hdl.libhdfs import INTERNAL

if TYPE_CHECKING:
    from hdl.hdfs_native import Native

READ_SECONDS = 30.0  # for a piece of a file: then Hadoop's client goes on, which tries other DataNodes
WRITE_SECONDS = 120.0  # for a piece of a file to be on its DataNodes
PIECE = 8 << 20  # bytes that are read at once of a file that is read to its end
HELD = 16 << 20  # bytes of a new file that are kept until it is whole
PAUSES = 0.005, 0.01, 0.02, 0.05  # s, after which it is asked whether a file that is being closed is whole


class Reading(io.RawIOBase):
    """Reads a file by ranges, so that each can be asked for again; at last Hadoop's own client goes on."""

    def __init__(self, client: Native, path: str, size: int):
        self.name, self._client, self._size, self._at = path, client, size, 0
        self._file = self._open()
        self._other: io.RawIOBase | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "expected a place at or after the file's beginning", self.name)
        self._at = min(base + offset, self._size)  # as that of libhdfs does
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        content = self._read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        pieces = []
        while piece := self._read(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    def _open(self) -> Any:
        return self._client.opened(self.name)

    def _read(self, most: int) -> bytes:
        most = min(most, self._size - self._at)
        if most <= 0:
            return b""
        content = self._range(most)
        self._at += len(content)
        return content

    def _range(self, most: int) -> bytes:
        for last in (False, True):
            if self._other:
                break
            try:
                return within(READ_SECONDS, self._file.read_range, self._at, most)
            except Exception as error:
                failure: Exception = error
            if not last and not isinstance(
                failure, Unable
            ):  # blocks may have moved, and the right to read them ends after some hours
                try:
                    self._file = self._open()
                    continue
                except (OSError, Unable) as error:
                    failure = error
            self._other = self._client.other.open(self.name, self._size)
            self._client.failure = f"hdfs-native could not read {self.name}: {first_line(failure)}"
            break
        assert self._other
        self._other.seek(self._at)
        return self._other.read(most) or b""

    def close(self) -> None:
        if not self.closed and self._other:
            self._other.close()
        super().close()


class Writing(io.RawIOBase):
    """Writes a new file; one that failed is left as it is, and its temporary name is removed by who asked for it.

    hdfs-native tells late of what fails, as when a DataNode is gone. Up to `HELD` bytes are kept, by which Hadoop's own
    client begins the file anew.
    """

    def __init__(self, client: Native, path: str, file: Any):
        self.name, self._client, self._file, self._failed = path, client, file, False
        self._held: bytearray | None = bytearray()
        self._size = 0
        self._other: io.RawIOBase | None = None

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        content = bytes(content)  # hdfs-native would copy a memoryview byte by byte
        if self._other:
            return self._other.write(content) or 0
        if self._held is not None:
            self._held += content
            if len(self._held) > HELD:
                self._held = None
        self._size += len(content)
        self._step(self._file.write, content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            super().close()
            if not self._failed and not self._other:
                self._step(self._finish)
            else:
                _forget(self._file)
            if self._other:
                self._other.close()

    def _finish(self) -> None:
        """Close the file, and return as soon as it is whole: every byte is on its DataNodes, and the NameNode knows.

        Where a DataNode tells the NameNode of the last block after hdfs-native has, as is usual on a busy cluster,
        hdfs-native asks again after 500 ms: that goes on in its thread.
        """
        closing = begin(_close, self._file)
        for pause in chain(PAUSES, repeat(PAUSES[-1])):
            if wait([closing], pause).done:
                return closing.result()
            if self._client.whole(self.name, self._size):
                return None

    def _step(self, step: Callable, *arguments: Any) -> None:
        try:
            within(WRITE_SECONDS, step, *arguments)
        except Exception as error:
            passing, failure = understood(self.name, error)
            if isinstance(failure, OSError) and not passing and failure.errno != INTERNAL:
                self._failed = True
                raise failure from error
            said = f"hdfs-native could not write {self.name}: {first_line(error)}"
            if self._held is None:
                self._failed, self._client.failure = True, said
                raise OSError(INTERNAL, f"HDFS took not all of it: {first_line(error)}", self.name) from error
            self._again(bytes(self._held))
            self._client.failure = said

    def _again(self, content: bytes) -> None:
        """Begin the file anew by Hadoop's client, with the same rights."""
        self._failed = True  # until it has all that was written
        mode = self._client.info(self.name).mode
        file = self._client.other.create(self.name)
        self._client.other.chmod(self.name, mode)
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) or 0 :]
        self._other, self._failed, self._held = file, False, None


def _close(file: io.RawIOBase) -> None:
    try:
        file.close()
    finally:
        _forget(file)


def _forget(file: io.RawIOBase) -> None:
    """Have Python know that a file of hdfs-native's is closed: its own `close` does not say so, and whichever thread
    lets go of it last would close it again, for 15 s where that fails.
    """
    io.RawIOBase.close(file)
