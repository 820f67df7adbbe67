"""Binary files of equal records: what idx, npy and npz share.

A split counts records. What a header promises is compared with the file before anything is allocated; where only
decoding could tell (compressed files), blocks are read and checked one by one.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import fs
from hdl.data.base import BLOCK_BYTES, Bad, Block, FileSplit, Options, Source
from hdl.data.columns import pick
from hdl.data.streams import BLOCK_BYTES as _STEP
from hdl.data.streams import Stream, open_stream
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
    """

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    member: str | None = None

    @property
    def record(self) -> int:
        """Bytes of one record."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def promise(self, held: int) -> Array:
        """Itself, if the `held` bytes of the (decoded) file hold what the header promises."""
        needed = self.offset + self.shape[0] * self.record
        if held != needed:
            shape = "x".join(map(str, self.shape))
            raise self.error(f"the header promises {shape} of {self.dtype} ({needed} bytes); the file has {held}", held)
        return self

    def error(self, message: str, offset: int) -> DataError:
        inside = f"{self.member}: " if self.member else ""
        return DataError(inside + message, self.path, offset=offset)

    def where(self, i: int) -> dict[str, Any]:
        return {"path": self.path, "offset": self.offset + i * self.record}

    def read(self, start: int, length: int, rows: int) -> Iterator[np.ndarray]:
        """Records [start, start + length), up to `rows` at a time, each [n, ...] on its own."""
        with _opened(self) as stream:
            stream.skip(self.offset + start * self.record)
            for lo in range(start, start + length, rows):
                count = min(rows, start + length - lo)
                data = stream.read(count * self.record)
                if len(data) < count * self.record:
                    held = lo + len(data) // max(1, self.record)
                    raise self.error(f"the file ends in record {held}; its header promises {self.shape[0]}", stream.at)
                if lo + count == self.shape[0] and stream.read(1):  # reading the end also checks what a checksum says
                    raise self.error(f"the file goes on after the {self.shape[0]} records of its header", stream.at - 1)
                yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])


class _Member:
    """A zip member, with the part of `Stream` that is needed here."""

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

    def skip(self, count: int) -> None:
        while count > 0 and (got := len(self.read(min(count, _STEP)))):
            count -= got


@contextmanager
def _opened(array: Array) -> Iterator[Stream | _Member]:
    if array.member is None:
        with open_stream(array.path) as stream:
            yield stream
    else:
        member = _Member(array.path, array.member)
        try:
            yield member
        finally:
            member.file.close()


class Records(Source):
    """Samples in arrays: features and labels in two, or the labels in columns of the one.

    Parameters
    ----------
    pairs : list of (Array, Array or None)
        Features [n, ...] and labels [n], [n, 1] or [n, O], one pair for each file.
    """

    def __init__(
        self,
        format: str,
        pairs: list[tuple[Array, Array | None]],
        options: Options,
        schema: Any = None,
        labels: bool = True,
    ):
        super().__init__([x.path for x, _ in pairs], options)
        self.labelled = options.labelled and labels
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
        if len(x.shape) in (3, 4):
            self.image = (x.shape[1], x.shape[2], x.shape[3] if len(x.shape) == 4 else 1)
        width = math.prod(x.shape[1:])
        inside = y is None and len(x.shape) == 2 and format != "idx" and options.labelled  # labels in a column
        self.columns = pick(None, width, options, x.path, schema) if inside else None
        self.label = [str(i) for i in self.columns.labels] if self.columns else []
        if len(self.label) > 1:
            self.targets = self.label

    def lengths(self) -> list[int]:
        """Records of each file."""
        return [x.shape[0] for x, _ in self.pairs.values()]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        path, start, length = split
        x, y = self.pairs[path]
        rows = max(1, BLOCK_BYTES // max(1, x.record, y.record if y is not None else 0))
        labels = y.read(start, length, rows) if y is not None and self.labelled else None
        for at, part in enumerate(x.read(start, length, rows)):
            flat, lo = part.reshape(len(part), -1), start + at * rows
            where = _places(x.where, lo)
            if self.columns is not None:
                table, (features, chosen) = flat, self.columns
                flat, y_raw = table[:, features], table[:, chosen] if chosen and self.labelled else None
            else:
                y_raw = next(labels) if labels is not None else None
            yield Block(plain_x(flat), plain_y(y_raw), where)


def _places(where: Callable[[int], dict[str, Any]], first: int) -> Callable[[int], dict[str, Any]]:
    return lambda i: where(first + i)


def plain_x(x: np.ndarray) -> np.ndarray:
    """Features as a `Block` holds them: bytes and booleans as uint8, what float32 holds as float32, else float64."""
    if x.dtype.kind == "b" or x.dtype == np.uint8:
        return np.ascontiguousarray(x, np.uint8)
    exact = x.dtype.itemsize < (3 if x.dtype.kind in "iu" else 5)
    return np.ascontiguousarray(x, np.float32 if exact else np.float64)


def plain_y(y: np.ndarray | None) -> np.ndarray | None:
    """Labels [n], [n, 1] or [n, O] as a `Block` holds them."""
    if y is None:
        return None
    if y.ndim > 1 and math.prod(y.shape[1:]) == 1:
        y = y.reshape(len(y))
    if y.ndim > 1:
        return np.ascontiguousarray(y.reshape(len(y), -1), np.float32 if y.dtype.itemsize <= 4 else np.float64)
    if y.dtype.kind in "SU":
        return np.array([item.decode() if isinstance(item, bytes) else str(item) for item in y.tolist()], object)
    if y.dtype.kind == "b" or y.dtype == np.uint64:
        return y
    return y.astype(np.int64 if y.dtype.kind in "ui" else np.float64)
