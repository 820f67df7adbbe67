"""Bytes over a connection, whatever it is: TLS over TCP, or a Unix socket; none is copied on the way.

One thread at a time uses a channel, so bulk that goes both ways at once takes two of them, one a direction. Channels
have a timeout, after which `send` and `receive` ask whether waiting is still of use, and go on: a peer may be slow.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

from hdl.wire import Buffer

GATHERED = 64 << 10  # bytes of pieces that are copied together, for fewer calls and fewer records of TLS
BUFFER = 1 << 20  # asked for a Unix socket, to send without waiting; the kernel gives what the node allows
RECORDS = 1 << 20  # bytes of TLS that a system call takes or gives at most
_RECORD = 16 << 10  # and while little is wanted, or nobody has proved anything
_LOST_SECONDS = 30  # without an answer of the other node's kernel until a connection is given up
_MOST = 64  # pieces in one system call


class Channel(socket.socket):
    """Is a connected socket on which all bytes are those of TLS.

    `ssl.SSLSocket` makes a system call for each record that it sends, and two for each that it receives, of 16 KiB at
    most. Here TLS reads and writes memory, and the socket takes and gives many records at once. Nor does it drop the
    encryption before it ends a connection, as `ssl.SSLSocket` does, so that bytes which another thread sends in that
    moment leave unencrypted.

    Parameters
    ----------
    connected : socket
        The new object has its descriptor and timeout from now on.
    context : ssl.SSLContext
    server : bool
        Which side of TLS this one is.
    """

    def __init__(self, connected: socket.socket, context: ssl.SSLContext, server: bool = False):
        timeout = connected.gettimeout()
        super().__init__(connected.family, connected.type, connected.proto, connected.detach())
        self.settimeout(timeout)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._read = memoryview(b"")
        self._encrypted, self._taken = memoryview(b""), 0  # what the kernel has not taken yet, and of how many bytes

    def version(self) -> str | None:
        """Return the version of TLS."""
        return self._tls.version()

    def do_handshake(self, until: float) -> None:
        """Prove each other until `time.monotonic()` is this, however busy the other side; it raises TimeoutError."""
        self._agree(self._tls.do_handshake, until, _RECORD)

    def unwrap(self, until: float) -> socket.socket:
        """End TLS in good order on both sides, as `do_handshake` begins it, and return the plain socket."""
        self._agree(self._tls.unwrap, until, 1)  # what follows the other side's last record is plain: none is taken
        return socket.socket(fileno=self.detach())

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        out = bytearray(bufsize)
        return bytes(out[: self.recv_into(out)])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        view, count = memoryview(buffer), 0
        while count < len(view):
            try:
                read: Any = self._tls.read(len(view) - count, view[count:])  # a number, with a buffer
            except ssl.SSLWantReadError:
                if count:
                    break
                self._fill(min(RECORDS, max(_RECORD, len(view) - count)))
                continue
            except ssl.SSLEOFError:  # without a farewell: whoever receives knows whether it has all
                break
            except ssl.SSLError:
                self._alert()
                raise
            if not read:
                break
            count += read
        return count

    def send(self, data: Any, flags: int = 0) -> int:
        return self.sendmsg([data])

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data)
        while view:
            view = view[self.send(view) :]

    def sendmsg(self, buffers: Iterable[Any], *arguments: Any) -> int:
        """Send some bytes, and return how many.

        As with OpenSSL: if it raises because the kernel takes no more for now, they are encrypted already, and the
        next call is to be given the same again.
        """
        if not self._encrypted:
            self._encrypt(buffers)
        while self._encrypted:
            self._encrypted = self._encrypted[super().send(self._encrypted) :]
        self._encrypted = memoryview(b"")  # an empty slice would keep the memory
        return self._taken

    def close(self) -> None:
        end(self)
        super().close()

    def _encrypt(self, buffers: Iterable[Any]) -> None:
        self._taken = 0
        for buffer in buffers:
            view = memoryview(buffer)[: RECORDS - self._taken]
            while view:
                count = self._tls.write(view)
                self._taken += count
                view = view[count:]
        self._encrypted = memoryview(self._outgoing.read())

    def _fill(self, most: int) -> None:
        """Wait for bytes of the other side, and hand them to TLS."""
        if len(self._read) < most:
            self._read = memoryview(bytearray(most))
        if count := super().recv_into(self._read[:most]):
            self._incoming.write(self._read[:count])
        else:
            self._incoming.write_eof()

    def _alert(self) -> None:
        """Tell the other side why this one ends the connection."""
        with suppress(OSError):
            super().sendall(self._outgoing.read())

    def _agree(self, step: Callable[[], Any], until: float, most: int) -> None:
        """Exchange records with the other side, of which at most some bytes are read at once, until a step is done."""
        done = False
        while not done:
            try:
                step()
                done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                self._alert()
                raise
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError("timed out")
            self.settimeout(left)
            super().sendall(self._outgoing.read())
            if not done:
                self._fill(most)


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
    except BlockingIOError:
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
