"""Reads lines of as many numbers each as one array: faster than as a table of columns, and exact all the same."""

from __future__ import annotations

import numpy as np

from hdl.data.tabular.parser import in_range
from hdl.data.text import column

_NEWLINE = 10


def matrix(data: bytes, width: int, delimiter: str) -> np.ndarray | None:
    """Read lines of `width` numbers each, float64 [n, width]; None where anything about them is unusual.

    Parameters
    ----------
    data : bytes
        Whole lines; the last one ends with a newline.
    delimiter : str
        Of one ASCII character; a space stands for any white space.

    Examples
    --------
    >>> matrix(b"1 2 \\n3\\t 4\\r\\n", 2, " ").tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    >>> matrix(b"1 2 3\\n4\\n", 2, " ") is None  # as many numbers, but not in each line
    True
    """
    if len(delimiter) != 1 or ord(delimiter) > 127 or b'"' in data:
        return None
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return None
    parting = b" \t" if delimiter == " " else delimiter.encode()
    words = data.translate(bytes.maketrans(parting + b"\r", b"\n" * (len(parting) + 1)))
    parted = np.frombuffer(words, np.uint8) == _NEWLINE
    starts = np.flatnonzero(parted[:-1] > parted[1:]) + 1  # of words, behind what parts them
    if not parted[0]:
        starts = np.concatenate([[0], starts])
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)
    lines = len(ends)
    if not lines or ends[-1] != len(data) - 1 or len(starts) != lines * width:
        return None
    firsts, lasts = starts[::width], starts[width - 1 :: width]
    if (lasts > ends).any() or (firsts[1:] < ends[:-1]).any():
        return None
    numbers = column(words)
    if numbers is None or len(numbers) != len(starts) or np.isnan(numbers).any() or not in_range(numbers):
        return None
    return numbers.reshape(lines, width)
