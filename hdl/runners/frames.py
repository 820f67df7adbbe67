"""Messages on a stream, each with its length before it: 8 bytes, little-endian."""

from __future__ import annotations

import socket
import struct
import time

from hdl import wire

_LENGTH = struct.Struct("<Q")


def send(channel: socket.socket, *messages: bytes | list[wire.Buffer]) -> None:
    """Messages, or the pieces of them, with their lengths before them."""
    for message in messages:
        pieces = message if isinstance(message, list) else [message]
        length = _LENGTH.pack(sum(map(len, pieces)))
        if len(pieces[0]) < 1 << 16:  # one system call for what is small
            channel.sendall(length + pieces[0])
        else:
            channel.sendall(length)
            channel.sendall(pieces[0])
        for piece in pieces[1:]:
            channel.sendall(piece)


def receive(channel: socket.socket, limit: int = wire.MAX_BYTES, until: float | None = None) -> bytearray:
    """The next message; EOFError at the end.

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
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size, until))
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
