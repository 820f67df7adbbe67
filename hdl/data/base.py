"""Parts that all readers share: options, splits, blocks, the count of bad records."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, ValidationError

from hdl.data.csr import Csr
from hdl.data.names import split as split_names
from hdl.data.tabular.flags import expand
from hdl.data.tabular.frame import Column, Frame
from hdl.errors import DataError, SpecError
from hdl.spec import Part, _sentence

BLOCK_BYTES = 4 << 20  # text or raw samples decoded at a time
OVERFLOW = 2.0**128 - 2.0**103  # from here on, float64 rounds to an infinite float32
PLACES = 20  # bad records remembered by place; the others are only counted
LISTS = ("label", "columns", "features", "ignore", "na_values", "keep")  # options that may be written as `a,b`


class Options(Part):
    """Options for reading a dataset; plain values, so that they travel to workers and into the weight table.

    Parameters
    ----------
    format : str or None
        One of `csv`, `libsvm`, `pair`, `idx`, `npy`, `npz`, `parquet`, `orc`, `avro`, `json`, `images`; None: told from
        the files.
    label : tuple of str
        Label columns by name or index (negative from the end); several make a matrix of targets. Empty: the column
        called label or target, else the one called class or y, else the only column of text, else the last one.
    labelled : bool
        False: every column is a feature.
    judged : bool
        False: labels are only kept from being features, and neither read nor judged, for a model that needs none.
    header : bool or None
        Whether the first line of each CSV file holds names; None: told from the first lines.
    delimiter : str or None
        One character; None: told from the first lines.
    max_bad_records : int
        Records of the whole dataset that may be skipped.
    max_line : int
        Longest line in bytes; a longer one is a bad record and is never held in memory.
    columns : tuple of str
        Kinds of columns as `name:kind`: number, category, date or ignore.
    features, ignore : tuple of str
        Names, globs or kinds of the columns that alone are features, and of those that are none.
    na_values : tuple of str
        Texts that say that a value is missing, beside the usual ones.
    decimal : str or None
        Mark before the decimals of a number in text: `.` or `,`; None: told from the values.
    encoding : str
        Of text.
    comment : str or None
        What begins a line that is none of the samples.
    multiline : bool or None
        Whether quoted fields of CSV may span lines; None: told from the first lines.
    where : str or None
        Condition on columns that rows must meet.
    keep : tuple of str
        Columns that predictions carry over.
    weights, offset : str or None
        Columns of the samples' weights, and of what is added to the net's output before its output function.
    found : str or None
        What a driver found of a table's files, as JSON: for workers, who see a part of them, see `Source.settled`.
    """

    format: str | None = Field(None, pattern="^(csv|libsvm|pair|idx|npy|npz|parquet|orc|avro|json|images)$")
    label: tuple[str, ...] = ()
    labelled: bool = True
    judged: bool = True
    header: bool | None = None
    delimiter: str | None = Field(None, min_length=1, max_length=1)
    max_bad_records: int = Field(0, ge=0)
    max_line: int = Field(16 << 20, ge=4)
    columns: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    na_values: tuple[str, ...] = ()
    decimal: str | None = Field(None, pattern="^[.,]$")
    encoding: str = "utf-8"
    comment: str | None = Field(None, min_length=1)
    multiline: bool | None = None
    where: str | None = None
    keep: tuple[str, ...] = ()
    weights: str | None = None
    offset: str | None = None
    found: str | None = None

    @classmethod
    def make(cls, value: Options | dict[str, Any] | None = None, **changes: Any) -> Options:
        """Options from a dictionary, with SpecError naming each wrong field; lists may be written as `a,b`."""
        fields = {**(value.model_dump() if isinstance(value, Options) else value or {}), **changes}
        for field_name in LISTS:
            given = fields.get(field_name)
            if isinstance(given, (str, int)):
                given = split_names(str(given))
            fields[field_name] = tuple(str(name) for name in given or ())
        fields["columns"] = expand(fields["columns"])
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise SpecError("; ".join(_sentence(item) for item in error.errors())) from None


class FileSplit(NamedTuple):
    """A run of samples of one file. `start` and `length` count bytes of (decoded) text, or records; see each reader."""

    path: str
    start: int
    length: int


@dataclass
class Block:
    """Some consecutive samples as a reader gives them.

    Attributes
    ----------
    x : uint8, float32 or float64 [n, I], Csr, or Frame
        float64 where the files hold more than float32 can; whoever keeps samples rounds. Of a table NaN says that a
        value is missing, and a `Frame` holds columns that are no numbers.
    y : None, int64 [n], uint64 [n], float64 [n], bool [n], object [n] (text, as written), or float32 [n, O] (targets)
    where : function of a row number
        Keyword arguments of DataError that say where row i came from (file and line, or offset).
    weight, offset : float64 [n] or None
        As the columns that the options name have them.
    kept : pyarrow.RecordBatch [n] or None
        Columns that predictions carry over.
    rows : int64 [n] or None
        Number of each row among all records of its split, bad ones too. None: all of them follow the last block's.
    seen : int or None
        Records of the split up to the end of this block, bad ones behind its last row too. None: its last row is the
        last record.
    lost : (int64 [m], pyarrow.RecordBatch [m]) or None
        Of rows that were dropped as bad: their numbers, and the columns that predictions carry over all the same.
    """

    x: Any
    y: Any
    where: Callable[[int], dict[str, Any]]
    weight: np.ndarray | None = None
    offset: np.ndarray | None = None
    kept: Any = None
    rows: np.ndarray | None = None
    seen: int | None = None
    lost: tuple[np.ndarray, Any] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def none(cls, seen: int) -> Block:
        """Makes a block without rows: all records of the split since the last block, up to `seen` of them, are bad."""
        return cls(np.empty((0, 0), np.float32), None, lambda i: {}, rows=np.empty(0, np.int64), seen=seen)

    def keep(self, mask: np.ndarray, lose: bool = True) -> Block:
        """Keeps the rows where `mask` [n] is true; what is carried over of the others is `lost`, unless told not to."""
        if mask.all():
            return self
        rows = np.flatnonzero(mask)
        kept = self.take(rows, lambda i: self.where(int(rows[i])))
        lost = self._dropped(np.flatnonzero(~mask)) if lose else self.lost
        return replace(kept, seen=self.seen, lost=lost)

    def _dropped(self, rows: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Gives the numbers and kept columns of rows that are dropped, and of those that were before."""
        if self.kept is None or self.rows is None:
            return self.lost
        numbers, kept = self.rows[rows], self.kept.take(rows)
        if self.lost is None:
            return numbers, kept
        return np.concatenate([self.lost[0], numbers]), joined(self.lost[1], kept)

    def after(self, count: int) -> Block:
        """Numbers the rows on after so many records of the split."""
        rows = np.arange(len(self)) if self.rows is None else self.rows
        seen = len(self) if self.seen is None else self.seen
        lost = None if self.lost is None else (self.lost[0] + count, self.lost[1])
        return replace(self, rows=rows + count, seen=seen + count, lost=lost)

    def slice(self, lo: int, hi: int) -> Block:
        """Takes the rows [lo, hi)."""
        return self.take(slice(lo, hi), lambda i: self.where(lo + i))

    def take(self, rows: Any, where: Callable[[int], dict[str, Any]]) -> Block:
        """Takes rows by a slice or by their numbers."""
        x, y, weight, offset, numbers = (
            None if part is None else part[rows] for part in (self.x, self.y, self.weight, self.offset, self.rows)
        )
        kept = self.kept
        if kept is not None:
            kept = kept.slice(rows.start, rows.stop - rows.start) if isinstance(rows, slice) else kept.take(rows)
        return Block(x, y, where, weight, offset, kept, numbers)


