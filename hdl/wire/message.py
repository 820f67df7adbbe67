"""The message: plain fields and tensors as the bytes of a safetensors file in memory, and back.

Its only metadata entry, `hdl`, is a JSON object with the message's kind and its plain fields. Nothing is ever
unpickled, and sizes are checked before anything is parsed. The weight table writes its files in the same format.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import HdlError

FORMAT = 1
MAX_BYTES = 16 << 30  # a whole message: a net of a billion weights with Adam's state
MAX_HEADER = 64 << 20  # a message's header: the rows of some hundred thousand rounds

# Names of types as safetensors has them; all little-endian.
_TYPES = {
    code: np.dtype(kind)
    for code, kind in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
        "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
    }.items()
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _TYPES.items()}
_SORTED, _PLAIN = (json.JSONEncoder(sort_keys=ordered, separators=(",", ":")) for ordered in (True, False))

Tensors = dict[str, NDArray]
Buffer = bytes | bytearray | memoryview


class WireError(HdlError, ValueError):
    """Bytes that are not a message of hdl, or not a whole one."""


def pack(kind: str, fields: Mapping[str, Any], tensors: Mapping[str, NDArray] | None = None) -> bytes:
    """Writes a message: its kind, plain fields and tensors as bytes; equal arguments give equal bytes.

    Raises
    ------
    WireError
        The header would be longer than `MAX_HEADER`.
    """
    return b"".join(parts(kind, fields, tensors))


def parts(kind: str, fields: Mapping[str, Any], tensors: Mapping[str, NDArray] | None = None) -> list[Buffer]:
    """Writes a message as `pack` does, as its pieces in order, so that a sender need not copy the tensors."""
    text = _SORTED.encode({"kind": kind, "format": FORMAT, "fields": fields})
    plain = {name: np.asarray(tensor, order="C") for name, tensor in (tensors or {}).items()}
    entries: dict[str, Any] = {"__metadata__": {"hdl": text}}
    at, names = 0, sorted(plain, key=lambda name: (-plain[name].itemsize, name))  # wide types first: all are aligned
    for name in names:
        tensor = plain[name]
        code, end = _CODES[tensor.dtype], at + tensor.nbytes
        entries[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    head = _PLAIN.encode(entries).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > MAX_HEADER:  # nobody could read it
        raise WireError(f"{kind}: a header of {len(head)} bytes; expected at most {MAX_HEADER}")
    # The same format as safetensors.numpy.save, which copies each tensor three times.
    return [len(head).to_bytes(8, "little") + head, *(plain[name].reshape(-1).view(np.uint8).data for name in names)]


def unpack(data: Buffer) -> tuple[str, dict[str, Any], Tensors]:
    """Reads a message's kind, fields and tensors; the tensors are views of `data`, read-only if `data` is.

    Raises
    ------
    WireError
        The bytes are no message, or not a whole one; the message says why.
    """
    kind, fields, spans = _parse(data, len(data))
    tensors = {}
    for name, (dtype, shape, offset) in spans.items():
        tensor = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
        tensors[name] = tensor if tensor.flags.aligned else tensor.copy()
    return kind, fields, tensors


def header(start: Buffer, total: int) -> tuple[str, dict[str, Any]]:
    """Reads a message's kind and fields from its first bytes; the tensors need not be there.

    Parameters
    ----------
    start : bytes
        The message's beginning, at least the whole header.
    total : int
        Length of the whole message in bytes.

    Raises
    ------
    WireError
        As for `unpack`.
    """
    return _parse(start, total)[:2]


def _parse(start: Buffer, total: int) -> tuple[str, dict[str, Any], dict[str, tuple[np.dtype, list[int], int]]]:
    """Reads kind, fields, and each tensor's type, shape and offset; checks that tensors lie without gaps."""
    size = header_size(start, total)
    try:
        entries = json.loads(bytes(memoryview(start)[8 : 8 + size]))
        metadata = json.loads(entries.pop("__metadata__")["hdl"])
        kind, fields, number = metadata["kind"], metadata["fields"], metadata["format"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WireError("its header is not one of hdl") from None
    if number != FORMAT:
        raise WireError(f"written in format {number}; this hdl reads format {FORMAT}")
    if not isinstance(kind, str) or not isinstance(fields, dict):
        raise WireError("its header is not one of hdl")
    tensors, at = {}, 0
    spans = {name: _span(name, entry) for name, entry in entries.items()}
    for name, (dtype, shape, begin, end) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise WireError(f"tensor {name[:40]!r} begins at byte {begin}; expected {at}")
        tensors[name] = dtype, shape, 8 + size + begin
        at = end
    if 8 + size + at != total:
        raise WireError(f"{total} bytes; its header tells of {8 + size + at}")
    return kind, fields, tensors


def _span(name: str, entry: Any) -> tuple[np.dtype, list[int], int, int]:
    """Reads a tensor's type, shape, begin and end from its entry in the header."""
    try:
        dtype, shape, (begin, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        valid = isinstance(shape, list) and len(shape) <= 8 and all(is_count(value) for value in [*shape, begin, end])
        if valid and end - begin == dtype.itemsize * math.prod(shape) and _fits(dtype, shape):
            return dtype, shape, begin, end
    except (KeyError, TypeError, ValueError):
        pass
    raise WireError(f"tensor {name[:40]!r} is told of as {str(entry)[:100]}")


def _fits(dtype: np.dtype, shape: list[int]) -> bool:
    """Tell whether NumPy can have an array of a shape: it multiplies the lengths that are not 0 even where one is."""
    return (
        dtype.itemsize * math.prod(length for length in shape if length) <= sys.maxsize
        and max(shape, default=0) <= sys.maxsize
    )


def header_size(start: Buffer, total: int) -> int:
    """Reads the header's length in bytes from a message's first 8.

    Parameters
    ----------
    start : bytes
        The message's beginning, at least 8 bytes.
    total : int
        Length of the whole message in bytes.

    Raises
    ------
    WireError
        The header is longer than `MAX_HEADER` or than the message, or the message than `MAX_BYTES`.
    """
    if total > MAX_BYTES:
        raise WireError(f"{total} bytes; expected at most {MAX_BYTES}")
    if total < 8:
        raise WireError(f"{total} bytes are too few for a message")
    size = int.from_bytes(start[:8], "little")
    if size > min(MAX_HEADER, total - 8):
        raise WireError(f"a header of {size} bytes in {total}; expected at most {min(MAX_HEADER, total - 8)}")
    return size


def sha256(tensor: NDArray) -> str:
    """Computes the SHA-256 of a tensor's bytes, in hexadecimal: of weights the signature that runs are compared by."""
    return hashlib.sha256(np.asarray(tensor, order="C").data).hexdigest()


def is_count(value: Any) -> bool:
    """Tells whether a value is an integer, 0 or more, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
