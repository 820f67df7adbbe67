"""Files, local and on HDFS: open, list, size, publish.

Everything that reads data or writes a weight table goes through the functions here; a path's scheme chooses the
class that serves it, so a further file system is one more class in `_SCHEMES`.
"""

from __future__ import annotations

import builtins
import errno
import glob as _glob
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from hdl import scratch
from hdl.errors import OutputError, Unavailable

Names = list[str]  # below, `list` is a function
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


def scheme(path: str | os.PathLike) -> str:
    """Return the scheme of a path: ``hdfs``, ``viewfs``, ``s3a``, …; empty for a local one, ``file:`` included.

    Examples
    --------
    >>> scheme("hdfs:///a"), scheme("s3a://bucket/a"), scheme("file:///a"), scheme("a/b")
    ('hdfs', 's3a', '', '')
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", plain(path))
    return match[1] if match else ""


def is_remote(path: str | os.PathLike) -> bool:
    """Tell whether a path is one of Hadoop's file systems, which every node of a cluster sees alike."""
    return bool(scheme(path))


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
        self, path: str, write: Callable[[BinaryIO], object], again: bool = False, private: bool = False
    ) -> None:
        path = self._plain(path)
        temporary = _temporary(path)
        mode = scratch.PRIVATE_FILE if private else 0o666
        try:
            with writing(path, temporary):
                with builtins.open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                    write(file)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)  # unlike rename, fails when the name is taken
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(temporary)
        _sync_folder(os.path.dirname(path) or ".")

    @contextmanager
    def publish_folder(self, path: str) -> Iterator[str]:
        path = self._plain(path).rstrip("/")
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists already; expected the name of a new folder")
        temporary = _temporary(path)
        try:
            with writing(path, temporary):
                os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
                os.mkdir(temporary)
                yield temporary
                for name in os.listdir(temporary):
                    with builtins.open(os.path.join(temporary, name), "rb") as file:
                        os.fsync(file.fileno())
                _sync_folder(temporary)
                os.rename(temporary, path)  # fails on a folder that holds anything, so a race has one winner
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _sync_folder(os.path.dirname(path) or ".")


def _hdfs() -> Local:
    from hdl.hdfs import Hdfs  # pydoop and a Java virtual machine come with it, only for those who need them

    return Hdfs()  # type: ignore[return-value]  # the same methods


# Any other scheme is Hadoop's client's to know: HDFS and what else is on its class path (viewfs, har, s3a, …).
_SCHEMES: dict[str, Callable[[], Local]] = {"": Local}


def _temporary(path: str) -> str:
    """Make a hidden, unique name beside `path`: readers of the folder skip names that start with a dot."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")


def _sync_folder(path: str) -> None:
    """Make a new name in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def of(path: str) -> Local:
    """Choose the file system that serves a path.

    Raises
    ------
    Unavailable
        The path's scheme is written with one slash.
    """
    if match := re.match(r"(hdfs|viewfs|har|webhdfs|swebhdfs):/(?!/)", path):
        raise Unavailable(f"{path}: expected {match[1]}:///{path[match.end() :]} or {match[1]}://host:port/…")
    return _SCHEMES.get(scheme(path), _hdfs)()


def open(path: str) -> BinaryIO:
    """Open a file for reading, in binary; it can seek. Raises OSError as the builtin does."""
    return of(path).open(path)


def list(path: str) -> Names:
    """List the names in a folder, hidden ones included, sorted."""
    return of(path).list(path)


def glob(pattern: str) -> Names:
    """List the paths that match a pattern of ``*``, ``?`` and ``[...]``, sorted."""
    return of(pattern).glob(pattern)


def size(path: str) -> int:
    """Return the length of a file in bytes."""
    return of(path).size(path)


def hosts(path: str, start: int, length: int) -> Names:
    """List the hosts that hold some of the bytes [start, start + length) of a file, those of most blocks first.

    The list is empty where it does not matter which host reads the file, as with a local one.

    Raises
    ------
    OSError
        The path is no file (on HDFS).
    """
    return of(path).hosts(path, start, length)


def exists(path: str) -> bool:
    """Tell whether a path is a file or a folder."""
    return of(path).exists(path)


def isdir(path: str) -> bool:
    """Tell whether a path is a folder."""
    return of(path).isdir(path)


def mkdir(path: str, private: bool = False) -> None:
    """Make a folder and those above it, where they are missing; private ones have mode 700, others as the umask says.

    Raises
    ------
    PermissionError, or OutputError of a local path
        A private folder is there and is another user's, or rights are missing.
    """
    of(path).mkdir(path, private)


def open_to_all(path: str) -> bool:
    """Tell whether every user may read a file: it lets others read, and every folder above it lets others enter.

    An access control list that keeps single users out is not looked at.
    """
    return of(path).open_to_all(path)


def is_private(path: str) -> bool:
    """Tell whether the rights of a file or folder let none but its owner do anything."""
    return of(path).is_private(path)


def remove(path: str) -> None:
    """Remove a file, or a folder with all that is in it."""
    of(path).remove(path)


def join(folder: str, *names: str) -> str:
    """Join a folder and names below it to a path, of any scheme."""
    return os.path.join(folder, *names)


def publish(path: str, content: bytes | Callable[[BinaryIO], object], private: bool = False) -> None:
    """Write a file so that it appears whole or not at all, and never over another.

    The bytes go to a unique temporary name in the same folder, are flushed to disk, and take their name by a step
    that fails if the name is taken.

    Parameters
    ----------
    path : str
        Name of the new file; its folder exists.
    content : bytes, or function of a binary file
        Bytes to write, or a function that writes them.
    private : bool
        Give the file mode 600, from before its first byte; otherwise its rights are as the umask says, on HDFS the
        client's ``fs.permissions.umask-mode``.

    Raises
    ------
    FileExistsError
        The name is taken; the file of that name is unchanged and the temporary one is gone.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> publish(join(folder, "a"), b"1")
    >>> open(join(folder, "a")).read(), list(folder)
    (b'1', ['a'])
    """
    if callable(content):
        of(path).publish(path, content, private=private)
    else:
        of(path).publish(path, lambda file: file.write(content), again=True, private=private)


def publish_folder(path: str):
    """Give, as a context, a temporary folder to fill; it becomes `path` at a clean end and is removed otherwise.

    Raises
    ------
    FileExistsError
        `path` exists already.
    """
    return of(path).publish_folder(path)
