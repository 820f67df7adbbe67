"""Reads lines of delimited numbers in the compiled core: whole blocks of plain ones, exactly; of others it says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.block import OVERFLOW

try:
    from hdl._cpu import decimals as _decimals
    from hdl._cpu import newlines
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


def _usable(delimiter: str) -> bool:
    fine = delimiter == "\t" or (len(delimiter) == 1 and " " <= delimiter <= "~" and delimiter not in _NEVER)
    return fine and _decimals is not None
