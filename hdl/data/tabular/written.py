"""A table as Parquet of hdl's own: plain columns, and in the metadata what a reader would else have to find out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.block import Block
from hdl.data.options import Options
from hdl.data.parquet_file import KEY
from hdl.data.summary import Summary
from hdl.data.tabular.frame import Column, Frame, type_of


class Layout:
    """Columns of a table's files: features under their names, labels, weights, offset, and those that are kept.

    Parameters
    ----------
    columns : sequence of Column
        Of the features.
    summary : Summary
    options : Options
        Of the source.
    kept : pyarrow.Schema or None
        What the blocks' `kept` has.
    label : DataType or None
        Of a single label, or of each target.
    wide : bool
        Numbers are written as float64 and not as float32.
    """

    def __init__(
        self, columns: Sequence[Column], summary: Summary, options: Options, kept: Any, label: Any, wide: bool
    ):
        self.columns = list(columns)
        number = pa.float64() if wide else pa.float32()
        fields = [pa.field(column.name, type_of(column.kind) or number) for column in self.columns]
        names = {field.name for field in fields}
        own: dict[str, Any] = {"version": 2, "pins": [_pin(column) for column in self.columns]}
        width = summary.labels.width
        if label is not None:
            own["label"] = _new([*(summary.meta.get("label") or [])] or ["y"], width, names)
            fields += [pa.field(name, label) for name in own["label"]]
        for role in ("weights", "offset"):
            if (name := getattr(options, role)) is not None:
                own[role] = _new([name], 1, names)[0]
                fields.append(pa.field(own[role], pa.float64()))
        self.kept = [field.name for field in kept or () if field.name not in names]
        own["pins"] += [f"{name}:ignore" for name in self.kept]
        fields += [kept.field(name) for name in self.kept]
        if depth := (summary.meta.get("reading") or {}).get("depth"):
            own["reading"] = {"depth": depth}
        self.schema = pa.schema(fields, metadata={KEY: json.dumps(own)})
        self.targets = width if width > 1 else 0

    def settings(self) -> dict[str, Any]:
        """Give settings of a ParquetWriter: numbers are no dictionary, and their bytes lie apart."""
        plain = {name: "BYTE_STREAM_SPLIT" for name in self.schema.names if pa.types.is_floating(self._type(name))}
        texts = [name for name in self.schema.names if name not in plain and not pa.types.is_boolean(self._type(name))]
        return {"use_dictionary": texts, "column_encoding": plain}

    def _type(self, name: str) -> pa.DataType:
        return self.schema.field(name).type

    def batch(self, block: Block, labels: Callable[[np.ndarray], pa.Array]) -> pa.RecordBatch:
        """Make the rows of a file of a block; `labels` turns single ones into an array."""
        x, arrays = block.x, list[pa.Array]()
        others = iter(x.others if isinstance(x, Frame) else ())
        numbers = iter((x.numbers if isinstance(x, Frame) else x).T)
        for column in self.columns:
            values: Any = next(numbers) if column.kind == "number" else next(others)
            arrays.append(values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True))
        if block.y is not None and self.targets:
            arrays += [pa.array(np.ascontiguousarray(target)) for target in block.y.T]
        elif block.y is not None:
            arrays.append(labels(block.y))
        arrays += [pa.array(part) for part in (block.weight, block.offset) if part is not None]
        arrays += [block.kept.column(name) for name in self.kept]
        pairs = zip(arrays, self.schema, strict=True)
        return pa.RecordBatch.from_arrays([array.cast(field.type) for array, field in pairs], schema=self.schema)


def _pin(column: Column) -> str:
    return f"{column.name}:{column.kind}" + ("" if column.by == "flag" else f" by {column.by}")


def _new(names: list[str], count: int, taken: set[str]) -> list[str]:
    """Give names that no column has yet, the wanted ones where that is so."""
    if len(names) != count:
        names = [f"{names[0]}[{i}]" for i in range(count)]
    out = []
    for name in names:
        while name in taken:
            name += "'"
        taken.add(name)
        out.append(name)
    return out
