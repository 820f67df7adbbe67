"""Reads HDFS: files, folders and what the NameNode says of them, made of what a client can do."""

from __future__ import annotations

import errno
import fnmatch
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from urllib.parse import urlsplit

from hdl import hdfs_choice
from hdl import hdfs_rights as rights
from hdl.hdfs_client import Client, Info, Names, said
from hdl.libhdfs import BUFFER


class HdfsReading:
    """Reads one or more HDFS, each reached by the address in its paths; see `hdl.hdfs.Hdfs`, which writes too.

    Methods raise OSError as the builtins do, with the path in it, and DeadlineError if the NameNode does not answer.
    """

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading; it can seek."""
        info = self._info(path)
        if info.isdir:
            raise IsADirectoryError(errno.EISDIR, "is a folder", path)
        with self._told(path, rights.READ):
            return io.BufferedReader(self._client(path).open(path, info.size), BUFFER)

    def list(self, path: str) -> Names:
        """List the names in a folder, sorted."""
        if not self._info(path).isdir:
            raise NotADirectoryError(errno.ENOTDIR, "is not a folder", path)
        with self._told(path, rights.LIST):
            return sorted(self._client(path).entries(path))

    def glob(self, pattern: str) -> Names:
        """List the paths that match ``*``, ``?`` and ``[...]``, sorted; none matches a slash or a leading dot."""
        address = urlsplit(re.sub(r"\?", "%3F", pattern))  # a query is not meant
        root, paths = f"{address.scheme}://{address.netloc}", [""]
        for piece in pattern[len(root) :].strip("/").split("/"):
            if not re.search(r"[*?[]", piece):
                paths = [f"{folder}/{piece}" for folder in paths]
                continue
            paths = [
                f"{folder}/{name}"
                for folder in paths
                if self.isdir(root + (folder or "/"))
                for name in self.list(root + (folder or "/"))
                if fnmatch.fnmatchcase(name, piece) and (piece[0] == "." or name[0] != ".")
            ]
        return sorted(root + path for path in paths if self.exists(root + path))

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""
        return self._info(path).size

    def stamp(self, path: str) -> tuple[int, int]:
        """Return a file's length in bytes and when it was last changed, in milliseconds of the NameNode's clock."""
        info = self._info(path)
        return info.size, round(1000 * info.changed)

    def hosts(self, path: str, start: int, length: int) -> Names:
        """List the hosts that hold the bytes [start, start + length) of a file, those of most blocks first."""
        held: dict[str, int] = {}
        blocks = self._client(path).hosts(path, start, max(length, 1))
        if blocks is None:
            if self._info(path).isdir:
                raise IsADirectoryError(errno.EISDIR, "is a folder", path)
            self.open(path).close()  # for the error of a file that may not be read
            raise OSError(errno.EIO, "HDFS does not say where the file's blocks are", path)
        for block in blocks:
            for host in block:
                held[host] = held.get(host, 0) + 1
        return sorted(held, key=lambda host: (-held[host], host))

    def exists(self, path: str) -> bool:
        """Tell whether a path is a file or a folder; raises OSError where access is denied."""
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
        """Tell whether a path is a folder; raises OSError where access is denied."""
        try:
            return self._info(path).isdir
        except FileNotFoundError:
            return False

    def open_to_all(self, path: str) -> bool:
        """Tell whether every user may read a file: it lets others read, and the folders above let others enter."""
        closed = not self._info(path).mode & 0o004
        while not closed and urlsplit(path).path.strip("/"):
            path = split(path.rstrip("/"))[0]
            closed = not self._info(path if urlsplit(path).path else f"{path}/").mode & 0o001
        return not closed

    def is_private(self, path: str) -> bool:
        """Tell whether the rights of a file or folder let none but its owner do anything."""
        return not self._info(path).mode & 0o077

    @contextmanager
    def _told(self, path: str, wanted: str) -> Iterator[None]:
        """Say of an access that HDFS denies which folder's rights are missing, and who we are."""
        try:
            yield
        except PermissionError:
            raise rights.denied(self._client(path), path, wanted) from None

    def _client(self, path: str) -> Client:
        """Choose the client that serves a path."""
        return hdfs_choice.client(path)

    def _info(self, path: str) -> Info:
        """Ask for kind, size and so on of a path.

        Raises
        ------
        FileNotFoundError
            The path does not exist, or lies below a file, where HDFS tells ordinary users "permission denied".
        """
        known = said.get()
        if known is not None and path in known:
            return known[path]
        try:
            info = self._client(path).info(path)
            if known is not None:
                known[path] = info
            return info
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.ENOTDIR):
                raise
            if not (file := self._file_above(path)):
                raise rights.denied(self._client(path), path, rights.ENTER) from None
            raise FileNotFoundError(errno.ENOENT, f"{os.strerror(errno.ENOENT)}: {file} is a file", path) from None

    def _file_above(self, path: str) -> str | None:
        """Find a file among the folders above a path; None if there is none, or if it may not be seen."""
        for folder in reversed(rights.folders(path)):
            with suppress(OSError):  # it lies below the file itself, where access is denied
                return None if self._client(folder).info(folder).isdir else folder
        return None


def split(path: str) -> tuple[str, str]:
    """Split a path into folder and name; `posixpath.split` would strip the slashes of hdfs:/// too."""
    folder, _, name = path.rpartition("/")
    return folder, name