def joined(first: Any, second: Any) -> Any:
    """Puts the rows of a record batch behind those of another one of the same columns."""
    arrays = [pa.concat_arrays([a, b]) for a, b in zip(first.columns, second.columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=first.schema)


@dataclass
class Bad:
    """Counts bad records: up to `limit` are skipped, the next one is raised.

    The limit is the dataset's: a reader that has only a shard raises when the shard alone passes it, and
    `Summary.join` adds the counts, so that `fit` refuses a dataset whose shards together pass it.
    """

    limit: int = 0
    count: int = 0
    places: list[str] = field(default_factory=list)
    unlabelled: int = 0  # rows without a label, which are dropped and are not bad
    dropped: int = 0  # rows that miss a number, where the model leaves these out

    def add(self, error: DataError) -> None:
        """Counts one bad record, or raises its error."""
        if self.limit == 0:
            raise error
        self.count += 1
        if len(self.places) < PLACES:
            self.places.append(str(error))
        if self.count > self.limit:
            raise self.overflow()

    def overflow(self) -> DataError:
        """Makes the error of a dataset with more bad records than it may have."""
        listed = "".join(f"\n  {place}" for place in self.places)
        return DataError(f"{self.count} bad records, expected at most {self.limit} (max_bad_records):{listed}")


def finite(block: Block, bad: Bad, names: Sequence[str] | None = None, table: bool = False) -> Block:
    """Drops the rows of a block that hold NaN, infinity or what float32 cannot hold, and gives each to `bad`.

    Of a table NaN is a missing value.
    """
    good: Any = np.ones(len(block), bool)
    sparse = isinstance(block.x, Csr)
    values = block.x.data if sparse else block.x.numbers if isinstance(block.x, Frame) else block.x
    if table and values.dtype.kind == "f":
        values = np.where(np.isnan(values), 0, values) if np.isnan(values).any() else values
    if values.dtype != np.uint8 and not fits_float32(values):
        if sparse:
            good[np.searchsorted(block.x.indptr, np.flatnonzero(~_finite(values)), "right") - 1] = False
        else:
            good = _finite(values).all(axis=1)
    y = block.y
    if y is not None and y.dtype.kind == "f":
        good &= np.isfinite(y) if y.ndim == 1 else np.isfinite(y).all(axis=1)
    for i in np.flatnonzero(~good):
        row = block.x[i : i + 1].dense()[0] if sparse else values[i]
        wrong = np.flatnonzero(~_finite(row))
        if len(wrong):
            name, value = f"{names[wrong[0]]!r}" if names else wrong[0] + 1, row[wrong[0]]
            what = f"feature {name} is {value}; expected a finite {'float32 ' if np.isfinite(value) else ''}number"
        else:
            what = "the label is NaN or infinite; expected a finite number"
        bad.add(DataError(what, **block.where(int(i))))
    return block.keep(good)


def _finite(values: np.ndarray) -> np.ndarray:
    """Tells which values are finite, also as float32."""
    return np.isfinite(values) if values.dtype != np.float64 else np.abs(values) < OVERFLOW


def fits_float32(values: np.ndarray) -> bool:
    """Tell whether all values are finite, and of float64 also within float32's range."""
    if values.dtype == np.float64:  # NaN is neither below nor above anything
        return not values.size or bool(values.max() < OVERFLOW and values.min() > -OVERFLOW)
    return bool(np.isfinite(values).all())


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
