"""Reads the labels of a text as people write them: numbers, and classes with a dot behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hdl.data.labels import MISSING_LABELS, Meanings
from hdl.data.tabular.cells import Dialect
from hdl.data.tabular.flags import Wish
from hdl.data.tabular.sniffer import find
from hdl.errors import DataError

_DOTTED = "the labels end with a dot, which is no part of them"


@dataclass(frozen=True)
class LabelCells:
    """The way that labels are written.

    Attributes
    ----------
    dialect : Dialect or None
        Of numbers; None: as Python writes them.
    dotted : bool
        A dot at their end is no part of them.
    notes : tuple of str
        What is told of it.
    """

    dialect: Dialect | None = None
    dotted: bool = False
    notes: tuple[str, ...] = ()


def look_at_labels(
    columns: Mapping[str, Sequence[str]], wishes: Sequence[Wish], usual: Dialect, point: bool, kind: str | None,
    schema: Any, path: str,
) -> LabelCells:  # fmt: skip
    """Find how labels are written by their first cells.

    Parameters
    ----------
    columns : mapping of str to sequence of str
        Cells of each label column, by what it is called in messages.
    wishes : sequence of Wish
        What `--columns` says of them.
    kind : str or None
        The kind that they were asked to be: category leaves them as they are.
    schema : Schema or None
        Of a model: labels that are its classes but for a dot at their end are these.

    Raises
    ------
    DataError
        The labels may be numbers with a decimal comma, or with thousands parted by one.
    """
    dotted = len(columns) == 1 and any(_dotted(cells, schema) for cells in columns.values())
    told = (_DOTTED,) if dotted else ()
    if settled := next((wish for wish in wishes if wish.settled), None):
        return LabelCells(Dialect.of(settled.details, usual.decimal, usual.missing), dotted, told)
    for called, cells in columns.items():
        found = find(cells, replace(usual, missing=MISSING_LABELS), None, point, schema is not None)
        if found.kind != "number" or kind == "category":
            continue
        flags = " or ".join(flag for flag in found.flags if flag.startswith("--decimal"))
        if found.problem and flags:
            raise DataError(f"label {called}: {found.problem}; {flags} decides", path)
        if not found.problem and not found.dialect.plain and len(columns) == 1:
            notes = [f"{called}: {note}" for note in found.notes if "{}" not in note]
            return LabelCells(found.dialect, dotted, (*notes, *told))
    return LabelCells(None, dotted, told)


def _dotted(cells: Sequence[str], schema: Any) -> bool:
    """Tell whether labels are a model's classes once a dot at their end is taken away, and none as they stand."""
    classes = getattr(schema, "classes", None)
    seen = {cell for cell in cells if cell and cell not in MISSING_LABELS}
    if not classes or not seen or not all(cell.endswith(".") for cell in seen):
        return False
    known = Meanings(classes)
    return all(known.code(cell) < 0 <= known.code(cell[:-1]) for cell in seen)
