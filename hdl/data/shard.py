"""A shard's samples as the core takes them: decoded once, kept in memory or, beyond a bound, on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl import fs, rng, scratch
from hdl.data.base import Bad, Block, FileSplit, Source
from hdl.data.csr import Csr
from hdl.data.schema import Schema
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


@contextmanager
def _spilling() -> Iterator[None]:
    """Names the folder of samples that memory does not hold, by an OutputError, if it is full."""
    folder = scratch.folder()
    with fs.writing(f"{folder}, where samples lie that memory does not hold (TMPDIR names another folder)", folder):
        yield


class Growing:
    """An array that grows at its end, in memory and after `spill` in a file that has no name.

    The file is unlinked as soon as it is made, so it goes with the process, however that ends.
    """

    def __init__(self, dtype: Any, width: int | None = None):
        self.row = () if width is None else (width,)
        self.memory, self.n = np.empty((0, *self.row), dtype), 0
        self.file: Any = None

    @property
    def nbytes(self) -> int:
        """Bytes held in memory."""
        return 0 if self.file else self.memory.nbytes

    def append(self, rows: np.ndarray) -> None:
        if self.file is not None:
            with _spilling():
                self.file.write(np.ascontiguousarray(rows, self.memory.dtype))
        else:
            if self.n + len(rows) > len(self.memory):  # realloc of large blocks moves pages, not bytes
                self.memory.resize((max(self.n + len(rows), self.n + self.n // 4), *self.row), refcheck=False)
            self.memory[self.n : self.n + len(rows)] = rows
        self.n += len(rows)

    def spill(self) -> None:
        """Moves what memory holds to a file, to which all later rows go."""
        if self.file is None:
            with _spilling():
                self.file = scratch.file("hdl-spill-")
                self.file.write(self.memory[: self.n])
            self.memory = np.empty((0, *self.row), self.memory.dtype)

    def array(self) -> np.ndarray:
        """Returns the whole array, read-only if it is on disk."""
        if self.file is None or self.n == 0:
            self.memory.resize((self.n, *self.row), refcheck=False)
            return self.memory
        with _spilling():
            self.file.flush()
        return np.memmap(self.file, self.memory.dtype, "r", shape=(self.n, *self.row))


class _Store:
    """Samples that arrive block by block."""

    def __init__(self, schema: Schema, sparse: bool, dtype: Any):
        self.schema, self.sparse = schema, sparse
        if sparse:
            self.parts = {"data": Growing(np.float32), "indices": Growing(np.int32), "counts": Growing(np.int64)}
        else:
            self.parts = {"x": Growing(dtype, schema.inputs)}
        self.y: Growing | None = None
        self.spilled = False

    def append(self, x: np.ndarray | Csr, y: np.ndarray | None) -> None:
        if isinstance(x, Csr):
            self.parts["data"].append(x.data)
            self.parts["indices"].append(x.indices)
            self.parts["counts"].append(np.diff(x.indptr))
        else:
            if x.dtype != np.uint8 and self.parts["x"].memory.dtype == np.uint8:
                self._widen()
            self.parts["x"].append(x)
        if y is not None:
            if self.y is None:
                self.y = Growing(y.dtype, y.shape[1] if y.ndim == 2 else None)
                if self.spilled:
                    self.y.spill()
            self.y.append(y)

    def _widen(self) -> None:
        """Turns features of uint8 into float32, once a block of float32 follows them."""
        old, self.parts["x"] = self.parts["x"], Growing(np.float32, self.schema.inputs)
        if old.file is not None:
            self.parts["x"].spill()
        rows, whole = 4096, old.array()
        for lo in range(0, len(whole), rows):
            self.parts["x"].append(whole[lo : lo + rows].astype(np.float32))

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self._all())

    def spill(self) -> None:
        self.spilled = True
        for part in self._all():
            part.spill()

    def _all(self) -> list[Growing]:
        return [*self.parts.values(), *([] if self.y is None else [self.y])]

    def samples(self) -> Samples:
        if self.sparse:
            counts = self.parts["counts"].array()
            indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
            x: Any = Csr(self.parts["data"].array(), self.parts["indices"].array(), indptr, self.schema.inputs)
        else:
            x = self.parts["x"].array()
        y = self.y.array() if self.y else None if len(x) or self.schema.encoding == "none" else _no_labels(self.schema)
        return Samples(x, y, self.schema.scale, self.schema.shift)


def _no_labels(schema: Schema) -> np.ndarray:
    """Makes labels of no samples, so that an empty part has the type of a full one."""
    return np.empty(0, np.int32) if schema.encoding == "index" else np.empty((0, schema.outputs), np.float32)


def fitting(block: Block, schema: Schema, bad: Bad) -> Block:
    """Give a block features as the core takes them: the model's, uint8 or float32, centred in float64 where need be.

    Sparse rows are widened, or made dense where the model shifts zeros.
    """
    schema.check(block)
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
    sparse = schema.kind == "sparse" and schema.shift is None
    dtype: Any = np.uint8 if schema.kind == "uint8" else np.float32
    stores, count = None, 0
    for block in source.read(splits, bad):
        block = fitting(block, schema, bad)
        y = None
        if labelled and schema.encoding != "none":
            if block.y is None:
                raise DataError("the data has no labels", **block.where(0))
            y, good = schema.encode(block.y, block.where, bad)
            block, y = block.keep(good), y[good]
        if stores is None:
            sparse = isinstance(block.x, Csr)
            dtype = np.float32 if sparse else block.x.dtype
            stores = _Store(schema, sparse, dtype), _Store(schema, sparse, dtype)
        held = rng.member(seed, shard, len(block), validation, count) if validation else np.zeros(len(block), bool)
        count += len(block)
        for store, mask in zip(stores, (~held, held), strict=True):
            if mask.all():
                store.append(block.x, y)
            elif mask.any():
                store.append(block.x[np.flatnonzero(mask)], None if y is None else y[mask])
        if stores[0].nbytes + stores[1].nbytes > spill_bytes:
            stores[0].spill()
            stores[1].spill()
    train, valid = stores or (_Store(schema, sparse, dtype), _Store(schema, sparse, dtype))
    return Shard(train.samples(), valid.samples(), bad)
