"""The raw columns of a table as inputs of ONNX, and the first layer's share of them.

Letters: N rows, K inputs of the net that are numbers, O units of the first layer, L levels of a category.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdl.data.tabular.categories import Category
from hdl.data.tabular.dates import Date
from hdl.data.tabular.encoders import Encodings
from hdl.data.tabular.frame import Column
from hdl.data.tabular.numbers import Number
from hdl.errors import SpecError
from hdl.export.graph import ANSWERS, Graph
from hdl.export.numbers import date, number

TOKENS = ("", "NA", "NULL", "\\N", "<missing>")  # the first that is no level stands for a missing category
TYPES = {"number": np.float64, "category": object, "date": np.int64}


def in_use(encodings: Encodings) -> list[tuple[Column, Number | Date | Category]]:
    """List the columns that are inputs of the graph, with their encodings."""
    pairs = zip(encodings.columns, encodings.parts, strict=True)
    return [(column, part) for column, part in pairs if part is not None and part.width]


def input_names(encodings: Encodings, outputs: Sequence[str] = ANSWERS) -> dict[str, str]:
    """Name the inputs of the columns in use: as the columns, with `_` behind names that outputs have."""
    used = [column.name for column, _ in in_use(encodings)]
    names: dict[str, str] = {}
    for name in used:
        free = name
        while free in outputs or (free != name and (free in used or free in names.values())):
            free += "_"
        names[name] = free
    return names


def about(encodings: Encodings, outputs: Sequence[str] = ANSWERS) -> dict[str, str]:
    """Say for the file's metadata which column each input is, and what stands for a missing category."""
    columns = {given: name for name, given in input_names(encodings, outputs).items()}
    return {"hdl.columns": json.dumps(columns, ensure_ascii=False), "hdl.missing": missing_token(encodings)}


def missing_token(encodings: Encodings) -> str:
    """Choose the text that stands for a missing category: the empty one unless that is a level.

    Raises
    ------
    SpecError
        All of them are levels.
    """
    levels = {level for part in encodings.parts if isinstance(part, Category) for level in part.levels}
    for token in TOKENS:
        if token not in levels:
            return token
    raise SpecError(f"no text is left that could stand for a missing category: {TOKENS} are all levels")


def encoded(graph: Graph, encodings: Encodings) -> tuple[str | None, list[str]]:
    """Add the inputs and encodings of all columns.

    Returns
    -------
    str or None, and list of str
        The numbers float32 [N, K], None where K is 0; and of each category int64 [N], the number of its input from 0,
        or -1 for none.

    Raises
    ------
    SpecError
        A category has buckets: ONNX has no operator that hashes text.
    """
    names, token = input_names(encodings, graph.reserved), missing_token(encodings)
    numbers, codes = [], []
    for column, part in in_use(encodings):
        x = graph.input(names[column.name], TYPES[column.kind], 1)
        if isinstance(part, Category):
            codes.append(_codes(graph, column.name, part, x, token))
        elif isinstance(part, Date):
            numbers.append(date(graph, part, x))
        else:
            numbers.append(number(graph, part, x, graph.add("IsNaN", x)))
    if len(numbers) > 1:
        numbers = [graph.add("Concat", *numbers, axis=1)]
    return (numbers[0] if numbers else None), codes


def offset(graph: Graph, name: str, deviation: NDArray[np.float64] | None) -> str:
    """Add the input of what the column of that name adds to the one output, float32 [N, 1], in its unit."""
    free = name
    while free in (*graph.reserved, "input") or (free != name and free in graph.taken):
        free += "_"
    x = graph.input(free, np.float64, 1)
    return graph.cast(x if deviation is None else graph.add("Div", x, graph.constant("unit", deviation)), np.float32)


def _codes(graph: Graph, name: str, part: Category, x: str, token: str) -> str:
    if part.buckets:
        raise SpecError(
            f"column {name!r} has {part.buckets} buckets, and ONNX has no operator that hashes text; a model trained "
            "with --hash-buckets 0 can be exported"
        )
    keys = [*part.levels, token]
    values = [*range(len(part.levels)), part._absent]
    code = graph.add(
        "LabelEncoder", x, domain="ai.onnx.ml", keys_strings=keys, values_int64s=values, default_int64=part._unknown
    )
    return graph.add("Squeeze", code, graph.number("axis", 1, np.int64))


def first_layer(
    graph: Graph, encodings: Encodings, weights: NDArray[np.float32], bias: NDArray[np.float32],
    numbers: str | None, codes: Sequence[str],
) -> str:  # fmt: skip
    """Add the first layer [N, O]: the numbers' product, and the rows of W [I, O] that the categories choose."""
    k = encodings.numbers
    shift = graph.constant("b1", bias)
    value = None if numbers is None else graph.add("Gemm", numbers, graph.constant("W1", weights[:k]), shift)
    start = k
    for place, (levels, code) in enumerate(zip(encodings.levels, codes, strict=True), 1):
        rows = _with_none(weights[start : start + levels])
        start += levels
        chosen = graph.add("Gather", graph.constant(f"W1_{place}", rows), code)
        value = graph.add("Add", shift if value is None else value, chosen)
    assert value is not None, "no column is left"
    return value


def embedded(graph: Graph, tables: Sequence[NDArray[np.float32]], numbers: str | None, codes: Sequence[str]) -> str:
    """Add the numbers and, behind them, the vectors of E_c [L, d] that the categories choose."""
    parts = [] if numbers is None else [numbers]
    for place, (table, code) in enumerate(zip(tables, codes, strict=True), 1):
        parts.append(graph.add("Gather", graph.constant(f"E{place}", _with_none(table)), code))
    return graph.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]


def _with_none(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Append a row of zeros, which the code -1 chooses."""
    return np.concatenate([rows, np.zeros((1, rows.shape[1]), np.float32)])
