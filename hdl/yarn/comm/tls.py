"""Connections for weights: mutual TLS 1.3 among the holders of the application's key.

Between two hosts they are TCP, and stay encrypted; between containers of one host they are Unix sockets, on which TLS
is for the proof alone (`hdl.yarn.comm.local`).

A connection starts with its hello, a frame that says what the connection is for (JSON), which the other side answers;
what follows is up to them: see `hdl.runners.frames` and `hdl.yarn.comm.channel`.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from hdl import wire
from hdl.errors import DeadlineError, HdlError, WorkerError
from hdl.runners import frames
from hdl.yarn.comm import local
from hdl.yarn.comm.channel import Channel, end, other_end, tune
from hdl.yarn.comm.refusals import Refusals

HELLO_BYTES = 64 << 10
HANDSHAKE_SECONDS = 5.0  # until an accepted connection has shown its key and said hello
PENDING = 64  # connections without hello at a time; one more ends the oldest of them
IDLE_SECONDS = 60.0  # without progress of a call on a listener's channel, after which it raises TimeoutError

_PROCESS = "process"  # in the hello and its answer: which process this is, on a Unix socket

Address = tuple[str, int]


class TlsError(WorkerError):
    """Says that the other side has another key, or that one of the two does not trust the other's certificate."""


class Listener:
    """Accepts connections of the application's members, by TCP and on this host; turns away and counts all others.

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
        on_connection: Callable[[socket.socket, dict[str, Any]], None],
        refusal: Callable[[dict[str, Any]], str | None] = lambda hello: None,
    ):
        self._context, self._on_connection, self._refusal = context, on_connection, refusal
        self.refused = Refusals()
        self.refused.port = "the port for weights"
        self._lock = threading.Lock()
        self._pending: dict[Channel, None] = {}  # the oldest first
        self._closed = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.bind((host, 0))
            self._socket.listen(256)
        except OSError as error:
            self._socket.close()
            raise WorkerError(f"cannot listen on {host}: {error}") from None
        self.address: Address = host, self._socket.getsockname()[1]
        self._sockets = [self._socket]
        if (beside := local.listen(self.address)) is not None:
            self._sockets.append(beside)
        self._threads = [
            threading.Thread(target=self._accept, args=[each], name="hdl-listener", daemon=True)
            for each in self._sockets
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Accept no more connections, and end those that have not said hello; channels that were handed over stay."""
        if len(self._sockets) > 1 and not self._closed:
            local.forget(self.address)
        self._closed = True
        for each in self._sockets:
            end(each)  # wakes the thread that accepts
            each.close()
        with self._lock:
            for channel in self._pending:
                end(channel)
        for thread in self._threads:
            thread.join(HANDSHAKE_SECONDS)

    def _accept(self, listening: socket.socket) -> None:
        while not self._closed:
            try:
                raw, _ = listening.accept()
            except OSError:  # closed, or the peer is gone again, or the process has no descriptors left for now
                time.sleep(0.01)
                continue
            channel = Channel(raw, self._context, server=True)
            with self._lock:
                if len(self._pending) >= PENDING:
                    oldest = next(iter(self._pending))
                    del self._pending[oldest]
                    self.refused.note("crowd")
                    end(oldest)
                self._pending[channel] = None
            try:
                threading.Thread(target=self._greet, args=[channel], name="hdl-greeter", daemon=True).start()
            except RuntimeError:  # the process may have no more threads for now
                with self._lock:
                    self._pending.pop(channel, None)
                    self.refused.note("crowd")
                channel.close()

    def _greet(self, channel: Channel) -> None:
        """Do the handshake and the hello of one connection, within a deadline, and hand it over."""
        until = time.monotonic() + HANDSHAKE_SECONDS
        reason = "handshake"
        try:
            tune(channel)
            channel.settimeout(HANDSHAKE_SECONDS)
            if channel.family == socket.AF_UNIX:
                local.check_user(channel)
            channel.do_handshake(until)
            reason = "hello"
            ready, hello = self._hello(channel, until)
        except (OSError, EOFError, ValueError) as error:  # ssl.SSLError is an OSError, WireError a ValueError
            with self._lock:
                if channel in self._pending:  # else it was counted when it was ended
                    slow = isinstance(error, TimeoutError)
                    self.refused.note("slow" if slow else reason, other_end(channel), "" if slow else _why(error))
                    del self._pending[channel]
            channel.close()
            return
        with self._lock:
            ended = self._closed or channel not in self._pending
            self._pending.pop(channel, None)
        if ended:
            ready.close()
            return
        ready.settimeout(IDLE_SECONDS)
        try:
            self._on_connection(ready, hello)
        except (OSError, EOFError, wire.WireError):  # the peer is gone: those who wait for it see that
            self.refused.note("lost")
            ready.close()
        except BaseException:
            ready.close()
            raise

    def _hello(self, channel: Channel, until: float) -> tuple[socket.socket, dict[str, Any]]:
        """Receive the hello of a connection and answer it; returns the socket to go on with, and the hello.

        Raises
        ------
        WireError
            The hello is not one, or is refused.
        LocalError
            The other end of a Unix socket is not the process that it told to be.
        """
        bare = channel.family == socket.AF_UNIX
        answer: dict[str, Any] = {"ok": True}
        try:
            hello = _unpack(frames.receive(channel, HELLO_BYTES, until))
            if bare:
                local.check_process(channel, hello.pop(_PROCESS, None))
                answer[_PROCESS] = local.myself()
            problem = self._refusal(hello)
            if problem:
                raise wire.WireError(problem)
        except (wire.WireError, local.LocalError) as error:
            frames.send(channel, json.dumps({"error": str(error)}).encode())
            raise
        frames.send(channel, json.dumps(answer).encode())
        return channel.unwrap(until) if bare else channel, hello


