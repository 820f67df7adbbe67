"""A sample of a dataset's rows, drawn by keys of their places: the same one whoever reads which part.

Each row has a 64-bit key of the seed, its part and its place among the part's samples; those with the smallest keys are
drawn (bottom-k sampling: Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches"). So samples of parts join to
that of all of them, and each subset of k rows is as likely as another.

Letters: n rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl import rng, wire
from hdl.data import Block, features
from hdl.data.tabular.frame import Frame, concatenated
from hdl.wire.blocks import pack_block, unpack_block


class Rows:
    """Draws some raw rows, with their labels, weights and offsets.

    Parameters
    ----------
    most : int
        Rows that are drawn.
    seed : int
    seen : int
        Rows that were offered.
    """

    def __init__(self, most: int, seed: int, seen: int = 0):
        self.most, self.seed, self.seen = most, seed, seen
        self._key = rng.derive(seed, rng.ROWS)
        self._held: list[_Keyed] = []
        self._last: int | None = None  # key of the last row that is drawn, where there are as many as may be

    def offer(self, block: Block, part: int, first: int) -> None:
        """Draw from the samples first, first + 1, … of a part."""
        n = len(block)
        self.seen += n
        pairs = rng.words(self._key, part, 0, 0, 2 * first, 2 * n).reshape(-1, 2).astype(np.uint64)
        keys = pairs[:, 0] << np.uint64(32) | pairs[:, 1]
        places = np.stack([np.full(n, part), np.arange(first, first + n)], axis=1)
        if self._last is not None:
            few = np.flatnonzero(keys <= self._last)
            block, keys, places = block.take(few, block.where), keys[few], places[few]
        self._hold(_Keyed(replace(block, rows=None, kept=None, lost=None, seen=None, held=None), keys, places))

    def join(self, other: Rows) -> Rows:
        """Join with what was drawn from other parts; neither changes."""
        both = Rows(self.most, self.seed, self.seen + other.seen)
        for keyed in (*self._held, *other._held):
            both._hold(keyed)
        return both

    def drawn(self) -> tuple[Block | None, NDArray[np.int64]]:
        """Return the rows in the order of their keys, and their places [n, 2]; None where there are no rows."""
        self._cut()
        return (self._held[0].block, self._held[0].places) if self._held else (None, np.empty((0, 2), np.int64))

    def to_parts(self) -> tuple[dict[str, Any], wire.Tensors]:
        """Split into plain values and tensors."""
        block, places = self.drawn()
        fields = {"most": self.most, "seed": self.seed, "seen": self.seen}
        if block is None:
            return fields, {}
        columns = block.x.columns if isinstance(block.x, Frame) else None
        packed = np.frombuffer(pack_block(block, columns), np.uint8)
        return fields, {"block": packed, "keys": self._held[0].keys, "places": places}

    @classmethod
    def from_parts(cls, fields: dict[str, Any], tensors: wire.Tensors) -> Rows:
        """Make rows of what `to_parts` gave."""
        rows = cls(**fields)
        if "block" in tensors:
            block = unpack_block(tensors["block"].tobytes(), lambda i: {})
            rows._hold(_Keyed(block, tensors["keys"], tensors["places"]))
        return rows

    def _hold(self, keyed: _Keyed) -> None:
        if not len(keyed.keys):
            return
        self._held.append(keyed)
        if sum(len(each.keys) for each in self._held) > 2 * self.most + MOST_HELD:
            self._cut()

    def _cut(self) -> None:
        """Keep the rows with the smallest keys, in their order."""
        if not self._held:
            return
        block = _stacked([keyed.block for keyed in self._held])
        keys, places = (np.concatenate([getattr(each, name) for each in self._held]) for name in ("keys", "places"))
        order = np.lexsort((places[:, 1], places[:, 0], keys))[: self.most]
        if not np.array_equal(order, np.arange(len(block))):
            block, keys, places = block.take(order, lambda i: {}), keys[order], places[order]
        self._held = [_Keyed(block, keys, places)]
        if len(order) == self.most:
            self._last = int(keys[-1])


class _Keyed(NamedTuple):
    """Raw rows, their keys uint64 [n], and their places int64 [n, 2]: part, and number among its samples."""

    block: Block
    keys: NDArray[np.uint64]
    places: NDArray[np.int64]


MOST_HELD = 4096  # rows beyond twice those that are drawn, before they are cut


def _stacked(blocks: list[Block]) -> Block:
    """Put raw blocks behind each other."""
    if len(blocks) == 1:
        return blocks[0]
    parts = [block.x for block in blocks]
    x = concatenated(parts) if isinstance(parts[0], Frame) else features.stack(parts)

    def together(name: str) -> Any:
        own = [getattr(block, name) for block in blocks]
        return None if any(part is None for part in own) else np.concatenate(own)

    return Block(x, together("y"), lambda i: {}, together("weight"), together("offset"))
