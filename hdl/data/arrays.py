"""Samples that are in memory already, as scikit-learn's users have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hdl.data.base import BLOCK_BYTES, FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.csr import Csr
from hdl.data.options import Options
from hdl.data.records import plain_x, plain_y
from hdl.data.tabular.arrow import of_arrow
from hdl.data.tabular.frame import Frame
from hdl.data.tabular.kinds import decide
from hdl.data.tabular.memory import expanded, fields_of, is_table, table_of
from hdl.errors import DataError


class Arrays(Source):
    """Arrays as a dataset. Splits count rows of the one "file" ``<array>``.

    Parameters
    ----------
    x : array [N, I], CSR with `data`, `indices`, `indptr` and `shape` (such as SciPy's), or a table
        Images may be [N, H, W] or [N, H, W, C]. A table is a `Frame`, or one of pandas, polars or pyarrow; its columns
        are numbers, categories or dates as their types are, or as the options say.
    y : array [N] of numbers or text, or [N, O] of targets, optional
    options : Options, optional
        Of a table: `columns`, `features` and `ignore`.
    schema : Schema, optional
        Of the model that will see a table: its columns are of the kinds that they had in training.

    Examples
    --------
    >>> source = Arrays([[0.0, 1.0], [2.0, 3.0]], ["a", "b"])
    >>> [block.y.tolist() for part in source.splits(2) for block in source.read(part)]
    [['a'], ['b']]
    """

    format = "arrays"

    def __init__(self, x: Any, y: Any = None, options: Options | None = None, schema: Any = None):
        super().__init__(["<array>"], Options.make(options))
        if isinstance(x, Frame) or is_table(x):
            self.x: Any = self._frame(x, schema)
        elif hasattr(x, "indptr"):
            indptr = np.asarray(x.indptr, np.int64)
            values = plain_x(np.asarray(x.data))
            values = values.astype(np.float32) if values.dtype == np.uint8 else values
            self.x = Csr(values, np.asarray(x.indices, np.int32), indptr, x.shape[1])
            rows = np.repeat(np.arange(len(self.x)), np.diff(indptr))
            if len(rows) > 1 and ((np.diff(self.x.indices) <= 0) & (np.diff(rows) == 0)).any():
                raise DataError("sparse rows with unsorted or repeated columns; expected them sorted (sort_indices)")
        else:
            x = np.asarray(x)
            if x.dtype.kind not in "buif" or x.ndim not in (2, 3, 4):
                raise DataError(f"x is {x.dtype} {x.shape}; expected numbers [samples, features]")
            if x.ndim > 2:
                self.image = (x.shape[1], x.shape[2], x.shape[3] if x.ndim == 4 else 1)
            self.x = x.reshape(len(x), -1)
        self.y = None if y is None else np.asarray(y)
        if self.y is not None and len(self.y) != len(self.x):
            raise DataError(f"{len(self.y)} labels, but {len(self.x)} samples; expected as many")
        if self.y is not None and self.y.ndim == 1:
            self.reading["label_type"] = _label_type(self.y)

    def _frame(self, x: Any, schema: Any) -> Any:
        """Take a table; one of numbers alone as a matrix, in which NaN is missing."""
        if not isinstance(x, Frame):
            table, columns = table_of(x), None
            if schema is not None and schema.encodings is not None:
                there = set(table.column_names)
                columns = [column for column in schema.encodings.columns if column.name in there]
            else:
                decision = decide(fields_of(table), range(table.num_columns), self.options, self.paths[0])
                self.left_out, columns = decision.left_out, decision.columns
            x = of_arrow(expanded(table), columns)
        self.columns = list(x.columns)
        self.names = [column.name for column in x.columns]
        return x if len(x.others) else x.numbers

    def lengths(self) -> list[int]:
        """Returns the number of rows."""
        return [len(self.x)]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        sparse, stop = isinstance(self.x, Csr), split.start + split.length
        rows = max(1, BLOCK_BYTES // (4 * self.x.shape[1] + 1)) if not sparse else 65536
        for lo in range(split.start, stop, rows):
            hi = min(lo + rows, stop)
            x = self.x[lo:hi]
            x = plain_x(x) if isinstance(x, np.ndarray) else x
            y = None if self.y is None else _labels(self.y[lo:hi])
            yield Block(x, y, _places(lo))


def _label_type(y: np.ndarray) -> str:
    """Tell the type of labels, as text, boolean or number: objects are text if all of them are."""
    if y.dtype.kind in "SU" or (y.dtype == object and all(isinstance(label, str) for label in y.tolist())):
        return "text"
    return "boolean" if y.dtype == bool else "number"


def _labels(y: np.ndarray) -> np.ndarray | None:
    """Convert labels to what a `Block` holds."""
    return y if y.dtype == object and y.ndim == 1 else plain_y(y)


def _places(first: int) -> Any:
    return lambda i: {"path": f"<array> row {first + i}"}
