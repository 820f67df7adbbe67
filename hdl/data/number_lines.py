"""Reads lines of delimited numbers in the compiled core: whole blocks of plain ones, exactly; of others it says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.block import OVERFLOW

try:
    from hdl._cpu import decimals as _decimals
    from hdl._cpu import newlines
    from hdl._cpu import pairs as _pairs
except ImportError:  # not compiled
    _decimals = None

    def newlines(text: bytes) -> int:
        """Count the newlines of some bytes."""
        return text.count(b"\n")


NONE, TEXT = -1, -2  # a cell that is passed over, and one that is taken as text
_NEVER = frozenset('0123456789+-.eE\r\n"')  # no delimiters: they are in numbers, or end lines


def fill(out: np.ndarray, text: Any, delimiter: str, cells: np.ndarray | None = None) -> int:
    """Read lines of numbers into rows.

    Parameters
    ----------
    out : float64 [n, columns]
    text : bytes-like
        Whole lines; the last one ends with a newline.
    delimiter : str
        A space stands for any white space.
    cells : int32 [width], optional
        Which number of its row each cell of a line is, or `NONE`; by default all are, in their order.

    Returns
    -------
    int
        Number of lines; -1 where anything about them is unusual, or there are more than n.

    Examples
    --------
    >>> out = np.empty((3, 2))
    >>> fill(out, b"1 2 \\n3\\t 4e-1\\r\\n", " "), out[:2].tolist()
    (2, [[1.0, 2.0], [3.0, 0.4]])
    >>> fill(out, b"1 2 3\\n4\\n", " ")  # as many numbers, but not in each line
    -1
    """
    if not _usable(delimiter) or not len(text):
        return -1
    return _decimals(text, delimiter.encode(), OVERFLOW, out, cells)


def matrix(text: bytes, width: int, delimiter: str) -> np.ndarray | None:
    """Read lines of `width` numbers each, float64 [n, width]; None where anything about them is unusual: see `fill`."""
    out = np.empty((newlines(text), width))
    return out if fill(out, text, delimiter) == len(out) else None


def with_text(text: bytes, delimiter: str, cells: np.ndarray, columns: int) -> tuple[np.ndarray, Any] | None:
    """Read lines of numbers, and of one text if `cells` says so.

    Returns
    -------
    (float64 [n, columns], pyarrow.StringArray [n] or None) or None
        None where anything about the lines is unusual.
    """
    out = np.empty((newlines(text), columns))
    if TEXT not in cells:
        return (out, None) if fill(out, text, delimiter, cells) == len(out) else None
    starts, texts = np.empty(len(out) + 1, np.int32), np.empty(len(text), np.uint8)
    if not _usable(delimiter) or _decimals(text, delimiter.encode(), OVERFLOW, out, cells, starts, texts) != len(out):
        return None
    return out, pa.StringArray.from_buffers(len(out), pa.py_buffer(starts), pa.py_buffer(texts))


def pairs(text: bytes, labelled: bool, largest: int, exact: float) -> tuple[np.ndarray, ...] | None:
    """Read lines of libsvm's format, of which blank ones are passed over.

    Parameters
    ----------
    labelled : bool
        Whether each line begins with a number; else none does.
    largest : int
        The largest index.
    exact : float
        Labels are below it, and above its negative.

    Returns
    -------
    (float64 [n], int64 [n + 1], int32 [entries], float64 [entries]) or None
        Labels, where each line's pairs start, their indices from 0 and values; None where anything is unusual.

    Examples
    --------
    >>> [part.tolist() for part in pairs(b"1 2:.5 4:-1e3\\n\\n0", True, 9, 2.0**53)]
    [[1.0, 0.0], [0, 2, 2], [1, 3], [0.5, -1000.0]]
    """
    if _decimals is None:
        return None
    return _pairs(text if text.endswith(b"\n") else text + b"\n", labelled, largest, exact, OVERFLOW)


def _usable(delimiter: str) -> bool:
    fine = delimiter == "\t" or (len(delimiter) == 1 and " " <= delimiter <= "~" and delimiter not in _NEVER)
    return fine and _decimals is not None
