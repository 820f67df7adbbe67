"""Graphs side by side on a dataset: what 8-bit whole numbers cost, and which way of making them costs least."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.data import Bad, Block, Source
from hdl.data.labels import as_array
from hdl.errors import DataError
from hdl.export import int8
from hdl.export.building import serialise
from hdl.export.rows import feeds_of
from hdl.ops import losses

if TYPE_CHECKING:
    from hdl.predict import Model

ROWS = 1024  # answered at a time


@dataclass(frozen=True)
class Int8:
    """The better of the int8 graphs of a model, beside the float32 one.

    Parameters
    ----------
    content : bytes
        Of its file.
    how : {'static', 'dynamic'}
    measure : str
        What the values are of: `accuracy`, `R²`, or `R² to float32` of codes and reconstructions.
    float32 : float
    values : dict of str to float
        Of each way.
    rows : int
        Samples that were measured on.
    sizes : (int, int)
        Bytes of the float32 and the int8 file.
    """

    content: bytes
    how: str
    measure: str
    float32: float
    values: dict[str, float]
    rows: int
    sizes: tuple[int, int]


def int8_of(model: Model, graph: Any, source: Source, coding: bool = False) -> Int8:
    """Makes int8 graphs of a model's graph, measures them on a dataset, and gives the better one.

    Parameters
    ----------
    model : Model
    graph : onnx.ModelProto
        That `hdl.export.of_model` made of it.
    source : Source
        On which the ranges of what flows between layers are found, some 2,000 evenly spread rows of it, and all graphs
        are measured.

    coding : bool
        The graph makes codes: they are compared with those of float32, and no labels are needed.

    Raises
    ------
    DataError
        It has no samples, or no labels where the model answers.
    Unavailable
        onnxruntime or its tools are missing.
    """
    plain = serialise(graph)
    first = int8.session_of(plain)
    kept = int8.Calibration()
    for block, _ in _labelled(model, source, coding):
        kept.offer(feeds_of(first, block, model.schema))
    files = {how: serialise(int8.quantised(graph, how, kept.batches())) for how in int8.HOW}
    sessions = [first, *(int8.session_of(content) for content in files.values())]
    found, name = _measured(model, sessions, source, coding)
    reference, *others = found.values()
    values = dict(zip(files, others, strict=True))
    how = max(values, key=lambda how: values[how])  # of equals the first: its ranges are not computed anew each time
    return Int8(files[how], how, name, reference, values, found.rows, (len(plain), len(files[how])))


def _measured(model: Model, sessions: Sequence[Any], source: Source, coding: bool) -> tuple[int8.Agreement, str]:
    """Measure graphs on labels, or on what the first of them answers where that is codes."""
    schema = model.schema
    names = as_array(schema.classes) if schema.classes and not coding else None
    shares = names is not None or (not coding and model.spec.cost not in losses.REGRESSION)
    found = int8.Agreement(len(sessions), shares)
    for block, y in _labelled(model, source, coding):
        inputs = feeds_of(sessions[0], block, schema)
        answers = [session.run(None, inputs) for session in sessions]
        last = [answer[-1] for answer in answers]
        if y is None:
            found.add(last, last[0])
        elif names is not None:
            codes = y.argmax(1) if y.ndim == 2 and y.shape[1] > 1 else y.astype(int).ravel()
            found.add([answer[0] for answer in answers], names[codes])
        elif shares:  # several labels a sample
            found.add([scores > 0.5 for scores in last], y > 0.5)
        else:
            found.add(last, schema.in_units(y))
    if not found.rows:
        raise DataError("no samples to calibrate on", source.paths[0] if source.paths else "")
    return found, "accuracy" if shares else "R² to float32" if coding else "R²"


def _labelled(model: Model, source: Source, coding: bool) -> Iterator[tuple[Block, NDArray | None]]:
    """Read raw samples that the model takes, some at a time, and their labels where it answers."""
    bad, schema = Bad(source.options.max_bad_records), model.schema
    for splits in source.splits(1):
        for raw in source.read(splits, bad):
            block, y = model._fitted(replace(raw, rows=np.arange(len(raw))), bad), None
            if not len(block):
                continue
            if not coding and (offset := model.reading.get("offset")) and block.offset is None:
                raise DataError(f"the data has no column {offset}, the offset of the model", **block.where(0))
            if not coding:
                if block.y is None:
                    raise DataError("the data has no labels, by which the loss is measured", **block.where(0))
                y, good = schema.encode(block.y, block.where, bad)
                block, y = block.keep(good), y[good]
            numbers = block.rows
            assert numbers is not None
            for low in range(0, len(block), ROWS):
                rows = numbers[low : low + ROWS]
                yield raw.take(rows, raw.where), None if y is None else y[low : low + ROWS]
