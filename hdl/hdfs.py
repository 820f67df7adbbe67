"""HDFS behind the same methods as the local file system: what `hdl.fs` promises, made of what a client can do.

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
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from hdl import hdfs_choice, scratch
from hdl import hdfs_rights as rights
from hdl import temporary as temporaries
from hdl.errors import HdlError
from hdl.hdfs_client import Client, Info, Names
from hdl.libhdfs import BUFFER, INTERNAL, named
from hdl.scratch import PRIVATE_FILE, PRIVATE_FOLDER

SAFE_MODE_SECONDS = 90.0  # the NameNode leaves it by itself after a restart


class Hdfs:
    """Serves one or more HDFS, each reached by the address in its paths.

    Methods raise OSError as the builtins do, with the path in it, and DeadlineError if the NameNode does not answer.

    Examples
    --------
    >>> Hdfs().list("hdfs://namenode:8020/data")     # doctest: +SKIP
    ['part-00000.csv', 'part-00001.csv']
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

    def mkdir(self, path: str, private: bool = False) -> None:
        """Make a folder and those above it, where they are missing; private ones are closed before they hold anything.

        Raises
        ------
        PermissionError
            A private folder is there and is another user's, or rights are missing.
        """
        missing = self._missing(path) if private else []
        try:
            with self._told(path, rights.WRITE):
                _patiently(self._client(path).mkdirs, path)
        except NotADirectoryError:
            raise NotADirectoryError(errno.ENOTDIR, f"{self._file_above(path)} is a file", path) from None
        for each in missing:
            _patiently(self._client(each).chmod, each, PRIVATE_FOLDER)
        if private and not missing:
            self._close(path)

    def open_to_all(self, path: str) -> bool:
        """Tell whether every user may read a file: it lets others read, and the folders above let others enter."""
        closed = not self._info(path).mode & 0o004
        while not closed and urlsplit(path).path.strip("/"):
            path = _split(path.rstrip("/"))[0]
            closed = not self._info(path if urlsplit(path).path else f"{path}/").mode & 0o001
        return not closed

    def is_private(self, path: str) -> bool:
        """Tell whether the rights of a file or folder let none but its owner do anything."""
        return not self._info(path).mode & 0o077

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._info(path)  # deleting what is not there is no error to HDFS, but it is one to the builtins
        with self._told(path, rights.REMOVE):
            _patiently(self._client(path).delete, path)

    def publish(
        self, path: str, write: Callable[[BinaryIO], object], again: bool = False, private: bool = False
    ) -> None:
        """Write a file under a temporary name and rename it; fails if the name is taken.

        libhdfs does not report safe mode that begins between the first byte and the last one as such. With `again`,
        `write` is then called a second time, once the unfinished file has been removed, which waits for the end of
        safe mode.
        """
        temporary = _temporary(path)
        try:
            with self._named(temporary, path):
                self._write(temporary, write, private)
            self._sweep(temporary)
            self._take(temporary, path)
        except BaseException as error:
            with suppress(OSError, HdlError):
                self.remove(temporary)
            if not (again and isinstance(error, OSError) and error.errno in (INTERNAL, errno.EROFS)):
                raise
            self.publish(path, write, private=private)

    def copy(self, source: str, target: str) -> None:
        """Copy a file to a new name; HDFS has no second names."""
        with self.open(source) as file:
            self.publish(target, lambda copied: shutil.copyfileobj(file, copied, BUFFER))

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, unless that is taken."""
        self._info(source)
        self._take(source, target)

    @contextmanager
    def publish_folder(self, path: str) -> Iterator[str]:
        """Give a local folder to fill; at a clean end it is copied to HDFS, and takes its name by one rename."""
        path = path.rstrip("/")
        if self.exists(path):
            raise FileExistsError(errno.EEXIST, "exists already; expected the name of a new folder", path)
        temporary = _temporary(path)
        try:
            with scratch.directory("hdl-") as local, self._named(temporary, path):
                self.mkdir(temporary)  # first: whoever may not is told before the work, not after it
                self._sweep(temporary)
                yield local
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

    def upload(self, local: Path, path: str) -> None:
        """Copy a local file to a new name. Half a file may be seen, but none is left: `publish` shows whole ones."""

        def copy(target: BinaryIO) -> None:
            with local.open("rb") as source:
                shutil.copyfileobj(source, target, BUFFER)

        try:
            self._write(path, copy)
        except FileExistsError:
            raise
        except BaseException:
            with suppress(OSError, HdlError):
                self.remove(path)
            raise

    def _sweep(self, own: str) -> None:
        """Remove what dead writers of ours left beside `own`, a temporary file or folder that we have just made."""
        folder, name = _split(own)
        if not temporaries.first(folder):
            return

        def look(name: str) -> temporaries.Found:
            info = self._info(f"{folder}/{name}")
            return temporaries.Found(name, info.owner, info.changed, info.size, info.isdir)

        with suppress(OSError, HdlError):
            names = self._client(folder + "/").entries(folder + "/")
            temporaries.sweep(folder, names, look, lambda found: self.remove(f"{folder}/{found.name}"), look(name))

    def _write(self, path: str, write: Callable[[BinaryIO], object], private: bool = False) -> None:
        folder = _split(path)[0] + "/"
        if not self.isdir(folder):  # HDFS would make the folder; a misspelt path is better refused, as locally
            above = self._file_above(path)
            raise FileNotFoundError(errno.ENOENT, f"no such folder{f': {above} is a file' if above else ''}", folder)
        with self._told(path, rights.WRITE):
            raw = _patiently(self._client(path).create, path)
        with named(path), io.BufferedWriter(raw, BUFFER) as file:
            if private:  # who opened the file before has seen it empty, and is refused its blocks
                _patiently(self._client(path).chmod, path, PRIVATE_FILE)
            write(file)
        # `close` returns when every replica has every byte

    def _take(self, temporary: str, path: str) -> None:
        """Rename so that exactly one of several who rename to `path` at the same time succeeds."""
        try:
            _patiently(self._client(path).rename, temporary, path)
        except OSError as error:
            # Denied is what a rename into another user's folder is, which has the name.
            if error.errno not in (errno.EIO, errno.EEXIST, errno.EACCES, INTERNAL):
                raise
            there = self.exists(path)
            if there and not self.exists(temporary):
                return  # the rename was done and only the answer was lost
            if there:
                raise FileExistsError(errno.EEXIST, "exists already", path) from None
            raise
        # Onto a folder that exists, HDFS renames into it and calls that a success. Below a file nothing is asked for:
        # a NameNode answers that with "permission denied" to everybody but its superuser.
        inside = posixpath.join(path, posixpath.basename(temporary))
        if self.isdir(path) and self.exists(inside):
            self.remove(inside)
            raise FileExistsError(errno.EEXIST, "exists already", path)

    @contextmanager
    def _told(self, path: str, wanted: str) -> Iterator[None]:
        """Say of an access that HDFS denies which folder's rights are missing, and who we are."""
        try:
            yield
        except PermissionError:
            raise rights.denied(self._client(path), path, wanted) from None

    @contextmanager
    def _named(self, temporary: str, path: str) -> Iterator[None]:
        """Name a path in errors of its temporary name, and of what lies below that."""
        try:
            yield
        except OSError as error:
            name = str(error.filename or "")
            if name.startswith(temporary):
                error.filename = path + name[len(temporary) :]
            raise

    def _close(self, path: str) -> None:
        """Close a folder that is there to all but us; that it is ours only the NameNode knows, who lets us do it."""
        info = self._info(path)
        if info.mode & 0o077 or info.owner != self._client(path).user(path):
            try:
                _patiently(self._client(path).chmod, path, PRIVATE_FOLDER)
            except PermissionError:
                raise PermissionError(
                    errno.EACCES, f"is user {info.owner}'s; expected a folder of ours", path
                ) from None

    def _missing(self, path: str) -> Names:
        """List the folders that are missing on the way to a path, and the path, the uppermost first."""
        missing: Names = []
        path = path.rstrip("/")
        while urlsplit(path).path and not self.exists(path):
            missing.insert(0, path)
            path = _split(path)[0]
        return missing

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
        try:
            return self._client(path).info(path)
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


def _patiently(step: Callable[..., Any], *arguments: Any) -> Any:
    """Do a step again and again while the NameNode is in safe mode, for `SAFE_MODE_SECONDS` at most."""
    deadline = time.monotonic() + SAFE_MODE_SECONDS
    while True:
        try:
            return step(*arguments)
        except OSError as error:
            if error.errno != errno.EROFS or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _temporary(path: str) -> str:
    """Make a hidden, unique name beside `path`, which says whose it is: see `hdl.temporary`."""
    folder, name = _split(path)
    return f"{folder}/{temporaries.name(name)}"


def _split(path: str) -> tuple[str, str]:
    """Split a path into folder and name; `posixpath.split` would strip the slashes of hdfs:/// too."""
    folder, _, name = path.rpartition("/")
    return folder, name
