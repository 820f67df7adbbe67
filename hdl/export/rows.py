"""Rows of a table as the inputs of an exported graph: for Python programs that have hdl beside onnxruntime."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hdl.data.tabular.arrow import canonical
from hdl.data.tabular.dates import MISSING
from hdl.data.tabular.memory import table_of
from hdl.errors import DataError

_KINDS = {"tensor(string)": "category", "tensor(int64)": "date"}


def feeds(inputs: Iterable[Any], table: Any, missing: str = "") -> dict[str, NDArray]:
    """Make the inputs of a session.

    Parameters
    ----------
    inputs : of objects with `name` and `type`
        As onnxruntime's `session.get_inputs()` gives them.
    table : of pandas, polars or pyarrow, or whatever gives Arrow's C stream
        With all columns in use; others are passed over.
    missing : str
        Stands for a missing category: `hdl.missing` of the file's metadata.

    Returns
    -------
    dict of str to ndarray [N, 1]

    Raises
    ------
    DataError
        A column is absent, or its cells are not of the model's kind.

    Examples
    --------
    >>> session.run(None, feeds(session.get_inputs(), frame))  # doctest: +SKIP
    """
    rows = table_of(table)
    out = {}
    for item in inputs:
        name = item.name
        while name not in rows.column_names and name.endswith("_"):
            name = name[:-1]  # of a column that is called as an output of the graph
        if name not in rows.column_names:
            raise DataError(f"no column {item.name!r}; the table has {', '.join(rows.column_names)}")
        try:
            cells = canonical(rows.column(name), _KINDS.get(item.type, "number"))
        except DataError as error:
            raise DataError(f"column {name!r}: {error}") from None
        if item.type == "tensor(string)":
            cells = np.array([missing if text is None else text for text in cells.to_pylist()], object)
        elif item.type == "tensor(int64)":
            cells = cells.cast(pa.int64()).fill_null(MISSING).to_numpy()
        out[item.name] = cells[:, None]
    return out
