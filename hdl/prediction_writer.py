"""Blocks of answers as a file of CSV, Parquet or npy.

A record that has no answer has its line all the same: empty cells in CSV, nulls in Parquet, NaN in npy.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa, pq, pycsv
from hdl.errors import DataError, SpecError

SUFFIXES = (".csv", ".parquet", ".npy")
_NPY_HEADER = 128  # bytes set aside for the header, which is known only at the end


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
    classes : sequence or pyarrow.DataType or None
        The values of labels, or their type; None where there are no labels.
    labels_only : bool
        Write labels and no outputs.
    dtype : float32 or float64
        Of the outputs.
    kept : pyarrow.Schema, optional
        Columns that come before all others. One that is called as a column of answers is written as `kept:NAME`.

    Raises
    ------
    SpecError
        npy has no columns to keep.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        columns: Sequence[str],
        classes: Sequence[Any] | pa.DataType | None = None,
        labels_only: bool = False,
        dtype: Any = np.float32,
        kept: pa.Schema | None = None,
    ):
        self._out = np.dtype(dtype)
        self._file, self._suffix, self._columns = file, suffix.lower(), list(columns)
        self._labels_only, self._classes, self._kept, self._n = labels_only, classes, kept, 0
        self._writer: Any = None
        self._text: bool | None = None  # whether labels are written as text
        refuse_kept(self._suffix, kept)
        if self._suffix == ".npy":
            file.write(b" " * _NPY_HEADER)
            self._dtype = label_array(classes or ()).dtype if labels_only else self._out
        else:
            self._schema = self._arrow_schema()
            self._writer = self._arrow_writer()

    def write(
        self,
        out: NDArray[np.floating],
        labels: Sequence[Any] | NDArray | pa.Array | None,
        good: NDArray[np.bool_] | None = None,
        kept: pa.RecordBatch | None = None,
    ) -> None:
        """Appends outputs [n, O] and labels [n].

        Parameters
        ----------
        good : bool [n], optional
            Which records have an answer; of the others there is none, whatever `out` and `labels` hold. None: all.
        kept : pyarrow.RecordBatch [n], optional
            None where columns are kept: they are not known of these records.

        Raises
        ------
        DataError
            A record without an answer, among labels alone as npy of a type that has no value for it.
        """
        self._n += len(out)
        lost = None if good is None or good.all() else ~good
        if self._suffix == ".npy":
            if self._labels_only:
                values: Any = np.asarray(self._as_written([] if labels is None else labels), self._dtype)
                values = values if lost is None else self._emptied(values, lost)
            else:
                values = np.array(out, self._out, order="C")
                if lost is not None:
                    values[lost] = np.nan
            self._file.write(values.tobytes())
            return
        columns: list[Any] = []
        if self._kept is not None:
            columns += _as_kept(kept, self._kept, len(out))
        if self._classes is not None:
            kind = self._schema.field(len(columns)).type
            if labels is None:
                columns.append(pa.nulls(len(out), kind))
            elif isinstance(labels, pa.Array):
                columns.append(labels.cast(kind))
            else:
                columns.append(pa.array(self._as_written(labels), kind, mask=lost))
        if not self._labels_only:
            columns += [pa.array(np.ascontiguousarray(column, self._out), mask=lost) for column in out.T]
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

    def _emptied(self, labels: NDArray, lost: NDArray[np.bool_]) -> NDArray:
        """Gives labels that are not there the value that stands for none: NaN, or an empty text."""
        if labels.dtype.kind not in "fU":
            first = self._n - len(labels) + int(np.flatnonzero(lost)[0])
            kind = "true and false" if labels.dtype.kind == "b" else "whole numbers"
            what = f"record {first + 1} has no answer, for which labels alone as npy, {kind}, have no value"
            raise DataError(f"{what}; write .csv or .parquet, or leave --labels-only out")
        labels[lost] = np.nan if labels.dtype.kind == "f" else ""
        return labels

    def _arrow_schema(self) -> Any:
        fields = [] if self._labels_only else [(name, pa.from_numpy_dtype(self._out)) for name in self._columns]
        if isinstance(self._classes, pa.DataType):
            fields.insert(0, ("label", self._classes))
        elif self._classes is not None:
            fields.insert(0, ("label", pa.array(label_array(self._classes)).type))
        own = {name for name, _ in fields}
        kept = [(f"kept:{field.name}" if field.name in own else field.name, field.type) for field in self._kept or ()]
        return pa.schema([*kept, *fields])

    def _as_written(self, labels: Sequence[Any] | NDArray) -> list[Any]:
        """Makes plain values of labels, or texts where the file's column of labels is text."""
        if self._text is None:
            kind = label_array([] if self._classes is None else self._classes).dtype.kind
            self._text = kind == "U"
        plain = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
        return [None if label is None else str(label) for label in plain] if self._text else plain

    def _arrow_writer(self) -> Any:
        if self._suffix == ".csv":
            return pycsv.CSVWriter(self._file, self._schema)
        return pq.ParquetWriter(self._file, self._schema)


def refuse_kept(suffix: str, kept: Any) -> None:
    """Refuses columns that are to be kept in a file that has no place for them.

    Parameters
    ----------
    suffix : str
    kept : sequence of str or pyarrow.Schema, or None
        Of a schema types are judged too.

    Raises
    ------
    SpecError
    """
    if kept and suffix == ".npy":
        raise SpecError("--keep: npy holds the answers alone, as one array of numbers; write .csv or .parquet")
    for field in kept if isinstance(kept, pa.Schema) and suffix == ".csv" else ():
        binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
        if pa.types.is_nested(field.type) or any(test(field.type) for test in binary):
            raise SpecError(f"--keep {field.name}: {field.type} has no place in CSV; write .parquet")


def _as_kept(kept: pa.RecordBatch | None, schema: pa.Schema, n: int) -> list[Any]:
    """Makes the columns of n records that are kept, of the types that the file has; nulls where nothing is known."""
    if kept is None:
        return [pa.nulls(n, field.type) for field in schema]
    return [column.cast(field.type) for column, field in zip(kept.columns, schema, strict=True)]
