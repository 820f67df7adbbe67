"""Messages on a stream, each with its length before it: 8 bytes, little-endian."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from hdl import wire

LENGTH = struct.Struct("<Q")


def prefix(pieces: Iterable[wire.Buffer]) -> bytes:
    """Pack the length of a message, of the pieces that follow each other."""
    return LENGTH.pack(sum(map(len, pieces)))


def pack(messages: Iterable[bytes]) -> bytes:
    """Join messages to the content of a file.

    Examples
    --------
    >>> import io
    >>> list(unpack(io.BytesIO(pack([b"one", b""]))))
    [b'one', b'']
    """
    return b"".join(prefix([message]) + message for message in messages)


def unpack(file: BinaryIO) -> Iterator[bytes]:
    """Read the messages of a file: the inverse of `pack`."""
    while length := file.read(LENGTH.size):
        yield file.read(LENGTH.unpack(length)[0])


def send(channel: socket.socket, *messages: bytes | list[wire.Buffer]) -> None:
    """Send messages, or the pieces of them, with their lengths before them."""
    for message in messages:
        pieces = message if isinstance(message, list) else [message]
        length = prefix(pieces)
        if len(pieces[0]) < 1 << 16:  # one system call for what is small
            channel.sendall(length + pieces[0])
        else:
            channel.sendall(length)
            channel.sendall(pieces[0])
        for piece in pieces[1:]:
            channel.sendall(piece)


def receive(channel: socket.socket, limit: int = wire.MAX_BYTES, until: float | None = None) -> bytearray:
    """Receive the next message; EOFError at the end.

    Parameters
    ----------
    channel : socket
    limit : int
        Bytes that the message may have: more is not read.
    until : float, optional
        `time.monotonic()` at which to give up, however busy the channel: TimeoutError.

    Raises
    ------
    WireError
        The message is longer than the limit.
    """
    (length,) = LENGTH.unpack(_exactly(channel, LENGTH.size, until))
    if length > limit:
        raise wire.WireError(f"a message of {length} bytes; expected at most {limit}")
    return _exactly(channel, length, until)


def _exactly(channel: socket.socket, length: int, until: float | None) -> bytearray:
    out = bytearray(length)
    view = memoryview(out)
    while view:
        if until is not None:
            channel.settimeout(max(1e-3, until - time.monotonic()))
        count = channel.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return out
