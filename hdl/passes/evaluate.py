"""Measures a network on a part of a dataset, and makes the score of all parts.

Letters: n samples, O outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import evaluation, wire
from hdl.data import Bad, Block, FileSplit, Source
from hdl.errors import DataError, SpecError
from hdl.metrics import Measures
from hdl.passes.chunks import MOST_ROWS, Chunk, chunked
from hdl.passes.figures import Figures
from hdl.passes.parts import Partial, complete, cut, join_siblings
from hdl.passes.rows import Rows

if TYPE_CHECKING:
    from hdl.evaluation import Score
    from hdl.predict import Model


def evaluate(
    model: Model, source: Source, splits: Sequence[FileSplit], number: int = 0, of: int = 1, rows: int = 0
) -> Partial:
    """Measure a network on one part of a labelled dataset; no labels where the model has none.

    Parameters
    ----------
    model : Model
    source : Source
    splits : sequence of FileSplit
        The part.
    number, of : int
        Of the part, and how many there are.
    rows : int
        Raw rows that are drawn from all parts on the way; 0: none.

    Raises
    ------
    DataError
        The data has no labels, others than the model's, or more bad records than it may have in this part alone.
    SpecError
        The network is no more than the layers of a stack.
    """
    check(model)
    bad = Bad(source.options.max_bad_records)
    measures = evaluation.begin(model.schema, model.spec)
    drawn = Rows(rows, model.spec.seed) if rows else None
    for chunk in chunked(_samples(model, source, splits, number, bad, drawn), min(MOST_ROWS, model._rows)):
        out, result = model._forward(chunk.block, chunk.y)
        if not (good := model.finite(out, chunk.block, bad)).all():
            chunk = chunk.keep(good)
            out, result = model._forward(chunk.block, chunk.y)
        measures.add(out, chunk.y, model._samples(chunk.block, chunk.y).weight, result)
    values: dict[str, Any] = {"measures": measures} | ({"rows": drawn} if drawn else {})
    return Partial(number, number + 1, of, bad, values)


def whole(model: Model, source: Source, rows: int = 0) -> Partial:
    """Measure a network on all parts of a dataset, one after the other.

    Parameters and errors are those of `evaluate`.
    """
    parts = cut(source)
    found: list[Partial] = []
    for number, splits in enumerate(parts):
        found = join_siblings([*found, evaluate(model, source, splits, number, len(parts), rows)])
    return complete(found, make)


def check(model: Model) -> None:
    """Refuse a network whose answers have no cost.

    Raises
    ------
    SpecError
    """
    if not model.measurable:
        raise SpecError("the network only makes codes, and they have no cost: measure one of its layers' tables")


def score(model: Model, found: Partial, data: str, weights: str | None, threshold: float | None = None) -> Score:
    """Make the score of what was found in all parts.

    Parameters
    ----------
    data : str
        What was measured on, for errors.
    weights : str or None
        Column of the samples' weights, for errors.
    threshold : float, optional
        See `hdl.evaluation.score`.

    Raises
    ------
    DataError
        There was no sample, or none that weighs anything.
    """
    measures = found.values["measures"]
    if not measures.samples:
        raise DataError("no samples to evaluate on", data)
    if not measures.weight:
        raise DataError(f"every sample's weight is 0 (column {weights})", data)
    return evaluation.score(measures, model.schema, model.spec, found.bad, threshold)


def make(name: str, plain: dict[str, Any], tensors: wire.Tensors) -> Any:
    """Make a value of `Partial` of the parts that its `to_parts` gave."""
    kinds: dict[str, Any] = {"measures": Measures, "rows": Rows, "figures": Figures}
    return kinds[name].from_parts(plain, tensors)


def _samples(
    model: Model, source: Source, splits: Sequence[FileSplit], number: int, bad: Bad, drawn: Rows | None
) -> Iterator[Chunk]:
    """Read the samples of a part, block by block; raw rows of them are drawn."""
    schema, place = model.schema, 0
    for raw in source.read(splits, bad):
        block, y = model._fitted(replace(raw, rows=np.arange(len(raw))), bad), None
        if schema.encoding != "none":
            if block.y is None:
                raise DataError("the data has no labels, which evaluation needs", **block.where(0))
            y, good = schema.encode(block.y, block.where, bad)
            block, y = block.keep(good), y[good]
        if not len(block):
            continue
        if drawn is not None:
            drawn.offer(_of(raw, block.rows), number, place)
        place += len(block)
        yield Chunk(block, y)


def _of(raw: Block, rows: NDArray[np.int64] | None) -> Block:
    """Take the raw rows of those numbers."""
    return raw if rows is None or len(rows) == len(raw) else raw.take(rows, raw.where)
