"""A table's columns as a net's inputs: fitted from what one pass found, kept as plain values, applied to raw rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdl.data.mixed import Mixed
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
        named = [(part, part.names(column.name)) for column, part in zip(self.columns, self.parts, strict=True) if part]
        kinds = (False, True)
        return tuple(
            name for kind in kinds for part, own in named if isinstance(part, Category) == kind for name in own
        )

    def check(self, x: Frame | np.ndarray, where: Callable[[int], dict[str, Any]] | None = None) -> None:
        """Refuse raw rows of other columns than those of the training data.

        Raises
        ------
        DataError
        """
        place = where(0) if where and len(x) else {}
        if not isinstance(x, Frame):
            if x.shape[1] != len(self.columns) or any(column.kind != "number" for column in self.columns):
                raise DataError(f"{x.shape[1]} columns of numbers, expected {self._listed()}", **place)
            return
        if len(x.columns) != len(self.columns):
            raise DataError(f"{len(x.columns)} columns, expected {self._listed()}", **place)
        for got, expected in zip(x.columns, self.columns, strict=True):
            if got[:2] != expected[:2]:
                raise DataError(
                    f"column {got.name!r} of kind {got.kind}, expected {expected.name!r} of kind {expected.kind} as in "
                    f"the model's training data (--columns {expected.name}:{expected.kind})",
                    **place,
                )

    def _listed(self) -> str:
        names = ", ".join(f"{column.name} ({column.kind})" for column in self.columns[:12])
        more = ", …" if len(self.columns) > 12 else ""
        return f"the {len(self.columns)} of the model's training data: {names}{more}"

    def encode(self, x: Frame | np.ndarray) -> Mixed | np.ndarray:
        """Encode raw rows: float32 [n, K] where there are no categories.

        Parameters
        ----------
        x : Frame, or ndarray [n, columns] of numbers
            NaN and null are missing.
        """
        table, others = (x.numbers, iter(x.others)) if isinstance(x, Frame) else (x, iter(()))
        out = np.empty((len(x), self.numbers), np.float32)
        codes = np.empty((len(x), len(self.levels)), np.int32)
        number = at = category = 0
        start = self.numbers
        for column, part in zip(self.columns, self.parts, strict=True):
            if column.kind == "number":
                raw: Any = table[:, number]
                number += 1
            else:
                raw = next(others)
            if isinstance(part, Category):
                local = part.encode(raw)
                codes[:, category] = np.where(local < 0, -1, local + start)
                category, start = category + 1, start + part.width
            elif part is not None:
                if isinstance(part, Number):
                    raw = raw.astype(np.float64)
                out[:, at : at + part.width] = part.encode(raw)
                at += part.width
        return Mixed(out, codes, self.inputs) if self.levels else out

    def unscaled(self, x: np.ndarray) -> np.ndarray:
        """Give inputs [n, I] their columns' unit where these are numbers that were scaled along a line."""
        x, at = np.array(x, np.float64), 0
        for part in self.parts:
            if isinstance(part, Number) and part.rule == "linear" and not part.edges:
                x[:, at] = x[:, at] * part.spread + part.center
            at += 0 if part is None or isinstance(part, Category) else part.width
        return x

    def lacking(self, x: Frame | np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Tell which rows [n] miss a number or a date that is an input, and the columns where they do."""
        lacks, names = np.zeros(len(x), bool), []
        for column, missing in self._missing(x):
            if missing.any():
                lacks |= missing
                names.append(column.name)
        return lacks, names

    def _missing(self, x: Frame | np.ndarray) -> Sequence[tuple[Column, np.ndarray]]:
        table, others = (x.numbers, iter(x.others)) if isinstance(x, Frame) else (x, iter(()))
        found, number = [], 0
        for column, part in zip(self.columns, self.parts, strict=True):
            if column.kind == "number":
                if part is not None:
                    found.append((column, np.isnan(table[:, number])))
                number += 1
            else:
                raw = next(others)
                if part is not None and column.kind == "date":
                    found.append((column, raw.is_null().to_numpy(zero_copy_only=False)))
        return found

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
        columns, parts, reasons = [], [], {}
        for fields in listed:
            if not isinstance(fields, dict) or {type(fields.get(name)) for name in ("name", "kind", "by")} != {str}:
                raise ValueError(f"a column's encoding {fields!r}")
            rest = dict(fields)
            column = Column(rest.pop("name"), rest.pop("kind"), rest.pop("by"))
            if column.kind not in KINDS:
                raise ValueError(f"a column's encoding of kind {column.kind!r}")
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
