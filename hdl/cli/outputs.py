"""Files of predictions: CSV, Parquet and npy, written as a stream and published whole."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hdl.errors import SpecError

SUFFIXES = (".csv", ".parquet", ".npy")
_NPY_HEADER = 128  # bytes set aside for the header, which is known only at the end


def check(path: str, overwrite: bool, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises
    ------
    SpecError
        The suffix names no format, the folder is not there, or the file is and may not be replaced.
    """
    if Path(path).suffix.lower() not in suffixes:
        raise SpecError(f"--out {path}: expected a name that ends in {', '.join(suffixes)}")
    folder = Path(path).parent
    if not folder.is_dir():
        raise SpecError(f"--out {path}: there is no folder {folder}")
    if os.path.isdir(path):
        raise SpecError(f"--out {path}: is a folder; expected the name of a file")
    if os.path.lexists(path) and not overwrite:
        raise SpecError(f"--out {path}: exists already; give --overwrite to replace it, or another name")


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """A file that takes its name, over an older one, at a clean end only; a reader sees the old or the new one."""
    path = Path(path)
    temporary = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # what the user named
        raise
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


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
        What labels are taken from; None where there are no labels.
    labels_only : bool
        Write labels and no outputs.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        columns: Sequence[str],
        classes: Sequence[Any] | None = None,
        labels_only: bool = False,
    ):
        self._file, self._suffix, self._columns = file, suffix.lower(), list(columns)
        self._labels_only, self._classes, self._n = labels_only, classes, 0
        self._writer: Any = None
        if self._suffix == ".npy":
            file.write(b" " * _NPY_HEADER)
            self._dtype = np.asarray(classes).dtype if labels_only else np.dtype(np.float32)
        else:
            self._schema = self._arrow_schema()
            self._writer = self._arrow_writer()

    def write(self, out: NDArray[np.float32], labels: Sequence[Any] | NDArray | None) -> None:
        """Append outputs [n, O] and labels [n]."""
        import pyarrow as pa

        self._n += len(out)
        if self._suffix == ".npy":
            values = np.asarray(labels, self._dtype) if self._labels_only else np.ascontiguousarray(out, np.float32)
            self._file.write(values.tobytes())
            return
        columns = [] if self._labels_only else [pa.array(np.ascontiguousarray(column)) for column in out.T]
        if labels is not None:
            columns.insert(0, pa.array(list(labels), self._schema.field(0).type))
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Complete the file; it stays open."""
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

        fields = [] if self._labels_only else [(name, pa.float32()) for name in self._columns]
        if self._classes is not None:
            fields.insert(0, ("label", pa.array(list(self._classes)).type))
        return pa.schema(fields)

    def _arrow_writer(self) -> Any:
        import pyarrow.csv
        import pyarrow.parquet

        if self._suffix == ".csv":
            return pyarrow.csv.CSVWriter(self._file, self._schema)
        return pyarrow.parquet.ParquetWriter(self._file, self._schema)
