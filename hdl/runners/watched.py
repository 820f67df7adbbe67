"""A source that tells, block by block, that its reader is alive, and keeps what was read for whoever decodes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hdl.data import Bad, Block, FileSplit, Source

Beat = Callable[[int, float], Any]  # (shard, share done): a sign of life; a true answer stops the work


class WatchedSource(Source):
    """A source that gives a sign of life for every block of a shard that is read.

    Parameters
    ----------
    source : Source
        The dataset that is read.
    number : int
        Of the shard.
    beat : function of (shard, share done)
    given : list of Block, optional
        Read these instead of the files; they are taken out of the list.
    spare : int
        Bytes of features that `kept` may hold; it is None if there were more.
    """

    def __init__(self, source: Source, number: int, beat: Beat, given: list[Block] | None = None, spare: int = 0):
        super().__init__(source.paths, source.options)
        self.format, self.image, self.names = source.format, source.image, source.names
        self.targets, self.label, self.columns = source.targets, source.label, source.columns
        self.kept_schema = source.kept_schema
        self.source, self.number, self.beat, self.given, self.spare = source, number, beat, given, spare
        self.kept: list[Block] | None = []

    def lengths(self) -> list[int]:
        return self.source.lengths()

    def splits(self, shards: int) -> list[list[FileSplit]]:
        return self.source.splits(shards)

    def describe(self) -> dict[str, Any]:
        return self.source.describe()

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        return self.source._read(split, bad)

    def numbered(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        for block in self.source.numbered(split, bad):
            self.beat(self.number, 0.0)
            yield block

    def read(self, splits: Sequence[FileSplit], bad: Bad | None = None) -> Iterator[Block]:
        for block in self.source.read(splits, bad) if self.given is None else _taken(self.given):
            self.beat(self.number, 0.0)
            self.spare -= block.x.nbytes
            if self.spare < 0:
                self.kept = None
            if self.kept is not None:
                self.kept.append(block)
            yield block


def _taken(blocks: list[Block]) -> Iterator[Block]:
    """Take blocks from a list, in order, so that nobody holds those that have been read."""
    blocks.reverse()
    while blocks:
        yield blocks.pop()
