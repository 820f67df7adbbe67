"""Protocol Buffers' wire format, as far as Hadoop's calls need it: fields by their numbers, no generated classes.

A message that is sent is a mapping from numbers to values: text, bytes, whole numbers, messages, sequences of them for
what is repeated; None is left out. One that was read gives a field's values as a list.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from hdl.errors import HdlError


class Malformed(HdlError, ValueError):
    """Bytes are no message, or not a whole one."""


def varint(value: int) -> bytes:
    """Encode a number: seven bits a byte, the lowest first; a negative one as 64 bits of two's complement.

    Examples
    --------
    >>> varint(300), len(varint(-1))
    (b'\\xac\\x02', 10)
    """
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def zigzag(value: int) -> int:
    """Give the number by which a field of type sint32 carries a value.

    Examples
    --------
    >>> [zigzag(value) for value in (0, -1, 1, -3)]
    [0, 1, 2, 5]
    """
    return value << 1 if value >= 0 else (-value << 1) - 1


def encode(message: Mapping[int, Any]) -> bytes:
    """Encode a message.

    Examples
    --------
    >>> encode({1: 150, 2: "testing", 3: None, 4: [{1: 1}, {}]})
    b'\\x08\\x96\\x01\\x12\\x07testing"\\x02\\x08\\x01"\\x00'
    """
    return b"".join(_field(number, value) for number, value in message.items())


def _field(number: int, value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, list | tuple):
        return b"".join(_field(number, each) for each in value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = encode(value) if isinstance(value, Mapping) else value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + delimited(content)


def delimited(content: bytes) -> bytes:
    """Put a message's length before it."""
    return varint(len(content)) + content


class Message:
    """Is a message that was read; what it does not hold has the default that is asked for.

    Parameters
    ----------
    content : bytes

    Raises
    ------
    Malformed

    Examples
    --------
    >>> read = Message(encode({1: 150, 2: ["a", "b"], 3: {1: -1}}))
    >>> read.number(1), read.texts(2), read.message(3).number(1), read.text(9)
    (150, ['a', 'b'], -1, '')
    """

    def __init__(self, content: bytes):
        self._fields: dict[int, list[int | bytes]] = {}
        at = 0
        while at < len(content):
            tag, at = read_varint(content, at)
            kind = tag & 7
            value: int | bytes
            if kind == 0:
                value, at = read_varint(content, at)
            else:
                length = {1: 8, 5: 4}.get(kind, -1)
                if kind == 2:
                    length, at = read_varint(content, at)
                if not 0 <= length <= len(content) - at:
                    raise Malformed(f"a field of type {kind} before byte {at} of {len(content)}")
                value, at = content[at : at + length], at + length
            self._fields.setdefault(tag >> 3, []).append(value)

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def number(self, number: int, default: int = 0) -> int:
        """Return a field's whole number, of any type but the unsigned and the zigzag ones."""
        value = self._last(number, int)
        return default if value is None else value - (1 << 64) if value >> 63 else value

    def real(self, number: int) -> float:
        """Return a field of type float."""
        value = self._last(number, bytes)
        return struct.unpack("<f", value)[0] if value is not None and len(value) == 4 else 0.0

    def text(self, number: int) -> str:
        """Return a field's text."""
        return (self._last(number, bytes) or b"").decode(errors="replace")

    def texts(self, number: int) -> list[str]:
        """Return the texts of a repeated field."""
        return [each.decode(errors="replace") for each in self._all(number, bytes)]

    def message(self, number: int) -> Message:
        """Return a field's message."""
        return Message(self._last(number, bytes) or b"")

    def messages(self, number: int) -> list[Message]:
        """Return the messages of a repeated field."""
        return [Message(each) for each in self._all(number, bytes)]

    def _last(self, number: int, kind: type) -> Any:
        return next(reversed(self._all(number, kind)), None)

    def _all(self, number: int, kind: type) -> list[Any]:
        values = self._fields.get(number, [])
        if not all(isinstance(value, kind) for value in values):
            raise Malformed(f"field {number}: expected {'a number' if kind is int else 'bytes'}")
        return values


def read_varint(content: bytes, at: int) -> tuple[int, int]:
    """Read a number from a place on; returns it and the place behind it.

    Raises
    ------
    Malformed
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        value |= (content[at] & 127) << shift
        at += 1
        if content[at - 1] < 128:
            return value & (1 << 64) - 1, at
    raise Malformed(f"a number without an end before byte {at}")
