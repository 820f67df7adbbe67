"""A shard's samples as the core takes them: decoded once, kept in memory or, beyond a bound, on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl import rng
from hdl.data import weights
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.csr import Csr
from hdl.data.holdout import marked
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
        return replace(block, x=schema.encodings.encode(block.x, bad.unseen))
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
    stratified: bool = False,
    other: tuple[Source, Sequence[FileSplit]] | None = None,
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
    stratified : bool
        Each class gives the same share of its samples, where there are classes: see `hdl.rng.stratified`.
    other : (Source, sequence of FileSplit), optional
        Data of its own that is the validation part, and this shard's part of it.

    Raises
    ------
    DataError
        With the place of a record that is wrong, or that the model cannot take.
    """
    bad = Bad(source.options.max_bad_records)
    loading = _Loading(schema, labelled, spill_bytes)
    choice = None
    if validation and not (stratified and labelled and schema.classes):
        choice = _Member(seed, shard, validation)
    strata = list[np.ndarray]() if validation and choice is None else None
    for block in marked(source, splits, bad, shard):
        for x, others, held in loading.parts(block, bad, source.options.weights is not None):
            if strata is not None:
                strata.append(_strata(others["y"]))
                loading.keep(x, others)
            else:
                loading.put(x, others, choice(len(x)) if choice else held)
    if strata:
        loading.deal(rng.stratified(seed, shard, np.concatenate(strata), validation))
    if other is not None:
        theirs, rows = other
        also = Bad(theirs.options.max_bad_records)
        for block in theirs.read(rows, also):
            for x, others, _ in loading.parts(block, also, theirs.options.weights is not None):
                loading.put(x, others, np.ones(len(x), bool))
    train, valid = loading.stores()
    return Shard(train.samples(), valid.samples(), bad)


class _Member:
    """Tells which samples of a shard are in its validation part, whatever they are."""

    def __init__(self, seed: int, shard: int, share: float):
        self.seed, self.shard, self.share, self.count = seed, shard, share, 0

    def __call__(self, n: int) -> np.ndarray:
        """Tell it of the next n samples."""
        self.count += n
        return rng.member(self.seed, self.shard, n, self.share, self.count - n)


def _strata(y: np.ndarray) -> np.ndarray:
    """Give the class of each sample by its target: a number, one of 0 and 1 [n, 1], or a row with one 1 [n, C]."""
    if y.ndim == 1:
        return y
    return y[:, 0].astype(np.int32) if y.shape[1] == 1 else y.argmax(axis=1).astype(np.int32)


class _Loading:
    """Gathers samples in the order in which they are read, and parts them into those trained on and those held out."""

    def __init__(self, schema: Schema, labelled: bool, spill_bytes: int):
        self.schema, self.labelled, self.spill_bytes = schema, labelled, spill_bytes
        self.weighted = schema.class_weights is not None
        self._stores: tuple[Store, Store] | None = None
        self._kept: list[tuple[Any, dict[str, Any]]] = []  # samples of which it is not decided yet
        self._later: list[Store] = []  # such samples on disk

    def parts(self, block: Block, bad: Bad, weighted: bool) -> Iterator[tuple[Any, dict[str, Any], np.ndarray | None]]:
        """Encode a block: features, what else there is of each sample, and which are held out; none if all is bad."""
        schema = self.schema
        block = fitting(block, schema, bad)
        y = None
        if self.labelled and schema.encoding != "none":
            if block.y is None:
                raise DataError("the data has no labels", **block.where(0))
            y, good = schema.encode(block.y, block.where, bad)
            block, y = block.keep(good), y[good]
        usable = weights.good(block, schema, bad)
        block, y = block.keep(usable), None if y is None else y[usable]
        self.weighted = self.weighted or weighted
        if not len(block):
            return
        self.weighted = self.weighted or block.weight is not None
        others = {
            "y": y,
            "weight": weights.of_samples(block.weight, y, schema.class_weights),
            "offset": weights.offsets(block.offset, schema),
        }
        yield block.x, others, block.held

    def put(self, x: Any, others: dict[str, Any], held: np.ndarray | None) -> None:
        """Add samples, those `held` to the validation part."""
        if self._stores is None:
            self._stores = Store(self.schema, x, self.weighted), Store(self.schema, x, self.weighted)
        masks = (None, np.zeros(0, bool)) if held is None else (~held, held)
        for store, mask in zip(self._stores, masks, strict=True):
            if mask is None or (len(mask) and mask.all()):
                store.append(x, **others)
            elif mask.any():
                some = {name: None if part is None else part[mask] for name, part in others.items()}
                store.append(x[np.flatnonzero(mask)], **some)
        if sum(store.nbytes for store in self._stores) > self.spill_bytes:
            for store in self._stores:
                store.spill()

    def keep(self, x: Any, others: dict[str, Any]) -> None:
        """Keep samples until `deal` says which of them are held out."""
        self._kept.append((x, others))
        if sum(x.nbytes for x, _ in self._kept) > self.spill_bytes:
            self._later.append(store := Store(self.schema, self._kept[0][0], self.weighted))
            for kept, rest in self._kept:
                store.append(kept, **rest)
            store.spill()
            self._kept = []

    def deal(self, held: np.ndarray) -> None:
        """Put all samples that were kept, in their order, where `held` says."""
        at = 0
        for store in self._later:
            samples, rows = store.samples(), 1 << 14
            for low in range(0, len(samples), rows):
                part = samples.take(np.arange(low, min(low + rows, len(samples))))
                self.put(part.x, {name: getattr(part, name) for name in _OTHERS}, held[at : at + len(part)])
                at += len(part)
        self._later = []
        while self._kept:
            x, others = self._kept.pop(0)
            self.put(x, others, held[at : at + len(x)])
            at += len(x)

    def stores(self) -> tuple[Store, Store]:
        """Give the samples that are trained on, and those that are held out."""
        return self._stores or (Store(self.schema, None, self.weighted), Store(self.schema, None, self.weighted))


_OTHERS = ("y", "weight", "offset")
