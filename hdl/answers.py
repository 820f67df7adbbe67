"""Gives each record of a dataset its answer: one row each, in their order, those that could not be read too.

Letters: n records, m of them samples, O outputs, H codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa, pc
from hdl.data import Block, Options, Schema, Source, open_source
from hdl.data.block import joined
from hdl.data.labels import MISSING_LABELS

TABLES = ("csv", "parquet", "orc", "avro", "json")  # formats whose labels are a column
Lost = tuple[NDArray[np.int64], Any] | None  # records that could not be read, and their columns
GAP = 65536  # records without an answer that are made at a time


@dataclass(frozen=True)
class Answers:
    """A network's answers to some consecutive records of a dataset, those that could not be read among them.

    Parameters
    ----------
    out : ndarray of float32 or float64 [n, O]
        Probabilities, or values in the targets' unit; NaN where there is no answer.
    labels : ndarray [n] or None
        The classes, as the training data wrote them; None without classes. Masked where there is no answer.
    good : ndarray of bool [n] or None
        Which records have an answer; None: all.
    kept : pyarrow.RecordBatch [n] or None
        Columns of the data that are carried over, null where a record's line could not be taken apart; None: nothing
        is.
    """

    out: NDArray[np.floating]
    labels: NDArray | None
    good: NDArray[np.bool_] | None = None
    kept: Any = None


@dataclass(frozen=True)
class Coded:
    """A network's codes of some consecutive records of a dataset.

    Parameters
    ----------
    codes : ndarray of float32 [n, H]
        NaN where there are none.
    labels : ndarray [n], pyarrow.Array [n] or None
        As the data has them; None without, and of several label columns. Nothing where there are no codes.
    good, kept :
        As of `Answers`.
    """

    codes: NDArray[np.float32]
    labels: Any
    good: NDArray[np.bool_] | None = None
    kept: Any = None


@dataclass(frozen=True)
class Records:
    """Some consecutive records of a split, of which those that could be read are samples.

    Parameters
    ----------
    block : Block [m]
        The samples.
    places : ndarray of int64 [m]
        Which of the records they are.
    n : int
    lost : (int64 [l], pyarrow.RecordBatch [l]) or None
        Columns carried over of records that are no samples, and which these are.
    """

    block: Block
    places: NDArray[np.int64]
    n: int
    lost: Lost = None

    def spread(self, values: NDArray, good: NDArray[np.bool_]) -> NDArray:
        """Put the values of samples that are good [m] where their records are; NaN, None or 0 stands for the others."""
        nothing = np.nan if values.dtype.kind == "f" else None if values.dtype == object else 0
        shape = self.n, *values.shape[1:]
        if not len(values):  # takes no memory, however many they are
            return np.broadcast_to(np.array(nothing, values.dtype), shape)
        out = np.full(shape, nothing, values.dtype)
        out[self.places[good]] = values
        return out

    def there(self, good: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which of the records are samples that are good [m]."""
        out = np.zeros(self.n, bool)
        out[self.places[good]] = True
        return out

    def kept(self, schema: Any) -> Any:
        """Give the columns that are carried over, null for records whose line could not be taken apart."""
        if schema is None:
            return None
        parts = [(self.places, self.block.kept)] if self.block.kept is not None and len(self.places) else []
        parts += [self.lost] if self.lost is not None else []
        if not parts:
            return pa.record_batch([pa.nulls(self.n, field.type) for field in schema], schema=schema)
        if len(parts[0][0]) == self.n:
            return parts[0][1]
        batch = parts[0][1] if len(parts) == 1 else joined(parts[0][1], parts[1][1])
        index, unread = np.zeros(self.n, np.int64), np.ones(self.n, bool)
        places = np.concatenate([numbers for numbers, _ in parts])
        index[places], unread[places] = np.arange(len(places)), False
        return batch.take(pa.array(index, mask=unread))


def open_for_codes(path: str, options: Options, schema: Schema) -> tuple[Source, bool]:
    """Open data that is to be encoded with its labels, and tell whether they are the first column carried over.

    So they are in tables: rows without a label are no samples there, but have codes.
    """
    source = open_source(path, options, schema)
    if source.format not in TABLES or len(source.label) != 1 or source.reading.get("label_by") == "own file":
        return source, False
    options = options.make(options, keep=(source.label[0], *options.keep))
    keeping = open_source(path, options, schema, labels=False)
    return (source, False) if keeping.kept_schema is None else (keeping, True)


def label_of(kept: pa.RecordBatch) -> tuple[pa.Array, pa.RecordBatch | None]:
    """Split the label, which is the first one, from the columns carried over."""
    label = kept.column(0)
    if pa.types.is_dictionary(label.type):
        label = label.dictionary_decode()
    if pa.types.is_string(label.type) or pa.types.is_large_string(label.type):
        label = pc.utf8_trim_whitespace(label)
        label = pc.if_else(pc.is_in(label, pa.array(MISSING_LABELS, label.type)), None, label)
    rest = kept.select([*range(1, kept.num_columns)]) if kept.num_columns > 1 else None
    return label, rest


def without_label(kept: pa.Schema) -> pa.Schema | None:
    """Give the columns carried over that are not the label, which is the first one."""
    return pa.schema([*kept][1:]) if len(kept) > 1 else None


def records(blocks: Iterable[Block], rows: int) -> Iterator[Records]:
    """Give all records of a split, in their order.

    Parameters
    ----------
    blocks : iterable of Block
        With `rows` and `seen`: see `hdl.data.Source.numbered`.
    rows : int
        Samples at a time at most.
    """
    at = 0
    for block in blocks:
        for part in cut(block, rows):
            assert part.rows is not None, "whoever made the block has lost the numbers of its rows"
            first, stop = int(part.rows[0]), int(part.rows[-1]) + 1
            yield from _gap(at, first, block.lost)
            yield Records(part, part.rows - first, stop - first, _within(block.lost, first, stop))
            at = stop
        if block.seen is not None and block.seen > at:
            yield from _gap(at, block.seen, block.lost)
            at = block.seen


def _gap(first: int, stop: int, lost: Lost) -> Iterator[Records]:
    """Make records without samples, some at a time."""
    for lo in range(first, stop, GAP):
        n = min(GAP, stop - lo)
        yield Records(Block.none(n), np.empty(0, np.int64), n, _within(lost, lo, lo + n))


def _within(lost: Lost, first: int, stop: int) -> Lost:
    """Give those of the records [first, stop) of which columns are known though they are no samples."""
    if lost is None:
        return None
    inside = np.flatnonzero((lost[0] >= first) & (lost[0] < stop))
    return (lost[0][inside] - first, lost[1].take(pa.array(inside))) if len(inside) else None


def cut(block: Block, rows: int) -> Iterator[Block]:
    """Cut a block into such of at most so many rows; an empty one into none."""
    for lo in range(0, len(block), rows):
        yield block.slice(lo, min(lo + rows, len(block)))
