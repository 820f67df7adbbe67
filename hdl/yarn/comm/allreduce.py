"""Updates of all shards as one, made by the workers among themselves.

Reduce-scatter and all-gather over slices of the parameters: rank r owns the r-th of n equal slices, is sent that slice
of every update, joins them along the fixed tree over shard numbers (`sync.whole`) and sends the result to all. The tree
does not know of ranks, so the bytes are the local runner's for any number of workers.

Traffic: where each worker holds one node of the tree (shards and workers match, or each worker's shards are siblings),
it sends and receives 2(n-1)/n of the update's bytes; each further node that it holds adds (n-1)/n. What is small, and
whatever joins by shard and not number by number (`genetic`, chains), goes whole to everybody: one exchange instead of
two, n-1 times the bytes.

Letters: n workers, P parameters.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from hdl import sync, wire
from hdl.errors import HdlError, WorkerError
from hdl.spec import Spec
from hdl.wire import Buffer, Update
from hdl.yarn.comm.faults import Point, nothing

SMALL = 256 << 10  # bytes of an update that go whole to everybody: below, two exchanges cost more than the bytes
INLINE = 64 << 10  # bytes that fit into a socket's buffer, so that no thread is needed to send them
POLL = 0.2  # seconds between two looks at whether waiting is still of use
_HEAD = struct.Struct("<4sIII")  # magic, generation, number of the exchange, messages that follow
_LENGTH = struct.Struct("<Q")
_MAGIC = b"hdlx"
_MOST = 1 << 16  # messages in an exchange

Message = Sequence[Buffer]  # pieces that follow each other


class PeerLost(HdlError, ConnectionError):
    """A peer's connection broke, or it spoke of another exchange.

    Attributes
    ----------
    rank : int
    """

    def __init__(self, rank: int, reason: object):
        super().__init__(f"worker {rank}: {reason}")
        self.rank = rank


class Mesh:
    """The connections among the workers of one generation: to each peer one for sending, from each one for receiving.

    Parameters
    ----------
    rank, size : int
        Of this worker; n.
    generation : int
        In every message, so that nobody takes what an earlier crew meant.
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
        """Sends each peer its messages, and returns the messages of all peers; all of them take part.

        With `reuse` they lie where the last ones of the same place lay, in memory that need not be cleared again: good
        until the next such exchange.

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
        found = [message for peer in reversed(self._peers) for message in self._receive(peer, reuse)]
        for _, future in sent:
            future.result()
        return found

    def share(self, messages: Sequence[Message], reuse: bool = False) -> list[Buffer]:
        """Sends the same to all peers, and returns what they sent."""
        return self.exchange(dict.fromkeys(self._peers, messages), reuse)

    def send(self, peer: int, message: Message) -> None:
        """Sends one peer a message, outside of any exchange."""
        self._send(peer, self._framed([message]))

    def hear(self, peer: int) -> list[Buffer]:
        """The next messages of one peer, outside of any exchange."""
        return self._receive(peer)

    def shut(self) -> None:
        """Ends all connections; whoever waits in one of them is told."""
        for channel in (*self._outward.values(), *self._inward.values()):
            with suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends and closes all connections, when nobody uses them any more."""
        self.shut()
        self._senders.shutdown()
        for channel in (*self._outward.values(), *self._inward.values()):
            channel.close()

    def _framed(self, messages: Sequence[Message]) -> list[Buffer]:
        pieces: list[Buffer] = [_HEAD.pack(_MAGIC, self.generation, self._number, len(messages))]
        for message in messages:
            pieces += [_LENGTH.pack(sum(map(len, message))), *message]
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
        (length,) = _LENGTH.unpack(self._exactly(channel, _LENGTH.size))
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


def slices(parameters: int, size: int) -> list[tuple[int, int]]:
    """The slice [lo, hi) of the parameters that each rank owns.

    Examples
    --------
    >>> slices(10, 4)
    [(0, 2), (2, 5), (5, 7), (7, 10)]
    """
    return [(rank * parameters // size, (rank + 1) * parameters // size) for rank in range(size)]


def allreduce(mesh: Mesh | None, spec: Spec, updates: Sequence[Update], parameters: int, small: int = SMALL) -> Update:
    """The update of all shards, on every worker.

    Parameters
    ----------
    mesh : Mesh or None
        None: this worker has all shards.
    spec : Spec
    updates : list of Update
        Of this worker's shards, joined as far as they are siblings.
    parameters : int
        P, or the statistics that stand for them.
    small : int
        Bytes up to which they go whole to everybody.

    Raises
    ------
    PeerLost
    SyncError
        Shards are missing.
    """
    if mesh is None:
        return sync.complete(spec, updates)
    if not sync.separable(spec) or parameters * 4 <= small or updates[0].mode == "evaluate":
        return sync.complete(spec, [*updates, *_updates(mesh.share([wire.encode_parts(update) for update in updates]))])
    own = reduce_scatter(mesh, spec, updates, parameters)
    pieces = {mesh.rank: own}
    for message in mesh.share([wire.parts("slice", {"rank": mesh.rank}, own.tensors)], reuse=True):
        _, fields, tensors = _unpacked(message, "slice")
        pieces[fields["rank"]] = _like(own, tensors)
    if sorted(pieces) != list(range(mesh.size)):
        raise WorkerError(f"slices of ranks {sorted(pieces)}; expected all of {mesh.size}")
    return sync.concatenate_updates([pieces[rank] for rank in range(mesh.size)])


def reduce_scatter(mesh: Mesh, spec: Spec, updates: Sequence[Update], parameters: int) -> Update:
    """The update of all shards on the slice that this worker owns."""
    spans = slices(parameters, mesh.size)
    outgoing = {
        rank: [wire.encode_parts(sync.slice_update(update, *spans[rank])) for update in updates]
        for rank in range(mesh.size)
        if rank != mesh.rank
    }
    mine = [sync.slice_update(update, *spans[mesh.rank]) for update in updates]
    found = sync.complete(spec, [*mine, *_updates(mesh.exchange(outgoing, reuse=True))])
    # What joins nothing passes through as it came; the next exchange would overwrite it.
    return replace(found, tensors={name: np.array(tensor) for name, tensor in found.tensors.items()})


def _updates(messages: Iterable[Buffer]) -> list[Update]:
    found = [wire.decode(message) for message in messages]
    if not all(isinstance(update, Update) for update in found):
        raise WorkerError("a peer sent something that is no update")
    return found  # type: ignore[return-value]


def _unpacked(message: Buffer, expected: str) -> tuple[str, dict[str, Any], Any]:
    kind, fields, tensors = wire.unpack(message)
    if kind != expected:
        raise WorkerError(f"a peer sent {kind[:40]!r}; expected {expected!r}")
    return kind, fields, tensors


def _like(update: Update, tensors: Any) -> Update:
    """The same update on another slice."""
    return Update(update.mode, update.round, update.lo, update.hi, tensors, update.sums, update.seconds)
