"""The one codec: weights, updates and summaries as messages between driver and workers, and as lines of text.

The format of a message is in `hdl.wire.message`, whose names are importable from here. Streaming sends a message as
one line of base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hdl.errors import HdlError
from hdl.wire.message import (
    MAX_BYTES,
    Buffer,
    Tensors,
    WireError,
    header,
    header_size,
    is_count,
    pack,
    parts,
    sha256,
    unpack,
)

if TYPE_CHECKING:
    from hdl.data import Summary
    from hdl.metrics import Measures

__all__ = [
    "MAX_BYTES", "Buffer", "Tensors", "Update", "Weights", "WireError", "decode", "decode_as",
    "encode", "encode_parts", "from_line", "header", "header_size", "is_count", "pack", "parts", "sha256", "to_line",
    "total_weight", "unpack",
]  # fmt: skip

Kind = TypeVar("Kind")
_MEASURES = "measures/"  # before the names of the tensors of an update's measures


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights that a worker starts a round from, as a version of the table stores them.

    Parameters
    ----------
    round : int
        Rounds that made them; 0 for the first weights.
    w : ndarray of float32 [P]
    state : dict of ndarray
        The sync mode's own arrays, carried from round to round, by name: see `hdl.sync`.
    """

    round: int
    w: NDArray[np.float32]
    state: Tensors = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Update:
    """A worker's result of a round for the shards [lo, hi), which are a node of the fixed tree.

    Parameters
    ----------
    mode : {'gradient', 'average', 'genetic', 'evaluate'}
    round : int
        The round of the weights that the worker started from.
    lo, hi : int
        The first shard, and the one after the last.
    tensors : dict of ndarray
        By mode: see `hdl.sync`.
    sums : dict of number
        Metrics that add up along the tree: samples, cost, correct, batches, val_cost, val_correct, val_samples; where
        samples have weights, theirs too: weight, val_weight (`total_weight`).
    seconds : dict of float
        Seconds by phase (validate, train), summed over shards; they decide nothing.
    measures : Measures, optional
        Of the weights that the round started from, on the validation parts of the shards: see `hdl.metrics`. None where
        nothing is held out, where the model has no labels, and in all slices of an update but the first.
    """

    mode: str
    round: int
    lo: int
    hi: int
    tensors: Tensors = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    measures: Measures | None = None


def total_weight(sums: Mapping[str, float], prefix: str = "") -> float:
    """Return what the samples of an update weigh together: their number, where they have no weights.

    Parameters
    ----------
    prefix : {'', 'val_'}
        Of the samples trained on, or of those held out.

    Examples
    --------
    >>> total_weight({"samples": 3}), total_weight({"samples": 3, "weight": 1.5})
    (3, 1.5)
    """
    return sums.get(f"{prefix}weight", sums.get(f"{prefix}samples", 0))


def encode(value: Weights | Update | Summary) -> bytes:
    """Encodes weights, an update or a summary as a message; `decode` reads it."""
    return b"".join(encode_parts(value))


def encode_parts(value: Weights | Update | Summary) -> list[Buffer]:
    """Encodes as `encode` does, as pieces of the message in order: see `parts`."""
    if isinstance(value, Weights):
        state = {f"state/{name}": tensor for name, tensor in value.state.items()}
        return parts("weights", {"round": value.round}, {"w": value.w, **state})
    if isinstance(value, Update):
        fields = {name: getattr(value, name) for name in ("mode", "round", "lo", "hi", "sums", "seconds")}
        tensors = value.tensors
        if value.measures is not None:
            fields["measures"], own = value.measures.to_parts()
            tensors = tensors | {f"{_MEASURES}{name}": array for name, array in own.items()}
        return parts("update", fields, tensors)
    fields, tensors = value.to_parts()
    return parts("summary", fields, tensors)


def decode(data: Buffer) -> Weights | Update | Summary:
    """Decodes the weights, update or summary in a message; tensors are views of `data`.

    Raises
    ------
    WireError
        The message is damaged, or of another kind.
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
            tensors, measures = _measures(fields.get("measures"), tensors)
            return Update(str(fields["mode"]), _count(fields["round"]), lo, hi, tensors, sums, seconds, measures)
        if kind == "summary":
            from hdl.data import Summary

            return Summary.from_parts(fields, tensors)
    except HdlError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WireError(f"a damaged {kind} message: {type(error).__name__} {error}") from None
    raise WireError(f"a message of kind {kind[:40]!r}; expected weights, an update or a summary")


def decode_as(kind: type[Kind], data: Buffer) -> Kind:
    """Decodes a message that must hold a `kind`: `Weights`, `Update` or `Summary`.

    Raises
    ------
    WireError
        The message is damaged, or holds a value of another kind.
    """
    value = decode(data)
    if not isinstance(value, kind):
        raise WireError(f"a message with {type(value).__name__}; expected {kind.__name__}")
    return value


def to_line(value: Weights | Update | Summary) -> str:
    """Encodes as base64 text without a line end, as Streaming's values are."""
    return base64.b64encode(encode(value)).decode("ascii")


def from_line(line: str | bytes) -> Weights | Update | Summary:
    """Decodes a line that `to_line` wrote; white space around it is allowed.

    Raises
    ------
    WireError
        The line is no base64, or its message is damaged.
    """
    try:
        data = base64.b64decode(line.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"not a line of base64: {error}") from None
    return decode(data)


def _measures(fields: Any, tensors: Tensors) -> tuple[Tensors, Measures | None]:
    """Separates an update's own tensors from its measures, which are made of theirs and of their plain fields."""
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_MEASURES)}
    others = {name.removeprefix(_MEASURES): tensor for name, tensor in tensors.items() if name not in own}
    if fields is None:
        if others:
            raise ValueError(f"tensors {sorted(others)} of measures that are not told of")
        return own, None
    if not isinstance(fields, dict):
        raise ValueError("measures that are no fields")
    from hdl.metrics import Measures

    return own, Measures.from_parts(fields, others)


def _count(value: Any) -> int:
    if not is_count(value):
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
