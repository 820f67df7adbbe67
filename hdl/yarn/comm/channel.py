"""Bytes over a connection, whatever it is: TLS over TCP, or a Unix socket; none is copied on the way.

One thread at a time uses a channel, so bulk that goes both ways at once takes two of them, one a direction. Channels
have a timeout, after which `send` and `receive` ask whether waiting is still of use, and go on: a peer may be slow.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hdl.wire import Buffer

GATHERED = 64 << 10  # bytes of pieces that are copied together, for fewer calls and fewer records of TLS
BUFFER = 1 << 20  # asked for a Unix socket, to send without waiting; the kernel gives what the node allows
_LOST_SECONDS = 30  # without an answer of the other node's kernel until a connection is given up
_MOST = 64  # pieces in one system call


class Channel(ssl.SSLSocket):
    """Is a socket of `ssl` that never falls back on plain text.

    Python's own drops the encryption before it ends a connection, and bytes that another thread sends in that moment
    leave unencrypted. Here the connection ends first.
    """

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        end(self)
        super().close()


def begin(channel: socket.socket, pieces: Sequence[Buffer]) -> list[Buffer]:
    """Send as much as the kernel takes at once, without waiting.

    Returns
    -------
    list of bytes-like
        The rest, which is to be given to `send`, by one thread and before anything else is sent; empty if all is gone.

    Raises
    ------
    OSError
        The connection has ended.
    """
    rest, timeout = _gathered(pieces), channel.gettimeout()
    channel.settimeout(0)
    try:
        while rest:
            rest = _some(channel, rest)
    except (BlockingIOError, ssl.SSLWantWriteError):
        pass
    finally:
        channel.settimeout(timeout)
    return rest


def send(channel: socket.socket, pieces: Sequence[Buffer], check: Callable[[], Any] = lambda: None) -> None:
    """Send all pieces, one after the other.

    Parameters
    ----------
    channel : socket
    pieces : list of bytes-like
    check : function
        Called whenever the channel's timeout has passed; it raises when waiting is of no use any more.

    Raises
    ------
    OSError
        The connection has ended.
    """
    rest = _gathered(pieces)
    while rest:
        try:
            rest = _some(channel, rest)
        except TimeoutError:  # of TLS, which has taken a part of the piece: it is given the same again
            check()


def receive(channel: socket.socket, view: memoryview, check: Callable[[], Any] = lambda: None) -> None:
    """Fill the memory with what comes; arguments are those of `send`.

    Raises
    ------
    EOFError
        The connection ends before.
    OSError
        It is broken, or bytes were changed on the way.
    """
    while view:
        try:
            count = channel.recv_into(view)
        except TimeoutError:
            check()
            continue
        if not count:
            raise EOFError("closed the connection")
        view = view[count:]


def end(channel: socket.socket) -> None:
    """End a connection so that threads that wait in it wake; closing alone would not wake them."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)


def other_end(channel: socket.socket) -> str:
    """Name the other end for a message; empty if it is gone."""
    try:
        return "this host" if channel.family == socket.AF_UNIX else str(channel.getpeername()[0])
    except OSError:
        return ""


def tune(channel: socket.socket) -> None:
    """Set a connection's options: nothing waits to be sent, and a node that is gone is noticed."""
    if channel.family == socket.AF_UNIX:
        for direction in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            channel.setsockopt(socket.SOL_SOCKET, direction, BUFFER)
        return
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel sizes its buffers by itself: fixed ones of 128 KiB to 4 MiB were no quicker, and on most nodes the
    # limit of fixed ones is far below what the kernel would take.
    # A node that lost its power says nothing: idle connections are probed, busy ones given up.
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with suppress(OSError, AttributeError):  # Linux's
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _LOST_SECONDS // 3)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _LOST_SECONDS // 6)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_SECONDS * 1000)


def _some(channel: socket.socket, rest: list[Buffer]) -> list[Buffer]:
    """Send some bytes, and return what is left."""
    if isinstance(channel, ssl.SSLSocket):
        sent = channel.send(rest[0])
    else:
        sent = channel.sendmsg(rest[:_MOST])
    done = 0
    while done < len(rest) and sent >= len(rest[done]):
        sent -= len(rest[done])
        done += 1
    return [memoryview(rest[done])[sent:], *rest[done + 1 :]] if sent else rest[done:]


def _gathered(pieces: Sequence[Buffer]) -> list[Buffer]:
    """Join what is small; of what is joined already, nothing is joined again."""
    out: list[Buffer] = []
    group: list[Buffer] = []
    size = 0
    for piece in pieces:
        if group and size + len(piece) > GATHERED:
            out.append(group[0] if len(group) == 1 else b"".join(group))
            group, size = [], 0
        if len(piece):
            group.append(piece)
            size += len(piece)
    if group:
        out.append(group[0] if len(group) == 1 else b"".join(group))
    return out
