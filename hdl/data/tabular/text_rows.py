"""Rows of a delimited text: its cells, column by column, become a block of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hdl.arrow import pa
from hdl.data.block import OVERFLOW, Block
from hdl.data.guess import is_finite, is_number
from hdl.data.labels import MISSING_LABELS
from hdl.data.names import flag_of
from hdl.data.tabular import cells
from hdl.data.tabular.cells import MISSING, PLAIN, Dialect
from hdl.data.tabular.frame import Frame, category_type, date_type
from hdl.data.tabular.kinds import Feature

Where = Callable[[int], dict[str, Any]]

SHOWN = 80  # of a cell's text, in messages
_TOKEN = "--na-values {} takes it as missing"


@dataclass
class Wrong:
    """Cells that cannot be read, of one column.

    Attributes
    ----------
    column : int
    message : str
        With `{}` for a cell's text.
    mends : sequence of str
        The flags that mend it.
    texts : mapping of int to str
        By row.
    """

    column: int
    message: str
    mends: Sequence[str]
    texts: dict[int, str]

    def said(self, row: int) -> str:
        """Say what is wrong with a row, and which flags mend it."""
        text = self.texts[row].strip()
        short = len(text) <= SHOWN and text.isprintable()  # else it is nothing to put on a command line
        mends = [flag_of(mend, text) if mend is _TOKEN else mend for mend in self.mends if short or mend is not _TOKEN]
        return self.message.format(repr(text[:SHOWN])) + (f" ({' or '.join(mends)})" if mends else "")


@dataclass
class TextRows:
    """Makes blocks of cells.

    Parameters
    ----------
    features : sequence of Feature
    labels : sequence of int
        Columns: none, one, or several of targets.
    weights, offset : int or None
    kept : mapping of str to int
        Columns that are carried over.
    names : sequence of str
        Of all columns; their numbers where they have none.
    usual : Dialect
        Of numbers that are no features.
    label_dialect : Dialect or None
        How numbers that are labels are written, where Python writes them otherwise.
    dotted : bool
        Whether labels end with a dot that is no part of them.
    na_values : sequence of str
        More texts that say that a value is missing.
    trained : bool
        Whether a model says what the columns are.
    """

    features: Sequence[Feature]
    labels: Sequence[int]
    weights: int | None
    offset: int | None
    kept: Mapping[str, int]
    names: Sequence[str]
    usual: Dialect = PLAIN
    label_dialect: Dialect | None = None
    dotted: bool = False
    na_values: Sequence[str] = ()
    trained: bool = False
    numeric: bool = field(init=False)

    def __post_init__(self) -> None:
        self.numeric = all(item.column.kind == "number" for item in self.features)
        self.columns = tuple(item.column for item in self.features)
        beside = (i for i in (self.weights, self.offset) if i is not None)
        self.needed_in_order = [*(item.at for item in self.features), *self.labels, *self.kept.values(), *beside]
        self.needed = sorted({*self.needed_in_order})
        self.empty = tuple(dict.fromkeys((*MISSING_LABELS, *self.na_values)))
        self.missing = list(dict.fromkeys((*MISSING, *self.na_values)))

    @property
    def plain(self) -> bool:
        """Tells whether all that is needed are numbers as Python writes them, and labels."""
        beside = self.weights is not None or self.offset is not None or self.kept
        return self.numeric and not beside and all(item.dialect.plain for item in self.features)

    def numbers_in_order(self) -> list[int] | None:
        """List the columns that are read as plain numbers: features, several labels, weights and offsets; None where
        something else is needed."""
        beside = [i for i in (self.weights, self.offset) if i is not None]
        if not self.numeric or self.kept or not all(item.dialect.plain for item in self.features):
            return None
        if (beside or len(self.labels) > 1) and not self.usual.plain:
            return None
        return [*(item.at for item in self.features), *(self.labels if len(self.labels) > 1 else ()), *beside]

    def of_numbers(self, numbers: np.ndarray, texts: Any, where: Where) -> tuple[Block, list[Wrong], np.ndarray]:
        """Make a block of the columns that `numbers_in_order` lists [n, columns], and the texts of the one label."""
        parts = np.split(numbers, np.cumsum([len(self.features), len(self.labels) if texts is None else 0]), axis=1)
        n, wrong = len(numbers), list[Wrong]()
        y, unlabelled = np.ascontiguousarray(parts[1]) if parts[1].size else None, np.zeros(n, bool)
        if texts is not None:
            y, unlabelled = self._label(self.labels[0], texts, wrong)
        beside = iter(parts[2].T)
        weight, offset = (None if i is None else next(beside).copy() for i in (self.weights, self.offset))
        return Block(np.ascontiguousarray(parts[0]), y, where, weight, offset), wrong, unlabelled

    def moved(self, at: Mapping[int, int], names: Sequence[str]) -> TextRows:
        """Give the same of a file that has columns elsewhere."""
        weights, offset = (None if i is None else at[i] for i in (self.weights, self.offset))
        return replace(
            self,
            features=[item._replace(at=at[item.at]) for item in self.features],
            labels=[at[i] for i in self.labels],
            weights=weights,
            offset=offset,
            kept={name: at[i] for name, i in self.kept.items()},
            names=names,
        )

    def types(self) -> dict[int, pa.DataType]:
        """Give the types that Arrow can read columns as by itself; of others, text."""
        types: dict[int, pa.DataType] = {}
        for item in self.features:
            if item.column.kind == "category":
                types[item.at] = category_type()
            elif item.column.kind == "date" and item.dialect.order in ("", "ymd"):
                types[item.at] = date_type()
            elif item.column.kind == "number" and not item.dialect.mark and not item.dialect.grouped:
                types[item.at] = pa.float64()
        if len(self.labels) == 1:
            types[self.labels[0]] = category_type()
        for i in (*(self.labels if len(self.labels) > 1 else ()), self.weights, self.offset):
            if i is not None:
                types[i] = pa.float64()
        for i in self.kept.values():
            types.pop(i, None)
        return {i: types.get(i, pa.string()) for i in self.needed}

    def block(self, table: Mapping[int, Any], n: int, where: Where) -> tuple[Block, list[Wrong], np.ndarray]:
        """Make a block.

        Parameters
        ----------
        table : mapping of int to pyarrow.ChunkedArray [n]
            Columns by their number: floats, moments, strings or dictionaries of them.

        Returns
        -------
        Block [n], list of Wrong, bool [n]
            All rows; cells that cannot be read; and the rows that have no label.
        """
        wrong: list[Wrong] = []
        x = np.empty((n, sum(item.column.kind == "number" for item in self.features)))
        others: list[pa.Array] = []
        j = 0
        for item in self.features:
            if item.column.kind == "number":
                x[:, j] = self._numbers(item.at, table[item.at], item.dialect, wrong)
                j += 1
            elif item.column.kind == "date":
                others.append(self._dates(item, table[item.at], wrong))
            else:
                others.append(cells.categories(table[item.at], self.missing, item.column.by == "flag"))
        features = x if self.numeric else Frame(x, others, self.columns)
        y, unlabelled = self.label_values(table, n, wrong)
        weight, offset = (
            None if i is None else self._numbers(i, table[i], self.usual, wrong) for i in (self.weights, self.offset)
        )
        kept = None
        if self.kept:
            arrays = [cells.whole(table[i]) for i in self.kept.values()]
            kept = pa.RecordBatch.from_arrays(arrays, names=[*self.kept])
        return Block(features, y, where, weight, offset, kept), wrong, unlabelled

    def _numbers(self, i: int, column: Any, dialect: Dialect, wrong: list[Wrong]) -> np.ndarray:
        if pa.types.is_floating(column.type):
            return column.to_numpy()
        values, bad = cells.numbers(column, dialect)
        if bad.any():
            wrong.append(self._wrong(i, column, bad, "{} is not a number"))
        large = np.abs(values) >= OVERFLOW
        if large.any():
            wrong.append(self._wrong(i, column, large, "{}; expected a finite float32 number"))
        return values

    def _dates(self, item: Feature, column: Any, wrong: list[Wrong]) -> pa.Array:
        if column.type == date_type():
            return cells.whole(column)
        moments, bad = cells.dates(column, item.dialect)
        if bad.any():
            wrong.append(self._wrong(item.at, column, bad, "{} is not a date"))
        return moments

    def _wrong(self, i: int, column: Any, bad: np.ndarray, message: str) -> Wrong:
        rows = np.flatnonzero(bad)
        texts = column.take(pa.array(rows)).to_pylist()
        mends: list[str] = []
        if any(item.at == i for item in self.features):
            mends = [_TOKEN]
            if not self.trained:
                flags = ("--columns {}:category takes the column as text", "--ignore {} leaves it out")
                text, ignore = (flag_of(flag, self.names[i]) for flag in flags)
                if self.names[i] == str(i):  # while messages count columns from 1
                    ignore += "; flags count from 0"
                mends = [text, _TOKEN, ignore]
        elif i in self.labels:
            mends = [_TOKEN]
        elif i in (self.weights, self.offset):
            mends = [f"--{'weights' if i == self.weights else 'offset'} names another column"]
        return Wrong(i, message, mends, dict(zip(rows.tolist(), texts, strict=True)))

    def label_values(self, table: Mapping[int, Any], n: int, wrong: list[Wrong]) -> tuple[Any, np.ndarray]:
        """Give labels, object [n] or float64 [n, O] or None, and which rows have none."""
        if len(self.labels) == 1:
            return self._label(self.labels[0], table[self.labels[0]], wrong)
        unlabelled = np.zeros(n, bool)
        if not self.labels:
            return None, unlabelled
        y = np.empty((n, len(self.labels)))
        for j, i in enumerate(self.labels):
            before = len(wrong)
            y[:, j] = self._numbers(i, table[i], self.usual, wrong)
            spoiled = [row for item in wrong[before:] for row in item.texts]
            absent = np.isnan(y[:, j])
            absent[spoiled] = False
            unlabelled |= absent
        return y, unlabelled

    def _label(self, i: int, column: Any, wrong: list[Wrong]) -> tuple[np.ndarray, np.ndarray]:
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        values, states = [], []  # state 0: a label; 1: none; 2: infinite
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            levels = [(level or "").strip() for level in chunk.dictionary.to_pylist()]
            if self.dotted:
                levels = [level.removesuffix(".") for level in levels]
            if self.label_dialect is not None:
                levels = self._in_plain(levels, self.label_dialect)
            known = [1 if level in self.empty else 0 if is_label(level) else 2 for level in levels]
            codes = chunk.indices.to_numpy()
            values.append(np.array(levels or [""], object)[codes])
            states.append(np.array(known or [0])[codes])
        y = np.concatenate(values) if values else np.empty(0, object)
        state = np.concatenate(states) if states else np.empty(0, np.int64)
        if (state == 2).any():
            rows = np.flatnonzero(state == 2)
            texts = dict(zip(rows.tolist(), y[rows].tolist(), strict=True))
            wrong.append(Wrong(i, "label {}; expected a name or a finite number", "", texts))
        return y, state == 1

    def _in_plain(self, levels: list[str], dialect: Dialect) -> list[str]:
        """Write labels that are numbers of a dialect as Python does."""
        plain = cells.plain(pa.array(levels, pa.string()), dialect).to_pylist()
        return [new if old and is_number(new) else old for old, new in zip(levels, plain, strict=True)]


def is_label(text: str) -> bool:
    """Tell whether a text is there, and is not infinity."""
    return bool(text) and (not is_number(text) or is_finite(text))
