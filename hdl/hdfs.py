"""HDFS behind the same methods as the local file system: what `hdl.fs` promises, made of what a client can do.

`hdl.fs` chooses this class by a path's scheme; nothing else imports it. A path is ``hdfs://host:port/…`` or, with a
configuration folder (HADOOP_CONF_DIR), ``hdfs:///…`` on its default file system.
"""

from __future__ import annotations

import errno
import io
import posixpath
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from hdl import hdfs_answers, scratch
from hdl import hdfs_rights as rights
from hdl import temporary as temporaries
from hdl.errors import HdlError
from hdl.hdfs_client import Names
from hdl.hdfs_reading import HdfsReading, split
from hdl.libhdfs import BUFFER, INTERNAL, named
from hdl.scratch import PRIVATE_FILE, PRIVATE_FOLDER

CLOSE_SECONDS = 60.0  # for a file that is whole to be closed
SAFE_MODE_SECONDS = 90.0  # the NameNode leaves it by itself after a restart


class Hdfs(HdfsReading):
    """Serves one or more HDFS, each reached by the address in its paths.

    Methods raise OSError as the builtins do, with the path in it, and DeadlineError if the NameNode does not answer.

    Examples
    --------
    >>> Hdfs().list("hdfs://namenode:8020/data")     # doctest: +SKIP
    ['part-00000.csv', 'part-00001.csv']
    """

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

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        self._info(path)  # deleting what is not there is no error to HDFS, but it is one to the builtins
        with self._told(path, rights.REMOVE):
            _patiently(self._client(path).delete, path)

    def publish(
        self, path: str, write: Callable[[BinaryIO], object], again: bool = False, private: bool = False,
        closed: bool = False,
    ) -> None:  # fmt: skip
        """Write a file under a temporary name and rename it; fails if the name is taken.

        libhdfs does not report safe mode that begins between the first byte and the last one as such. With `again`,
        `write` is then called a second time, once the unfinished file has been removed, which waits for the end of
        safe mode.
        """
        temporary = _temporary(path)
        try:
            with self._named(temporary, path):
                self._write(temporary, write, private)
            if closed:
                hdfs_answers.settle(CLOSE_SECONDS)
            self._sweep(temporary)
            self._take(temporary, path)
        except BaseException as error:
            with suppress(OSError, HdlError):
                self.remove(temporary)
            if not (again and isinstance(error, OSError) and error.errno in (INTERNAL, errno.EROFS)):
                raise
            self.publish(path, write, private=private, closed=closed)

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
        folder, name = split(own)
        if not temporaries.first(folder):
            return

        def look(name: str) -> temporaries.Found:
            info = self._info(f"{folder}/{name}")
            return temporaries.Found(name, info.owner, info.changed, info.size, info.isdir)

        with suppress(OSError, HdlError):
            names = self._client(folder + "/").entries(folder + "/")
            temporaries.sweep(folder, names, look, lambda found: self.remove(f"{folder}/{found.name}"), look(name))

    def _write(self, path: str, write: Callable[[BinaryIO], object], private: bool = False) -> None:
        folder = split(path)[0] + "/"
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
            path = split(path)[0]
        return missing


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
    folder, name = split(path)
    return f"{folder}/{temporaries.name(name)}"
