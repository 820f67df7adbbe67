"""Tables of memory as a source, in blocks of any size: raw rows as the readers give them."""

import json

import numpy as np
import pyarrow as pa

from hdl import data
from hdl import spec as specs
from hdl.data import Block, Options, Source
from hdl.data.tabular import fitting
from hdl.data.tabular.encoders import Encodings
from hdl.data.tabular.frame import Column, Frame, type_of


def frame(**columns):
    """Make a frame: numbers of arrays of float, dates of datetime64, categories of lists of text; None is missing."""
    numbers, others, kinds = [], [], []
    for name, values in columns.items():
        if isinstance(values, pa.Array):
            kind = "date" if pa.types.is_timestamp(values.type) else "category"
            array = values
        elif isinstance(values, np.ndarray) and values.dtype.kind == "M":
            kind, array = "date", pa.array(values.astype("datetime64[us]"))
        elif isinstance(values, np.ndarray):
            kinds.append(Column(name))
            numbers.append(values.astype(np.float64))
            continue
        else:
            kind, array = "category", pa.array(values, pa.string()).dictionary_encode()
        others.append(array.cast(type_of(kind)))
        kinds.append(Column(name, kind, "values"))
    rows = len(numbers[0]) if numbers else len(others[0])
    matrix = np.stack(numbers, axis=1) if numbers else np.empty((rows, 0))
    return Frame(matrix, tuple(others), tuple(kinds))


class Framed(Source):
    """A table as a source: a frame, or a matrix of numbers, and labels."""

    format = "frame"

    def __init__(self, x, y=None, block=1000, weight=None, offset=None, columns=None, **options):
        super().__init__(["table"], Options(**options))
        self.x, self.y, self.block, self.weight, self.offset = x, y, block, weight, offset
        self.columns = [*x.columns] if isinstance(x, Frame) else [Column(f"x{i}") for i in range(x.shape[1])]
        self.columns = self.columns if columns is None else columns
        self.names = [column.name for column in self.columns]
        self.label = [] if y is None else ["label"]

    def lengths(self):
        return [len(self.x)]

    def _read(self, split, bad):
        for lo in range(split.start, split.start + split.length, self.block):
            rows = slice(lo, min(lo + self.block, split.start + split.length))
            y, weight, offset = (None if part is None else part[rows] for part in (self.y, self.weight, self.offset))

            def where(i, lo=lo):
                return {"path": "table", "line": lo + i}

            yield Block(self.x[rows], y, where, weight, offset)


def encodings_of(x, columns=None, **spec):
    """Fit encodings and encode the same rows."""
    source = Framed(x, columns=columns)
    summary = data.summarise(source, source.splits(1)[0])
    encodings, rule, reading = fitting.fit(summary, specs.parse(spec))
    assert Encodings.from_plain(json.loads(json.dumps(encodings.to_plain()))) == encodings
    return encodings, encodings.encode(x), rule, reading
