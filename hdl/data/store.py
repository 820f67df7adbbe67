"""Samples that arrive block by block, kept in memory or, beyond a bound, in files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from hdl import fs, scratch, sealed
from hdl.data.csr import Csr
from hdl.data.mixed import Mixed
from hdl.data.schema import Schema
from hdl.ops import Samples


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
                if isinstance(self.file, sealed.Rows):
                    self.file.append(rows)
                else:
                    self.file.write(np.ascontiguousarray(rows, self.memory.dtype))
        elif (whole := self._lying(rows)) is not None:
            self.memory = whole
        else:
            if self.n + len(rows) > len(self.memory):  # realloc of large blocks moves pages, not bytes
                if not self.memory.flags.owndata:
                    self.memory = self.memory.copy()
                self.memory.resize((max(self.n + len(rows), self.n + self.n // 4), *self.row), refcheck=False)
            self.memory[self.n : self.n + len(rows)] = rows
        self.n += len(rows)

    def _lying(self, rows: np.ndarray) -> np.ndarray | None:
        """Return all rows where they lie, if they are neighbours in bytes that were unpacked as a whole."""
        held = _holder(rows)
        if held is None or (rows.dtype, rows.shape[1:]) != (self.memory.dtype, self.row):
            return None
        if not self.n:
            return rows
        start = self.memory.ctypes.data
        if held is not _holder(self.memory) or rows.ctypes.data != start + self.memory.nbytes:
            return None
        at = start - np.frombuffer(held, np.uint8).ctypes.data
        return np.frombuffer(held, rows.dtype, self.memory.size + rows.size, at).reshape(-1, *self.row)

    def spill(self) -> None:
        """Moves what memory holds to a file, to which all later rows go."""
        if self.file is None:
            with _spilling():
                self.file = scratch.file("hdl-spill-")
                if scratch.encrypting():
                    self.file = sealed.Rows(self.file, self.memory.dtype, self.row)
                    self.file.append(self.memory[: self.n])
                else:
                    self.file.write(self.memory[: self.n])
            self.memory = np.empty((0, *self.row), self.memory.dtype)

    def array(self) -> Any:
        """Returns the whole array: read-only if it is on disk, and `hdl.sealed.Rows` if it is encrypted there."""
        if 0 in self.row:  # a table without numbers; nothing can be mapped of it
            return np.empty((self.n, *self.row), self.memory.dtype)
        if self.file is None or self.n == 0:
            if len(self.memory) > self.n:
                self.memory.resize((self.n, *self.row), refcheck=False)
            return self.memory
        with _spilling():
            if isinstance(self.file, sealed.Rows):
                self.file.finish()
                return self.file
            self.file.flush()
        return np.memmap(self.file, self.memory.dtype, "r", shape=(self.n, *self.row))


def _holder(rows: np.ndarray) -> bytes | None:
    """Return the bytes, which nobody writes to, that rows without gaps are a view of; None where they are of none."""
    base: Any = rows
    while isinstance(base, np.ndarray):
        base = base.base
    base = base.obj if isinstance(base, memoryview) else base
    return base if isinstance(base, bytes) and rows.flags.c_contiguous else None


class Store:
    """Samples that arrive block by block; `x` is an example of their features, and they are `weighted` or not."""

    def __init__(self, schema: Schema, x: Any = None, weighted: bool = False):
        self.schema, self.weighted = schema, weighted
        self.parts: dict[str, Growing] = {}  # of features
        self.others: dict[str, Growing] = {}  # y, weight and offset
        self.spilled = False
        mixed = isinstance(x, Mixed) if x is not None else schema.kind == "mixed"
        sparse = isinstance(x, Csr) if x is not None else schema.kind == "sparse" and schema.shift is None
        if mixed:
            encodings = schema.encodings
            assert encodings is not None, "no encodings of categories"
            self.parts = {
                "numbers": Growing(np.float32, encodings.numbers),
                "codes": Growing(np.int32, len(encodings.levels)),
            }
        elif sparse:
            self.parts = {"data": Growing(np.float32), "indices": Growing(np.int32), "counts": Growing(np.int64)}
        else:
            kind = x.dtype if x is not None else np.uint8 if schema.kind == "uint8" else np.float32
            self.parts = {"x": Growing(kind, schema.inputs)}

    def append(self, x: Any, **others: np.ndarray | None) -> None:
        """Add rows: features as `fitting` makes them, and whatever else there is of each."""
        if isinstance(x, Csr):
            self.parts["data"].append(x.data)
            self.parts["indices"].append(x.indices)
            self.parts["counts"].append(np.diff(x.indptr))
        elif isinstance(x, Mixed):
            self.parts["numbers"].append(x.numbers)
            self.parts["codes"].append(x.codes)
        else:
            if x.dtype != np.uint8 and self.parts["x"].memory.dtype == np.uint8:
                self._widen()
            self.parts["x"].append(x)
        for name, rows in others.items():
            if rows is None:
                continue
            if name not in self.others:
                self.others[name] = Growing(rows.dtype, rows.shape[1] if rows.ndim == 2 else None)
                if self.spilled:
                    self.others[name].spill()
            self.others[name].append(rows)

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
        """Bytes held in memory."""
        return sum(part.nbytes for part in self._all())

    def spill(self) -> None:
        """Moves what memory holds to files, to which all later rows go."""
        self.spilled = True
        for part in self._all():
            part.spill()

    def _all(self) -> list[Growing]:
        return [*self.parts.values(), *self.others.values()]

    def samples(self) -> Samples:
        """Returns all rows as the core takes them."""
        schema = self.schema
        parts = {name: part.array() for name, part in self.parts.items()}
        if "counts" in parts:
            indptr = np.concatenate([[0], np.cumsum(parts["counts"])]).astype(np.int64)
            x: Any = Csr(parts["data"], parts["indices"], indptr, schema.inputs)
        elif "codes" in parts:
            x = Mixed(parts["numbers"], parts["codes"], schema.inputs)
        else:
            x = parts["x"]
        y, weight, offset = (
            self.others[name].array() if name in self.others else None for name in ("y", "weight", "offset")
        )
        if y is None and not len(x) and schema.encoding != "none":
            y = _no_labels(schema)
        if weight is None and not len(x) and self.weighted:
            weight = np.empty(0, np.float32)
        return Samples(x, y, schema.scale, schema.shift, weight, offset)


def _no_labels(schema: Schema) -> np.ndarray:
    """Makes labels of no samples, so that an empty part has the type of a full one."""
    return np.empty(0, np.int32) if schema.encoding == "index" else np.empty((0, schema.outputs), np.float32)
