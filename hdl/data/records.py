"""Binary files of equal records: what idx, npy and npz share.

A split counts records. What a header promises is compared with the file before anything is allocated; where only
decoding could tell (compressed files), blocks are read and checked one by one.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import fs, scratch
from hdl.data.base import BLOCK_BYTES, FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.columns import pick
from hdl.data.options import Options
from hdl.data.streams import BLOCK_BYTES as _STEP
from hdl.data.streams import Stream, compression
from hdl.errors import DataError


@dataclass(frozen=True)
class Array:
    """An array on disk.

    Attributes
    ----------
    path : str
    shape : tuple of int
        Records first.
    dtype : numpy dtype, of the bytes on disk
    offset : int
        Bytes before the first record.
    member : str or None
        Name inside a zip archive.
    fortran : bool
        Whether the first index runs fastest.
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    member: str | None = None
    fortran: bool = False

    @property
    def record(self) -> int:
        """Bytes of one record."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def promise(self, held: int) -> Array:
        """Return the array itself, if the `held` bytes of the (decoded) file hold what the header promises."""
        needed = self.offset + self.shape[0] * self.record
        if held != needed:
            shape = "x".join(map(str, self.shape))
            raise self.error(f"the header promises {shape} of {self.dtype} ({needed} bytes); the file has {held}", held)
        return self

    def error(self, message: str, offset: int) -> DataError:
        inside = f"{self.member}: " if self.member else ""
        return DataError(inside + message, self.path, offset=offset)

    def where(self, i: int) -> dict[str, Any]:
        if self.fortran:
            return {"path": f"{self.path} record {i + 1}"}
        return {"path": self.path, "offset": self.offset + i * self.record}

    def mapped(self) -> np.ndarray:
        """The whole array in memory pages of its file, or of a temporary one that has no name where it is not plain."""
        with fs.open(self.path) as file:
            if isinstance(getattr(file, "raw", None), io.FileIO) and self.member is None and not compression(self.path):
                return np.memmap(file, self.dtype, "r", self.offset, self.shape, "F")
        # Columns are read across, of which little would be in one encrypted segment: such a copy stays in memory.
        in_memory = scratch.encrypting()
        with _opened(self) as stream, io.BytesIO() if in_memory else scratch.file("hdl-fortran-") as copy:
            while data := stream.read(_STEP):
                copy.write(data)
            if copy.tell() != self.shape[0] * self.record:
                held, promised = copy.tell(), self.shape[0] * self.record
                raise self.error(f"the file holds {held} bytes of numbers; its header promises {promised}", stream.at)
            copy.flush()
            if in_memory:
                return np.frombuffer(copy.getbuffer(), self.dtype).reshape(self.shape, order="F").copy("K")
            return np.memmap(copy, self.dtype, "r", 0, self.shape, "F")

    def read(self, start: int, length: int, rows: int, left: Left | None = None) -> Iterator[np.ndarray]:
        """Records [start, start + length), up to `rows` at a time, each [n, ...] on its own.

        `left` has the packed arrays of which an earlier reading ended before, and gets this one.
        """
        with _opened(self, start, left) as stream:
            for lo in range(start, start + length, rows):
                count = min(rows, start + length - lo)
                data = stream.view(count * self.record)
                if len(data) < count * self.record:
                    held = lo + len(data) // max(1, self.record)
                    raise self.error(f"the file ends in record {held}; its header promises {self.shape[0]}", stream.at)
                if lo + count == self.shape[0] and stream.read(1):  # reading the end also checks what a checksum says
                    raise self.error(f"the file goes on after the {self.shape[0]} records of its header", stream.at - 1)
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])


class _Member:
    """A zip member, with the part of `Stream` that is needed here."""

    kind = "zip"

    def __init__(self, path: str, member: str):
        self.path, self.member, self.at = path, member, 0
        self.file = zipfile.ZipFile(fs.open(path)).open(member)  # noqa: SIM115 (closed by _opened)

    def read(self, count: int, /) -> bytes:
        data = bytearray()
        try:
            while len(data) < count and (more := self.file.read(min(count - len(data), _STEP))):
                data += more
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            what = f"{self.member}: corrupt ({error}) after {self.at} decoded bytes; expected a whole member"
            raise DataError(what, self.path) from None
        self.at += len(data)
        return bytes(data)

    view = read

    def skip(self, count: int) -> None:
        while count > 0 and (got := len(self.read(min(count, _STEP)))):
            count -= got

    def close(self) -> None:
        self.file.close()


Left = dict[Array, Stream | _Member]


@contextmanager
def _opened(array: Array, start: int = 0, left: Left | None = None) -> Iterator[Stream | _Member]:
    """Open an array at one of its records: what is packed goes on from where an earlier reading has left it."""
    at = array.offset + start * array.record
    stream = left.pop(array, None) if left else None
    if stream is not None and stream.at > at:
        stream.close()
        stream = None
    if stream is None:
        stream = _Member(array.path, array.member) if array.member is not None else Stream(array.path)
    try:
        stream.skip(at - stream.at)
        yield stream
    except BaseException:
        stream.close()
        raise
    if left is None or stream.kind is None or left.setdefault(array, stream) is not stream:
        stream.close()


class Records(Source):
    """Samples in arrays: features and labels in two, or both in one with the labels in columns of it.

    Parameters
    ----------
    pairs : list of (Array, Array or None)
        Features [n, ...] and labels [n], [n, 1] or [n, O], one pair for each file.
    labels : bool
        False: labels are not read.
    apart : bool
        Labels have arrays of their own, even if they are not given because they are not read.
    """

    def __init__(
        self,
        format: str,
        pairs: list[tuple[Array, Array | None]],
        options: Options,
        schema: Any = None,
        labels: bool = True,
        apart: bool = False,
    ):
        super().__init__([x.path for x, _ in pairs], options)
        self.labelled = options.labelled and labels
        self._mapped: dict[Array, np.ndarray] = {}
        self._left: Left | None = None
        self.format, self.pairs = format, dict(zip(self.paths, pairs, strict=True))
        x, y = pairs[0]
        for other, own in pairs:
            if other.shape[1:] != x.shape[1:]:
                raise other.error(f"records of shape {other.shape[1:]}; those of {x.path} have {x.shape[1:]}", 0)
            if self.labelled and own is not None and own.shape[0] != other.shape[0]:
                what = f"{own.shape[0]} labels, but {other.shape[0]} samples in {other.path}"
                raise own.error(what + "; expected as many", 0)
            if other.dtype.kind not in "buif":
                raise other.error(f"features of type {other.dtype}, expected numbers", 0)
            if self.labelled and own is not None and own.dtype.kind in "SU" and math.prod(own.shape[1:]) > 1:
                raise own.error(f"labels of type {own.dtype} {own.shape}; expected one text a sample", 0)
            if len(x.shape) in (3, 4) and depth(other.dtype) != depth(x.dtype):
                raise other.error(f"images of type {other.dtype}; those of {x.path} are {x.dtype}", 0)
        if len(x.shape) in (3, 4):
            self.image = (x.shape[1], x.shape[2], x.shape[3] if len(x.shape) == 4 else 1)
            if whitest := depth(x.dtype):
                self.reading["depth"] = whitest
        width = math.prod(x.shape[1:])
        apart = apart or y is not None
        if apart and self.labelled and options.label and format != "npz":
            what = f"label {','.join(options.label)!r}, but the labels have a file of their own; expected no --label"
            raise DataError(what, x.path)
        inside = not apart and len(x.shape) == 2 and format != "idx" and options.labelled  # labels in a column
        self.chosen = pick(None, width, options, x.path, schema) if inside else None
        self.label = [str(i) for i in self.chosen.labels] if self.chosen else []
        if len(self.label) > 1:
            self.targets = self.label
        if self.label:
            self.reading["label_by"] = "flag" if options.label else "last column"
        elif apart and options.labelled:
            self.reading["label_by"] = "own file"
        if self.label or y is not None:
            kind = y.dtype.kind if y is not None else x.dtype.kind
            self.reading["label_type"] = {"S": "text", "U": "text", "b": "boolean"}.get(kind, "number")

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        self._left = {}
        try:
            yield
        finally:
            left, self._left = self._left, None
            for stream in left.values():
                stream.close()

    def every_file(self) -> list[str]:
        return [*self.paths, *(y.path for _, y in self.pairs.values() if y is not None)]

    def lengths(self) -> list[int]:
        """Count the records of each file."""
        return [x.shape[0] for x, _ in self.pairs.values()]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        x, y = self.pairs[path]
        rows = max(1, BLOCK_BYTES // max(1, x.record, y.record if y is not None else 0))
        labels = self._rows(y, start, length, rows) if y is not None and self.labelled else None
        for at, part in enumerate(self._rows(x, start, length, rows)):
            flat, lo = part.reshape(len(part), -1), start + at * rows
            where = _places(x.where, lo)
            if self.chosen is not None:
                table, (features, chosen) = flat, self.chosen
                flat, y_raw = _columns(table, features), table[:, chosen] if chosen and self.labelled else None
            else:
                y_raw = next(labels) if labels is not None else None
            good = np.ones(len(flat), bool)
            if y_raw is not None and y_raw.dtype.kind == "S":
                for i, message in not_utf8(y_raw):
                    good[i] = False
                    bad.add(DataError(message, **_places((y or x).where, lo)(i)))
                y_raw = y_raw.copy()
                y_raw[~good] = b""
            numbers = np.arange(lo - start, lo - start + len(flat))
            yield Block(plain_x(flat), plain_y(y_raw), where, rows=numbers).keep(good)
        if labels is not None:
            next(labels, None)  # it has ended too

    def _rows(self, array: Array, start: int, length: int, rows: int) -> Iterator[np.ndarray]:
        if not array.fortran:
            yield from array.read(start, length, rows, self._left)
            return
        if array not in self._mapped:
            self._mapped[array] = array.mapped()
        for lo in range(start, start + length, rows):
            yield self._mapped[array][lo : min(lo + rows, start + length)]


def _columns(table: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    """Columns [n, k] of a table: a view where they are neighbours, as they are beside a label that is last."""
    first, last = columns[0], columns[-1]
    return table[:, first : last + 1] if [*columns] == [*range(first, last + 1)] else table.take(columns, axis=1)


def _places(where: Callable[[int], dict[str, Any]], first: int) -> Callable[[int], dict[str, Any]]:
    return lambda i: where(first + i)


def depth(dtype: np.dtype) -> int | None:
    """The largest value of a pixel of this type; None for types that pixels do not usually have."""
    return {"u1": 255, "u2": 65535}.get(f"{dtype.kind}{dtype.itemsize}")


def plain_x(x: np.ndarray) -> np.ndarray:
    """Features as a `Block` holds them: uint8 of bytes and booleans, float32 where that loses nothing, or float64."""
    if x.dtype.kind == "b" or x.dtype == np.uint8:
        return np.ascontiguousarray(x, np.uint8)
    return np.ascontiguousarray(x, _float(x.dtype))


def _float(dtype: np.dtype) -> Any:
    """Choose float32 where that holds every value of a type, else float64."""
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


def plain_y(y: np.ndarray | None) -> np.ndarray | None:
    """Labels [n], [n, 1] or [n, O] as a `Block` holds them; booleans, uint64 and text stay what they are.

    Raises
    ------
    DataError
        A label of bytes is no UTF-8.
    """
    if y is None:
        return None
    if y.ndim > 1 and math.prod(y.shape[1:]) == 1:
        y = y.reshape(len(y))
    if y.ndim > 1:
        return np.ascontiguousarray(y.reshape(len(y), -1), _float(y.dtype))
    if y.dtype.kind == "S":
        for _, message in not_utf8(y):
            raise DataError(message)
        return np.array([item.decode() for item in y.tolist()], object)
    if y.dtype.kind == "U":
        return np.array(y.tolist(), object)
    if y.dtype.kind == "b":
        return np.asarray(y)
    whole = np.uint64 if y.dtype.kind == "u" and y.dtype.itemsize == 8 else np.int64
    return y.astype(whole if y.dtype.kind in "ui" else np.float64)


def not_utf8(y: np.ndarray) -> Iterator[tuple[int, str]]:
    """Number of each label of bytes [n, ...] that is no UTF-8, and what to say of it."""
    for i, item in enumerate(y.reshape(-1).tolist()):
        try:
            item.decode()
        except UnicodeDecodeError:
            yield i, f"label {item[:40]!r} is not UTF-8; expected text, or numbers"
