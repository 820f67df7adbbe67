"""The one codec: what travels between driver and workers, to bytes and back, and to one line of text for Streaming.

A message is a safetensors file in memory. Its only metadata entry, `hdl`, is a JSON object with the message's kind
and its plain fields. Nothing is ever unpickled, and sizes are checked before anything is parsed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdl.errors import HdlError

if TYPE_CHECKING:
    from hdl.data import Summary

FORMAT = 1
MAX_BYTES = 16 << 30  # of a message: a net of a billion weights with Adam's state
MAX_HEADER = 64 << 20  # of its header: the rows of some hundred thousand rounds

# Names of types as safetensors has them; all little-endian.
_TYPES = {
    code: np.dtype(kind)
    for code, kind in {
        "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
        "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
    }.items()
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _TYPES.items()}

Tensors = dict[str, NDArray]
Buffer = bytes | bytearray | memoryview
Kind = TypeVar("Kind")


class WireError(HdlError, ValueError):
    """Bytes that are not a message of hdl, or not a whole one."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What a version of the table holds and a worker starts a round from.

    Parameters
    ----------
    round : int
        Rounds that made them; 0 for the first weights.
    w : ndarray of float32 [P]
    state : dict of ndarray
        What the sync mode carries from round to round, by name: see `hdl.sync`.
    """

    round: int
    w: NDArray[np.float32]
    state: Tensors = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Update:
    """What a worker hands to the merge: of the shards [lo, hi), a node of the fixed tree.

    Parameters
    ----------
    mode : {'gradient', 'average', 'genetic', 'evaluate'}
    round : int
        Of the weights that it started from.
    lo, hi : int
        Shards.
    tensors : dict of ndarray
        By mode: see `hdl.sync`.
    sums : dict of number
        Metrics that add up along the tree: samples, cost, correct, batches, val_cost, val_correct, val_samples.
    seconds : dict of float
        Where the time went, summed over shards. Never decides anything.
    """

    mode: str
    round: int
    lo: int
    hi: int
    tensors: Tensors = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def pack(kind: str, fields: Mapping[str, Any], tensors: Mapping[str, NDArray] | None = None) -> bytes:
    """A message from its kind, plain fields and tensors; equal arguments give equal bytes."""
    return b"".join(parts(kind, fields, tensors))


def parts(kind: str, fields: Mapping[str, Any], tensors: Mapping[str, NDArray] | None = None) -> list[Buffer]:
    """The same as pieces that follow each other, large tensors not copied: for whoever sends them at once."""
    whole = {"kind": kind, "format": FORMAT, "fields": fields}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    plain = {name: np.asarray(tensor, order="C") for name, tensor in (tensors or {}).items()}
    entries: dict[str, Any] = {"__metadata__": {"hdl": text}}
    at, names = 0, sorted(plain, key=lambda name: (-plain[name].itemsize, name))  # wide types first: all are aligned
    for name in names:
        tensor = plain[name]
        code, end = _CODES[tensor.dtype], at + tensor.nbytes
        entries[name] = {"dtype": code, "shape": list(tensor.shape), "data_offsets": [at, end]}
        at = end
    head = json.dumps(entries, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    if len(head) > MAX_HEADER:  # nobody could read it
        raise WireError(f"{kind}: a header of {len(head)} bytes; expected at most {MAX_HEADER}")
    # The same format as safetensors.numpy.save, which copies each tensor three times.
    return [len(head).to_bytes(8, "little") + head, *(plain[name].reshape(-1).view(np.uint8).data for name in names)]


def unpack(data: Buffer) -> tuple[str, dict[str, Any], Tensors]:
    """Kind, fields and tensors of a message; the tensors are views of `data`, read-only if it is.

    Raises
    ------
    WireError
        Saying what is wrong with the bytes.
    """
    kind, fields, entries = _parse(data, len(data))
    tensors = {}
    for name, (dtype, shape, offset) in entries.items():
        tensor = np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)
        tensors[name] = tensor if tensor.flags.aligned else tensor.copy()
    return kind, fields, tensors


def header(start: Buffer, total: int) -> tuple[str, dict[str, Any]]:
    """Kind and fields of a message from its first bytes, without a look at its tensors.

    Parameters
    ----------
    start : bytes
        The message's beginning, at least the whole header.
    total : int
        Length of the whole message in bytes.

    Raises
    ------
    WireError
    """
    return _parse(start, total)[:2]


def _parse(start: Buffer, total: int) -> tuple[str, dict[str, Any], dict[str, tuple[np.dtype, list[int], int]]]:
    """Kind, fields, and each tensor's type, shape and offset, all of it checked: they fill the message without gaps."""
    size = header_size(start, total)
    try:
        parsed = json.loads(bytes(memoryview(start)[8 : 8 + size]))
        whole = json.loads(parsed.pop("__metadata__")["hdl"])
        kind, fields, number = whole["kind"], whole["fields"], whole["format"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WireError("its header is not one of hdl") from None
    if number != FORMAT:
        raise WireError(f"written in format {number}; this hdl reads format {FORMAT}")
    if not isinstance(kind, str) or not isinstance(fields, dict):
        raise WireError("its header is not one of hdl")
    tensors, at = {}, 0
    spans = {name: _span(name, entry) for name, entry in parsed.items()}
    for name, (dtype, shape, begin, end) in sorted(spans.items(), key=lambda item: item[1][2:]):
        if begin != at:
            raise WireError(f"tensor {name[:40]!r} begins at byte {begin}; expected {at}")
        tensors[name] = dtype, shape, 8 + size + begin
        at = end
    if 8 + size + at != total:
        raise WireError(f"{total} bytes; its header tells of {8 + size + at}")
    return kind, fields, tensors


def _span(name: str, entry: Any) -> tuple[np.dtype, list[int], int, int]:
    """Type, shape, begin and end of a tensor as the header tells of it."""
    try:
        dtype, shape, (begin, end) = _TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        counts = len(shape) <= 8 and all(_is_count(value) for value in [*shape, begin, end])
        if counts and end - begin == dtype.itemsize * math.prod(shape):
            return dtype, shape, begin, end
    except (KeyError, TypeError, ValueError):
        pass
    raise WireError(f"tensor {name[:40]!r} is told of as {str(entry)[:100]}")


def header_size(start: Buffer, total: int) -> int:
    """Length of the header in bytes, from a message's first 8: at most `MAX_HEADER`, and inside the message."""
    if total > MAX_BYTES:
        raise WireError(f"{total} bytes; expected at most {MAX_BYTES}")
    if total < 8:
        raise WireError(f"{total} bytes are too few for a message")
    size = int.from_bytes(start[:8], "little")
    if size > min(MAX_HEADER, total - 8):
        raise WireError(f"a header of {size} bytes in {total}; expected at most {min(MAX_HEADER, total - 8)}")
    return size


def encode(value: Weights | Update | Summary) -> bytes:
    """A message that holds weights, an update or a summary."""
    return b"".join(encode_parts(value))


def encode_parts(value: Weights | Update | Summary) -> list[Buffer]:
    """The same as pieces that follow each other: see `parts`."""
    if isinstance(value, Weights):
        state = {f"state/{name}": tensor for name, tensor in value.state.items()}
        return parts("weights", {"round": value.round}, {"w": value.w, **state})
    if isinstance(value, Update):
        fields = {name: getattr(value, name) for name in ("mode", "round", "lo", "hi", "sums", "seconds")}
        return parts("update", fields, value.tensors)
    fields, tensors = value.to_parts()
    return parts("summary", fields, tensors)


def decode(data: Buffer) -> Weights | Update | Summary:
    """The weights, update or summary in a message.

    Raises
    ------
    WireError
    """
    kind, fields, tensors = unpack(data)
    try:
        if kind == "weights":
            state = {name.removeprefix("state/"): tensor for name, tensor in tensors.items() if name != "w"}
            return Weights(_count(fields["round"]), _vector(tensors["w"]), state)
        if kind == "update":
            lo, hi = _count(fields["lo"]), _count(fields["hi"])
            if not lo < hi:
                raise ValueError(f"shards [{lo}, {hi})")
            sums, seconds = _numbers(fields["sums"]), _numbers(fields["seconds"])
            return Update(str(fields["mode"]), _count(fields["round"]), lo, hi, tensors, sums, seconds)
        if kind == "summary":
            from hdl.data import Summary

            return Summary.from_parts(fields, tensors)
    except HdlError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"a damaged {kind} message: {type(error).__name__} {error}") from None
    raise WireError(f"a message of kind {kind[:40]!r}; expected weights, an update or a summary")


