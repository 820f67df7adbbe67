"""Small messages between master and workers: JSON objects over ZeroMQ, encrypted and authenticated by CURVE.

Here are the messages and a worker's side; the master's is `hdl.yarn.comm.control_server`.
"""

from __future__ import annotations

import json
import select
import time
from contextlib import suppress
from typing import Any

import zmq

from hdl.errors import HdlError, SpecError, WorkerError
from hdl.yarn.comm.credentials import WorkerCredentials

MAX_BYTES = 1 << 20  # of a message
WORK, BEAT = "work", "beat"  # channels: the server's messages go to the first
_HANDSHAKE = 5000  # ms until an unfinished handshake is cut off
# ms between a worker's questions whether the master is there, and without an answer until it connects anew. The master
# asks nothing: it hears workers' own signs of life, and of a thousand workers questions would be most of what it does.
_BEAT, _SILENCE = 5000, 15_000
_JSON = json.JSONEncoder(separators=(",", ":"))
LINGER = 1000  # ms that what is still to be sent has when a socket is closed


class MessageError(HdlError, ValueError):
    """Says that a message cannot be sent, or is not one of hdl's."""


def pack(fields: dict[str, Any]) -> bytes:
    """Encode a message.

    Raises
    ------
    MessageError
        The message is longer than `MAX_BYTES`: large content travels by `hdl.yarn.comm.mailbox`.
    """
    message = _JSON.encode(fields).encode()
    if len(message) > MAX_BYTES:
        raise MessageError(f"a control message of {len(message)} bytes; expected at most {MAX_BYTES}")
    return message


def unpack(message: bytes) -> dict[str, Any]:
    """Decode a message: the inverse of `pack`.

    Raises
    ------
    MessageError
        The bytes are not a JSON object, or too long.
    """
    if len(message) > MAX_BYTES:
        raise MessageError(f"a control message of {len(message)} bytes; expected at most {MAX_BYTES}")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, numbers too long, nested too deep
        raise MessageError("a control message that is not JSON") from None
    if not isinstance(fields, dict):
        raise MessageError("a control message that is not a JSON object")
    return fields


class Client:
    """Serves a worker's side of the control channel. One thread uses it; a second one has a client of its own.

    It connects by itself, again and again. Messages sent before it is connected wait; those that a lost connection had
    accepted are gone.

    Parameters
    ----------
    credentials : WorkerCredentials
    address : str
        Of the server: see `hdl.yarn.comm.control_server.Server`.
    channel : {'work', 'beat'}
        A client's own; the server sends to 'work' only.
    """

    def __init__(self, credentials: WorkerCredentials, address: str, channel: str = WORK):
        if channel not in (WORK, BEAT):
            raise SpecError(f"channel: expected {WORK!r} or {BEAT!r} (given {channel!r})")
        self._credentials, self._channel = credentials, channel
        self._context = zmq.Context()
        self._socket: Any = None
        self.connect(address)

    def connect(self, address: str) -> None:
        """Connect to another server of the same application; messages that the old one has not received are dropped.

        `fileno` changes.
        """
        if self._socket:
            self._socket.close(0)
        self._socket = self._context.socket(zmq.DEALER)
        tune(self._socket)
        self._socket.curve_serverkey = self._credentials.master
        self._socket.curve_publickey, self._socket.curve_secretkey = self._credentials.public, self._credentials.secret
        self._socket.routing_id = self._credentials.identity(self._channel)
        self._socket.reconnect_ivl, self._socket.reconnect_ivl_max = 50, 1000
        self._socket.heartbeat_ivl, self._socket.heartbeat_timeout = _BEAT, _SILENCE
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            raise WorkerError(f"cannot connect to {address}: {error}") from None

    def send(self, fields: dict[str, Any]) -> bool:
        """Queue a message and return at once; False if a thousand wait already."""
        try:
            self._socket.send(pack(fields), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, timeout: float, wake: int | None = None) -> dict[str, Any] | None:
        """Wait for the server's next message; None if there is none within `timeout` seconds, or `wake` can be read.

        Parameters
        ----------
        timeout : float
        wake : int, optional
            A descriptor.
        """
        end = time.monotonic() + timeout
        while True:
            frames = take(self._socket)
            if frames and len(frames) == 1:
                with suppress(MessageError):
                    return unpack(frames[0].bytes)
            left = end - time.monotonic()
            if frames is None and (left <= 0 or not self._ready(left, wake)):
                return None

    def _ready(self, seconds: float, wake: int | None) -> bool:
        """Wait until there may be a message; False: there is none, or something else wakes."""
        own = self._socket.fd  # tells of changes: all that was there before has been received
        poll = select.poll()
        for descriptor in (own, wake):
            if descriptor is not None:
                poll.register(descriptor, select.POLLIN)
        return own in dict(poll.poll(seconds * 1000))

    def fileno(self) -> int:
        """Return a descriptor for a selector.

        The descriptor tells of changes only: call ``receive(0)`` until it gives None before each wait.
        """
        return self._socket.fd

    def close(self) -> None:
        """Close within about a second, in which queued messages are sent if the server is there."""
        if self._socket:
            self._socket.close(LINGER)
            self._socket = None
            self._context.term()


def tune(socket: zmq.Socket) -> None:
    """Bound what a socket keeps, takes and waits for."""
    socket.linger = 0  # a close in order says how long it may take
    socket.maxmsgsize = MAX_BYTES + 256  # as it travels, encrypted
    socket.handshake_ivl = _HANDSHAKE


def take(socket: zmq.Socket) -> list[zmq.Frame] | None:
    """Receive a whole message; None if there is none."""
    try:
        return socket.recv_multipart(zmq.NOBLOCK, copy=False)
    except zmq.Again:
        return None
