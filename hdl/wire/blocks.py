"""Blocks of samples as messages: arrays, and of a table its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hdl.arrow import pa, pc
from hdl.data import Block, Csr, features
from hdl.data.tabular.frame import Column, Frame
from hdl.wire.message import Buffer, pack, unpack


def pack_block(block: Block, columns: Sequence[Column] | None = None) -> bytes:
    """Pack a block of samples as a message, with the columns of a table; text labels travel as JSON.

    What training has no use for stays behind: the rows' numbers, and columns that predictions carry over.
    """
    x, y = block.x, block.y
    fields: dict[str, Any] = {} if columns is None else {"table": [list(column) for column in columns]}
    if isinstance(x, Frame):
        tensors = {"numbers": x.numbers}
        if x.others:
            tensors["others"] = np.frombuffer(_packed(x.others), np.uint8)
    else:
        tensors = {**features.to_tensors(x)}
    if isinstance(x, Csr):
        fields["columns"] = x.columns
    if y is not None and y.dtype == object:
        fields["y"] = y.tolist()
    elif y is not None:
        tensors["y"] = y
    more = {"weight": block.weight, "offset": block.offset}
    if block.held is not None:
        more["held"] = block.held.astype(np.uint8)
    return pack("block", fields, {**tensors, **{name: part for name, part in more.items() if part is not None}})


def unpack_block(message: Buffer, where: Any) -> Block:
    """Make the block of a message: the inverse of `pack_block`."""
    _, fields, tensors = unpack(message)
    if "numbers" in tensors:
        columns = [Column(*column) for column in fields["table"]]
        others = _unpacked(tensors["others"]) if "others" in tensors else []
        x: Any = Frame(tensors["numbers"], others, columns)
    else:
        x = features.from_tensors(tensors, fields.get("columns", 0))
    y = np.array(fields["y"], object) if "y" in fields else tensors.get("y")
    held = tensors["held"].astype(bool) if "held" in tensors else None
    return Block(x, y, where, tensors.get("weight"), tensors.get("offset"), held=held)


def _packed(arrays: Sequence[pa.Array]) -> bytes:
    """Write arrays as an Arrow stream; of a dictionary that its rows do not fill, only what they need."""
    small = [
        pc.dictionary_encode(array.cast(pa.string())).cast(array.type)
        if pa.types.is_dictionary(array.type) and len(array.dictionary) > len(array)
        else array
        for array in arrays
    ]
    batch = pa.RecordBatch.from_arrays(small, [str(i) for i in range(len(small))])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _unpacked(content: np.ndarray) -> list[pa.Array]:
    return list(pa.ipc.open_stream(pa.py_buffer(content)).read_next_batch().columns)
