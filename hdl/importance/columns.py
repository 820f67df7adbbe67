"""Columns of a model's data: which inputs of the net each one becomes, and rows whose cells are exchanged.

A row's encoding of a column is a function of its own cell alone. So to permute a column's inputs is to permute its raw
cells before they are encoded, and rows are encoded once.

Letters: n rows, I inputs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl.data import Bad, Block, Csr, Schema
from hdl.data.mixed import Mixed
from hdl.data.tabular.categories import Category
from hdl.errors import SpecError
from hdl.passes import Rows

if TYPE_CHECKING:
    from hdl.predict import Model

MOST_COLUMNS = 2048


class Inputs(NamedTuple):
    """The inputs of one column.

    Attributes
    ----------
    name : str
    kind : {'number', 'category', 'date'}
    numbers : slice
        Among the inputs that are numbers; empty of a category.
    code : int
        Among the categories; -1 of others.
    """

    name: str
    kind: str
    numbers: slice
    code: int = -1


def of_schema(schema: Schema) -> list[Inputs]:
    """List the columns that are inputs of a model, in their order.

    Raises
    ------
    SpecError
        The model sees images, or more columns than `MOST_COLUMNS`.
    """
    if schema.image:
        shape = "x".join(map(str, schema.image))
        raise SpecError(f"importance is of columns, and the model sees images of {shape}: no single pixel matters")
    width = len(schema.encodings.used) if schema.encodings else schema.inputs
    if width > MOST_COLUMNS:
        raise SpecError(f"importance: the model has {width:,} columns, expected at most {MOST_COLUMNS:,}")
    if schema.encodings is None:
        names = schema.names or tuple(map(str, range(width)))
        return [Inputs(str(name), "number", slice(j, j + 1)) for j, name in enumerate(names)]
    found, number, category = [], 0, 0
    for column, part in schema.encodings.used:
        if isinstance(part, Category):
            found.append(Inputs(column.name, column.kind, slice(0, 0), category))
            category += 1
        else:
            found.append(Inputs(column.name, column.kind, slice(number, number + part.width)))
            number += part.width
    return found


@dataclass(frozen=True)
class Drawn:
    """Rows that were drawn from the data.

    Parameters
    ----------
    raw : Block
    block : Block
        Encoded.
    y : encoded labels, or None
    """

    raw: Block
    block: Block
    y: NDArray | None

    def __len__(self) -> int:
        return len(self.block)


def of_rows(model: Model, rows: Rows) -> Drawn:
    """Encode rows that were drawn; those to which the network has no finite answer are left out."""
    raw, _ = rows.drawn()
    if raw is None:
        raise SpecError("importance: the data has no samples")
    bad = Bad(sys.maxsize)
    block = model._fitted(replace(raw, rows=np.arange(len(raw))), bad)
    if not isinstance(block.x, Mixed):  # what was read may not be written to
        block = replace(block, x=block.x.dense() if isinstance(block.x, Csr) else np.array(block.x))
    y = None
    if model.schema.encoding != "none":
        y, good = model.schema.encode(block.y, block.where, bad)
        block, y = block.keep(good), y[good]
    finite = np.concatenate([np.isfinite(out).all(axis=1) for out in answers(model, block)])
    block, y = block.keep(finite), None if y is None else y[finite]
    return Drawn(raw.take(block.rows, raw.where), block, y)


def answers(model: Model, block: Block) -> Any:
    """Give the outputs of some rows at a time."""
    for lo in range(0, len(block), model._rows):
        yield model._forward(block.slice(lo, min(lo + model._rows, len(block))), None)[0]


@contextmanager
def exchanged(x: Any, own: Inputs, order: NDArray[np.int64], source: Any = None) -> Iterator[None]:
    """Replace a column's cells within this context: row i has that of row order[i].

    Parameters
    ----------
    x : encoded features [n, I]
        Changed in place, and as before at the end.
    own : Inputs
    order : int64 [n]
    source : encoded features, optional
        Whose rows they are; None: those of x.
    """
    array, columns = _cells(x, own)
    before = array[:, columns].copy()
    array[:, columns] = (before if source is None else _cells(source, own)[0][:, columns])[order]
    try:
        yield
    finally:
        array[:, columns] = before


def _cells(x: Any, own: Inputs) -> tuple[NDArray, slice]:
    """Give the array that holds a column's inputs, and where they are in it."""
    if not isinstance(x, Mixed):
        return x, own.numbers
    return (x.numbers, own.numbers) if own.code < 0 else (x.codes, slice(own.code, own.code + 1))
