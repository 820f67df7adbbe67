"""Avro files. Splits count records; blocks before a split are passed over, and only needed fields are decoded."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, BinaryIO

from hdl import fs
from hdl.arrow import pa
from hdl.data.block import Bad
from hdl.data.damage import guarded
from hdl.data.layouts.cells import Cell, File, flatten
from hdl.data.layouts.table import Batch, Table
from hdl.data.varint import varint
from hdl.errors import DataError, Unavailable

MAGIC = b"Obj\x01"
_SYNC = 16
DAMAGE = (EOFError, zlib.error, ValueError, IndexError, KeyError, TypeError)


@cache
def _no_type() -> pa.DataType:
    """Return what stands for the type of a union of several types."""
    return pa.struct([])


@cache
def _plain_types() -> dict[str, pa.DataType]:
    """Return Arrow's types by Avro's names."""
    return {
        "null": pa.null(), "boolean": pa.bool_(), "int": pa.int32(), "long": pa.int64(), "float": pa.float32(),
        "double": pa.float64(), "bytes": pa.binary(), "string": pa.string(),
    }  # fmt: skip


@cache
def _logical_types() -> dict[str, pa.DataType]:
    """Return Arrow's types by the names of Avro's logical ones."""
    return {
        "date": pa.date32(), "time-millis": pa.time32("ms"), "time-micros": pa.time64("us"), "uuid": pa.string(),
        "timestamp-millis": pa.timestamp("ms", "UTC"), "timestamp-micros": pa.timestamp("us", "UTC"),
        "local-timestamp-millis": pa.timestamp("ms"), "local-timestamp-micros": pa.timestamp("us"),
    }  # fmt: skip


def _fastavro() -> Any:
    try:
        import fastavro
    except ImportError:
        raise Unavailable(
            "Avro files need fastavro, which is not installed: pip install 'hdl-hadoop[tables]'"
        ) from None
    return fastavro


class Avro(Table):
    """One sample a record; a union with null may be missing, other unions are left out."""

    format = "avro"

    def _describe(self, path: str) -> File:
        with fs.open(path) as handle, guarded(path, "Avro", DAMAGE):
            reader = _fastavro().reader(handle)
            schema = reader.writer_schema
            if not isinstance(schema, dict) or schema.get("type") != "record":
                raise DataError("Avro whose records are no records of fields; expected a table", path)
            codec = reader.metadata.get("avro.codec", "null")
            _check_codec(codec, path)
            named: dict[str, Any] = {}
            fields = schema["fields"]
            kinds = [_type(field["type"], named) for field in fields]
            for field, kind in zip(fields, kinds, strict=True):
                if kind == _no_type():
                    self.odd[field["name"]] = "a union of several types"
            cells = {cell.name: cell for cell in flatten([field["name"] for field in fields], kinds)}
            ids = [field.get("field-id") for field in fields]
            cells = {name: Cell(name, cell.kind, cell.top, cell.steps, ids[cell.top]) for name, cell in cells.items()}
            handle.seek(0)
            blocks = [*_blocks(handle)]
            empty = io.BytesIO()
            _fastavro().writer(empty, schema, [])
        return File(path, cells, sum(count for count, _ in blocks), (schema, blocks, kinds, codec, empty.getvalue()))

    def _batches(self, file: File, start: int, length: int, needed: Sequence[Cell], bad: Bad) -> Iterator[Batch]:
        schema, blocks, kinds, codec, empty = file.extra
        tops = sorted({cell.top for cell in needed})
        fields = [schema["fields"][top] for top in tops]
        first, stop, size = 0, start + length, self._size()
        with fs.open(file.path) as handle, guarded(file.path, "Avro", DAMAGE):
            head = handle.read(blocks[0][1] if blocks else 0)
            for number, (count, at) in enumerate(blocks):
                lo, hi = max(first, start), min(first + count, stop)
                if lo < hi:
                    rows: list[dict[str, Any]] = []
                    if fields:
                        handle.seek(at)
                        end = blocks[number + 1][1] if number + 1 < len(blocks) else fs.size(file.path)
                        block = handle.read(end - at)
                        whole = _plain(block, codec, empty) if codec in _UNPACK else head + block
                        rows = [*_decoded(whole, schema, fields)][lo - first : hi - first]
                    for begin in range(0, hi - lo, size):
                        part = rows[begin : begin + size]
                        columns = {
                            top: _column([row[field["name"]] for row in part], kinds[top])
                            for top, field in zip(tops, fields, strict=True)
                        }
                        yield Batch(lo + begin, min(size, hi - lo - begin), columns)
                first += count


def _decoded(block: bytes, schema: dict[str, Any], fields: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Decode the records of one block behind the file's header, of the fields that are needed."""
    return _fastavro().reader(io.BytesIO(block), reader_schema={**schema, "fields": fields})


