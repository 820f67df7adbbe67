"""The base of all readers: a dataset that has been opened, and how it is cut into shards."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from hdl.data.block import Bad, Block, finite
from hdl.data.options import Options
from hdl.data.tabular.frame import Column
from hdl.errors import SpecError

BLOCK_BYTES = 4 << 20  # text or raw samples decoded at a time


class Piece(NamedTuple):
    """Bytes [start, start + length) of a file; of a packed one the whole, whose `length` is below 0."""

    path: str
    start: int
    length: int


class Lines(NamedTuple):
    """Counts of the lines in a piece, or in pieces one behind the other.

    Attributes
    ----------
    ends : int
        Its newlines.
    filled : int
        Its lines up to the last one that is not blank; 0 where all are.
    """

    ends: int
    filled: int

    def join(self, other: Lines) -> Lines:
        """Count the lines of this piece and the one behind it, of which a line may lie in both."""
        return Lines(self.ends + other.ends, self.ends + other.filled if other.filled else self.filled)


class FileSplit(NamedTuple):
    """A run of samples of one file. `start` and `length` count bytes of (decoded) text, or records; see each reader."""

    path: str
    start: int
    length: int


def split_evenly(lengths: Sequence[int], shards: int) -> list[list[tuple[int, int, int]]]:
    """Cuts files of given lengths into shards whose sizes differ by at most one.

    Parameters
    ----------
    lengths : of the files, in their order
    shards : int
        May exceed the total: the surplus is empty.

    Returns
    -------
    list of list of (file number, start, length)

    Examples
    --------
    >>> split_evenly([3, 2], 2)
    [[(0, 0, 2)], [(0, 2, 1), (1, 0, 2)]]
    """
    if shards < 1:
        raise SpecError(f"shards: expected at least 1 (given {shards})")
    starts = np.concatenate([[0], np.cumsum(np.asarray(lengths, np.int64))])
    total = int(starts[-1])
    out = []
    for shard in range(shards):
        lo, hi = shard * total // shards, (shard + 1) * total // shards
        parts = []
        for number in range(int(np.searchsorted(starts, lo, "right")) - 1, len(lengths)):
            a, b = max(lo, int(starts[number])), min(hi, int(starts[number + 1]))
            if a < b:
                parts.append((number, a - int(starts[number]), b - a))
            if b >= hi:
                break
        out.append(parts)
    return out


def numbered(paths: Sequence[str], shards: int) -> bool:
    """Tells whether the files' names carry the numbers of the shards, in order and from 0.

    Examples
    --------
    >>> numbered(["d/part-00000.csv", "d/part-00001.csv"], 2), numbered(["a.csv", "b.csv"], 2)
    (True, False)
    """
    digits = [re.findall(r"\d+", path.rsplit("/", 1)[-1]) for path in paths]
    return [int(numbers[0]) if numbers else -1 for numbers in digits] == list(range(shards))


class Source(ABC):
    """A dataset that has been opened: it can be cut into splits, and splits can be read.

    Attributes
    ----------
    format : str
    paths : list of str
        The files (of pairs: the features' files), in the order that numbers the samples.
    image : (height, width, channels) or None
    names : list of str or None
        Of the features.
    targets : list of str or None
        Of several label columns.
    label : list of str
        The label columns as options would name them.
    columns : list of Column or None
        Kinds of the features' columns; None of what is no table: images, arrays of one type, sparse rows.
    left_out : list of str
        What lies in the dataset and is not read, each with its reason, such as "index: pandas' row index".
    reading : dict
        What was found out about the files, as plain values of JSON, and by what: `header` and `header_by`, `delimiter`,
        `label_by`, `label_type`, …. It is the same on every worker: it never depends on a shard.
    kept_schema : pyarrow.Schema or None
        Of the columns that predictions carry over, as `Block.kept` has them.
    records : bool
        Whether the length of a split counts its records. Else the last block that `_read` gives says how many they
        are, by `seen`, where bad ones follow its last row.
    """

    format = ""
    records = True

    def __init__(self, paths: list[str], options: Options):
        self.paths, self.options = paths, options
        self.image: tuple[int, int, int] | None = None
        self.names: list[str] | None = None
        self.targets: list[str] | None = None  # names of several label columns
        self.label: list[str] = []  # the label columns as options would name them
        self.columns: list[Column] | None = None
        self.left_out: list[str] = []
        self.reading: dict[str, Any] = {}
        self.kept_schema: Any = None

    def every_file(self) -> list[str]:
        """Lists all files that are read, those of labels too."""
        return self.paths

    @abstractmethod
    def lengths(self) -> list[int]:
        """Returns the length of each file, in the unit of its splits."""

    @abstractmethod
    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]: ...

    def splits(self, shards: int) -> list[list[FileSplit]]:
        """Cuts the dataset into a list of splits a shard, by the files' names, lengths and the number of shards alone.

        Files that carry the numbers of the shards, as part-00000 to part-00003 do of four, are the shards.
        """
        lengths = self.lengths()
        if numbered(self.paths, shards):
            parts = [[(number, 0, length)] if length else [] for number, length in enumerate(lengths)]
        else:
            parts = split_evenly(lengths, shards)
        return [[FileSplit(self.paths[number], *rest) for number, *rest in part] for part in parts]

    def read(self, splits: Sequence[FileSplit], bad: Bad | None = None) -> Iterator[Block]:
        """Reads blocks of bounded size, in order; bad records go to `bad` (default: as the options allow)."""
        bad = Bad(self.options.max_bad_records) if bad is None else bad
        for split in splits:
            for block in self.numbered(split, bad):
                if len(block):
                    yield replace(block, rows=None, seen=None, lost=None)

    def numbered(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        """Reads the blocks of one split with the numbers of their rows, so that gaps show where records are bad.

        Each block has `rows` and `seen`, those without rows too; the last `seen` counts all of the split's records.
        """
        split, seen = FileSplit(*split), 0
        for block in self._read(split, bad):
            rows = np.arange(seen, seen + len(block)) if block.rows is None else block.rows
            seen = max(seen, int(rows[-1]) + 1 if len(rows) else seen, block.seen or 0)
            block = replace(block, rows=rows, seen=seen)
            yield finite(block, bad, self._numbers(), self.columns is not None)
        if self.records and seen < split.length:
            yield Block.none(split.length)

    def uncounted(self) -> list[Piece]:
        """Cuts into pieces what has to be counted before the dataset can be cut into splits; empty if nothing has."""
        return []

    def count_pieces(self, cut: Sequence[Piece], room: int) -> list[Lines]:
        """Counts some of the pieces that `uncounted` gave; up to `room` bytes of what is parsed on the way are kept for
        the next reading, until `forget`."""
        raise NotImplementedError(f"{self.format} samples need no counting")

    def in_turn(self) -> AbstractContextManager[None]:
        """Reads splits one after the other in this context: a packed file that goes on in the next one is not unpacked
        from its beginning again."""
        return nullcontext()

    def forget(self) -> None:
        """Forgets what `count_pieces` kept."""
        return None

    def take_counts(self, cut: Sequence[Piece], counts: Sequence[Lines]) -> None:
        """Takes the counts of all that `uncounted` gave."""
        raise NotImplementedError(f"{self.format} samples need no counting")

    def marks(self) -> dict[str, list[list[int]]] | None:
        """Gives what readers elsewhere need to find lines without reading all before them: of each file pairs of an
        offset and the newlines before it. None where there is nothing to tell."""
        return None

    def take_marks(self, marks: dict[str, list[list[int]]]) -> None:
        """Takes what `marks` of the same dataset gave."""
        raise NotImplementedError(f"{self.format} samples need no marks")

    def settled(self) -> Options:
        """Gives the options that say what was found out about the files, so that whoever opens them again, or a part
        of them, finds the same."""
        return self.options

    def _numbers(self) -> list[str] | None:
        """Names the columns of numbers."""
        if self.columns is None:
            return self.names
        return [column.name for column in self.columns if column.kind == "number"]

    def describe(self) -> dict[str, Any]:
        """Describes the source in plain values, for the schema and the report."""
        image = list(self.image) if self.image else None
        named = {"names": self.names, "targets": self.targets, "label": self.label}
        left_out = {"left_out": [*self.left_out]} if self.left_out else {}
        return {"format": self.format, "image": image, **named, "reading": {**self.reading, **left_out}}
