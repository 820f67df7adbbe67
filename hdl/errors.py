"""Errors of hdl: each is an `HdlError` and also the builtin that fits it.

A message says what was given, what was expected, and where.
"""

from __future__ import annotations


class HdlError(Exception):
    """Base of all that hdl raises on purpose. The command line prints its message and no traceback.

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
        What was found and what was expected.
    path : str, optional
        File.
    line : int, optional
        Line number, from 1 (text formats).
    offset : int, optional
        Byte offset, from 0 (binary formats), or record number where `unit` says so.
    """

    exit_code = 3

    def __init__(self, message: str, path: str | None = None, line: int | None = None, offset: int | None = None):
        self.message, self.path, self.line, self.offset = message, path, line, offset
        place = ""
        if path is not None:
            place = str(path)
            if line is not None:
                place += f":{line}"
            elif offset is not None:
                place += f" at byte {offset}"
            place += ": "
        super().__init__(place + message)

    def __reduce__(self):
        return type(self), (self.message, self.path, self.line, self.offset)


class TableError(HdlError, OSError):
    """A weight table or a version in it is missing, damaged, or of another spec."""

    exit_code = 4


class OutputError(HdlError, OSError):
    """A file or a folder cannot be written where the user wants it; the message names that place and what helps."""


class VersionExists(TableError, FileExistsError):
    """Another driver has published this version already."""


class NonFinite(HdlError, FloatingPointError):
    """Weights, a cost or a gradient became NaN or infinite; nothing was published.

    Attributes
    ----------
    nets : dict of int to str
        Of nets that were trained side by side: the places of those that failed, and what is to be said of each.
    """

    exit_code = 5

    def __init__(self, *said: object, nets: dict[int, str] | None = None):
        super().__init__(*said)
        self.nets = nets or {}


class WorkerError(HdlError, RuntimeError):
    """A worker failed; the message holds its standard error."""

    exit_code = 6


class DeadlineError(HdlError, TimeoutError):
    """Somebody did not answer in time; the message names who."""

    exit_code = 7


class Unavailable(HdlError, ImportError):
    """Something optional is not there; the message holds the command that gets it."""

    exit_code = 8


class DeviceError(HdlError, RuntimeError):
    """A GPU failed; the message holds what was being done and what CUDA says."""

    exit_code = 9


class DeviceMemory(DeviceError, MemoryError):
    """A GPU has less memory free than was asked for."""


class Interrupted(HdlError, KeyboardInterrupt):
    """Stopped by the user; the last published version is whole."""

    exit_code = 130
