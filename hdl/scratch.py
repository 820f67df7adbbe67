"""Temporary files and caches of this process: where they lie, and that they are its user's alone.

A container's go into its own folder, which YARN removes with it and closes to other users; elsewhere they go where
TMPDIR says, or to the system's folder for temporary files.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hdl import temporary

_encrypted = False
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600  # the rights of what is its user's alone


def folder() -> str:
    """Return the folder for temporary files.

    TMPDIR wins. In a container of YARN, where it is not set, the folder is the container's own (PWD, as its launch
    script sets it); `/tmp` is shared with all users of the node, and outlives the container.

    Examples
    --------
    >>> os.path.isdir(folder())
    True
    """
    own = os.environ.get("PWD", "")
    if "CONTAINER_ID" in os.environ and not os.environ.get("TMPDIR") and os.access(own, os.W_OK | os.X_OK):
        return own
    return tempfile.gettempdir()


def encrypt(wanted: bool = True) -> None:
    """Say whether this process encrypts the samples, ranks and answers that it puts on disk for a while.

    Raises
    ------
    Unavailable
        The package `cryptography` is missing.
    """
    global _encrypted
    if wanted:
        from hdl import sealed  # NumPy comes with it

        sealed.check()
    _encrypted = wanted


def encrypting() -> bool:
    """Tell what `encrypt` was told last; False at first."""
    return _encrypted


def stream(prefix: str) -> Any:
    """Open a file as `file` does, to be written and then read from its beginning; encrypted where `encrypt` says so."""
    if not _encrypted:
        return file(prefix)
    from hdl import sealed

    return io.BufferedRandom(sealed.Stream(file(prefix)))


def file(prefix: str) -> Any:
    """Open a temporary file of mode 600 for reading and writing, which has no name and ends with the process."""
    return tempfile.TemporaryFile(prefix=prefix, dir=folder())


@contextmanager
def directory(prefix: str) -> Iterator[str]:
    """Make a temporary folder of mode 700, as a context that removes it; those of processes that died go as well."""
    path = os.path.join(folder(), temporary.name(prefix.rstrip("-")))
    os.mkdir(path, PRIVATE_FOLDER)
    try:
        temporary.sweep_beside(path)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def cache_folder() -> Path:
    """Return the folder in which hdl keeps files that can be made again: ``$XDG_CACHE_HOME/hdl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hdl"


def cache(name: str) -> Path:
    """Return a folder of the user's cache, ``$XDG_CACHE_HOME/hdl/NAME``; it is made where it is missing, as 700."""
    place = cache_folder() / name
    _make(str(place))
    return place


def replace(path: Path, text: str) -> None:
    """Write a small file: whole for whoever reads it meanwhile, and this user's alone."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, PRIVATE_FILE), "w") as file:
        file.write(text)
    fresh.replace(path)


def make_private(path: str) -> None:
    """Make a local folder of mode 700, and those above it where they are missing; one of ours that is open is closed.

    Raises
    ------
    PermissionError
        The folder is there and is another user's.
    """
    _make(path)
    status = os.stat(path)
    if status.st_uid != os.geteuid():
        raise PermissionError(errno.EACCES, f"is another user's (uid {status.st_uid}); expected a folder of ours", path)
    if stat.S_IMODE(status.st_mode) & 0o077:
        os.chmod(path, PRIVATE_FOLDER)


def _make(path: str) -> None:
    missing = []
    while path and not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path.rstrip("/"))
    for each in reversed(missing):
        try:
            os.mkdir(each, PRIVATE_FOLDER)
        except FileExistsError:  # another process was quicker, or it is a file
            if not os.path.isdir(each):
                raise
