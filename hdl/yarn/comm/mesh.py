"""Connections of a worker with its peers of a generation, and exchanges over them, step by step.

The peers are those of the schedule (`hdl.sync.schedule`), O(log n) of them, or all others: of few workers, and in mode
`async`. For each there are two connections, one a direction.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import numpy as np

from hdl import wire
from hdl.errors import DeadlineError, HdlError
from hdl.runners import frames
from hdl.sync import schedule
from hdl.wire import Buffer
from hdl.yarn.comm import channel as channels
from hdl.yarn.comm import tls
from hdl.yarn.comm.faults import Point, nothing

POLL = 0.2  # seconds between two looks at whether waiting is still of use
CONNECT_SECONDS = 10.0  # for all peers to connect
_HEAD = struct.Struct("<4sIIII")  # magic, generation, number of the exchange, its step, messages that follow
_MAGIC = b"hdlx"
_MOST = 1 << 16  # messages in a step

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
    """Holds a worker's connections with its peers of a generation, and counts what goes over them.

    Parameters
    ----------
    rank, size : int
        Place of this worker among all; number of workers.
    generation : int
        Sent with every message, so that no worker takes a message of an earlier generation for one of its own.
    outward, inward : dict of int to socket
        By the peer's rank: to send, and to receive.
    check : function
        Called again and again while waiting; it raises when waiting is of no use any more.
    limit : int
        Bytes that a message may have.
    point : function of a phase
        Called at the beginning of a step, before sending and before waiting: see `faults`.
    shards : int
        Of the dataset; 0: as many as workers.
    direct : int
        Workers up to whom all exchange with all.

    Attributes
    ----------
    sent_messages, sent_bytes, received_messages, received_bytes : int
        Of all steps so far, with their heads and lengths; a peer's in a step are one message.
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
        shards: int = 0,
        direct: int = schedule.DIRECT,
    ):
        self._point = point
        self.rank, self.size, self.generation, self.check, self.limit = rank, size, generation, check, limit
        self.shards, self.direct = shards or size, direct
        self.sent_messages = self.sent_bytes = self.received_messages = self.received_bytes = 0
        self._outward, self._inward = outward, inward
        # After itself in a ring, so that not everybody turns to rank 0 first.
        self.peers = sorted(outward, key=lambda peer: (peer - rank) % size)
        self._number = self._step = 0
        self._kept: dict[tuple[int, int, int], np.ndarray] = {}  # by peer, step and place among its messages
        self._senders = ThreadPoolExecutor(max(1, len(outward)), "hdl-send")
        for channel in (*outward.values(), *inward.values()):
            channel.settimeout(POLL)

    @property
    def steps(self) -> tuple[schedule.Step, ...]:
        """The steps of this worker."""
        return schedule.steps(self.size, self.shards, self.rank, self.direct)

    @property
    def parent(self) -> int | None:
        """The peer to whom this worker hands on what the first one alone is to have."""
        return schedule.parents(self.size, self.shards, self.direct)[self.rank]

    def begin(self) -> None:
        """Begin an exchange in which all workers take part, each with its own steps."""
        self._number += 1
        self._step = 0

    def step(
        self,
        phase: str,
        outgoing: Mapping[int, Sequence[Message]],
        sources: Sequence[int],
        reuse: bool = False,
        into: Mapping[int, Sequence[memoryview]] | None = None,
    ) -> dict[int, list[Buffer]]:
        """Send peers their messages, and return those that come from the sources, by peer.

        Parameters
        ----------
        phase : str
            Name of the step.
        outgoing : mapping of int to list of Message
        sources : list of int
        reuse : bool
            Receive into the same memory as in this step of the last exchange, which so need not be cleared again: what
            comes is valid until then.
        into : mapping of int to list of memoryview, optional
            Memory in which the messages are to lie, which must have its lengths.

        Raises
        ------
        PeerLost
        """
        self._point(phase)
        self._step += 1
        self._point("sending")
        sent: dict[Future[None], int] = {}
        for peer, messages in outgoing.items():
            if rest := self._begin(peer, self._framed(messages)):
                sent[self._senders.submit(self._finish, peer, rest)] = peer
        self._point("waiting")
        received = {
            peer: self._receive(peer, self._step if reuse else 0, None if into is None else into[peer])
            for peer in sources
        }
        while sent:
            done, _ = wait(sent, POLL)
            for future in done:
                del sent[future]
                future.result()
            if sent:
                self.check()
        return received

    def share(self, messages: Sequence[Message], reuse: bool = False) -> list[Buffer]:
        """Send the same messages to all peers, and return the messages of all of them: an exchange of one step."""
        self.begin()
        sources = self.peers[::-1]
        received = self.step("sharing", dict.fromkeys(self.peers, messages), sources, reuse)
        return [message for peer in sources for message in received[peer]]

    def send(self, peer: int, message: Message) -> None:
        """Send one peer a message, outside of any exchange."""
        self._finish(peer, self._framed([message]))

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
        pieces: list[Buffer] = [_HEAD.pack(_MAGIC, self.generation, self._number, self._step, len(messages))]
        for message in messages:
            pieces += [frames.prefix(message), *message]
        return pieces

    def _begin(self, peer: int, pieces: list[Buffer]) -> list[Buffer]:
        """Send what goes at once, and return the rest: for it a thread is needed, as all send before they receive."""
        self.sent_messages += 1
        self.sent_bytes += sum(map(len, pieces))
        try:
            return channels.begin(self._outward[peer], pieces)
        except (OSError, ValueError) as error:
            raise PeerLost(peer, error) from None

    def _finish(self, peer: int, pieces: list[Buffer]) -> None:
        """Send what is left. However slow the peer: the thread that waits asks whether it is of use, and shuts."""
        try:
            channels.send(self._outward[peer], pieces)
        except (OSError, ValueError) as error:
            raise PeerLost(peer, error) from None

    def _receive(self, peer: int, kept: int = 0, into: Sequence[memoryview] | None = None) -> list[Buffer]:
        channel = self._inward[peer]
        try:
            magic, generation, number, step, count = _HEAD.unpack(
                self._filled(channel, memoryview(bytearray(_HEAD.size)))
            )
            if (magic, generation, number) != (_MAGIC, self.generation, self._number):
                raise PeerLost(peer, f"sent exchange {number} of generation {generation}, not {self._number}")
            if count > _MOST or (into is not None and count != len(into)):
                raise PeerLost(peer, f"sent {count} messages in step {step}")
            self.received_messages += 1
            self.received_bytes += _HEAD.size
            return [
                self._message(
                    peer, channel, (peer, kept, place) if kept else None, None if into is None else into[place]
                )
                for place in range(count)
            ]
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, HdlError):
                raise
            raise PeerLost(peer, error or "closed the connection") from None

    def _message(
        self, peer: int, channel: socket.socket, place: tuple[int, int, int] | None, into: memoryview | None
    ) -> Buffer:
        (length,) = frames.LENGTH.unpack(self._filled(channel, memoryview(bytearray(frames.LENGTH.size))))
        self.received_bytes += frames.LENGTH.size + length
        if length > self.limit or (into is not None and length != len(into)):
            expected = f"at most {self.limit}" if into is None else len(into)
            raise PeerLost(peer, f"a message of {length} bytes; expected {expected}")
        if into is not None:
            return self._filled(channel, into)
        out = None if place is None else self._kept.get(place)
        if out is None or out.nbytes != length:
            out = np.empty(length, np.uint8)
        if place is not None:
            self._kept[place] = out
        return self._filled(channel, out.data)

    def _filled(self, channel: socket.socket, view: memoryview) -> memoryview:
        channels.receive(channel, view, self.check)
        return view


