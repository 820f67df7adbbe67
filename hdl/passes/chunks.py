"""Samples of a part in chunks of so many rows, however a reader cuts its blocks: sums over a chunk are always the same.

Letters: n samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.data import Block, features

MOST_ROWS = 8192


@dataclass(frozen=True)
class Chunk:
    """Some consecutive samples.

    Parameters
    ----------
    block : Block
        Features as the core takes them.
    y : encoded labels, or None
    """

    block: Block
    y: NDArray | None

    def __len__(self) -> int:
        return len(self.block)

    def keep(self, good: NDArray[np.bool_]) -> Chunk:
        """Keep the samples where `good` [n] is true."""
        return Chunk(self.block.keep(good), None if self.y is None else self.y[good])


def chunked(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
    """Cut chunks of any length anew, after so many rows each."""
    held: list[Chunk] = []
    count = 0
    for chunk in chunks:
        at = 0
        while count + len(chunk) - at >= rows:
            stop = at + rows - count
            yield joined([*held, _slice(chunk, at, stop)])
            held, count, at = [], 0, stop
        if at < len(chunk):
            held.append(_slice(chunk, at, len(chunk)))
            count += len(chunk) - at
    if held:
        yield joined(held)


def _slice(chunk: Chunk, lo: int, hi: int) -> Chunk:
    return Chunk(chunk.block.slice(lo, hi), None if chunk.y is None else chunk.y[lo:hi])


def joined(chunks: list[Chunk]) -> Chunk:
    """Put chunks behind each other."""
    if len(chunks) == 1:
        return chunks[0]
    blocks = [chunk.block for chunk in chunks]
    starts = np.cumsum([0, *map(len, blocks)])

    def where(i: int) -> dict[str, Any]:
        place = int(np.searchsorted(starts, i, "right")) - 1
        return blocks[place].where(i - int(starts[place]))

    def together(name: str) -> Any:
        own = [getattr(block, name) for block in blocks]
        return None if any(part is None for part in own) else np.concatenate(own)

    y = None if chunks[0].y is None else np.concatenate([chunk.y for chunk in chunks if chunk.y is not None])
    x = features.stack([block.x for block in blocks])
    return Chunk(Block(x, None, where, together("weight"), together("offset")), y)
