"""Connections among all workers of a generation, and exchanges over them in which all take part."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from hdl import wire
from hdl.errors import DeadlineError, HdlError
from hdl.runners import frames
from hdl.wire import Buffer
from hdl.yarn.comm import tls
from hdl.yarn.comm.faults import Point, nothing

INLINE = 64 << 10  # bytes that fit into a socket's buffer, so that no thread is needed to send them
POLL = 0.2  # seconds between two looks at whether waiting is still of use
CONNECT_SECONDS = 10.0  # for all peers to connect
_HEAD = struct.Struct("<4sIII")  # magic, generation, number of the exchange, messages that follow
_MAGIC = b"hdlx"
_MOST = 1 << 16  # messages in an exchange

Message = Sequence[Buffer]  # pieces that follow each other


class PeerLost(HdlError, ConnectionError):
    """Says that a peer's connection broke, or that the peer spoke of another exchange.

    Attributes
    ----------
    rank : int
        Of the peer, its place in the mesh.
    reason : object
    """

    def __init__(self, rank: int, reason: object):
        super().__init__(f"worker {rank}: {reason}")
        self.rank, self.reason = rank, reason


class Mesh:
    """Holds a worker's connections with all others of its generation: one to send and one to receive, for each peer.

    Parameters
    ----------
    rank, size : int
        Rank of this worker; number of workers.
    generation : int
        Sent with every message, so that no worker takes a message of an earlier generation for one of its own.
    outward, inward : dict of int to socket
        By the peer's rank.
    check : function
        Called again and again while waiting; it raises when waiting is of no use any more.
    limit : int
        Bytes that a message may have.
    point : function of a phase
        Called before sending and before waiting: see `faults`.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        generation: int,
        outward: Mapping[int, socket.socket],
        inward: Mapping[int, socket.socket],
        check: Callable[[], Any] = lambda: None,
        limit: int = wire.MAX_BYTES,
        point: Point = nothing,
    ):
        self._point = point
        self.rank, self.size, self.generation, self.check, self.limit = rank, size, generation, check, limit
        self._outward, self._inward = outward, inward
        # After itself in a ring, so that not everybody turns to rank 0 first.
        self._peers = [(rank + step) % size for step in range(1, size)]
        self._number = 0
        self._kept: dict[tuple[int, int], np.ndarray] = {}  # by peer and place among its messages
        self._senders = ThreadPoolExecutor(max(1, size - 1), "hdl-send")
        for channel in inward.values():
            channel.settimeout(POLL)

    def exchange(self, outgoing: Mapping[int, Sequence[Message]], reuse: bool = False) -> list[Buffer]:
        """Send each peer its messages, and return the messages of all peers; all of them take part.

        With `reuse` they are received into the same memory as the last exchange's, which so need not be cleared again:
        they are valid until the next such exchange.

        Raises
        ------
        PeerLost
        """
        self._number += 1
        self._point("sending")
        sent: list[tuple[int, Future[None]]] = []
        for peer in self._peers:
            pieces = self._framed(outgoing[peer])
            if sum(map(len, pieces)) <= INLINE:
                self._send(peer, [b"".join(pieces)])
            else:
                sent.append((peer, self._senders.submit(self._send, peer, pieces)))
        self._point("waiting")
        received = [message for peer in reversed(self._peers) for message in self._receive(peer, reuse)]
        for _, future in sent:
            future.result()
        return received

    def share(self, messages: Sequence[Message], reuse: bool = False) -> list[Buffer]:
        """Send the same messages to all peers, and return the messages of all peers."""
        return self.exchange(dict.fromkeys(self._peers, messages), reuse)

    def send(self, peer: int, message: Message) -> None:
        """Send one peer a message, outside of any exchange."""
        self._send(peer, self._framed([message]))

    def receive(self, peer: int) -> list[Buffer]:
        """Wait for the next messages of one peer, outside of any exchange."""
        return self._receive(peer)

    def shut(self) -> None:
        """End all connections; threads that wait in one of them wake."""
        for channel in (*self._outward.values(), *self._inward.values()):
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End and close all connections, when nobody uses them any more."""
        self.shut()
        self._senders.shutdown()
        for channel in (*self._outward.values(), *self._inward.values()):
            channel.close()

    def _framed(self, messages: Sequence[Message]) -> list[Buffer]:
        pieces: list[Buffer] = [_HEAD.pack(_MAGIC, self.generation, self._number, len(messages))]
        for message in messages:
            pieces += [frames.prefix(message), *message]
        return pieces

    def _send(self, peer: int, pieces: Sequence[Buffer]) -> None:
        try:
            for piece in pieces:
                self._outward[peer].sendall(piece)
        except (OSError, ValueError) as error:
            raise PeerLost(peer, error) from None

    def _receive(self, peer: int, reuse: bool = False) -> list[Buffer]:
        channel = self._inward[peer]
        try:
            magic, generation, number, count = _HEAD.unpack(self._exactly(channel, _HEAD.size))
            if (magic, generation, number) != (_MAGIC, self.generation, self._number) or count > _MOST:
                raise PeerLost(peer, f"sent exchange {number} of generation {generation}, not {self._number}")
            return [self._message(peer, channel, place if reuse else None) for place in range(count)]
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, HdlError):
                raise
            raise PeerLost(peer, error or "closed the connection") from None

    def _message(self, peer: int, channel: socket.socket, place: int | None) -> Buffer:
        (length,) = frames.LENGTH.unpack(self._exactly(channel, frames.LENGTH.size))
        if length > self.limit:
            raise PeerLost(peer, f"a message of {length} bytes; expected at most {self.limit}")
        out = None if place is None else self._kept.get((peer, place))
        if out is None or out.nbytes != length:
            out = np.empty(length, np.uint8)
        if place is not None:
            self._kept[peer, place] = out
        return self._exactly(channel, length, out.data)

    def _exactly(self, channel: socket.socket, length: int, out: memoryview | None = None) -> Buffer:
        out = memoryview(bytearray(length)) if out is None else out
        view = out
        while view:
            try:
                count = channel.recv_into(view)
            except TimeoutError:
                self.check()
                continue
            if not count:
                raise EOFError("closed the connection")
            view = view[count:]
        return out


def connect(
    rank: int,
    generation: int,
    peers: Sequence[tuple[str, int]],
    context: ssl.SSLContext,
    accept: Callable[[int], socket.socket],
    check: Callable[[], Any],
    point: Point,
) -> Mesh | None:
    """Connect a worker with all others of its generation, which do the same.

    Parameters
    ----------
    rank : int
        Of this worker.
    generation : int
    peers : list of (str, int)
        Addresses of all mailboxes, by rank.
    context : ssl.SSLContext
        For connections to peers.
    accept : function of a rank
        Waits for the connection that this peer opens.
    check, point : functions
        See `Mesh`.

    Returns
    -------
    Mesh or None
        None: there are no other workers.

    Raises
    ------
    PeerLost
    """
    if len(peers) == 1:
        return None
    hello = {"purpose": "peer", "generation": generation, "rank": rank}
    outward: dict[int, socket.socket] = {}
    inward: dict[int, socket.socket] = {}
    for peer, address in enumerate(peers):
        if peer != rank:
            try:
                outward[peer] = tls.connect(context, address, hello, CONNECT_SECONDS)
            except (HdlError, OSError) as error:
                raise PeerLost(peer, error) from None
    for peer in outward:
        try:
            inward[peer] = accept(peer)
        except DeadlineError as error:
            raise PeerLost(peer, error) from None
    return Mesh(rank, len(peers), generation, outward, inward, check, point=point)
