"""Whole numbers of variable length, seven bits a byte, least significant first, as snappy and Protocol Buffers have."""

from __future__ import annotations


def varint(data: bytes, at: int = 0) -> tuple[int, int]:
    """Read the number that begins at offset `at`; give it and the offset behind it.

    Data that ends inside of the number counts as if zeros followed.

    Examples
    --------
    >>> varint(bytes([0xAC, 0x02, 7]))
    (300, 2)
    """
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    return value, at
