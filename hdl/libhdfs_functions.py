"""Functions of pydoop's libhdfs that pydoop itself does not offer, called by their names in its library."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache

from hdl import hadoop_conf


def last_exception() -> str:
    """Return what Java said of the last call of this thread to libhdfs that failed: a stack trace with its causes.

    Empty where nothing is known, as with a pydoop that lacks our patch.
    """
    kept = kept_exceptions()
    return kept[0]().decode(errors="replace").strip() if kept else ""


def kept_exceptions() -> tuple[Callable[[], bytes], Callable[[], None]] | None:
    """Find libhdfs's two functions that give a thread's last exception, and forget it, once libhdfs is loaded."""
    module = sys.modules.get("pydoop.native_core_hdfs")  # to import it is to load Java
    return _functions(str(module.__file__)) if module else None


@cache
def _functions(file: str) -> tuple[Callable[[], bytes], Callable[[], None]] | None:
    try:
        library = ctypes.CDLL(file)
        give, forget = library.hdfsGetLastExceptionStackTrace, library.hdfsForgetLastException
    except (OSError, AttributeError):
        return None
    give.restype, forget.restype = ctypes.c_char_p, None
    return give, forget


def open_to_close_soon(file: str, root: str, settings: Mapping[str, str]) -> None:
    """Have Java open a file system by which files are closed soon: it keeps it, and pydoop, which can set no property,
    gets the same. Where that fails, pydoop fails too, and is asked why.

    Parameters
    ----------
    file : str
        Of pydoop's library.
    root : str
        Of the file system.
    settings : mapping
        Of the user.
    """
    with suppress(OSError, AttributeError):  # a pydoop with another libhdfs
        library = ctypes.CDLL(file)
        library.hdfsNewBuilder.restype = library.hdfsBuilderConnect.restype = ctypes.c_void_p
        builder = ctypes.c_void_p(library.hdfsNewBuilder())
        kept = root.encode(), *(word.encode() for pair in hadoop_conf.closing(settings).items() for word in pair)
        library.hdfsBuilderSetNameNode(builder, kept[0])  # which keeps the pointer, as do those that follow
        for name, value in zip(kept[1::2], kept[2::2], strict=True):
            library.hdfsBuilderConfSetStr(builder, name, value)
        library.hdfsBuilderConnect(builder)  # the handle stays: closing it would close the file system
