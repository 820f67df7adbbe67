"""ORC files, as Hive and Spark write them. Splits count rows; a stripe is read when some of its rows are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hdl import fs
from hdl.arrow import pa, pyorc
from hdl.data.block import Bad
from hdl.data.damage import guarded
from hdl.data.layouts.cells import Cell, File, flatten
from hdl.data.layouts.table import Batch, Table
from hdl.data.names import unique
from hdl.data.varint import varint
from hdl.errors import DataError

_FOOTER, _STRIPES, _ROWS = 2, 3, 5  # fields of FileTail, Footer and StripeInformation in ORC's orc_proto.proto


class Orc(Table):
    """One sample a row."""

    format = "orc"

    def _describe(self, path: str) -> File:
        with fs.open(path) as handle, guarded(path, "ORC"):
            orc = pyorc.ORCFile(handle)
            names, twice = unique(orc.schema.names)
            cells = {cell.name: cell for cell in flatten(names, orc.schema.types)}
            ids = [(field.metadata or {}).get(b"iceberg.id") for field in orc.schema]
            cells = {name: _numbered(cell, ids[cell.top]) for name, cell in cells.items()}
            return File(path, cells, orc.nrows, (orc.schema.names, _stripes(orc, path)), twice)

    def _batches(self, file: File, start: int, length: int, needed: Sequence[Cell], bad: Bad) -> Iterator[Batch]:
        names, stripes = file.extra
        wanted = sorted({".".join((names[cell.top], *cell.steps)) for cell in needed})
        tops = {names[cell.top]: cell.top for cell in needed}
        first, stop, size = 0, start + length, self._size()
        with fs.open(file.path) as handle, guarded(file.path, "ORC"):
            orc = pyorc.ORCFile(handle)
            for number, rows in enumerate(stripes):
                lo, hi = max(first, start), min(first + rows, stop)
                if lo < hi:
                    columns: dict[int, pa.Array] = {}
                    if wanted:
                        stripe: Any = orc.read_stripe(number, columns=wanted)
                        columns = {tops[name]: stripe.column(name) for name in tops}
                    for at in range(lo, hi, size):
                        count = min(size, hi - at)
                        yield Batch(
                            at, count, {top: column.slice(at - first, count) for top, column in columns.items()}
                        )
                first += rows


def _numbered(cell: Cell, number: bytes | None) -> Cell:
    return cell if number is None else Cell(cell.name, cell.kind, cell.top, cell.steps, int(number))


def _stripes(orc: Any, path: str) -> list[int]:
    """Count the rows of each stripe, out of the file's tail, which is a message of protocol buffers."""
    if orc.nstripes < 2:
        return [orc.nrows]
    footer = next((value for number, value in _fields(orc.reader.serialized_file_tail()) if number == _FOOTER), b"")
    stripes = [value for number, value in _fields(footer) if number == _STRIPES]
    rows = [next((value for number, value in _fields(stripe) if number == _ROWS), 0) for stripe in stripes]
    if len(rows) != orc.nstripes or sum(rows) != orc.nrows:
        raise DataError("corrupt ORC (stripes and rows do not fit each other); expected a whole file", path)
    return rows


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Give number and value of each field of a message: an int, or bytes."""
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varint(message, at)
            yield number, value
        elif wire == 2:
            size, at = varint(message, at)
            yield number, message[at : at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            return
