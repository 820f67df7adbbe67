"""Values of a column at which partial dependence is computed, found in the rows that were drawn.

Letters: n rows, G values.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa
from hdl.data import Bad, Csr
from hdl.data.tabular.frame import Frame, category_type, date_type
from hdl.importance.columns import Drawn, Inputs
from hdl.importance.effects import Cell

if TYPE_CHECKING:
    from hdl.predict import Model

MOST_VALUES = 20  # of a number
MOST_LEVELS = 12
SHARES = 0.05, 0.95  # of the rows, between which a number's values lie


class Grid:
    """Some values of a column.

    Parameters
    ----------
    cells : list
        As Arrow or NumPy hold them; None is missing.
    count : list of int
        Rows nearest to each.
    """

    def __init__(self, kind: str, cells: list[Any], count: list[int]):
        self.kind, self.cells, self.count = kind, cells, count

    def plain(self) -> list[Cell]:
        """Give the values as plain ones: dates as ISO text."""
        if self.kind != "date":
            return list(self.cells)
        return [None if cell is None else _iso(cell) for cell in self.cells]


def find(model: Model, drawn: Drawn, own: Inputs, place: int) -> Grid:
    """Find a column's grid: quantiles of its cells, or its most frequent levels; missing ones are a value too.

    Parameters
    ----------
    model : Model
    drawn : Drawn
    own : Inputs
    place : int
        Of the column among all that are inputs.
    """
    cells, encodings = _cells(model, drawn, own, place), model.schema.encodings
    if own.kind == "category":
        counted = cells.value_counts()
        levels = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
        known: dict[str | None, int] = {}
        for level, number in levels:
            known[level] = known.get(level, 0) + number
        missing = known.pop(None, 0)
        often = sorted(known, key=lambda level: (-known[level], str(level)))[:MOST_LEVELS]
        grid = Grid(own.kind, list(often), [known[level] for level in often])
    else:
        there, missing = _present(cells)
        values = _quantiles(there)
        nearest = np.searchsorted((values[1:] / 2 + values[:-1] / 2), there) if len(values) else np.empty(0, np.int64)
        count = np.bincount(nearest, minlength=len(values)).tolist()
        grid = Grid(own.kind, values.tolist(), count)
        if encodings is None or encodings.missing in ("drop", "error"):
            return grid
    if missing:
        grid.cells.append(None)
        grid.count.append(missing)
    return grid


def encoded(model: Model, drawn: Drawn, own: Inputs, place: int, grid: Grid) -> Any:
    """Encode rows [G] that hold the grid's values in the column, and in all others what the first drawn row has."""
    n = len(grid.cells)
    raw = drawn.raw.take(np.zeros(n, np.int64), lambda i: {})
    x = raw.x
    if isinstance(x, Frame):
        numbers, others = x.numbers.astype(np.float64), list(x.others)
        number = other = 0
        for column in x.columns:
            at = number if column.kind == "number" else other
            if column.name == own.name and column.kind == "number":
                numbers[:, at] = [np.nan if cell is None else cell for cell in grid.cells]
            elif column.name == own.name:
                others[at] = _array(own.kind, grid.cells)
            number, other = (number + 1, other) if column.kind == "number" else (number, other + 1)
        x = Frame(numbers, others, x.columns)
    else:
        x = (x.dense() if isinstance(x, Csr) else x).astype(np.float64)
        x = np.hstack([x, np.zeros((n, max(0, _width(model) - x.shape[1])))])
        x[:, _at(model, x, own, place)] = [np.nan if cell is None else cell for cell in grid.cells]
    out = model._fitted(replace(raw, x=x, y=None, weight=None, offset=None), Bad(sys.maxsize)).x
    return out.dense() if isinstance(out, Csr) else out


def _width(model: Model) -> int:
    return 0 if model.schema.encodings else model.schema.inputs


def _at(model: Model, x: NDArray, own: Inputs, place: int) -> int:
    """Find a column of a matrix: all of the table's columns lie in it, or those that are inputs."""
    encodings = model.schema.encodings
    if encodings is None or x.shape[1] != len(encodings.columns):
        return place
    return [column.name for column in encodings.columns].index(own.name)


def _cells(model: Model, drawn: Drawn, own: Inputs, place: int) -> Any:
    """Give a column's raw cells: float64 [n], or an Arrow array."""
    x = drawn.raw.x
    if isinstance(x, Frame):
        cells = x[own.name]
        return cells.astype(np.float64) if isinstance(cells, np.ndarray) else cells
    dense = x.dense() if isinstance(x, Csr) else x
    at = _at(model, dense, own, place)
    return dense[:, at].astype(np.float64) if at < dense.shape[1] else np.zeros(len(dense))


def _present(cells: Any) -> tuple[NDArray[np.float64], int]:
    """Give the cells that are there, as numbers in order, and count those that are not."""
    if isinstance(cells, np.ndarray):
        there = cells[~np.isnan(cells)]
    else:
        there = cells.drop_null().cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
    return np.sort(there), len(cells) - len(there)


def _quantiles(there: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose values that are there, sorted [n]: all, where they are few, else evenly by rank within `SHARES`.

    Where most cells are one number, such as the 0 of capital gains, ranks are those of the different values.
    """
    values = np.unique(there)
    if len(values) <= MOST_VALUES:
        return values
    found = _by_rank(there)
    if len(found) >= MOST_VALUES // 2:
        return found
    usual = values[np.argmax(np.diff(np.append(np.searchsorted(there, values), len(there))))]
    return np.union1d(_by_rank(values), [usual])


def _by_rank(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Choose cells evenly among sorted ones [n]."""
    ranks = np.round(np.linspace(*SHARES, MOST_VALUES) * (len(cells) - 1)).astype(np.int64)
    return np.unique(cells[ranks])


def _array(kind: str, cells: list[Any]) -> pa.Array:
    if kind == "category":
        return pa.array(cells, pa.string()).dictionary_encode().cast(category_type())
    return pa.array([None if cell is None else int(cell) for cell in cells], pa.int64()).cast(date_type())


def _iso(cell: float) -> str:
    """Write microseconds since 1970 as ISO text, without a time of day that is midnight."""
    return str(np.datetime64(int(cell), "us")).removesuffix(".000000").removesuffix("T00:00:00")
