"""Connections for weights: mutual TLS 1.3 over TCP among the holders of the application's key.

A connection starts with its hello, a frame that says what the connection is for (JSON), which the other side answers;
what follows is up to them: see `hdl.runners.frames`. A channel is a socket of Python's `ssl`. One thread at a time uses
it, so bulk that goes both ways at once takes two channels, one a direction.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl import wire
from hdl.errors import DeadlineError, HdlError, WorkerError
from hdl.runners import frames
from hdl.yarn.comm.refusals import Refusals

HELLO_BYTES = 64 << 10
HANDSHAKE_SECONDS = 5.0  # until an accepted connection has shown its key and said hello
PENDING = 64  # connections without hello at a time; one more ends the oldest of them
IDLE_SECONDS = 60.0  # without progress of a call on a listener's channel, after which it raises TimeoutError
_LOST_SECONDS = 30  # without an answer of the other node's kernel until a connection is given up

Address = tuple[str, int]


class TlsError(WorkerError):
    """Says that the other side has another key, or that one of the two does not trust the other's certificate."""


class Channel(ssl.SSLSocket):
    """Is a socket of `ssl` that never falls back on plain text.

    Python's own drops the encryption before it ends a connection, and bytes that another thread sends in that moment
    leave unencrypted. Here the connection ends first.
    """

    def shutdown(self, how: int) -> None:
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        _end(self)
        super().close()


class Listener:
    """Accepts connections of the application's members; turns away and counts all others.

    Parameters
    ----------
    context : ssl.SSLContext
        ``credentials.tls(server=True)``.
    host : str
        Name or IPv4 address of the interface to bind; `address` gives it to others unchanged.
    on_connection : function
        Called with each channel and its hello, in a thread of its own; it closes the channel.
    refusal : function, optional
        Called with a hello; returns the reason for which the connection is turned away, or None.

    Attributes
    ----------
    address : (str, int)
    refused : Refusals
        Connections turned away, by reason: 'handshake', 'hello', 'slow', 'crowd'; 'lost' later.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        on_connection: Callable[[ssl.SSLSocket, dict[str, Any]], None],
        refusal: Callable[[dict[str, Any]], str | None] = lambda hello: None,
    ):
        self._context, self._on_connection, self._refusal = context, on_connection, refusal
        self.refused = Refusals()
        self.refused.port = "the port for weights"
        self._lock = threading.Lock()
        self._pending: dict[ssl.SSLSocket, None] = {}  # the oldest first
        self._closed = False
        context.sslsocket_class = Channel
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((host, 0))
            self._socket.listen(256)
        except OSError as error:
            self._socket.close()
            raise WorkerError(f"cannot listen on {host}: {error}") from None
        self.address: Address = host, self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="hdl-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections, and end those that have not said hello; channels that were handed over stay."""
        self._closed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()
        with self._lock:
            for channel in self._pending:
                _end(channel)
        self._thread.join(HANDSHAKE_SECONDS)

    def _accept(self) -> None:
        while not self._closed:
            try:
                raw, _ = self._socket.accept()
            except OSError:  # closed, or the peer is gone again, or the process has no descriptors left for now
                time.sleep(0.01)
                continue
            try:
                channel = self._context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False)
            except (OSError, ValueError):  # it is gone already
                self.refused.note("handshake")
                raw.close()
                continue
            with self._lock:
                if len(self._pending) >= PENDING:
                    oldest = next(iter(self._pending))
                    del self._pending[oldest]
                    self.refused.note("crowd")
                    _end(oldest)
                self._pending[channel] = None
            try:
                threading.Thread(target=self._greet, args=[channel], name="hdl-greeter", daemon=True).start()
            except RuntimeError:  # the process may have no more threads for now
                with self._lock:
                    self._pending.pop(channel, None)
                    self.refused.note("crowd")
                channel.close()

    def _greet(self, channel: ssl.SSLSocket) -> None:
        """Do the handshake and the hello of one connection, within a deadline, and hand it over."""
        until = time.monotonic() + HANDSHAKE_SECONDS
        reason = "handshake"
        try:
            _tune(channel)
            channel.settimeout(HANDSHAKE_SECONDS)
            channel.do_handshake()
            reason = "hello"
            hello = self._hello(channel, until)
            channel.settimeout(IDLE_SECONDS)
        except (OSError, EOFError, ValueError) as error:  # ssl.SSLError is an OSError, WireError a ValueError
            with self._lock:
                if channel in self._pending:  # else it was counted when it was ended
                    slow = isinstance(error, TimeoutError)
                    self.refused.note("slow" if slow else reason, _peer(channel), "" if slow else _why(error))
                    del self._pending[channel]
            channel.close()
            return
        with self._lock:
            ended = self._closed or channel not in self._pending
            self._pending.pop(channel, None)
        if ended:
            channel.close()
            return
        try:
            self._on_connection(channel, hello)
        except (OSError, EOFError, wire.WireError):  # the peer is gone: those who wait for it see that
            self.refused.note("lost")
            channel.close()
        except BaseException:
            channel.close()
            raise

    def _hello(self, channel: ssl.SSLSocket, until: float) -> dict[str, Any]:
        """Receive the hello of a connection and answer it.

        Raises
        ------
        WireError
            The hello is not one, or is refused.
        """
        try:
            hello = _unpack(frames.receive(channel, HELLO_BYTES, until))
            problem = self._refusal(hello)
            if problem:
                raise wire.WireError(problem)
        except wire.WireError as error:
            frames.send(channel, json.dumps({"error": str(error)}).encode())
            raise
        frames.send(channel, json.dumps({"ok": True}).encode())
        return hello


