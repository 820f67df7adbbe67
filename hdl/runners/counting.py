"""Counts the lines of a dataset's texts where its shards will be read, before it is known where these begin.

A pair of texts is cut by lines, which nobody knows before all are counted. So the workers are first given pieces of the
files, of as many bytes as a shard's, then the shards that the counts make; the counts do not depend on who made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdl import fs, passes, wire
from hdl.data import Bad, FileSplit, Source
from hdl.data.base import Lines, Piece
from hdl.errors import WorkerError
from hdl.passes import Partial, Pass

KIND = "count"
WORTH_BYTES = 128 << 20  # of fewer, the driver has counted before it could ask anybody


@dataclass(frozen=True)
class Counts:
    """Holds the counts of some pieces, in their order."""

    lines: tuple[Lines, ...]

    def join(self, other: Counts) -> Counts:
        """Put the counts of the next pieces behind these."""
        return Counts(self.lines + other.lines)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give plain values for a message, and no tensors."""
        return {"lines": [[*lines] for lines in self.lines]}, {}

    @classmethod
    def from_parts(cls, plain: dict[str, Any], tensors: dict[str, Any]) -> Counts:
        """Make the counts of the parts that `to_parts` gave.

        Raises
        ------
        ValueError
            They are no counts.
        """
        lines = [Lines(*pair) for pair in plain["lines"]]
        if any(type(n) is not int or n < 0 for pair in lines for n in pair):
            raise ValueError("counts of lines that are no counts")
        return cls(tuple(lines))


def worth_asking(cut: Sequence[Piece]) -> bool:
    """Tell whether texts are so large that workers should count them."""
    return sum(map(_bytes, cut)) >= WORTH_BYTES


def share(cut: Sequence[Piece], shards: int) -> list[list[FileSplit]]:
    """Share the pieces out in their order, as many bytes to each shard as can be.

    Examples
    --------
    >>> share([Piece("a", 0, 40), Piece("a", 40, 40), Piece("b", 0, 20), Piece("b", 20, 0)], 2)
    [[FileSplit(path='a', start=0, length=40)], [FileSplit(path='a', start=40, length=40), FileSplit(path='b', \
start=0, length=20), FileSplit(path='b', start=20, length=0)]]
    """
    out: list[list[FileSplit]] = [[] for _ in range(shards)]
    sizes = [_bytes(piece) for piece in cut]
    total, before = max(1, sum(sizes)), 0
    for piece, size in zip(cut, sizes, strict=True):
        middle = before + size // 2
        out[min(shards - 1, shards * middle // total)].append(FileSplit(*piece))
        before += size
    return out


def asked(shards: int) -> Pass:
    """Make the pass that has each worker count its pieces."""
    return Pass(KIND, "", 0, shards)


def part(source: Source, splits: Sequence[FileSplit], number: int, of: int, room: int) -> Partial:
    """Count the pieces of one shard; `room`: see `Source.count_pieces`."""
    counts = Counts(tuple(source.count_pieces([Piece(*split) for split in splits], room)))
    return Partial(number, number + 1, of, Bad(), {KIND: counts})


def complete(found: Sequence[Partial | wire.Buffer], cut: Sequence[Piece]) -> list[Lines]:
    """Join what was found to the counts of all pieces, in their order.

    Raises
    ------
    WorkerError
        There are not as many.
    """
    whole: Counts = passes.complete(found, lambda name, *parts: Counts.from_parts(*parts)).values[KIND]
    if len(whole.lines) != len(cut):
        raise WorkerError(f"{len(whole.lines)} pieces of text were counted; expected {len(cut)}")
    return [*whole.lines]


def _bytes(piece: Piece) -> int:
    return piece.length if piece.length >= 0 else fs.size(piece.path)
