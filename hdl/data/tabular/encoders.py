"""A table's columns as a net's inputs: fitted from what one pass found, kept as plain values, applied to raw rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdl.data.mixed import Mixed
from hdl.data.names import flag_of
from hdl.data.tabular.categories import Category
from hdl.data.tabular.dates import Date
from hdl.data.tabular.frame import KINDS, Column, Frame
from hdl.data.tabular.numbers import Number
from hdl.errors import DataError

Part = Number | Date | Category
_PARTS: dict[str, Any] = {"number": Number, "date": Date, "category": Category}


@dataclass(frozen=True)
class Encodings:
    """Encodings of all columns of a table.

    Parameters
    ----------
    columns : tuple of Column
        Of the raw rows, in their order.
    parts : tuple of Number, Date, Category or None
        The encoding of each, None where it is left out.
    missing : {'mean', 'median', 'indicator', 'drop', 'error'}
        What becomes of a row that misses a number or a date: `drop` leaves it out, `error` makes it a bad record.
    reasons : dict of str to str
        Why a column is left out.

    Examples
    --------
    >>> columns = Column("size"), Column("colour", "category")
    >>> encodings = Encodings(columns, (Number(center=1.0), Category(("red", "blue"))))
    >>> encodings.names, encodings.numbers, encodings.levels
    (('size', 'colour=red', 'colour=blue'), 1, (2,))
    """

    columns: tuple[Column, ...]
    parts: tuple[Part | None, ...]
    missing: str = "mean"
    reasons: dict[str, str] | None = None

    @cached_property
    def numbers(self) -> int:
        """Count the inputs that are numbers, K: those of number and date columns, in the columns' order."""
        return sum(part.width for part in self.parts if isinstance(part, (Number, Date)))

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Count each category's inputs, which follow the numbers."""
        return tuple(part.width for part in self.parts if isinstance(part, Category))

    @property
    def inputs(self) -> int:
        """Count all inputs, I."""
        return self.numbers + sum(self.levels)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Name all inputs, such as `age`, `age is missing`, `seen: year` and `colour=red`."""
        named = [(part, part.names(column.name)) for column, part in self.used]
        kinds = (False, True)
        return tuple(
            name for kind in kinds for part, own in named if isinstance(part, Category) == kind for name in own
        )

    @cached_property
    def used(self) -> tuple[tuple[Column, Part], ...]:
        """The columns that are inputs, with their encodings."""
        return tuple((column, part) for column, part in zip(self.columns, self.parts, strict=True) if part is not None)

    def check(self, x: Frame | np.ndarray, where: Callable[[int], dict[str, Any]] | None = None) -> None:
        """Refuse raw rows that lack a column that is an input, or have it as another kind.

        Raises
        ------
        DataError
        """
        place = where(0) if where and len(x) else {}
        if not isinstance(x, Frame):
            if all(column.kind == "number" for column, _ in self.used) and x.shape[1] in self._widths:
                return
            raise DataError(f"{x.shape[1]} columns of numbers, expected {self._listed()}", **place)
        kinds = {column.name: column.kind for column in x.columns}
        for column, _ in self.used:
            kind = kinds.get(column.name)
            if kind is None:
                raise DataError(f"column {column.name!r} is missing, expected {self._listed()}", **place)
            if kind != column.kind:
                expected = f"expected kind {column.kind} as in the model's training data"
                flag = flag_of(f"--columns {{}}:{column.kind}", column.name)
                raise DataError(f"column {column.name!r} is of kind {kind}, {expected} ({flag})", **place)

    @cached_property
    def _widths(self) -> tuple[int, ...]:
        """Columns of a matrix of raw rows: all columns, or those that are inputs."""
        return len(self.columns), len(self.used)

    def _listed(self) -> str:
        names = ", ".join(f"{column.name} ({column.kind})" for column, _ in self.used[:12])
        more = ", …" if len(self.used) > 12 else ""
        return f"the {len(self.used)} of the model's training data: {names}{more}"

    def cells(self, x: Frame | np.ndarray) -> Iterator[tuple[Column, Part, Any]]:
        """Give each column that is an input, its encoding and its cells: float64 [n], or an Arrow array."""
        if isinstance(x, Frame):
            for column, part in self.used:
                cells = x[column.name]
                yield column, part, cells.astype(np.float64) if isinstance(cells, np.ndarray) else cells
            return
        columns = self.columns if x.shape[1] == len(self.columns) else [column for column, _ in self.used]
        place = {column.name: i for i, column in enumerate(columns)}
        for column, part in self.used:
            yield column, part, x[:, place[column.name]].astype(np.float64)

    def encode(self, x: Frame | np.ndarray, unseen: dict[str, int] | None = None) -> Mixed | np.ndarray:
        """Encode raw rows: float32 [n, K] where there are no categories.

        Parameters
        ----------
        x : Frame, or ndarray [n, columns] of numbers
            NaN and null are missing. Columns are found by their names; those that are no inputs need not be there.
        unseen : dict, optional
            Gets by column, added to what it has, the number of cells that have no input since training had not seen
            their level; where rare levels had one together, unknown ones are among these, and not counted.
        """
        out = np.empty((len(x), self.numbers), np.float32)
        codes = np.empty((len(x), len(self.levels)), np.int32)
        at, category, start = 0, 0, self.numbers
        for column, part, cells in self.cells(x):
            if isinstance(part, Category):
                local = part.encode(cells)
                if unseen is not None and (number := int(np.count_nonzero(local < 0))):
                    unseen[column.name] = unseen.get(column.name, 0) + number
                codes[:, category] = np.where(local < 0, -1, local + start)
                category, start = category + 1, start + part.width
            else:
                out[:, at : at + part.width] = part.encode(cells)
                at += part.width
        return Mixed(out, codes, self.inputs) if self.levels else out

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Give inputs [n, I] their columns' unit where these are numbers that were scaled along a line."""
        x, at = np.array(x, np.float64), 0
        for _, part in self.used:
            if isinstance(part, Number) and part.rule == "linear" and not part.edges:
                x[:, at] = x[:, at] * part.spread + part.center
            at += 0 if isinstance(part, Category) else part.width
        return x

    def lacking(self, x: Frame | np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Tell which rows [n] miss a number or a date that is an input, and the columns where they do."""
        lacks, names = np.zeros(len(x), bool), []
        for column, part, cells in self.cells(x):
            if isinstance(part, Category):
                continue
            missing = np.isnan(cells) if column.kind == "number" else cells.is_null().to_numpy(zero_copy_only=False)
            if missing.any():
                lacks |= missing
                names.append(column.name)
        return lacks, names

    def to_plain(self) -> dict[str, Any]:
        """Return plain values of JSON."""
        listed = [
            {"name": column.name, "kind": column.kind, "by": column.by}
            | ({"left_out": (self.reasons or {}).get(column.name, "")} if part is None else part.to_plain())
            for column, part in zip(self.columns, self.parts, strict=True)
        ]
        return {"missing": self.missing, "columns": listed}

    @classmethod
    def from_plain(cls, plain: Any) -> Encodings:
        """Rebuild encodings from what `to_plain` gave, or what JSON made of it.

        Raises
        ------
        ValueError
            They are not what `to_plain` gives.
        """
        if not isinstance(plain, dict) or set(plain) != {"missing", "columns"}:
            raise ValueError("encodings of columns without their fields")
        rule, listed = plain["missing"], plain["columns"]
        if rule not in ("mean", "median", "indicator", "drop", "error") or not isinstance(listed, (list, tuple)):
            raise ValueError(f"encodings of columns with missing {rule!r}")
        columns: list[Column] = []
        parts: list[Part | None] = []
        reasons: dict[str, str] = {}
        for fields in listed:
            if not isinstance(fields, dict) or {type(fields.get(name)) for name in ("name", "kind", "by")} != {str}:
                raise ValueError(f"a column's encoding {fields!r}")
            rest = dict(fields)
            column = Column(rest.pop("name"), rest.pop("kind"), rest.pop("by"))
            if column.kind not in KINDS:
                raise ValueError(f"a column's encoding of kind {column.kind!r}")
            if column.name in {known.name for known in columns}:
                raise ValueError(f"two encodings of a column {column.name!r}")
            columns.append(column)
            if "left_out" in rest:
                if set(rest) != {"left_out"} or type(rest["left_out"]) is not str:
                    raise ValueError(f"a column's encoding {fields!r}")
                reasons[column.name] = rest["left_out"]
            parts.append(None if "left_out" in rest else _PARTS[column.kind].from_plain(rest))
        made = cls(tuple(columns), tuple(parts), rule, reasons)
        if not made.inputs:
            raise ValueError("encodings of columns without an input")
        return made