def connect(context: ssl.SSLContext, address: Address, hello: dict[str, Any], timeout: float) -> ssl.SSLSocket:
    """Connect to a listener; the channel is returned once the listener has answered the hello.

    Parameters
    ----------
    context : ssl.SSLContext
        ``credentials.tls(server=False)``.
    address : (str, int)
    hello : dict
        Small JSON that says what the connection is for.
    timeout : float
        Seconds for connecting, handshake and hello; afterwards of each call on the channel (`settimeout` changes it).

    Raises
    ------
    DeadlineError
        No answer in time.
    TlsError
        The listener is not of this application, or does not trust our certificate.
    WorkerError
        Nobody listens there, or it turned the hello away.
    """
    where, until = f"{address[0]}:{address[1]}", time.monotonic() + timeout
    context.sslsocket_class = Channel
    channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        _tune(channel)
        channel.settimeout(timeout)
        channel.connect(tuple(address))
        channel.settimeout(max(1e-3, until - time.monotonic()))
        channel = context.wrap_socket(channel)
        frames.send(channel, json.dumps(hello).encode())
        # In TLS 1.3 a client is done before the server has seen its certificate: only the answer tells.
        answer = _unpack(frames.receive(channel, HELLO_BYTES, until))
        if answer.get("ok") is not True:
            raise WorkerError(f"{where} turned the connection away: {str(answer.get('error'))[:500]}")
        channel.settimeout(timeout)
    except BaseException as error:
        channel.close()
        if isinstance(error, TimeoutError) and not isinstance(error, HdlError):
            raise DeadlineError(f"{where} has not answered within {timeout:g} s") from None
        if isinstance(error, EOFError):
            raise WorkerError(f"{where} closed the connection without an answer") from None
        if isinstance(error, ssl.SSLError):
            raise TlsError(f"{where} is not of this application, or takes us for a stranger: {_why(error)}") from None
        if isinstance(error, (OSError, wire.WireError)) and not isinstance(error, WorkerError):
            raise WorkerError(f"cannot connect to {where}: {error}") from None
        raise
    return channel


def _peer(channel: socket.socket) -> str:
    try:
        return str(channel.getpeername()[0])
    except OSError:
        return ""


def _why(error: Exception) -> str:
    """Word a failure of TLS; an alert is what the other side has said before it ended the connection."""
    text = str(getattr(error, "verify_message", "") or getattr(error, "reason", "") or error)
    return text.lower().replace("_", " ") if text.isupper() else text


def _unpack(frame: bytearray) -> dict[str, Any]:
    try:
        fields = json.loads(frame)
    except (ValueError, RecursionError):
        raise wire.WireError("a hello that is not JSON") from None
    if not isinstance(fields, dict):
        raise wire.WireError("a hello that is not a JSON object")
    return fields


def _tune(channel: socket.socket) -> None:
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel sizes its buffers by itself: fixed ones of 128 KiB to 4 MiB were no quicker, and on most nodes the
    # limit of fixed ones is far below what the kernel would take.
    # A node that lost its power says nothing: idle connections are probed, busy ones given up.
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with suppress(OSError, AttributeError):  # Linux's
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _LOST_SECONDS // 3)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _LOST_SECONDS // 6)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_SECONDS * 1000)


def _end(channel: socket.socket) -> None:
    """End a connection so that threads that wait in it wake; closing alone would not wake them."""
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)
