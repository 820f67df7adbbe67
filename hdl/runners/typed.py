"""Typed bytes for Streaming: blocks of samples as arrays, in Hadoop's sequence files and on a mapper's standard input.

A sequence file holds records whose key and value are TypedBytesWritable; Streaming hands each to the mapper as the
typed bytes of key and value (HADOOP-1722). The value is a message of `hdl.wire.blocks` with a block's arrays.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from hdl import wire
from hdl.data import Bad, Block, FileSplit, Options, Source
from hdl.data.tabular.frame import Column
from hdl.errors import DataError
from hdl.wire.blocks import unpack_block

_CLASS = b"org.apache.hadoop.typedbytes.TypedBytesWritable"
_BYTES = 0  # typed bytes' code of a byte sequence: int32 length, bytes
_SYNC_EVERY = 1 << 16


class TypedBytes(Source):
    """Reads the blocks in a file of typed bytes, such as a mapper's standard input."""

    format = "typed"

    def __init__(self, paths: list[str], options: Options):
        super().__init__(paths, options)
        with open(paths[0], "rb") as file:
            first = next(read_values(file, paths[0]), None)
        table = None if first is None else wire.header(first, len(first))[1].get("table")
        if table is not None:
            self.columns = [Column(*column) for column in table]

    def lengths(self) -> list[int]:
        return [1 << 62]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        with open(split.path, "rb") as file:
            for number, message in enumerate(read_values(file, split.path)):
                yield unpack_block(message, lambda i, number=number: {"path": f"{split.path}, block {number}"})


def write_sequence(file: BinaryIO, values: Iterable[bytes]) -> None:
    """Write values under empty keys as an uncompressed sequence file: see org.apache.hadoop.io.SequenceFile."""
    mark = os.urandom(16)
    name = bytes([len(_CLASS)]) + _CLASS  # a vint below 128 is one byte
    file.write(b"SEQ\x06" + name + name + b"\0\0" + struct.pack(">i", 0) + mark)
    key = _writable(b"")
    since = 0
    for value in values:
        if since > _SYNC_EVERY:
            file.write(struct.pack(">i", -1) + mark)
            since = 0
        body = _writable(value)
        file.write(struct.pack(">ii", len(key) + len(body), len(key)) + key + body)
        since += len(body)


def read_values(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """Read the values of pairs of typed bytes, as a mapper gets them."""
    number = 0
    while _typed(stream, name, number) is not None:
        value = _typed(stream, name, number)
        if value is None:
            raise DataError(f"record {number} ends after its key", name)
        yield value
        number += 1


def _writable(content: bytes) -> bytes:
    """Pack a TypedBytesWritable: a BytesWritable whose bytes are a typed byte sequence."""
    return struct.pack(">ibi", len(content) + 5, _BYTES, len(content)) + content


def _typed(stream: BinaryIO, name: str, number: int) -> bytes | None:
    head = stream.read(5)
    if not head:
        return None
    code, length = struct.unpack(">bi", head) if len(head) == 5 else (None, 0)
    content = stream.read(length) if code == _BYTES and length >= 0 else b""
    if code != _BYTES or len(content) != length:
        raise DataError(f"record {number} is not a whole byte sequence of typed bytes", name)
    return content
