"""Several contents in one message, each under a label: what passes through the tree of relays for several workers."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from hdl import wire
from hdl.wire import Buffer

_HEAD = struct.Struct("<I")
_MOST = 64 << 20  # bytes of the labels


def pack(contents: Iterable[tuple[Any, Sequence[Buffer]]]) -> list[Buffer]:
    """Pack labels, which are plain JSON values, and the pieces of their contents as the pieces of one message.

    Examples
    --------
    >>> [(label, bytes(content)) for label, content in unpack(b"".join(pack([([3, "a"], [b"one", b""]), (None, [])])))]
    [([3, 'a'], b'one'), (None, b'')]
    """
    pairs = [(label, [*pieces]) for label, pieces in contents]
    head = json.dumps([(label, sum(memoryview(piece).nbytes for piece in pieces)) for label, pieces in pairs]).encode()
    return [_HEAD.pack(len(head)) + head, *(piece for _, pieces in pairs for piece in pieces)]


def unpack(message: Buffer) -> list[tuple[Any, memoryview]]:
    """Take a message apart: the inverse of `pack`. Contents are views of the message.

    Raises
    ------
    WireError
        The message is no bundle, or is cut off.
    """
    view = memoryview(message).cast("B")
    try:
        (length,) = _HEAD.unpack(view[: _HEAD.size])
        at = _HEAD.size + length
        if length > _MOST:
            raise ValueError
        found = []
        for label, size in json.loads(bytes(view[_HEAD.size : at])):
            if not isinstance(size, int) or size < 0 or at + size > len(view):
                raise ValueError
            found.append((label, view[at : at + size]))
            at += size
        if at != len(view):
            raise ValueError
    except (ValueError, TypeError, struct.error, RecursionError):
        raise wire.WireError("a bundle of contents that is damaged") from None
    return found
