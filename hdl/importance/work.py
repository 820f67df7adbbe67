"""The work of importance: permutations and grid values, shared out as parts of the data are.

Each worker has all rows that were drawn, and does some of the columns' repetitions; what it answers are figures, so
that hardly anything travels.

Letters: n rows, O outputs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl import evaluation, rng
from hdl.data import Bad, Block
from hdl.importance import grids
from hdl.importance.columns import Drawn, answers, exchanged, of_rows, of_schema
from hdl.passes import Figures, Partial, Pass, Rows

if TYPE_CHECKING:
    from hdl.predict import Model

BASELINE = "baseline"
Beat = Callable[[int, float], Any]
Todo = tuple[str, Callable[[], list[float | None]]]  # a name, and what computes its figures


def part(model: Model, asked: Pass, number: int, beat: Beat) -> Partial:
    """Do a part of a pass of kind 'permute' or 'vary'.

    Parameters
    ----------
    model : Model
    asked : Pass
        Its tensors hold the rows that were drawn.
    number : int
        Of the part.
    beat : function of (part, share done)
        Called now and then.
    """
    drawn = of_rows(model, Rows.from_parts(asked.fields["rows"], asked.tensors))
    kinds: dict[str, Callable[..., list[Todo]]] = {
        "permute": _permutations,
        "vary": _values,
    }
    todo = kinds[asked.kind](model, drawn, asked)[number :: asked.parts]
    found: dict[str, list[float | None]] = {}
    for done, (name, compute) in enumerate(todo):
        beat(number, done / len(todo))
        found[name] = compute()
    return Partial(number, number + 1, asked.parts, Bad(), {"figures": Figures(found)})


def order(seed: int, column: int, repetition: int, n: int) -> NDArray[np.int64]:
    """Draw a permutation of n rows, keyed by (seed, column, repetition) and each row's place."""
    return np.argsort(rng.words(rng.derive(seed, rng.PERMUTE), column, repetition, 0, 0, n), kind="stable")


def _permutations(model: Model, drawn: Drawn, asked: Pass) -> list[Todo]:
    """List the measurements: of the rows as they are, and of each column in each repetition."""
    metric, seed = asked.fields["metric"], asked.fields["seed"]
    todo: list[Todo] = [(BASELINE, lambda: [measure(model, drawn, metric)])]
    for place, own in enumerate(of_schema(model.schema)):
        for repetition in range(asked.fields["repetitions"]):

            def permuted(place: int = place, own: Any = own, repetition: int = repetition) -> list[float | None]:
                with exchanged(drawn.block.x, own, order(seed, place, repetition, len(drawn))):
                    return [measure(model, drawn, metric)]

            todo.append((f"{place}/{repetition}", permuted))
    return todo


def _values(model: Model, drawn: Drawn, asked: Pass) -> list[Todo]:
    """List the mean answers: of each of some columns at each of its grid's values."""
    columns, todo = of_schema(model.schema), list[Todo]()
    for place in asked.fields["columns"]:
        own = columns[place]
        grid = grids.find(model, drawn, own, place)
        source = grids.encoded(model, drawn, own, place, grid)
        for number in range(len(grid.cells)):

            def varied(own: Any = own, source: Any = source, number: int = number) -> list[float | None]:
                with exchanged(drawn.block.x, own, np.full(len(drawn), number), source):
                    return [*mean(model, drawn.block)]

            todo.append((f"{place}/{number}", varied))
    return todo


def measure(model: Model, drawn: Drawn, metric: str) -> float | None:
    """Measure a network on rows as they are now; those whose answer is not finite with other cells are left out."""
    schema, rows = model.schema, model._rows
    measures, block = evaluation.begin(schema, model.spec), drawn.block
    for lo in range(0, len(block), rows):
        chunk = block.slice(lo, min(lo + rows, len(block)))
        y = None if drawn.y is None else drawn.y[lo : lo + rows]
        out, result = model._forward(chunk, y)
        if not (good := model.finite(out, chunk, Bad(sys.maxsize))).all():
            chunk, y = chunk.keep(good), None if y is None else y[good]
            out, result = model._forward(chunk, y)
        measures.add(out, y, model._samples(chunk, y).weight, result)
    return measures.metrics(schema.target_deviation)[metric]


def mean(model: Model, block: Block) -> list[float]:
    """Compute the mean answer to rows, by their weights, in the targets' unit: one number an output."""
    out = np.concatenate([*answers(model, block)]).astype(np.float64)
    out = model.schema.in_units(out)
    good = np.isfinite(out).all(axis=1)
    weight = np.ones(len(out)) if block.weight is None else block.weight.astype(np.float64)
    weight, out = weight[good], out[good]
    total = math.fsum(weight)  # exact: no processor's way of summing shows
    return [math.fsum(weight * column) / total if total else math.nan for column in out.T]
