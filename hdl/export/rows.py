"""Rows of a table as the inputs of an exported graph: for Python programs that have hdl beside onnxruntime."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.arrow import pa
from hdl.data import Block, Schema
from hdl.data.csr import Csr
from hdl.data.tabular.arrow import canonical
from hdl.data.tabular.dates import MISSING
from hdl.data.tabular.memory import table_of
from hdl.errors import DataError

_KINDS = {"tensor(string)": "category", "tensor(int64)": "date"}


def feeds(session: Any, table: Any) -> dict[str, NDArray]:
    """Make the inputs of a session.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        Of the model of a table.
    table : of pandas, polars or pyarrow, or whatever gives Arrow's C stream
        With all columns in use; others are passed over.

    Returns
    -------
    dict of str to ndarray [N, 1]

    Raises
    ------
    DataError
        A column is absent, or its cells are not of the model's kind; the model is of no table.

    Examples
    --------
    >>> session.run(None, feeds(session, frame))  # doctest: +SKIP
    """
    metadata, rows, out = session.get_modelmeta().custom_metadata_map, table_of(table), {}
    if "hdl.columns" not in metadata:
        raise DataError("the model is of no table: its input takes an array of numbers")
    columns = json.loads(metadata["hdl.columns"])
    for item in session.get_inputs():
        name = columns.get(item.name, item.name)  # an offset is no feature
        if name not in rows.column_names:
            raise DataError(f"no column {name!r}; the table has {', '.join(rows.column_names)}")
        try:
            cells = canonical(rows.column(name), _KINDS.get(item.type, "number"))
        except DataError as error:
            raise DataError(f"column {name!r}: {error}") from None
        if item.type == "tensor(string)":
            missing = metadata["hdl.missing"]
            cells = np.array([missing if text is None else text for text in cells.to_pylist()], object)
        elif item.type == "tensor(int64)":
            cells = cells.cast(pa.int64()).fill_null(MISSING).to_numpy()
        out[item.name] = cells[:, None]
    return out


def feeds_of(session: Any, block: Block, schema: Schema) -> dict[str, NDArray]:
    """Make the inputs of a session from raw samples as a reader gives them.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
    block : Block
    schema : Schema
        Of the model that the session's graph is of.
    """
    x, inputs = block.x, session.get_inputs()
    if schema.encodings is not None:
        cells = {column.name: pa.array(values) for column, _, values in schema.encodings.cells(x)}
        if block.offset is not None:
            known = json.loads(session.get_modelmeta().custom_metadata_map["hdl.columns"])
            cells |= {item.name: pa.array(block.offset) for item in inputs if item.name not in known}
        return feeds(session, pa.table(cells))
    if isinstance(x, Csr):
        x = Csr(x.data, x.indices, x.indptr, schema.inputs).dense()
    kind = np.float64 if inputs[0].type == "tensor(double)" else np.float32
    out = {inputs[0].name: np.asarray(x, kind).reshape(len(x), -1)}
    if block.offset is not None:
        out |= {item.name: np.asarray(block.offset, np.float64)[:, None] for item in inputs[1:]}
    return out
