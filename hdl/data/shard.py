"""A shard's samples as the core takes them: decoded once, kept in memory or, beyond a bound, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hdl import rng
from hdl.data import weights
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.csr import Csr
from hdl.data.schema import Schema
from hdl.data.store import Store
from hdl.data.tabular.encoders import Encodings
from hdl.errors import DataError
from hdl.ops import Samples

SPILL_BYTES = 2 << 30


@dataclass
class Shard:
    """One worker's samples.

    Attributes
    ----------
    train, validation : hdl.ops.Samples
        x as read (uint8 stays uint8); y as the schema encodes it; None without labels.
    bad : Bad
        Records skipped.
    """

    train: Samples
    validation: Samples
    bad: Bad = field(default_factory=Bad)


def fitting(block: Block, schema: Schema, bad: Bad) -> Block:
    """Give a block features as the core takes them: the model's, uint8 or float32, centred in float64 where need be.

    Sparse rows are widened, or made dense where the model shifts zeros. A table's columns are encoded; rows that the
    model has no encoding of go to `bad`.
    """
    schema.check(block)
    if schema.encodings is not None:
        block = _whole(block, schema.encodings, bad)
        return replace(block, x=schema.encodings.encode(block.x))
    if not isinstance(block.x, Csr):
        return replace(block, x=centred(block.x, schema))
    x = block.x
    if x.columns > schema.inputs:
        beyond = np.flatnonzero(x.indices >= schema.inputs)
        rows = np.unique(np.searchsorted(x.indptr, beyond, "right") - 1)
        good = np.ones(len(block), bool)
        good[rows] = False
        for i in rows.tolist():
            index = int(x.indices[x.indptr[i + 1] - 1]) + 1
            bad.add(DataError(f"index {index} is beyond the model's {schema.inputs} features", **block.where(i)))
        block = block.keep(good)
        x = block.x
    return replace(block, x=centred(Csr(x.data, x.indices, x.indptr, schema.inputs), schema))


def _whole(block: Block, encodings: Encodings, bad: Bad) -> Block:
    """Leave out the rows that miss a number, where the model's training data had none or left them out."""
    if encodings.missing not in ("drop", "error"):
        return block
    lacks, names = encodings.lacking(block.x)
    if not lacks.any():
        return block
    if encodings.missing == "drop":
        bad.dropped += int(lacks.sum())
    else:
        for i in np.flatnonzero(lacks):
            what = f"a number is missing, in one of the columns {', '.join(map(repr, names))}"
            bad.add(DataError(f"{what}; the model was trained with --missing error", **block.where(int(i))))
    return block.keep(~lacks)


def centred(x: np.ndarray | Csr, schema: Schema) -> np.ndarray | Csr:
    """Make features [n, I] what `Samples` holds: (x − center)/spread in float64 where the schema asks, then rounded."""
    center, spread = schema.center, schema.spread
    if isinstance(x, Csr):
        if schema.shift is not None:
            return centred(x.dense(), schema)
        values = x.data
        if center is not None and spread is not None:
            x = _filled(x, np.flatnonzero(center))
            values = (x.data - center[x.indices]) / spread[x.indices]
        return Csr(_rounded(values), x.indices, x.indptr, x.columns)
    return _rounded(x if center is None else (x - center) / spread)


def _filled(x: Csr, columns: np.ndarray) -> Csr:
    """Write out the zeros of some columns [K] of sparse rows; training data has none of them."""
    place = np.full(x.columns, -1)
    place[columns] = np.arange(len(columns))
    known = place[x.indices]
    if np.count_nonzero(known >= 0) == len(x) * len(columns):
        return x
    rows = np.repeat(np.arange(len(x)), np.diff(x.indptr))
    there = np.zeros((len(x), len(columns)), bool)
    there[rows[known >= 0], known[known >= 0]] = True
    more, which = np.nonzero(~there)
    rows, indices = np.concatenate([rows, more]), np.concatenate([x.indices, columns[which].astype(np.int32)])
    order = np.lexsort((indices, rows))
    data = np.concatenate([x.data, np.zeros(len(more), x.data.dtype)])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(x)))]).astype(np.int64)
    return Csr(data[order], indices[order], indptr, x.columns)


def _rounded(x: np.ndarray) -> np.ndarray:
    """Round float64 to float32, what is beyond its range to infinity; uint8 and float32 stay."""
    with np.errstate(over="ignore"):
        return x.astype(np.float32) if x.dtype == np.float64 else x


def load(
    source: Source,
    splits: Sequence[FileSplit],
    schema: Schema,
    seed: int = 1,
    shard: int = 0,
    validation: float = 0.0,
    spill_bytes: int = SPILL_BYTES,
    labelled: bool = True,
) -> Shard:
    """Decodes one shard.

    Parameters
    ----------
    seed, shard : int
        With a sample's number in its shard, they decide whether it is held out.
    validation : float
        Share that is held out, [0, 1).
    spill_bytes : int
        Samples beyond this many bytes, targets included, go to a temporary file and are mapped into memory.
    labelled : bool
        Whether labels are needed; False leaves them out (prediction).

    Raises
    ------
    DataError
        With the place of a record that is wrong, or that the model cannot take.
    """
    bad = Bad(source.options.max_bad_records)
    stores, count = None, 0
    weighted = schema.class_weights is not None or source.options.weights is not None
    for block in source.read(splits, bad):
        block = fitting(block, schema, bad)
        y = None
        if labelled and schema.encoding != "none":
            if block.y is None:
                raise DataError("the data has no labels", **block.where(0))
            y, good = schema.encode(block.y, block.where, bad)
            block, y = block.keep(good), y[good]
        usable = weights.good(block, schema, bad)
        block, y = block.keep(usable), None if y is None else y[usable]
        if not len(block):
            continue
        if stores is None:
            weighted = weighted or block.weight is not None
            stores = Store(schema, block.x, weighted), Store(schema, block.x, weighted)
        others = {
            "y": y,
            "weight": weights.of_samples(block.weight, y, schema.class_weights),
            "offset": weights.offsets(block.offset, schema),
        }
        held = rng.member(seed, shard, len(block), validation, count) if validation else np.zeros(len(block), bool)
        count += len(block)
        for store, mask in zip(stores, (~held, held), strict=True):
            if mask.all():
                store.append(block.x, **others)
            elif mask.any():
                some = {name: None if part is None else part[mask] for name, part in others.items()}
                store.append(block.x[np.flatnonzero(mask)], **some)
        if stores[0].nbytes + stores[1].nbytes > spill_bytes:
            stores[0].spill()
            stores[1].spill()
    train, valid = stores or (Store(schema, None, weighted), Store(schema, None, weighted))
    return Shard(train.samples(), valid.samples(), bad)
