"""This machine's own file system, behind the methods that every file system of `hdl.fs` has."""

from __future__ import annotations

import builtins
import errno
import glob as _glob
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from hdl import scratch, temporary
from hdl.errors import OutputError

Names = list[str]  # in the class, `list` is a method
# What keeps a file from being written, and what helps.
_FULL = "free some space, or write elsewhere"
_CLOSED = "change the rights of its folder, or write elsewhere"
_HELP = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _CLOSED),
    errno.EFBIG: "files may not be so large there: raise the limit, or write elsewhere",
}


def plain(path: str | os.PathLike) -> str:
    """Take the scheme off a local path: ``file:///a``, ``file://localhost/a`` and ``file:/a`` are ``/a``.

    Any other path stays as it is. Nothing is decoded, as in Hadoop's own paths: ``%20`` is no space.

    Examples
    --------
    >>> plain("file:///a/b.csv"), plain("file:/a"), plain("hdfs:///a"), plain("file.csv")
    ('/a/b.csv', '/a', 'hdfs:///a', 'file.csv')
    """
    path = os.fspath(path)
    return re.sub(r"^file:(//(localhost(?=/))?)?(?=.)", "", path) if path.startswith("file:/") else path


def unwritable(path: str, number: int, why: str = "") -> OutputError:
    """Make the error of a place that cannot be written, under the name that the user gave it, from an error number."""
    wrong = OutputError(f"{path}: cannot be written ({why or os.strerror(number)}); {_HELP[number]}")
    wrong.errno = number
    return wrong


@contextmanager
def writing(path: str, temporary: str) -> Iterator[None]:
    """Rename errors: what fails to be written under a hidden, temporary name is told under the one that was asked for.

    Raises
    ------
    OutputError
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        hidden = error.filename is not None and os.fspath(error.filename).startswith(temporary)
        if error.errno in _HELP and (hidden or error.filename is None):
            raise unwritable(path, error.errno) from None
        if hidden:
            error.filename = path
        raise


class Local:
    """Serves the machine's own file system; paths are plain, or start with ``file:``.

    Every class of `_SCHEMES` has these methods; the functions of the same names below say what each does.
    """

    _plain = staticmethod(plain)

    def open(self, path: str) -> BinaryIO:
        return builtins.open(self._plain(path), "rb")

    def list(self, path: str) -> Names:
        return sorted(os.listdir(self._plain(path)))

    def glob(self, pattern: str) -> Names:
        return sorted(_glob.glob(self._plain(pattern)))

    def size(self, path: str) -> int:
        return os.stat(self._plain(path)).st_size

    def stamp(self, path: str) -> tuple[int, int]:
        status = os.stat(self._plain(path))
        return status.st_size, status.st_mtime_ns

    def hosts(self, path: str, start: int, length: int) -> Names:
        return []  # every worker reads it alike

    def exists(self, path: str) -> bool:
        return os.path.exists(self._plain(path))

    def isdir(self, path: str) -> bool:
        return os.path.isdir(self._plain(path))

    def mkdir(self, path: str, private: bool = False) -> None:
        path = self._plain(path)
        try:
            if private:
                return scratch.make_private(path)
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error.errno, error.strerror or "") if error.errno in _HELP else error from None

    def open_to_all(self, path: str) -> bool:
        path = os.path.realpath(self._plain(path))
        above = [path]
        while os.path.dirname(above[-1]) != above[-1]:
            above.append(os.path.dirname(above[-1]))
        return bool(os.stat(path).st_mode & 0o004) and all(os.stat(each).st_mode & 0o001 for each in above[1:])

    def is_private(self, path: str) -> bool:
        return not os.stat(self._plain(path)).st_mode & 0o077

    def remove(self, path: str) -> None:
        path = self._plain(path)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)

    def publish(
        self, path: str, write: Callable[[BinaryIO], object], again: bool = False, private: bool = False,
        closed: bool = False,
    ) -> None:  # fmt: skip
        path = self._plain(path)
        hidden = beside(path)
        mode = scratch.PRIVATE_FILE if private else 0o666
        try:
            with writing(path, hidden):
                with builtins.open(hidden, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.sweep_beside(hidden)
                os.link(hidden, path)  # unlike rename, fails when the name is taken
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(hidden)
        _sync_folder(os.path.dirname(path) or ".")

    def copy(self, source: str, target: str) -> None:
        source, target = self._plain(source), self._plain(target)
        try:
            os.link(source, target)
            _sync_folder(os.path.dirname(target) or ".")
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:  # a file system without links, or one that lets nobody link another's file
            with builtins.open(source, "rb") as file:
                self.publish(target, lambda copied: shutil.copyfileobj(file, copied))

    def rename(self, source: str, target: str) -> None:
        self.copy(source, target)  # unlike the system's rename, fails when the name is taken
        os.unlink(self._plain(source))

    @contextmanager
    def publish_folder(self, path: str) -> Iterator[str]:
        path = self._plain(path).rstrip("/")
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists already; expected the name of a new folder")
        hidden = beside(path)
        try:
            with writing(path, hidden):
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                os.mkdir(hidden)
                temporary.sweep_beside(hidden)
                yield hidden
                for name in os.listdir(hidden):
                    with builtins.open(os.path.join(hidden, name), "rb") as file:
                        os.fsync(file.fileno())
                _sync_folder(hidden)
                os.rename(hidden, path)  # fails on a folder that holds anything, so a race has one winner
        except BaseException:
            shutil.rmtree(hidden, ignore_errors=True)
            raise
        _sync_folder(os.path.dirname(path) or ".")


def beside(path: str) -> str:
    """Make a hidden, unique name beside `path`, which says whose it is: see `hdl.temporary`."""
    folder, name = os.path.split(path)
    return os.path.join(folder, temporary.name(name))


def _sync_folder(path: str) -> None:
    """Make a new name in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