def connect(context: ssl.SSLContext, address: Address, hello: dict[str, Any], timeout: float) -> socket.socket:
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
    if (channel := _local(context, address, hello, timeout / 2)) is not None:
        channel.settimeout(timeout)
        return channel
    channel = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        tune(channel)
        channel.settimeout(timeout)
        channel.connect(tuple(address))
        channel = Channel(channel, context)
        channel.do_handshake(until)
        _greet(channel, where, hello, until)
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


def _local(context: ssl.SSLContext, address: Address, hello: dict[str, Any], seconds: float) -> socket.socket | None:
    """Connect by a Unix socket; None, and told once, if that is not possible or the other end proves nothing."""
    until, channel = time.monotonic() + seconds, None
    try:
        channel = local.connect(address, seconds)
        if channel is None:
            return None
        local.check_user(channel)
        channel = Channel(channel, context)
        channel.do_handshake(until)
        answer = _greet(channel, f"{address[0]}:{address[1]}", hello | {_PROCESS: local.myself()}, until)
        local.check_process(channel, answer.get(_PROCESS))
        return channel.unwrap(until)
    except (OSError, EOFError, wire.WireError, HdlError) as error:
        if channel is not None:
            channel.close()
        why = _why(error) if isinstance(error, ssl.SSLError) else error or "the connection was closed"
        local.tell(f"the Unix socket of {address[0]}:{address[1]} is not used: {why}")
        return None


def _greet(channel: Channel, where: str, hello: dict[str, Any], until: float) -> dict[str, Any]:
    """Say hello, and return the listener's answer."""
    frames.send(channel, json.dumps(hello).encode())
    # In TLS 1.3 a client is done before the server has seen its certificate: only the answer tells.
    answer = _unpack(frames.receive(channel, HELLO_BYTES, until))
    if answer.get("ok") is not True:
        raise WorkerError(f"{where} turned the connection away: {str(answer.get('error'))[:500]}")
    return answer


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
