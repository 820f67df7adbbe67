"""HDFS behind the same methods as the local file system, through pydoop's libhdfs.

`hdl.fs` chooses this class by a path's scheme; nothing else imports it. A path is ``hdfs://host:port/…`` or, with a
configuration folder (HADOOP_CONF_DIR), ``hdfs:///…`` on its default file system.
"""

from __future__ import annotations

import errno
import fnmatch
import io
import os
import posixpath
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from hdl.errors import HdlError
from hdl.libhdfs import INTERNAL, call, named, patiently, resolve

BUFFER = 1 << 20
Names = list[str]  # in the class, `list` is a method
Entries = list[dict[str, Any]]


class Hdfs:
    """One or more HDFS, each found by its paths.

    Methods raise OSError as the builtins do, with the path in it, and DeadlineError if the NameNode does not answer.

    Examples
    --------
    >>> Hdfs().list("hdfs://namenode:8020/data")     # doctest: +SKIP
    ['part-00000.csv', 'part-00001.csv']
    """

    def open(self, path: str) -> BinaryIO:
        """A file for reading; it can seek."""
        info = self._info(path)
        if info["kind"] != "file":
            raise IsADirectoryError(errno.EISDIR, "is a folder", path)
        system, name = resolve(path)
        return io.BufferedReader(_Reading(path, call(path, system.open_file, name, "r"), info["size"]), BUFFER)

    def list(self, path: str) -> Names:
        """Sorted names in a folder."""
        return sorted(posixpath.basename(entry["name"].rstrip("/")) for entry in self._entries(path))

    def glob(self, pattern: str) -> Names:
        """Sorted paths that match ``*``, ``?`` and ``[...]``; none of them matches a slash or a leading dot."""
        parts = urlsplit(re.sub(r"\?", "%3F", pattern))  # a query is not meant
        root, found = f"{parts.scheme}://{parts.netloc}", [""]
        for piece in pattern[len(root) :].strip("/").split("/"):
            if not re.search(r"[*?[]", piece):
                found = [f"{folder}/{piece}" for folder in found]
                continue
            found = [
                f"{folder}/{name}"
                for folder in found
                if self.isdir(root + (folder or "/"))
                for name in self.list(root + (folder or "/"))
                if fnmatch.fnmatchcase(name, piece) and (piece[0] == "." or name[0] != ".")
            ]
        return sorted(root + path for path in found if self.exists(root + path))

    def size(self, path: str) -> int:
        """Length of a file in bytes."""
        return self._info(path)["size"]

    def hosts(self, path: str, start: int, length: int) -> Names:
        """List the hosts that hold the bytes [start, start + length) of a file, those of most blocks first."""
        system, name = resolve(path)
        held: dict[str, int] = {}
        try:
            blocks = call(path, system.get_hosts, name, start, max(length, 1))
        except RuntimeError:  # pydoop's only error here: it drops libhdfs's errno
            if self._info(path)["kind"] != "file":
                raise IsADirectoryError(errno.EISDIR, "is a folder", path) from None
            raise OSError(errno.EIO, "HDFS does not say where the file's blocks are", path) from None
        for block in blocks or ():
            for host in block:
                held[host] = held.get(host, 0) + 1
        return sorted(held, key=lambda host: (-held[host], host))

    def exists(self, path: str) -> bool:
        try:
            self._info(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno != errno.EINVAL:  # a name that HDFS cannot have, such as a pair of paths
                raise
            return False
        return True

    def isdir(self, path: str) -> bool:
        try:
            return self._info(path)["kind"] == "directory"
        except FileNotFoundError:
            return False

    def mkdir(self, path: str) -> None:
        """Makes a folder and those above it; one that exists is fine."""
        system, name = resolve(path)
        patiently(path, system.create_directory, name)

    def remove(self, path: str) -> None:
        """Removes a file, or a folder with all that is in it."""
        self._info(path)  # deleting what is not there is no error to HDFS, but it is one to the builtins
        system, name = resolve(path)
        patiently(path, system.delete, name, True)

    def publish(self, path: str, write: Callable[[BinaryIO], object], again: bool = False) -> None:
        """Writes a file under a temporary name and renames it; fails if the name is taken.

        Safe mode that begins between the first byte and the last one is not told as such. Where `write` may be called
        `again`, it is, once what is there of the file has been removed, which waits for the end of safe mode.
        """
        temporary = _temporary(path)
        try:
            with named(temporary, path):
                self._write(temporary, write)
            self._take(temporary, path)
        except BaseException as error:
            with suppress(OSError, HdlError):
                self.remove(temporary)
            if not (again and isinstance(error, OSError) and error.errno == INTERNAL):
                raise
            self.publish(path, write)

    @contextmanager
    def publish_folder(self, path: str) -> Iterator[str]:
        """A local folder to fill, which at a clean end is copied and takes its name by one rename."""
        path = path.rstrip("/")
        if self.exists(path):
            raise FileExistsError(errno.EEXIST, "exists already; expected the name of a new folder", path)
        temporary = _temporary(path)
        local = tempfile.mkdtemp(prefix="hdl-")
        try:
            yield local
            self.mkdir(temporary)
            for file in sorted(Path(local).rglob("*")):
                target = f"{temporary}/{file.relative_to(local)}"
                if file.is_dir():
                    self.mkdir(target)
                else:
                    self.upload(file, target)
            self._take(temporary, path)
        except BaseException:
            with suppress(OSError, HdlError):
                self.remove(temporary)
            raise
        finally:
            shutil.rmtree(local, ignore_errors=True)

    def upload(self, local: Path, path: str) -> None:
        """Copy a local file to a new name. Not atomic: `publish` is."""

        def copy(target: BinaryIO) -> None:
            with local.open("rb") as source:
                shutil.copyfileobj(source, target, BUFFER)

        self._write(path, copy)

    def _write(self, path: str, write: Callable[[BinaryIO], object]) -> None:
        system, name = resolve(path)
        folder = _split(path)[0] + "/"
        if not self.isdir(folder):  # HDFS would make it; a misspelt path is better refused, as it is locally
            raise FileNotFoundError(errno.ENOENT, "no such folder", folder)
        raw = patiently(path, system.open_file, name, "w")
        with named(path), io.BufferedWriter(_Writing(raw), BUFFER) as file:
            write(file)
        # `close` returns when every replica has every byte

    def _take(self, temporary: str, path: str) -> None:
        """Rename so that exactly one of several who want the name gets it."""
        system, name = resolve(path)
        source = resolve(temporary)[1]
        try:
            patiently(path, system.rename, source, name)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EEXIST, INTERNAL):
                raise
            there = self.exists(path)
            if there and not self.exists(temporary):
                return  # it was renamed and only the answer was lost
            if there:
                raise FileExistsError(errno.EEXIST, "exists already", path) from None
            raise
        # Onto a folder that exists, HDFS renames into it and calls that a success. Below a file nothing is asked for:
        # a NameNode answers that with "permission denied" to everybody but its superuser.
        inside = posixpath.join(path, posixpath.basename(temporary))
        if self.isdir(path) and self.exists(inside):
            self.remove(inside)
            raise FileExistsError(errno.EEXIST, "exists already", path)

    def _info(self, path: str) -> dict[str, Any]:
        """Kind, size and so on; FileNotFoundError below a file, where ordinary users are told "permission denied"."""
        system, name = resolve(path)
        try:
            return call(path, system.get_path_info, name)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENOTDIR) or not self._below_a_file(path):
                raise
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None

    def _below_a_file(self, path: str) -> bool:
        """Whether one of the folders above a path, to which access was denied, is a file."""
        folder, _ = _split(path.rstrip("/"))
        if not urlsplit(folder).path:  # the root is a folder
            return False
        try:
            return self._info(folder)["kind"] == "file"
        except FileNotFoundError:  # itself below one: of a folder that is not there access would not be denied
            return True
        except OSError:
            return False

    def _entries(self, path: str) -> Entries:
        if self._info(path)["kind"] != "directory":
            raise NotADirectoryError(errno.ENOTDIR, "is not a folder", path)
        system, name = resolve(path)
        return call(path, system.list_directory, name)


class _Reading(io.RawIOBase):
    """libhdfs's file as Python's buffered reader wants it; its own object lacks ``read()`` to the end."""

    def __init__(self, path: str, file: Any, size: int):
        self.name, self._file, self._size = path, file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return call(self.name, self._file.read_chunk, buffer)

    def readall(self) -> bytes:
        parts = []
        while part := self.read(BUFFER):
            parts.append(part)
        return b"".join(parts)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        # Past the end is an error to HDFS and an empty read to the builtin.
        call(self.name, self._file.seek, min(base + offset, self._size), os.SEEK_SET)
        return self.tell()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            super().close()
            call(self.name, self._file.close)


class _Writing(io.RawIOBase):
    """libhdfs's file for Python's buffered writer. Its own `close` returns true, which would swallow exceptions."""

    def __init__(self, file: Any):
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self._file.write(content)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()


def _temporary(path: str) -> str:
    """A hidden, unique name beside `path`."""
    folder, name = _split(path)
    return f"{folder}/.{name}.{uuid.uuid4().hex}.tmp"


def _split(path: str) -> tuple[str, str]:
    """Folder, without its last slash, and name; `posixpath.split` would cut the slashes of hdfs:/// too."""
    folder, _, name = path.rpartition("/")
    return folder, name
