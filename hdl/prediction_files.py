"""A network's answers to a dataset, or its codes, as a file: a line for each record, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hdl.prediction_writer import Writer

if TYPE_CHECKING:
    import pyarrow as pa

    from hdl.predict import Answers, Coded, Model


class Lines(NamedTuple):
    """Counts of the lines that were written: one for each record, and those that are empty, without an answer."""

    records: int
    empty: int


def write(
    file: BinaryIO,
    suffix: str,
    model: Model,
    answers: Iterable[Answers],
    labels_only: bool = False,
    kept: pa.Schema | None = None,
) -> Lines:
    """Writes answers in their order, a line for each record, and counts them.

    Parameters
    ----------
    file : binary file
    suffix : {'.csv', '.parquet', '.npy'}
    model : Model
        Whose answers they are.
    answers : iterable of Answers
    labels_only : bool
    kept : pyarrow.Schema, optional
        Columns of the data that come before the answers.

    Raises
    ------
    SpecError
        npy has no columns to keep.
    DataError
        Labels alone as npy, of a type that has no value for a record without an answer.
    """
    classes, lines = list(model.schema.classes) or None, Lines(0, 0)
    dtype = np.float32 if model.schema.target_mean is None else np.float64
    writer = Writer(file, suffix, columns(model), classes, labels_only, dtype, kept)
    for block in answers:
        out = block.out
        if classes and out.shape[1] == 1:  # one sigmoid: the probability of the second class
            out = np.hstack([1 - out, out])
        writer.write(out, block.labels, block.good, block.kept)
        lines = _counted(lines, len(out), block.good)
    writer.close()
    return lines


def write_codes(
    file: BinaryIO, suffix: str, coded: Iterable[Coded], width: int, kept: pa.Schema | None = None
) -> Lines:
    """Writes codes in their order, in CSV and Parquet after a column `label`, a line for each record; counts them.

    Where the data has no labels there is no such column.

    Parameters
    ----------
    file, suffix, kept :
        As of `write`.
    coded : iterable of Coded
    width : int
        H, the codes of a sample.
    """
    writer, lines = None, Lines(0, 0)
    first: list[Coded] = []

    def begun() -> Writer:
        known = next((block.labels for block in first if block.labels is not None), None)
        writer = Writer(file, suffix, code_names(width), _kind(known), kept=kept)
        for block in first:
            writer.write(block.codes, block.labels, block.good, block.kept)
        return writer

    for block in coded:
        lines = _counted(lines, len(block.codes), block.good)
        if writer is not None:
            writer.write(block.codes, block.labels, block.good, block.kept)
            continue
        first.append(block)
        if block.good is None or block.good.any():  # whether there are labels shows where there are codes
            writer = begun()
    (writer or begun()).close()
    return lines


def _counted(lines: Lines, n: int, good: NDArray[np.bool_] | None) -> Lines:
    """Counts n records more."""
    return Lines(lines.records + n, lines.empty + (0 if good is None else n - int(good.sum())))


def _kind(labels: Any) -> Any:
    """Tells the type of labels as a `Writer` takes it: their own, or text."""
    if labels is None or not isinstance(labels, np.ndarray):
        return labels if labels is None else labels.type
    return [""] if labels.dtype == object else labels[:0]


def code_names(width: int) -> list[str]:
    """Names the codes of a sample."""
    return [f"code:{j}" for j in range(width)]


def columns(model: Model) -> list[str]:
    """Names the outputs of a network."""
    schema = model.schema
    kind = "value" if model.spec.regression or schema.encoding == "none" else "probability"
    outputs = model.spec.widths[-1] if model.spec.model == "mlp" else schema.outputs
    names = schema.classes or schema.targets or range(outputs)
    return [kind] if len(names) == 1 else [f"{kind}:{name}" for name in names]
