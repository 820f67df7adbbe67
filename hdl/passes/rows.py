"""A sample of a dataset's rows, drawn by keys of their places: the same one whoever reads which part.

Each row has a 64-bit key of the seed, its part and its place among the part's samples; those with the smallest keys are
drawn (bottom-k sampling: Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches"). So samples of parts join to
that of all of them, and each subset of k rows is as likely as another.

Letters: n rows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    drawn : Block, optional
    places : int64 [n, 2], optional
        Part of each row that is drawn, and its place in it; rows are in the order of their keys.
    """

    def __init__(
        self, most: int, seed: int, seen: int = 0, drawn: Block | None = None, places: NDArray[np.int64] | None = None
    ):
        self.most, self.seed, self.seen = most, seed, seen
        self._key = rng.derive(seed, rng.ROWS)
        self._held: list[Block] = [] if drawn is None else [drawn]
        self._places: list[NDArray[np.int64]] = [] if places is None else [places]
        self._count = sum(map(len, self._held))
        self._last: int | None = None  # key of the last row that is drawn, where there are as many as may be

    def offer(self, block: Block, part: int, first: int) -> None:
        """Draw from the samples first, first + 1, … of a part."""
        places = np.stack([np.full(len(block), part), np.arange(first, first + len(block))], axis=1)
        self.seen += len(block)
        if self._last is not None:
            few = np.flatnonzero(self._keys(places) <= self._last)
            block, places = block.take(few, block.where), places[few]
        self._hold(block, places)

    def join(self, other: Rows) -> Rows:
        """Join with what was drawn from other parts; neither changes."""
        both = Rows(self.most, self.seed, self.seen + other.seen)
        for rows in (self, other):
            for block, places in zip(rows._held, rows._places, strict=True):
                both._hold(block, places)
        return both

    def drawn(self) -> tuple[Block | None, NDArray[np.int64]]:
        """Return the rows in the order of their keys, and their places [n, 2]; None where there are no rows."""
        self._cut()
        return (self._held[0], self._places[0]) if self._held else (None, np.empty((0, 2), np.int64))

    def to_parts(self) -> tuple[dict[str, Any], wire.Tensors]:
        """Split into plain values and tensors."""
        block, places = self.drawn()
        fields = {"most": self.most, "seed": self.seed, "seen": self.seen}
        if block is None:
            return fields, {}
        columns = block.x.columns if isinstance(block.x, Frame) else None
        packed = np.frombuffer(pack_block(block, columns), np.uint8)
        return fields, {"block": packed, "places": places}

    @classmethod
    def from_parts(cls, fields: dict[str, Any], tensors: wire.Tensors) -> Rows:
        """Make rows of what `to_parts` gave."""
        block = unpack_block(tensors["block"].tobytes(), lambda i: {}) if "block" in tensors else None
        return cls(**fields, drawn=block, places=tensors.get("places"))

    def _keys(self, places: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Compute the key of each place [n, 2]; those of a part lie together."""
        keys = np.empty(len(places), np.uint64)
        for part in np.unique(places[:, 0]).tolist():
            own = np.flatnonzero(places[:, 0] == part)
            at = places[own, 1]
            lo, hi = int(at.min()), int(at.max()) + 1
            if hi - lo > 4 * len(own) + 1024:  # few of many: one by one, not all between them
                pairs = np.stack([rng.words(self._key, part, 0, 0, 2 * int(place), 2) for place in at])
            else:
                pairs = rng.words(self._key, part, 0, 0, 2 * lo, 2 * (hi - lo)).reshape(-1, 2)[at - lo]
            keys[own] = pairs[:, 0].astype(np.uint64) << np.uint64(32) | pairs[:, 1]
        return keys

    def _hold(self, block: Block, places: NDArray[np.int64]) -> None:
        if not len(block):
            return
        self._held.append(replace(block, rows=None, kept=None, lost=None, seen=None, held=None))
        self._places.append(places)
        self._count += len(block)
        if self._count > 2 * self.most + MOST_HELD:
            self._cut()

    def _cut(self) -> None:
        """Keep the rows with the smallest keys, in their order."""
        if not self._held:
            return
        block, places = _stacked(self._held), np.concatenate(self._places)
        keys = self._keys(places)
        order = np.lexsort((places[:, 1], places[:, 0], keys))[: self.most]
        if not np.array_equal(order, np.arange(len(block))):
            block, places = block.take(order, lambda i: {}), places[order]
        self._held, self._places, self._count = [block], [places], len(block)
        if len(order) == self.most:
            self._last = int(keys[order[-1]])


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
