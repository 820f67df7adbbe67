"""idx files, as MNIST ships them: two zero bytes, a type, the number of dimensions, the dimensions (big-endian)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from hdl import fs
from hdl.data.options import Options
from hdl.data.records import Array, Records
from hdl.data.streams import open_stream
from hdl.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_idx(head: bytes) -> bool:
    """Tell whether the first bytes of a file are those of idx."""
    return len(head) >= 4 and head[:2] == b"\0\0" and head[2] in _TYPES and 1 <= head[3] <= 4


def read_header(path: str) -> Array:
    """Read what array an idx file promises; checked against the file's length where that is known."""
    with open_stream(path) as stream:
        head = stream.read(4)
        if not is_idx(head):
            what = f"the file starts with {head.hex(' ') or 'nothing'}; expected an idx magic number: 00 00, a type in "
            raise DataError(what + f"{' '.join(f'{t:02x}' for t in _TYPES)}, 1 to 4 dimensions", path, offset=0)
        sizes = stream.read(4 * head[3])
        if len(sizes) < 4 * head[3]:
            raise DataError(f"the file ends in its header, which promises {head[3]} dimensions", path, offset=stream.at)
        shape = struct.unpack(f">{head[3]}I", sizes)
        array = Array(path, shape, np.dtype(_TYPES[head[2]]), stream.at)
        if 0 in shape[1:]:
            raise array.error(f"dimensions {shape}; expected none of 0", 4)
        return array.promise(fs.size(path)) if stream.kind is None else array


def open_idx(pairs: list[tuple[str, str | None]], options: Options, schema: Any = None, labels: bool = True) -> Records:
    """Open pairs of idx files (features, labels)."""
    arrays = [(read_header(x), read_header(y) if y and labels and options.labelled else None) for x, y in pairs]
    return Records("idx", arrays, options, schema, labels, apart=any(y for _, y in pairs))
