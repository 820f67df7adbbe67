"""libsvm's sparse text: ``label index:value index:value …``, indices from 1, ascending; ``#`` starts a comment.

The label may be missing, from every line. Several labels a line (``1,2 1:0.5``) are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hdl.data.block import OVERFLOW, Block
from hdl.data.csr import Csr
from hdl.data.guess import number
from hdl.data.header import LOOK
from hdl.data.number_lines import pairs
from hdl.data.options import Options
from hdl.data.streams import stem
from hdl.data.text import TextSource, first_lines
from hdl.errors import DataError

LARGEST = 1 << 24  # inputs that the core takes at most: one absurd index must not decide what is allocated
EXACT = 2.0**53  # whole numbers below are exact in float64
_LABELLED = re.compile(rb"\s*([^\s:,;]+|[-+.\deE]+(,[-+.\deE]+)*)(\s+(\d+|qid):\S*)*\s*")
_UNLABELLED = re.compile(rb"\s*(qid:\S+|\d+:[-+.\deE]*)(\s+\d+:[-+.\deE]*)*\s*")


class Libsvm(TextSource):
    """Sparse rows; the number of columns is known only when all shards have been seen. Splits are bytes."""

    format = "libsvm"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths, options)
        path, lines = first_lines(paths, options, LOOK, _uncommented)
        there = [word for word in (line.split()[0] for line in lines) if ":" not in word]
        self.bare = bool(lines) and not there  # no line has a label
        several = [label for label in there if "," in label]
        if several and labels and options.labelled:
            raise DataError(_several(several[0]), path)
        self.labelled = options.labelled and labels and not self.bare
        self.label = ["0"] if there and options.labelled else []
        if self.label:
            self.reading = {"label_by": "format", "label_type": "number"}

    def clean(self, data: bytes) -> bytes:
        return _uncommented(data)

    def fast(self, data: bytes, where: Callable[[int], dict[str, Any]]) -> Block | None:
        found = pairs(data, not self.bare, LARGEST, EXACT)
        if found is None:
            return None
        y, indptr, indices, values = found
        return self._block(y, indptr, indices, values, where)

    def _block(
        self, y: np.ndarray, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray,
        where: Callable[[int], dict[str, Any]],
    ) -> Block:  # fmt: skip
        x = Csr(values, indices, indptr, int(indices.max(initial=-1)) + 1)
        return Block(x, y if self.labelled else None, where)

    def parse(self, line: str) -> tuple[int | float, list[int], list[float]]:
        pairs = line.split()
        label = pairs.pop(0) if pairs and ":" not in pairs[0] else None
        y = _label(label) if self.labelled else 0.0
        indices: list[int] = []
        values: list[float] = []
        for pair in pairs:
            name, mark, text = pair.partition(":")
            if name == "qid":
                continue
            if not mark or not name.isdecimal():
                raise ValueError(f"{pair[:80]!r}: expected index:value")
            index = int(name)
            if not 1 <= index <= LARGEST:
                hint = "" if index else "; scikit-learn's dump_svmlight_file does with zero_based=False"
                what = f"{pair[:80]!r}: index {index}; expected 1 to {LARGEST} (libsvm counts from 1{hint})"
                raise ValueError(what)
            if indices and index <= indices[-1]:
                kind = "twice" if index == indices[-1] else f"after {indices[-1]}"
                raise ValueError(f"{pair[:80]!r}: index {index} comes {kind}; expected ascending indices")
            try:
                value = number(text)
            except ValueError:
                raise ValueError(f"{pair[:80]!r}: {text[:80]!r} is not a number") from None
            if not math.isfinite(value) or abs(value) >= OVERFLOW:
                raise ValueError(f"{pair[:80]!r}: expected a finite float32 number")
            indices.append(index)
            values.append(value)
        return y, indices, values

    def build(self, records: list[Any], where: Callable[[int], dict[str, Any]]) -> Block:
        indptr = np.concatenate([[0], np.cumsum([len(indices) for _, indices, _ in records])]).astype(np.int64)
        indices = np.array([index - 1 for _, row, _ in records for index in row], np.int32)
        values = np.array([value for _, _, row in records for value in row], np.float64)
        labels = [y for y, _, _ in records]
        large = any(isinstance(value, int) for value in labels)
        return self._block(np.array(labels, object if large else np.float64), indptr, indices, values, where)


def _label(text: str | None) -> int | float:
    """Read a line's label; an int where float64 may not hold it."""
    if text is None:
        raise ValueError("no label, which other lines have; --no-labels passes over those")
    if "," in text:
        raise ValueError(_several(text))
    try:
        y = number(text)
    except ValueError:
        text.encode()
        raise ValueError(f"label {text[:80]!r} is not a number") from None
    if not math.isfinite(y):
        raise ValueError(f"label {text[:80]!r}; expected a finite number")
    return int(text) if abs(y) >= EXACT and text.lstrip("+-").isdecimal() else y


def _several(text: str) -> str:
    return (
        f"several labels in a line ({text[:80]}); expected one in libsvm: write them as columns of 0 and 1 in CSV or "
        "Parquet, and name these with --label A,B"
    )


def _uncommented(data: bytes) -> bytes:
    return re.sub(rb"#[^\n]*", b"", data) if b"#" in data else data


def is_libsvm(lines: Sequence[bytes], path: str) -> bool:
    """Tell whether the first lines of a file are libsvm's: of comments, and of labels and pairs of index and value.

    Examples
    --------
    >>> is_libsvm([b"# a comment", b"1,2 1:.5"], "a"), is_libsvm([b"1:0.5 3:2"], "a"), is_libsvm([b"10:30:00,5"], "a")
    (True, True, False)
    """
    lines = [line for line in map(_uncommented, lines) if line.strip()][:LOOK]
    if stem(path).endswith("svm") or not lines:
        return bool(lines)
    good = [line for line in lines if _LABELLED.fullmatch(line) or _UNLABELLED.fullmatch(line)]
    if not any(b":" in line for line in good):
        return False
    return bool(_LABELLED.fullmatch(lines[0])) or 2 * len(good) > len(lines)