def _column(values: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_null(kind):
        return pa.nulls(len(values))
    if pa.types.is_string(kind):
        values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    return pa.array(values, kind)


def _check_codec(codec: str, path: str) -> None:
    if codec not in ("null", "deflate", "bzip2", "xz", *_UNPACK):
        raise DataError(f"Avro packed by {codec}, which is not read; write it with deflate, snappy or zstandard", path)


def _snappy(data: bytes) -> bytes:
    """Unpack a block whose last 4 bytes are its checksum."""
    size, _ = varint(data[:5])  # which snappy writes before its data
    return pa.Codec("snappy").decompress(data[:-4], decompressed_size=size, asbytes=True)


def _zstandard(data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return stream.read()


# Unpacked by Arrow, so that no node needs the packages that fastavro would ask for.
_UNPACK = {"snappy": _snappy, "zstandard": _zstandard}


def _plain(block: bytes, codec: str, empty: bytes) -> bytes:
    """Write a packed block as a file of its own that is not packed; `empty` is such a file without blocks."""
    handle = io.BytesIO(block)
    count, size = _long(handle), _long(handle)
    data = _UNPACK[codec](handle.read(size))
    return empty + _written(count) + _written(len(data)) + data + empty[-_SYNC:]


def _written(value: int) -> bytes:
    value, out = value << 1, bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _blocks(handle: BinaryIO) -> Iterator[tuple[int, int]]:
    """Find the blocks of a file without decoding them: records and offset of each."""
    if handle.read(4) != MAGIC:
        raise DataError("not the start of an Avro file")
    while count := _long(handle):  # the header's map, in parts
        if count < 0:
            _long(handle)
        for _ in range(abs(count)):
            for _ in range(2):
                handle.seek(_long(handle), io.SEEK_CUR)
    sync = handle.read(_SYNC)
    while True:
        at = handle.tell()
        count = _long(handle, end=True)
        if count is None:
            return
        handle.seek(_long(handle), io.SEEK_CUR)
        if handle.read(_SYNC) != sync:
            raise EOFError(f"no block ends at {handle.tell()}")
        yield count, at


def _long(handle: BinaryIO, end: bool = False) -> Any:
    """Read a long as Avro writes it: zigzag, 7 bits a byte; None at the end, where that may be."""
    value = shift = 0
    while True:
        byte = handle.read(1)
        if not byte:
            if end and not shift:
                return None
            raise EOFError("the file ends inside of a number")
        value |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return (value >> 1) ^ -(value & 1)


def _type(schema: Any, named: dict[str, Any]) -> pa.DataType:
    """Give the Arrow type of an Avro one; `_no_type()` of a union of several types, which no column can be."""
    if isinstance(schema, list):
        rest = [each for each in schema if each != "null"]
        return _type(rest[0], named) if len(rest) == 1 else _union(rest, named)
    if isinstance(schema, str):
        return _plain_types().get(schema) or _type(named.get(schema, "null"), named)
    kind, name = schema["type"], schema.get("name")
    if name:
        named[name] = named[".".join(filter(None, (schema.get("namespace"), name)))] = schema
    logical = schema.get("logicalType")
    if logical == "decimal" and schema.get("precision", 0) <= 38:
        return pa.decimal128(schema["precision"], schema.get("scale", 0))
    if logical in _logical_types():
        return _logical_types()[logical]
    if kind == "enum":
        return pa.string()
    if kind == "fixed":
        return pa.binary()
    if kind == "array":
        return pa.list_(_type(schema["items"], named))
    if kind == "map":
        return pa.map_(pa.string(), _type(schema["values"], named))
    if kind in ("record", "error"):
        parts = [(field["name"], _type(field["type"], named)) for field in schema["fields"]]
        return pa.struct([(name, part) for name, part in parts if part != _no_type()])
    return _type(kind, named) if not isinstance(kind, str) or kind in _plain_types() else _no_type()


def _union(kinds: list[Any], named: dict[str, Any]) -> pa.DataType:
    """Give the type of a union of numbers, which is the widest; of others `_no_type()`."""
    if {*map(str, kinds)} <= {"int", "long"}:
        return pa.int64()
    return pa.float64() if {*map(str, kinds)} <= {"int", "long", "float", "double"} else _no_type()
