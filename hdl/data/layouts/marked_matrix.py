"""Rows of a matrix that `hdl import` wrote, marked as held out by one of its columns, which is no feature then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.holdout import COLUMN
from hdl.data.layouts.marks import Mark
from hdl.errors import DataError


class MarkedMatrix(Source):
    """Reads a source of dense numbers whose columns have names.

    Parameters
    ----------
    inner : Source
    """

    def __init__(self, inner: Source):
        super().__init__(inner.paths, inner.options)
        self.inner, self.format, self.records = inner, inner.format, inner.records
        self.label, self.targets, self.left_out, self.reading = (
            inner.label,
            inner.targets,
            inner.left_out,
            inner.reading,
        )
        self.mark = Mark(self.options.held)
        self.all = list(inner.names or ())
        if not self.all:
            what = f"validation: {', '.join(self.mark.columns)}: the samples are vectors whose numbers have no names"
            raise DataError(f"{what}; a share or a file of its own can be held out", inner.paths[0])
        kinds = {name: pa.float64() for name in self.all}
        label = [name for name in inner.label if name not in kinds]
        if len(label) == 1 and label[0] in self.mark.columns:
            kinds[label[0]] = pa.string() if inner.reading.get("label_type") == "text" else pa.float64()
        self.mark.check(kinds, inner.paths[0])
        self._label = label
        gone = self.options.held[1] if self.options.held[0] == COLUMN else None
        self.used = [i for i, name in enumerate(self.all) if name != gone]
        self.names = [self.all[i] for i in self.used]

    def lengths(self) -> list[int]:
        return self.inner.lengths()

    def splits(self, shards: int) -> list[list[FileSplit]]:
        return self.inner.splits(shards)

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        for block in self.inner._read(split, bad):
            yield self._marked(block) if len(block) else block

    def _marked(self, block: Block) -> Block:
        def cell(name: str) -> pa.Array:
            if name in self._label and block.y is not None:
                return pa.array(block.y.tolist())
            return pa.array(np.ascontiguousarray(block.x[:, self.all.index(name)]))

        held: Any = self.mark.rows(cell, len(block), block.where)
        x = block.x if len(self.used) == len(self.all) else np.ascontiguousarray(block.x[:, self.used])
        return replace(block, x=x, held=held)