def connect(
    rank: int,
    size: int,
    generation: int,
    peers: Mapping[int, tuple[str, int]],
    context: ssl.SSLContext,
    accept: Callable[[int], socket.socket],
    check: Callable[[], Any],
    point: Point,
    shards: int = 0,
    direct: int = schedule.DIRECT,
    everybody: bool = False,
) -> Mesh | None:
    """Connect a worker with its peers of its generation, which do the same.

    Parameters
    ----------
    rank, size, generation : int
        See `Mesh`.
    peers : dict of int to (str, int)
        Addresses of the mailboxes, by rank: of those at least that `hdl.sync.schedule.peers` names.
    context : ssl.SSLContext
        For connections to peers.
    accept : function of a rank
        Waits for the connection that this peer opens.
    check, point, shards, direct
        See `Mesh`.
    everybody : bool
        Connect with all of `peers`, whatever the schedule needs.

    Returns
    -------
    Mesh or None
        None: there are no other workers.

    Raises
    ------
    PeerLost
    """
    if size == 1:
        return None
    hello = {"purpose": "peer", "generation": generation, "rank": rank}
    outward: dict[int, socket.socket] = {}
    inward: dict[int, socket.socket] = {}
    for peer in peers if everybody else schedule.peers(size, shards or size, rank, direct):
        if peer != rank:
            try:
                outward[peer] = tls.connect(context, peers[peer], hello, CONNECT_SECONDS)
            except (HdlError, OSError) as error:
                raise PeerLost(peer, error) from None
    for peer in outward:
        try:
            inward[peer] = accept(peer)
        except DeadlineError as error:
            raise PeerLost(peer, error) from None
    return Mesh(rank, size, generation, outward, inward, check, point=point, shards=shards, direct=direct)
