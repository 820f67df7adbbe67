"""`hdl import`: any dataset as numbered Parquet files in a new folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hdl import fs
from hdl.arrow import pa, pq
from hdl.data.base import FileSplit, Source, split_evenly
from hdl.data.block import Bad, Block
from hdl.data.csr import Csr
from hdl.data.labels import canonical
from hdl.data.parquet import KEY
from hdl.data.scaling import needs_float64, targets_need_float64
from hdl.data.summary import Summary, summarise
from hdl.data.tabular.frame import Frame
from hdl.data.tabular.written import Layout
from hdl.errors import DataError, SpecError

SHARD_BYTES = 64 << 20


@dataclass(frozen=True)
class Written:
    """Account of the files that an import wrote.

    Attributes
    ----------
    path : str
    files, samples, features : int
    skipped : int
        Bad records, with the first ones' `places`.
    """

    path: str
    files: int
    samples: int
    features: int
    skipped: int
    places: tuple[str, ...]


def write_shards(
    source: Source, dst: str, rows: int | None = None, shard_bytes: int = SHARD_BYTES, shards: int | None = None
) -> Written:
    """Writes a dataset as `part-00000.parquet`, `part-00001.parquet` … in a new folder, published as a whole.

    Features are one column `x` of fixed-size lists, uint8 as uint8 and else float32; sparse ones are `indices` and
    `values`. Labels are `y`. The image's shape and the columns' names are in the files' metadata. A table with columns
    that are no numbers, with missing values, weights, an offset or columns to keep has plain columns under their own
    names, and in the metadata their kinds and what is the label. The source is read twice: once to know types and
    sizes, once to write.

    Parameters
    ----------
    rows : int, optional
        Samples in a file.
    shard_bytes : int
        Without `rows`: a file's features take about this many bytes before compression.
    shards : int, optional
        Number of files instead, of sizes that differ by at most one sample: one file for each worker.

    Raises
    ------
    FileExistsError
        `dst` exists.
    DataError
        The source has no samples or too many bad records; nothing is left behind.
    """
    splits = source.splits(1)[0]
    with fs.publish_folder(dst) as folder:
        weighed: Any = _Weighed(source)
        summary = summarise(weighed, splits)
        if not summary.samples:
            raise DataError("the dataset has no samples, nothing was written", source.paths[0])
        layout = _layout(source, summary, weighed.wide)
        schema = layout.schema if layout else _schema(summary)
        encoding = {"x.list.element": "BYTE_STREAM_SPLIT"} if summary.kind != "sparse" else None
        settings = layout.settings() if layout else {"use_dictionary": False, "column_encoding": encoding}
        nbytes = weighed.nbytes - (0 if layout or needs_float64(summary) else weighed.spare)
        sizes = _sizes(summary, nbytes, rows, shard_bytes, shards)
        blocks = _sliced(source.read(splits, Bad(summary.limit)), sizes)
        for number, size in enumerate(sizes):
            path = fs.join(folder, f"part-{number:05d}.parquet")
            with pq.ParquetWriter(path, schema, compression="zstd", **settings) as writer:
                while size:
                    block = next(blocks)
                    batch = _table_batch(block, layout, summary) if layout else _batch(block, schema, summary)
                    writer.write_batch(batch, row_group_size=len(block))
                    size -= len(block)
    return Written(dst, len(sizes), summary.samples, summary.features, summary.bad, summary.places)


class _Weighed:
    """A source that adds up the bytes of the features that are read: those of sparse rows say little of their width."""

    def __init__(self, source: Source):
        self.source, self.nbytes = source, 0
        self.spare = 0  # bytes that float32 in place of float64 would save
        self.wide = False  # some numbers are float64

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def read(self, splits: Sequence[FileSplit], bad: Bad) -> Iterator[Block]:
        for block in self.source.read(splits, bad):
            self.nbytes += block.x.nbytes
            x = block.x
            values = x.data if isinstance(x, Csr) else x.numbers if isinstance(x, Frame) else x
            self.wide |= values.dtype == np.float64
            self.spare += values.nbytes // 2 if values.dtype == np.float64 else 0
            yield block


def _sizes(summary: Summary, nbytes: int, rows: int | None, shard_bytes: int, shards: int | None) -> list[int]:
    """Counts the samples of each file; `nbytes` are those of all features."""
    if shards is not None:
        return [sum(part[2] for part in parts) for parts in split_evenly([summary.samples], shards)]
    if rows is None:
        rows = max(1, shard_bytes * summary.samples // max(1, nbytes))
    if rows < 1:
        raise SpecError(f"rows: expected at least 1 sample a file (given {rows})")
    whole, rest = divmod(summary.samples, rows)
    return [rows] * whole + [rest] * bool(rest)


def _sliced(blocks: Iterator[Block], sizes: list[int]) -> Iterator[Block]:
    """Cuts blocks so that each lies in one file."""
    left = list(sizes)
    for block in blocks:
        lo = 0
        while lo < len(block):
            while left[0] == 0:
                left.pop(0)
            hi = min(len(block), lo + left[0])
            yield block.slice(lo, hi)
            left[0] -= hi - lo
            lo = hi


def _schema(summary: Summary) -> pa.Schema:
    own = {"version": 1, "features": summary.features, **summary.meta}
    wide = pa.float64() if needs_float64(summary) else pa.float32()
    if summary.kind == "sparse":
        columns: list[Any] = [("indices", pa.list_(pa.int32())), ("values", pa.list_(wide))]
    else:
        columns = [("x", pa.list_(pa.uint8() if summary.kind == "uint8" else wide, summary.features))]
    if summary.labels.width:
        columns.append(("y", _label_column(summary)))
    return pa.schema(columns, metadata={KEY: json.dumps(own)})


def _layout(source: Source, summary: Summary, wide: bool) -> Layout | None:
    """Lay out a table whose columns do not all fit one vector of numbers; None: they do."""
    options = source.options
    more = options.weights is not None or options.offset is not None or options.keep
    missing = "count" in summary.moments  # a vector has no place for what is missing
    if source.columns is None or not (summary.kind == "frame" or missing or more):
        return None
    label = _label_column(summary) if summary.labels.width else None
    if label is not None and summary.labels.width > 1:
        label = label.value_type
    return Layout(source.columns, summary, options, source.kept_schema, label, wide)


def _table_batch(block: Block, layout: Layout, summary: Summary) -> pa.RecordBatch:
    kind = _label_column(summary) if summary.labels.width == 1 else None
    return layout.batch(block, lambda y: pa.array([_label(value, kind) for value in y.tolist()], kind))


def _batch(block: Block, schema: pa.Schema, summary: Summary) -> pa.RecordBatch:
    x, arrays = block.x, []
    if isinstance(x, Csr):
        ends = pa.array(x.indptr.astype(np.int32))
        arrays = [pa.ListArray.from_arrays(ends, pa.array(part)) for part in (x.indices, x.data)]
    else:
        value = schema.field("x").type.value_type
        flat = np.ascontiguousarray(x, value.to_pandas_dtype()).ravel()
        arrays = [pa.FixedSizeListArray.from_arrays(pa.array(flat), summary.features)]
    if block.y is not None:
        kind = schema.field("y").type
        if block.y.ndim == 2:
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(block.y.ravel()), block.y.shape[1]))
        else:
            arrays.append(pa.array([_label(value, kind) for value in block.y.tolist()], kind))
    return pa.RecordBatch.from_arrays([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)


def _label_column(summary: Summary) -> pa.DataType:
    """Chooses the type that keeps labels what they are: numbers, booleans or text."""
    labels, typed = summary.labels, summary.label_type
    if labels.width > 1:
        return pa.list_(pa.float64() if targets_need_float64(labels) else pa.float32(), labels.width)
    if typed == "boolean":
        return pa.bool_()
    if typed == "text" or not labels.numeric:
        return pa.string()
    if not labels.whole:
        return pa.float64()
    if labels.values is None:  # more than are told apart: surely of a regression
        assert labels.mean is not None
        assert labels.norm is not None
        return pa.int64() if abs(labels.mean[0]) + labels.norm[0] < 2**62 else pa.float64()
    numbers = [int(canonical(value)) for value in labels.values]
    if min(numbers) >= -(2**63) and max(numbers) < 2**63:
        return pa.int64()
    return pa.uint64() if min(numbers) >= 0 and max(numbers) < 2**64 else pa.string()


def _label(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_boolean(kind):
        return value
    if pa.types.is_string(kind):
        return str(value)
    number = canonical(value)
    return float(number) if pa.types.is_floating(kind) else int(number)
