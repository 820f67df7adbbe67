"""The one codec: what travels between driver and workers, to bytes and back, and to one line of text for Streaming.

A message is a safetensors file in memory. Its only metadata entry, `hdl`, is a JSON object with the message's kind
and its plain fields. Nothing is ever unpickled, and sizes are checked before anything is parsed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from hdl.errors import HdlError

if TYPE_CHECKING:
    from hdl.data import Summary

FORMAT = 1
MAX_BYTES = 16 << 30  # of a message: a net of a billion weights with Adam's state
MAX_HEADER = 64 << 20  # of its header: the rows of some hundred thousand rounds

Tensors = dict[str, NDArray]


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
    whole = {"kind": kind, "format": FORMAT, "fields": fields}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    plain = {name: np.asarray(tensor, order="C") for name, tensor in (tensors or {}).items()}
    return save(plain, {"hdl": text})


def unpack(data: bytes | bytearray | memoryview) -> tuple[str, dict[str, Any], Tensors]:
    """Kind, fields and tensors of a message.

    Raises
    ------
    WireError
        Saying what is wrong with the bytes.
    """
    kind, fields = header(memoryview(data)[: 8 + MAX_HEADER], len(data))
    try:
        tensors = load(bytes(data))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise WireError(f"not a whole message of hdl: {error}") from None
    return kind, fields, tensors


def header(start: bytes | bytearray | memoryview, total: int) -> tuple[str, dict[str, Any]]:
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
    size = header_size(start, total)
    try:
        parsed = json.loads(bytes(start[8 : 8 + size]))
        text = parsed["__metadata__"]["hdl"]
        ends = [entry["data_offsets"][1] for name, entry in parsed.items() if name != "__metadata__"]
        whole = json.loads(text)
        kind, fields, number = whole["kind"], whole["fields"], whole["format"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        raise WireError("its header is not one of hdl") from None
    if number != FORMAT:
        raise WireError(f"written in format {number}; this hdl reads format {FORMAT}")
    if not isinstance(kind, str) or not isinstance(fields, dict) or not all(isinstance(end, int) for end in ends):
        raise WireError("its header is not one of hdl")
    if 8 + size + max(ends, default=0) != total:
        raise WireError(f"{total} bytes; its header tells of {8 + size + max(ends, default=0)}")
    return kind, fields


def header_size(start: bytes | bytearray | memoryview, total: int) -> int:
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
    if isinstance(value, Weights):
        state = {f"state/{name}": tensor for name, tensor in value.state.items()}
        return pack("weights", {"round": value.round}, {"w": value.w, **state})
    if isinstance(value, Update):
        fields = {name: getattr(value, name) for name in ("mode", "round", "lo", "hi", "sums", "seconds")}
        return pack("update", fields, value.tensors)
    fields, tensors = value.to_parts()
    return pack("summary", fields, tensors)


def decode(data: bytes | bytearray | memoryview) -> Weights | Update | Summary:
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


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
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