def decode_as(kind: type[Kind], data: Buffer) -> Kind:
    """The value in a message, where only one of `kind` is meant.

    Raises
    ------
    WireError
        It is of another kind.
    """
    value = decode(data)
    if not isinstance(value, kind):
        raise WireError(f"a message with {type(value).__name__}; expected {kind.__name__}")
    return value


def to_line(value: Weights | Update | Summary) -> str:
    """The message as base64 text without a line end: Streaming's values."""
    return base64.b64encode(encode(value)).decode("ascii")


def from_line(line: str | bytes) -> Weights | Update | Summary:
    """What `to_line` wrote; white space around it is allowed.

    Raises
    ------
    WireError
    """
    try:
        data = base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"not a line of base64: {error}") from None
    return decode(data)


def sha256(tensor: NDArray) -> str:
    """SHA-256 of a tensor's bytes, in hexadecimal: for weights, the signature that runs are compared by."""
    return hashlib.sha256(np.asarray(tensor, order="C").data).hexdigest()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _count(value: Any) -> int:
    if not _is_count(value):
        raise ValueError(f"{value!r} where a count was expected")
    return value


def _vector(tensor: NDArray) -> NDArray[np.float32]:
    if tensor.dtype != np.float32 or tensor.ndim != 1:
        raise ValueError(f"weights are {tensor.dtype} {list(tensor.shape)}; expected float32 [P]")
    return tensor


def _numbers(values: Any) -> dict[str, float]:
    if not all(isinstance(value, (int, float)) for value in values.values()):
        raise ValueError("a sum that is not a number")
    return values
