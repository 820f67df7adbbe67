"""Hadoop's RPC, for servers that ask for no proof of who calls: one connection, one call after the other.

What is sent is what Hadoop's own client sends, so a server's lists of who may call count as for it. Where a server asks
for more, there would be SASL between: that is left to Hadoop. The numbers of fields are those of Hadoop's public
``RpcHeader.proto``, ``ProtobufRpcEngine.proto`` and ``IpcConnectionContext.proto``.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from hdl.yarn.api.interface import Unable
from hdl.yarn.api.protobuf import Malformed, Message, delimited, encode, read_varint, zigzag

CONNECT_SECONDS = 10.0  # for a server to take the connection, or to come back that restarts
CALL_SECONDS = 30.0  # for an answer
AGAIN_SECONDS = 0.5
MOST_BYTES = 128 << 20  # of an answer, as Hadoop's ipc.maximum.response.length has it
VERSION, NO_PROOF = 9, 0
PROTOCOL_BUFFERS, WHOLE = 2, 0  # how a call is encoded, and that it is no part of another
CONTEXT = -3  # number of the call that says who calls
THROWN = 1  # status of an answer: an exception of the method's, after which the server goes on
PASSING = "org.apache.hadoop.ipc.RetriableException"  # it will be ready in a moment


class Refused(Exception):
    """A call has failed with an exception of the server's, or with that of Hadoop's client where no server answers.

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
    host : str
    port : int
    protocol : str
    user : str
        Who we say that we are.
    """

    def __init__(self, host: str, port: int, protocol: str, user: str):
        self._address, self._protocol, self._user = (host, port), protocol, user
        self._where = f"{host}:{port}"
        self._client, self._number = uuid.uuid4().bytes, 0
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def call(self, method: str, request: Mapping[int, Any]) -> Message:
        """Call a method.

        Raises
        ------
        Refused
            The server throws an exception, or does not answer.
        Unable
            It asks for proof of who calls, refuses the connection, or speaks otherwise than is understood here.
        """
        with self._lock:
            until = time.monotonic() + CONNECT_SECONDS
            while True:
                failed: Refused
                try:
                    return self._call(method, request)
                except Refused as error:
                    if error.name != PASSING:
                        raise
                    failed = error
                except TimeoutError:
                    self._close()
                    raise Refused(
                        "java.net.SocketTimeoutException", f"millis timeout while waiting for it. remote={self._where}"
                    ) from None
                except OSError as error:
                    self._close()
                    said = f"Call to {self._where} failed on connection exception: {error.strerror or error}"
                    failed = Refused("java.net.ConnectException", said)
                except BaseException:  # in the middle of an answer: the next one would be taken for another call's
                    self._close()
                    raise
                if time.monotonic() > until:
                    raise failed
                time.sleep(AGAIN_SECONDS)

    def close(self) -> None:
        """Close the connection; the next call would make another one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
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
            raise Malformed(f"{self._where}: an answer of {length} bytes")
        return self._answer(_received(connected, length, until))

    def _answer(self, content: bytes) -> Message:
        header, at = _piece(content, 0)
        told = Message(header)
        if status := told.number(2):
            name, text = told.text(4), told.text(5)
            if status == THROWN and told.number(1) == self._number:
                raise Refused(name, text)
            first = text.partition("\n")[0]
            raise Unable(f"{self._where} refuses the connection: {name}: {first}")
        if told.number(1) != self._number:  # a demand for SASL has a number of its own
            raise Malformed(f"{self._where}: an answer to call {told.number(1)}, expected {self._number}")
        return Message(_piece(content, at)[0])

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=CONNECT_SECONDS)
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
        return encode({1: PROTOCOL_BUFFERS, 2: WHOLE, 3: zigzag(number), 4: self._client, 5: zigzag(retries)})

    @staticmethod
    def _packet(*parts: bytes) -> bytes:
        body = b"".join(map(delimited, parts))
        return struct.pack(">I", len(body)) + body


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
