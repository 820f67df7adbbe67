"""Errors of hdl: each is an `HdlError` and also the builtin that fits it.

A message says what was given, what was expected, and where.
"""

from __future__ import annotations


class HdlError(Exception):
    """Base of all errors that hdl raises on purpose. The command line prints the message and no traceback.

    Attributes
    ----------
    exit_code : int
        Status with which the command line ends.
    """

    exit_code = 1


class SpecError(HdlError, ValueError):
    """A field of the spec, a flag or an argument is wrong; the message names the field."""

    exit_code = 2


class DataError(HdlError, ValueError):
    """A sample or a data file is wrong.

    Parameters
    ----------
    message : str
        The value read and the one expected.
    path : str, optional
        The file.
    line : int, optional
        Line number, from 1 (text formats).
    offset : int, optional
        Byte offset, from 0 (binary formats).
    """

    exit_code = 3

    def __init__(self, message: str, path: str | None = None, line: int | None = None, offset: int | None = None):
        self.message, self.path, self.line, self.offset = message, path, line, offset
        where = ""
        if path is not None:
            where = str(path)
            if line is not None:
                where += f":{line}"
            elif offset is not None:
                where += f" at byte {offset}"
            where += ": "
        super().__init__(where + message)

    def __reduce__(self):
        return type(self), (self.message, self.path, self.line, self.offset)


class TableError(HdlError, OSError):
    """A weight table or a version in it is missing, damaged, or of another spec."""

    exit_code = 4


class OutputError(HdlError, OSError):
    """A file or a folder cannot be written where the user wants it; the message names that place and what helps."""


class VersionExists(TableError, FileExistsError):
    """Another driver has published this version already."""


class Damaged(TableError):
    """A file of a weight table is not what was written: cut short, or with another SHA-256."""


class Fenced(TableError):
    """Another run has taken the table over: the one that had it stops and changes nothing of it any more."""


class NonFinite(HdlError, FloatingPointError):
    """Weights, a cost or a gradient became NaN or infinite; nothing was published.

    Attributes
    ----------
    nets : dict of int to str
        The nets that failed among those trained side by side: each one's index, from 0, and its message.
    """

    exit_code = 5

    def __init__(self, *args: object, nets: dict[int, str] | None = None):
        super().__init__(*args)
        self.nets = nets or {}


class WorkerError(HdlError, RuntimeError):
    """A worker failed; the message holds its standard error."""

    exit_code = 6


class SessionEnded(WorkerError):
    """The workers that trainings shared are gone for good, whatever these trainings were at."""


class NodeError(WorkerError):
    """A machine cannot do its part, as its disk is full or broken; another one may. The message says what failed."""


class DeadlineError(HdlError, TimeoutError):
    """A process or a server did not answer in time; the message names it."""

    exit_code = 7


class Unavailable(HdlError, ImportError):
    """An optional package or a device is missing; the message holds the command that installs it, if one does."""

    exit_code = 8


class LoginError(HdlError, ConnectionError):
    """Hadoop does not let the user in: no ticket, one that has ended, or another cluster's; the message says which."""

    exit_code = 10


class DeviceError(HdlError, RuntimeError):
    """A GPU failed; the message holds the operation and CUDA's error."""

    exit_code = 9


class DeviceMemory(DeviceError, MemoryError):
    """A GPU has less memory free than was asked for."""


class Interrupted(HdlError, KeyboardInterrupt):
    """The user stopped hdl; the last published version is whole."""

    exit_code = 130
