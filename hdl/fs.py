"""Files, local and on HDFS: open, list, size, publish.

Everything that reads data or writes a weight table goes through the functions here; a path's scheme chooses the
class that serves it, so a further file system is one more class in `_SCHEMES`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from hdl.errors import Unavailable
from hdl.local_files import Local, plain, unwritable, writing

__all__ = [
    "Local", "copy", "exists", "glob", "hosts", "is_private", "is_remote", "isdir", "join", "list", "mkdir", "of",
    "once", "open", "open_to_all", "plain", "publish", "publish_folder", "remove", "rename", "scheme", "size",
    "stamp", "unwritable", "writing",
]  # fmt: skip

Names = list[str]  # below, `list` is a function


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


def _hdfs() -> Local:
    from hdl.hdfs import Hdfs  # pydoop and a Java virtual machine come with it, only for those who need them

    return Hdfs()  # type: ignore[return-value]  # the same methods


# Any other scheme is Hadoop's client's to know: HDFS and what else is on its class path (viewfs, har, s3a, …).
_SCHEMES: dict[str, Callable[[], Local]] = {"": Local}


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


def stamp(path: str) -> tuple[int, int]:
    """Return a file's length in bytes and when it was last changed, in the unit of its file system: two files of the
    same name and the same stamp are taken for the same.
    """
    return of(path).stamp(path)


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


@contextmanager
def once() -> Iterator[None]:
    """Ask of each path that is there but once in this context whether it is a folder, and how large: for a look at many
    files, each by several readers, that writes nothing. A local path is asked each time.
    """
    from hdl.hdfs_client import said

    token = said.set({})
    try:
        yield
    finally:
        said.reset(token)


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


def copy(source: str, target: str) -> None:
    """Give a file a second name in the same file system, or copy it; it appears whole or not at all.

    Either may be removed without harm to the other. Files that are written once, as `publish` does, are meant.

    Raises
    ------
    FileExistsError
        The name is taken.
    FileNotFoundError
        There is no such file.
    """
    of(target).copy(source, target)


def rename(source: str, target: str) -> None:
    """Give a file another name, in the same file system, that is not taken.

    Raises
    ------
    FileExistsError
        The name is taken.
    FileNotFoundError
        There is no such file.
    """
    of(target).rename(source, target)


def join(folder: str, *names: str) -> str:
    """Join a folder and names below it to a path, of any scheme."""
    return os.path.join(folder, *names)


def publish(
    path: str, content: bytes | Callable[[BinaryIO], object], private: bool = False, closed: bool = False
) -> None:
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
    closed : bool
        On HDFS, give the file its name when it has been closed, not when it is whole, which may be half a second
        sooner: its time stays then. YARN compares it when a node fetches the file.

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
        of(path).publish(path, content, private=private, closed=closed)
    else:
        of(path).publish(path, lambda file: file.write(content), again=True, private=private, closed=closed)


def publish_folder(path: str):
    """Give, as a context, a temporary folder to fill; it becomes `path` at a clean end and is removed otherwise.

    Raises
    ------
    FileExistsError
        `path` exists already.
    """
    return of(path).publish_folder(path)
