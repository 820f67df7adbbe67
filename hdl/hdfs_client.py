"""Defines the client of HDFS that `hdl.hdfs` needs: single calls to the NameNode, with the builtins' errors."""

from __future__ import annotations

import io
from contextvars import ContextVar
from typing import NamedTuple, Protocol

Names = list[str]


class Unable(Exception):
    """A client cannot do a step, for reasons of its own: another client does it, and the user sees no difference."""


class Info(NamedTuple):
    """Holds a path's status, as a NameNode gives it.

    Attributes
    ----------
    isdir : bool
        Whether it is a folder, not a file.
    size : int
        Length of a file in bytes.
    mode : int
        Its rights, as of chmod.
    owner, group : str
        Whose it is.
    changed : float
        When it was last changed, in seconds, by the NameNode's clock.
    """

    isdir: bool
    size: int
    mode: int = 0
    owner: str = ""
    group: str = ""
    changed: float = 0.0


# What a NameNode has said of paths, for as long as `hdl.fs.once` lasts.
said: ContextVar[dict[str, Info] | None] = ContextVar("said", default=None)


class Client(Protocol):
    """Does what HDFS itself does; what `hdl.fs` promises beyond that is made of it by `hdl.hdfs.Hdfs`.

    Paths are those that the user gave. Every method raises an OSError with its errno, a message and the path in it, or
    DeadlineError if the NameNode does not answer.
    """

    def info(self, path: str) -> Info:
        """Ask for kind, size and rights of a path; below a file HDFS tells ordinary users "permission denied"."""

    def entries(self, path: str) -> Names:
        """List the names in a folder, in any order."""

    def open(self, path: str, size: int) -> io.RawIOBase:
        """Open a file of so many bytes for reading; it can seek."""

    def create(self, path: str) -> io.RawIOBase:
        """Open a new file for writing; its `close` returns when every replica has every byte."""

    def rename(self, source: str, target: str) -> None:
        """Rename, never over a file; into a folder of the name of `target`, if HDFS does that."""

    def delete(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it; what is not there is no error."""

    def mkdirs(self, path: str) -> None:
        """Make a folder and those above it, where they are missing."""

    def hosts(self, path: str, start: int, length: int) -> list[Names] | None:
        """List the hosts of each block that holds some of the bytes [start, start + length); None: it is not known."""

    def chmod(self, path: str, mode: int) -> None:
        """Set the rights of a path, such as 0o700."""

    def user(self, path: str) -> str:
        """Name the user that the file system of a path takes us for."""
