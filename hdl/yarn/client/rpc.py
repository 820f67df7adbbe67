"""Hadoop's RPC, for a cluster that asks for no proof of who calls: one connection, one call after the other.

What is sent and said is that of Hadoop's own client, so a server's lists of who may call count as for it. With Kerberos
there would be SASL between; that is left to Hadoop.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from hdl.yarn.client.protobuf import Malformed, Message, delimited, encode, read_varint, zigzag

Address = tuple[str, int]
CONNECT_SECONDS = 10.0  # for a server to take the connection
CALL_SECONDS = 30.0  # for an answer
AGAIN_SECONDS = 0.5
MOST_BYTES = 128 << 20  # of an answer, as Hadoop's ipc.maximum.response.length has it
VERSION, NO_PROOF = 9, 0
PROTOCOL_BUFFERS, FIRST = 2, 0  # kinds of a call: how it is encoded, and that it is no part of another
CONTEXT = -3  # number of the call that says who calls
SILENT, ABSENT = "java.net.SocketTimeoutException", "java.net.ConnectException"
# After these another server is asked, or the same one in a moment.
PASSING = (ABSENT, "org.apache.hadoop.ipc.StandbyException", "org.apache.hadoop.ipc.RetriableException")


class Refused(Exception):
    """A server has thrown an exception, or there is none to do so.

    Attributes
    ----------
    name, text : str
        Java's class, and its message.
    """

    def __init__(self, name: str, text: str):
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text


class Connection:
    """Calls a protocol's methods, each of which may be called twice without harm: where an answer is lost, it is.

    Parameters
    ----------
    addresses : sequence of (host, port)
        Of servers of which one serves.
    protocol : str
    user : str
        Who we say that we are.
    patience : float
        Seconds that no server need answer, while one restarts or takes over.
    """

    def __init__(self, addresses: Sequence[Address], protocol: str, user: str, patience: float = CONNECT_SECONDS):
        self._addresses, self._protocol, self._user, self._patience = list(addresses), protocol, user, patience
        self._client, self._number = uuid.uuid4().bytes, 0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def call(self, method: str, request: Mapping[int, Any]) -> Message:
        """Call a method.

        Raises
        ------
        Refused
            The server throws an exception, or as Java's: none answers.
        Malformed
            One answers that does not speak Hadoop's RPC as it is understood here.
        """
        with self._lock:
            until, tried = time.monotonic() + self._patience, 0
            while True:
                try:
                    return self._call(method, request)
                except (OSError, Refused) as error:
                    self.close()
                    failed = error if isinstance(error, Refused) else self._unanswered(error)
                    passing = failed.name in PASSING
                    if not passing or time.monotonic() > until:
                        raise failed from None
                except BaseException:  # in the middle of an answer, which the next call would take for its own
                    self.close()
                    raise
                self._addresses.append(self._addresses.pop(0))
                tried += 1
                if tried % len(self._addresses) == 0:
                    time.sleep(AGAIN_SECONDS)

    def _unanswered(self, error: OSError) -> Refused:
        if isinstance(error, TimeoutError):
            return Refused(SILENT, f"{CALL_SECONDS:g} s timeout while waiting for {self._where()}")
        said = error.strerror or error
        return Refused(ABSENT, f"Call to {self._where()} failed on connection exception: {said}")

    def close(self) -> None:
        """Close the connection; the next call makes another one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _call(self, method: str, request: Mapping[int, Any]) -> Message:
        self._number = self._number + 1 & 0x7FFFFFFF
        connected = self._socket = self._socket or self._connect()
        named = {1: method, 2: self._protocol, 3: 1}
        connected.settimeout(CALL_SECONDS)
        connected.sendall(self._packet(self._header(self._number), encode(named), encode(request)))
        until = time.monotonic() + CALL_SECONDS
        (length,) = struct.unpack(">I", _received(connected, 4, until))
        if length > MOST_BYTES:
            raise Malformed(f"{self._where()}: an answer of {length} bytes")
        answer = _received(connected, length, until)
        header, at = _piece(answer, 0)
        told = Message(header)
        if status := told.number(2):
            raise Refused(told.text(4), told.text(5) or f"status {status}")
        if told.number(1) != self._number:
            raise Malformed(f"{self._where()}: an answer to call {told.number(1)}, expected {self._number}")
        return Message(_piece(answer, at)[0])

    def _connect(self) -> socket.socket:
        try:
            connected = socket.create_connection(self._addresses[0], timeout=CONNECT_SECONDS)
        except TimeoutError:  # nothing was asked yet: another server may be
            raise ConnectionError("it does not take the connection") from None
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            who = {2: {1: self._user}, 3: self._protocol}
            greeting = b"hrpc" + bytes([VERSION, 0, NO_PROOF])
            connected.sendall(greeting + self._packet(self._header(CONTEXT, retries=-1), encode(who)))
        except BaseException:
            connected.close()
            raise
        return connected

    def _header(self, number: int, retries: int = 0) -> bytes:
        return encode({1: PROTOCOL_BUFFERS, 2: FIRST, 3: zigzag(number), 4: self._client, 5: zigzag(retries)})

    @staticmethod
    def _packet(*parts: bytes) -> bytes:
        body = b"".join(map(delimited, parts))
        return struct.pack(">I", len(body)) + body

    def _where(self) -> str:
        host, port = self._addresses[0]
        return f"{host}:{port}"


def _received(connected: socket.socket, length: int, until: float) -> bytes:
    got = bytearray()
    while len(got) < length:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connected.settimeout(left)
        piece = connected.recv(min(length - len(got), 1 << 20))
        if not piece:
            raise ConnectionResetError("the connection was closed")
        got += piece
    return bytes(got)


def _piece(content: bytes, at: int) -> tuple[bytes, int]:
    """Read what lies behind its length; returns it and the place behind it."""
    length, at = read_varint(content, at)
    if length > len(content) - at:
        raise Malformed(f"{length} bytes expected at byte {at}, {len(content) - at} are there")
    return content[at : at + length], at + length
