"""Arrays that come in blocks of any length, cut where no runner decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

CHUNK = 1 << 18  # values of features that are summed at a time


class Chunks:
    """Arrays that come in parts of any length, cut after a number of rows that depends on their width alone."""

    def __init__(self) -> None:
        self.held: list[np.ndarray] = []

    def put(self, part: np.ndarray) -> Iterator[np.ndarray]:
        """Give whole chunks, now that a part [n, ...] has come; those before it where it is of another kind."""
        if self.held and _chunked(part) != _chunked(self.held[0]):
            yield from self.rest()
        rows = max(16, CHUNK // int(np.prod(part.shape[1:], dtype=np.int64) or 1))
        count = sum(map(len, self.held))
        while count + len(part) >= rows:
            self.held.append(part[: rows - count])
            part, count = part[rows - count :], 0
            yield from self.rest()
        if len(part):
            self.held.append(part)

    def rest(self) -> Iterator[np.ndarray]:
        """Give the rows that make no whole chunk."""
        held, self.held = self.held, []
        if held:
            yield held[0] if len(held) == 1 else np.concatenate(held)


def _chunked(part: np.ndarray) -> tuple[Any, ...]:
    """Return what arrays must have in common to be put together: float32 and float64 go together."""
    return part.shape[1:], "f" if part.dtype.kind == "f" else part.dtype
