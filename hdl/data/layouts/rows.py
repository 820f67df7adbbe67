"""Makes blocks of the columns of a table: labels, features as matrix or frame, weights, and what is carried over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data import labels as label_rules
from hdl.data.block import Bad, Block
from hdl.data.layouts.cells import vectors
from hdl.data.names import flag_of
from hdl.data.options import Options
from hdl.data.parquet_file import exact, label_type, plain_labels
from hdl.data.records import plain_x
from hdl.data.tabular import cells as text_cells
from hdl.data.tabular.arrow import canonical, is_text
from hdl.data.tabular.frame import Frame
from hdl.data.tabular.kinds import Feature
from hdl.errors import DataError

Where = Callable[[int], dict[str, Any]]
MISSING_LABELS: Sequence[str] = getattr(label_rules, "MISSING_LABELS", ("", "NA"))


class Rows:
    """Turns columns into blocks.

    Parameters
    ----------
    types : dict of str to DataType
        All columns of the table.
    features : sequence of Feature
    labels : sequence of str
    table : bool
        False: the features are one vector, whose numbers are all there.
    """

    def __init__(
        self,
        types: dict[str, pa.DataType],
        features: Sequence[Feature],
        labels: Sequence[str],
        table: bool,
        options: Options,
    ):
        self.types, self.names = types, [*types]
        self.features, self.labels, self.table, self.options = features, labels, table, options
        self.columns = tuple(column for feature in features for column in feature.columns)
        self.plain = all(column.kind == "number" for column in self.columns)
        held = [types[self.names[feature.at]] for feature in features]
        inner = [
            _inner(kind) if feature.width is not None else kind for feature, kind in zip(features, held, strict=True)
        ]
        numeric = all(map(_is_plain, inner))
        self.dtype: Any = exact(inner) if numeric and self.plain else np.float64

    def block(self, cell: Callable[[str], pa.Array], numbers: np.ndarray, where: Where, bad: Bad, seen: int) -> Block:
        """Make a block of n rows, without those that have no label or cannot be read.

        Parameters
        ----------
        cell : function of a column's name
            Its values [n].
        numbers : int64 [n]
            Of the rows among the split's records.
        seen : int
            Records of the split up to here.
        """
        n = len(numbers)
        if not n:
            return Block.none(seen)
        y, good = self._labels(cell, n, where, bad)
        rows = np.flatnonzero(good)
        if not len(rows):
            return Block.none(seen)
        get = cell if good.all() else lambda name: cell(name).take(pa.array(rows))
        x, wrong = self._features(get, len(rows))
        options, kept = self.options, None
        weight, offset = (
            canonical(get(name), "number") if name in self.types else None  # a model's other data may lack them
            for name in (options.weights, options.offset)
        )
        if options.keep:
            fields = [(name, self.types[name]) for name in options.keep]
            arrays = [_decoded(get(name), kind) for name, kind in fields]
            kept = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))
        block = Block(x, y, lambda i: where(int(rows[i])), weight, offset, kept, numbers[rows], seen)
        fine = np.ones(len(rows), bool)
        for i, problems in sorted(wrong.items()):
            fine[i] = False
            bad.add(DataError("; ".join(problems), **block.where(i)))
        return block.keep(fine)

    def _labels(self, cell: Callable[[str], pa.Array], n: int, where: Where, bad: Bad) -> tuple[Any, np.ndarray]:
        """Give the labels of the rows that have one, and which these are."""
        good = np.ones(n, bool)
        if not self.labels:
            return None, good
        columns = [cell(name) for name in self.labels]
        for column in columns:
            good &= _there(column)
        bad.unlabelled += int(n - good.sum())
        if not good.all():
            columns = [column.filter(pa.array(good)) for column in columns]
        if len(columns) > 1:
            y: Any = np.column_stack([canonical(column, "number") for column in columns])
            if exact(column.type for column in columns) != np.float64:
                y = y.astype(np.float32)
            return y, good
        column = columns[0]
        y = canonical(column, "number") if pa.types.is_decimal(column.type) else plain_labels(column)
        if y.dtype != object:
            return y, good
        text = np.array([value is not None for value in y.tolist()], bool)
        rows = np.flatnonzero(good)
        for i in np.flatnonzero(~text):
            what = f"label column {self.labels[0]!r} holds bytes that are not UTF-8"
            bad.add(DataError(what, **where(int(rows[i]))))
            good[rows[i]] = False
        return y[text], good

    def _features(self, get: Callable[[str], pa.Array], n: int) -> tuple[Any, dict[int, list[str]]]:
        """Give a matrix or a frame, and what is wrong with rows, by their numbers."""
        wrong: dict[int, list[str]] = {}
        dense, others = list[np.ndarray](), list[pa.Array]()
        for feature in self.features:
            name = self.names[feature.at]
            values, faults = self._feature(feature, get(name))
            (dense if feature.column.kind == "number" else others).append(values)
            for i, what in faults:
                wrong.setdefault(i, []).append(f"column {name!r}: {what}")
        if not self.table:
            return plain_x(dense[0]), wrong
        width = sum(1 if part.ndim == 1 else part.shape[1] for part in dense)
        # a missing value of small whole numbers makes a block float
        floats = any(part.dtype == np.float64 for part in dense) if self.dtype == np.uint8 else False
        x, at = np.empty((n, width), np.float32 if floats else self.dtype), 0
        for part in dense:
            more = 1 if part.ndim == 1 else part.shape[1]
            x[:, at : at + more] = part.reshape(n, more)
            at += more
        return (x if self.plain else Frame(x, tuple(others), self.columns)), wrong

    def _feature(self, feature: Feature, values: pa.Array) -> tuple[Any, list[tuple[int, str]]]:
        """Give the cells of a column as a frame holds them, and what is wrong with some."""
        kind, name = feature.column.kind, feature.column.name
        if feature.width is not None:
            rows, other = vectors(values, feature.width)
            mend = flag_of("(--ignore {} leaves it out)", name)
            told = f"a vector of another length; expected {feature.width} numbers {mend}"
            faults = [(int(i), told) for i in np.flatnonzero(other)]
            if not self.table:  # of one vector alone no number is missing
                faults += [(int(i), "null; expected a vector") for i in np.flatnonzero(np.asarray(values.is_null()))]
            return rows, faults
        if kind == "number" and values.null_count == 0 and _is_plain(values.type):
            return values.to_numpy(zero_copy_only=False), []
        if pa.types.is_dictionary(values.type) and kind != "category":
            values = values.cast(values.type.value_type)
        if is_text(values.type) and kind in ("number", "date"):
            read: Any = text_cells.numbers if kind == "number" else text_cells.dates
            found, fault = read(values, feature.dialect)
            at = np.flatnonzero(fault)
            way = flag_of("(--columns {}:category reads it as text, --na-values says what is missing)", name)
            return found, [(int(i), f"{values[int(i)].as_py()[:80]!r} is no {kind} {way}") for i in at]
        return canonical(values, kind), []


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.field("values").type.value_type if pa.types.is_struct(kind) else kind.value_type


def _is_plain(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _decoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values if values.type == kind else values.cast(kind)


def _there(column: pa.Array) -> np.ndarray:
    """Tell which labels are there: none is null, NaN, or a text that says so."""
    there = ~np.asarray(pc.is_null(column, nan_is_null=True))
    if label_type(column.type) == "text":
        text = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        with suppress(pa.ArrowInvalid):  # bytes that are no text are told later
            text = pc.utf8_trim_whitespace(text.cast(pa.string()))
            said = pc.is_in(text, value_set=pa.array(MISSING_LABELS, pa.string()))
            there &= ~pc.fill_null(said, False).to_numpy(zero_copy_only=False)
    return there
