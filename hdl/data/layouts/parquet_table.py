"""Parquet files of any engine as a table; row groups that no filter meets are passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hdl import fs
from hdl.arrow import pa, pq
from hdl.data.block import Bad
from hdl.data.damage import guarded
from hdl.data.layouts.cells import Cell, File, flatten
from hdl.data.layouts.filtering import Range, outcomes
from hdl.data.layouts.table import Batch, Table
from hdl.data.parquet_file import _leaves, describe

ID = b"PARQUET:field_id"


@dataclass
class _Held:
    """Holds which of Parquet's own columns a cell is, by its name in the file, and the names in their order."""

    leaves: dict[str, list[int]]
    order: list[str]


class ParquetTable(Table):
    """One sample a row. Splits count rows."""

    format = "parquet"

    def _describe(self, path: str) -> File:
        with fs.open(path) as handle, guarded(path, "Parquet"):
            parquet = _open(handle)
            found = describe(path, parquet)
            fields = parquet.schema_arrow
        numbers = [(field.metadata or {}).get(ID) for field in fields]
        cells, leaves, at = {}, {}, 0
        for cell in flatten(found.names, found.types):
            number = numbers[cell.top]
            cell = Cell(cell.name, cell.kind, cell.top, cell.steps, None if number is None else int(number))
            count = _leaves(cell.kind)
            cells[cell.name], leaves[cell.name] = cell, [*range(at, at + count)]
            at += count
        index = {found.names[i]: why for i, why in found.index.items()}
        held = _Held(leaves, found.names)
        return File(path, cells, found.rows, held, found.twice, index, *_own(found.own))

    def _batches(self, file: File, start: int, length: int, needed: Sequence[Cell], bad: Bad) -> Iterator[Batch]:
        leaves = sorted({leaf for cell in needed for leaf in file.extra.leaves[cell.name]})
        tops = sorted({cell.top for cell in needed})
        with fs.open(file.path) as handle, guarded(file.path, "Parquet"):
            texts = [cell.name for cell in needed if not cell.steps and pa.types.is_string(cell.kind)]
            parquet = _open(handle, texts)
            metadata = parquet.metadata
            at = 0
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                first, at = at, at + group.num_rows
                if at <= start or first >= start + length or not group.num_rows:
                    continue
                if not self._may_meet(file, group):
                    continue
                yield from _group(parquet, number, leaves, tops, first, start, length, group.num_rows, self._size())

    def _may_meet(self, file: File, group: Any) -> bool:
        """Tell whether a row group's statistics leave it open that some of its rows meet the condition."""
        if self.condition is None:
            return True
        keys = self._known(file.path, file)

        def known(name: str) -> Range | None:
            if (found := keys(name)) is not None or name not in file.cells:
                return found
            leaves = file.extra.leaves[file.cells[name].name]
            return _range(group.column(leaves[0]), file.cells[name]) if len(leaves) == 1 else None

        return True in outcomes(self.condition, known)


def _open(handle: Any, texts: Sequence[str] = ()) -> pq.ParquetFile:
    return pq.ParquetFile(handle, read_dictionary=[*texts] or None, coerce_int96_timestamp_unit="us")


def _group(
    parquet: pq.ParquetFile, number: int, leaves: list[int], tops: list[int], first: int, start: int, length: int,
    rows: int, size: int,
) -> Iterator[Batch]:  # fmt: skip
    """Read those rows of a row group that lie in [start, start + length)."""
    stop = start + length
    if not leaves:
        lo, hi = max(first, start), min(first + rows, stop)
        yield Batch(lo, hi - lo, {})
        return
    batches: Any = parquet.reader.iter_batches(size, [number], column_indices=leaves, use_threads=False)
    for batch in batches:
        lo, hi = max(start - first, 0), min(stop - first, batch.num_rows)
        if lo < hi:
            columns = {top: batch.column(i).slice(lo, hi - lo) for i, top in enumerate(tops)}
            yield Batch(first + lo, hi - lo, columns)
        first += batch.num_rows
        if first >= stop:
            return


def _range(column: Any, cell: Cell) -> Range | None:
    """Tell what a row group's statistics say of a column."""
    said = column.statistics if column.is_stats_set else None
    if said is None or not said.has_null_count:
        return None
    missing = said.null_count > 0 or pa.types.is_floating(cell.kind)  # NaN is in no statistics
    if said.null_count == column.num_values and said.null_count:
        return Range(None, None, True)
    return Range(said.min, said.max, missing) if said.has_min_max else None


def _own(own: dict[str, Any]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Give the kinds of columns, and which of them are no features, as a file that `hdl import` made says."""
    return tuple(own.get("pins") or ()), {name: own[name] for name in ("label", "weights", "offset") if own.get(name)}
