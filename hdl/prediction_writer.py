"""A network's answers as a file: CSV, Parquet or npy, written block by block."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hdl.predict import Answers, Coded, Model

SUFFIXES = (".csv", ".parquet", ".npy")
_NPY_HEADER = 128  # bytes set aside for the header, which is known only at the end


def write(file: BinaryIO, suffix: str, model: Model, answers: Iterable[Answers], labels_only: bool = False) -> int:
    """Writes answers in their order, and returns how many there were.

    Parameters
    ----------
    file : binary file
    suffix : {'.csv', '.parquet', '.npy'}
    model : Model
        Whose answers they are.
    answers : iterable of Answers
    labels_only : bool
    """
    classes, n = list(model.schema.classes) or None, 0
    dtype = np.float32 if model.schema.target_mean is None else np.float64
    writer = Writer(file, suffix, columns(model), classes, labels_only, dtype)
    for block in answers:
        out = block.out
        if classes and out.shape[1] == 1:  # one sigmoid: the probability of the second class
            out = np.hstack([1 - out, out])
        writer.write(out, block.labels)
        n += len(out)
    writer.close()
    return n


def write_codes(file: BinaryIO, suffix: str, coded: Iterable[Coded], width: int) -> int:
    """Writes codes in their order, in CSV and Parquet after a column `label`, and returns how many there were.

    Where the data has no labels there is no such column.

    Parameters
    ----------
    file, suffix :
        As of `write`.
    coded : iterable of Coded
    width : int
        H, the codes of a sample.
    """
    writer, n = None, 0
    for block in coded:
        labels: Any = block.labels
        if writer is None:
            known: Any = None if labels is None else labels[:0] if labels.dtype != object else [""]
            writer = Writer(file, suffix, [f"code:{j}" for j in range(width)], known)
        if labels is not None and labels.dtype == object:
            labels = [str(label) for label in labels]
        writer.write(block.codes, labels)
        n += len(block.codes)
    (writer or Writer(file, suffix, [f"code:{j}" for j in range(width)])).close()
    return n


def columns(model: Model) -> list[str]:
    """Names the outputs of a network."""
    schema = model.schema
    kind = "value" if model.spec.loss == "squared" or schema.encoding == "none" else "probability"
    outputs = model.spec.widths[-1] if model.spec.model == "mlp" else schema.outputs
    names = schema.classes or schema.targets or range(outputs)
    return [kind] if len(names) == 1 else [f"{kind}:{name}" for name in names]


def label_array(classes: Sequence[Any] | NDArray) -> NDArray:
    """Makes an array [C] of classes, of the type that holds each as it is: bool, int64, uint64, float64, or text.

    Text is for those that are text, and for numbers that no such type holds.

    Examples
    --------
    >>> some = [0, 1], [3, 2**63 + 5], [-1, 2**63 + 5], [2**70], [False, True], [0, 0.5]
    >>> [label_array(classes).dtype.str for classes in some]
    ['<i8', '<u8', '<U19', '<U22', '|b1', '<f8']
    """
    if isinstance(classes, np.ndarray) and classes.dtype != object:
        return classes
    values = list(classes)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        for dtype in (np.int64, np.uint64):
            if all(np.iinfo(dtype).min <= value <= np.iinfo(dtype).max for value in values):
                return np.array(values, dtype)
    elif all(isinstance(value, bool) for value in values):
        return np.array(values, bool)
    elif all(isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53) for value in values):
        return np.array(values, np.float64)
    return np.array([str(value) for value in values])


class Writer:
    """Writes blocks of predictions into a file of the format that a suffix names.

    Parameters
    ----------
    file : binary file
        Seekable for npy.
    suffix : {'.csv', '.parquet', '.npy'}
    columns : sequence of str
        Names of the outputs.
    classes : sequence or None
        The values of labels; None where there are no labels.
    labels_only : bool
        Write labels and no outputs.
    dtype : float32 or float64
        Of the outputs.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        columns: Sequence[str],
        classes: Sequence[Any] | None = None,
        labels_only: bool = False,
        dtype: Any = np.float32,
    ):
        self._out = np.dtype(dtype)
        self._file, self._suffix, self._columns = file, suffix.lower(), list(columns)
        self._labels_only, self._classes, self._n = labels_only, classes, 0
        self._writer: Any = None
        self._text: bool | None = None  # whether labels are written as text
        if self._suffix == ".npy":
            file.write(b" " * _NPY_HEADER)
            self._dtype = label_array(classes or ()).dtype if labels_only else self._out
        else:
            self._schema = self._arrow_schema()
            self._writer = self._arrow_writer()

    def write(self, out: NDArray[np.floating], labels: Sequence[Any] | NDArray | None) -> None:
        """Appends outputs [n, O] and labels [n]."""
        import pyarrow as pa

        self._n += len(out)
        if self._suffix == ".npy":
            values: Any = np.ascontiguousarray(out, self._out)
            if self._labels_only:
                values = np.asarray(self._as_written([] if labels is None else labels), self._dtype)
            self._file.write(values.tobytes())
            return
        columns = [] if self._labels_only else [pa.array(np.ascontiguousarray(column, self._out)) for column in out.T]
        if labels is not None:
            columns.insert(0, pa.array(self._as_written(labels), self._schema.field(0).type))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Completes the file; it stays open."""
        if self._writer is not None:
            self._writer.close()
            return
        shape = (self._n,) if self._labels_only else (self._n, len(self._columns))
        said = repr({"descr": self._dtype.str, "fortran_order": False, "shape": shape}).encode()
        length = _NPY_HEADER - 10
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + said.ljust(length - 1) + b"\n")
        self._file.seek(0, os.SEEK_END)

    def _arrow_schema(self) -> Any:
        import pyarrow as pa

        fields = [] if self._labels_only else [(name, pa.from_numpy_dtype(self._out)) for name in self._columns]
        if self._classes is not None:
            fields.insert(0, ("label", pa.array(label_array(self._classes)).type))
        return pa.schema(fields)

    def _as_written(self, labels: Sequence[Any] | NDArray) -> list[Any]:
        """Makes plain values of labels, or texts where the file's column of labels is text."""
        if self._text is None:
            kind = label_array([] if self._classes is None else self._classes).dtype.kind
            self._text = kind == "U"
        plain = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
        return [str(label) for label in plain] if self._text else plain

    def _arrow_writer(self) -> Any:
        import pyarrow.csv
        import pyarrow.parquet

        if self._suffix == ".csv":
            return pyarrow.csv.CSVWriter(self._file, self._schema)
        return pyarrow.parquet.ParquetWriter(self._file, self._schema)
