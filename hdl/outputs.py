"""Files that a command writes: as a stream, published whole, on this machine or on HDFS."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from hdl import fs, scratch
from hdl import temporary as temporaries
from hdl.errors import SpecError
from hdl.prediction_writer import SUFFIXES, Writer

__all__ = ["SUFFIXES", "Writer", "check", "check_folder", "placing", "put", "replacing"]


def check(path: str, overwrite: bool, suffixes: Sequence[str] = SUFFIXES, name: str = "--out ") -> None:
    """Refuses an output that cannot be written, before any work is done.

    Parameters
    ----------
    path : str
        The output: a local path or a URL.
    overwrite : bool
        Whether a file that is there may be replaced.
    suffixes : sequence of str
        Those that the output may have.
    name : str
        Flag that gave the output, for the message.

    Raises
    ------
    SpecError
        The suffix names no format, the folder is not there, or the file is and may not be replaced.
    OutputError
        The folder takes no new files.
    """
    if Path(path).suffix.lower() not in suffixes:
        raise SpecError(f"{name}{path}: expected a name that ends in {', '.join(suffixes)}")
    if _remote(path):
        if fs.exists(path) and (fs.isdir(path) or not overwrite):
            raise SpecError(f"{name}{path}: exists already; give --overwrite to replace a file, or another name")
        return
    path = fs.plain(path)
    folder = Path(path).parent
    if not folder.is_dir():
        raise SpecError(f"{name}{path}: there is no folder {folder}")
    if os.path.isdir(path):
        raise SpecError(f"{name}{path}: is a folder; expected the name of a file")
    if os.path.lexists(path) and not overwrite:
        raise SpecError(f"{name}{path}: exists already; give --overwrite to replace it, or another name")
    check_folder(str(folder), path)


def check_folder(folder: str, path: str) -> None:
    """Refuses a local folder that takes no new files; `path` is the place that the user named.

    Raises
    ------
    OutputError
    """
    folder = fs.plain(folder)
    if fs.is_remote(folder):
        return
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:  # it will be made, in one that is there
        folder = os.path.dirname(folder.rstrip("/"))
    if os.path.isdir(folder or ".") and not os.access(folder or ".", os.W_OK | os.X_OK):
        raise fs.unwritable(path, errno.EACCES, f"the folder {folder or '.'} takes no new files")


@contextmanager
def placing(path: str) -> Iterator[BinaryIO]:
    """Opens a file for writing, locally as `replacing` does, or on HDFS.

    A file for HDFS is written on this machine and sent whole at a clean end; if it replaces one, readers may for a
    moment find neither.
    """
    if not _remote(path):
        with replacing(path) as file:
            yield file
        return
    folder = scratch.folder()
    with fs.writing(folder, folder), scratch.stream("hdl-out-") as file:
        yield file
        file.seek(0)
        private = fs.exists(path) and fs.is_private(path)
        if fs.exists(path):
            fs.remove(path)
        fs.publish(path, lambda target: shutil.copyfileobj(file, target, 1 << 20), private=private)


def put(path: str, content: bytes) -> None:
    """Writes a file's content, as `placing` does."""
    with placing(path) as file:
        file.write(content)


def _remote(path: str) -> bool:
    return fs.is_remote(path)


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Opens a local file for writing, which gets its name at a clean end only: readers see the old or the new file.

    Its rights are as the umask says, and 600 if those of the file that it replaces let none but its owner read it.

    Raises
    ------
    OutputError
        The disk is full, or the folder takes no files; nothing half-written is left.
    """
    target = Path(fs.plain(path))
    temporary = target.with_name(temporaries.name(target.name[:100]))
    try:
        with fs.writing(str(target), str(temporary)):
            with open(temporary, "xb") as file:
                if target.exists() and fs.is_private(str(target)):
                    os.fchmod(file.fileno(), scratch.PRIVATE_FILE)
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporaries.sweep_beside(str(temporary))
            os.replace(temporary, target)
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(temporary)
