"""Tells damaged files by their names, whichever library found the damage."""

from __future__ import annotations

from typing import Any

from hdl.arrow import pa
from hdl.errors import DataError, Unavailable

PASSED_ON = (FileNotFoundError, DataError, Unavailable)  # said well enough as they are


class guarded:
    """Turns the errors of a reader into DataError.

    Parameters
    ----------
    path : str
    format : str
        As people know it.
    errors : tuple of type
        That the reader raises where a file is damaged, beside Arrow's.
    """

    def __init__(self, path: str, format: str, errors: tuple[type[BaseException], ...] = (OSError,)):
        self.path, self.format, self.errors = path, format, errors

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, PASSED_ON):
            return
        if isinstance(error, (*self.errors, pa.ArrowException)):
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            what = f"truncated or corrupt {self.format} ({reason}); expected a whole file"
            raise DataError(what, self.path) from None
