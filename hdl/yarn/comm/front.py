"""Accepts the control channel's connections, and hands on to ZeroMQ only as many as it can bear.

ZeroMQ takes every connection that comes, and each costs a descriptor for as long as its handshake may last: a thousand
idle ones leave the master none for anything else. Here connections that have not proved who they are have a cap and a
deadline, and those that have said nothing do not reach ZeroMQ. Bytes pass unchanged, so CURVE is from end to end: what
the front knows of a connection it reads in ZeroMQ's answers, of which READY is the one that only a worker gets.

ZeroMQ listens on a Unix socket in a folder that is this user's alone, not on a port of this machine.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import selectors
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress

from hdl.errors import WorkerError
from hdl.yarn.comm.refusals import Refusals

HANDSHAKE_SECONDS = 5.0  # until an accepted connection has proved who it is
PENDING = 256  # connections without proof at a time, at most; one more ends the least advanced, the oldest of them
PENDING_SHARE = 16  # a 16th of the descriptors that the process may have, at most: each takes up to three
ACCEPTED = 8  # connections accepted between two looks at those that are there, so that a crowd ends no handshake
BUFFER = 256 << 10  # bytes that wait in one direction of a connection, before no more are read
LINGER_SECONDS = 1.0  # that what is still to be sent has, once ZeroMQ has ended a connection
_NAME = "control"
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_GREETING = 64  # bytes of a greeting of ZMTP 3
_HANDSHAKE_BYTES = 4096  # that ZeroMQ says in a handshake, at most: it is some 350
SILENT, SPOKEN, WELCOMED, PROVED = range(4)  # how far a connection has come


class Front:
    """Listens for connections in a thread of its own, and passes their bytes on to a Unix socket.

    Parameters
    ----------
    host : str
        Name or IPv4 address of the interface to listen on.

    Attributes
    ----------
    endpoint : str
        That ZeroMQ is to bind, before `start`.
    port : int
    refused : Refusals
        Connections that were ended without proof, by reason: 'crowd', 'slow', 'closed'.

    Raises
    ------
    WorkerError
        Nothing can listen there.
    """

    def __init__(self, host: str):
        self.refused = Refusals()
        self.refused.port = "the control port"
        self._folder = tempfile.mkdtemp(prefix="hdl-control-")  # mode 700
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        # A container's folder has a long name, and a Unix socket's may have 107 bytes.
        self._path = f"/proc/self/fd/{self._descriptor}/{_NAME}"
        self.endpoint = f"ipc://{self._path}"
        self._pending: list[dict[_Peer, None]] = [{}, {}, {}]  # by how far they have come, the oldest first
        self._peers: dict[socket.socket, _Peer] = {}
        self._leaving: dict[_Peer, None] = {}  # ended by ZeroMQ
        self._ended_by: float | None = None
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._run, name="hdl-front", daemon=True)
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most = PENDING if most < 0 else max(8, min(PENDING, most // PENDING_SHARE))
        try:
            self._socket.bind((host, 0))
            self._socket.listen(1024)
        except OSError as error:
            self._free()
            raise WorkerError(f"cannot listen on {host}: {error}") from None
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._selector.register(self._socket, _READ)
        self._selector.register(self._woken, _READ)

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def close(self) -> None:
        """Accept no more connections, send what is still to be sent for up to a second, and end them all."""
        if self._thread.is_alive():
            self._wake.send(b".")
            self._thread.join()
        self._free()

    def _free(self) -> None:
        if self._descriptor < 0:
            return
        for peer in set(self._peers.values()):
            peer.close()
        for each in (self._selector, self._socket, self._wake, self._woken):
            each.close()
        os.close(self._descriptor)
        self._descriptor = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._ended_by is None or (self._peers and time.monotonic() < self._ended_by):
            for key, events in self._selector.select(self._patience()):
                if key.fileobj is self._socket:
                    self._accept()
                elif key.fileobj is self._woken:
                    self._end()
                elif (peer := self._peers.get(key.fileobj)) is not None:  # type: ignore[call-overload]
                    self._serve(peer, key.fileobj, events)
            self._cut_off()

    def _end(self) -> None:
        """Wait for no more than what ZeroMQ has still to say."""
        self._ended_by = time.monotonic() + LINGER_SECONDS
        for listening in (self._socket, self._woken):
            self._selector.unregister(listening)
        for peer in set(self._peers.values()):
            if peer.stage < PROVED:
                self._drop(peer)

    def _patience(self) -> float | None:
        """Return the seconds until the next deadline; None: there is none."""
        waiting = [peer.until for some in (*self._pending, self._leaving) for peer in some]
        waiting += [self._ended_by] if self._ended_by is not None else []
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _cut_off(self) -> None:
        """End connections whose time is up."""
        now = time.monotonic()
        for peer in {peer for some in (*self._pending, self._leaving) for peer in some if peer.until <= now}:
            self._drop(peer, "closed" if peer in self._leaving else "slow")

    def _accept(self) -> None:
        for _ in range(ACCEPTED):
            try:
                outside, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # it is gone again; or the process has no descriptors left: these give some back
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    if not self._make_room():
                        time.sleep(0.01)
                    return
                continue
            if sum(map(len, self._pending)) >= self._most:
                self._make_room()
            outside.setblocking(False)
            _tune(outside)
            peer = _Peer(outside, time.monotonic() + HANDSHAKE_SECONDS)
            self._pending[SILENT][peer] = None
            self._peers[outside] = peer
            self._selector.register(outside, _READ)
            self._serve(peer, outside, _READ)

    def _make_room(self) -> bool:
        """End the least advanced connection, of several the oldest; False if there is none without proof."""
        peer = next((next(iter(some)) for some in self._pending if some), None)
        if peer is not None:
            self._drop(peer, "crowd")
        return peer is not None

    def _serve(self, peer: _Peer, ready: socket.socket, events: int) -> None:
        """Read and write what can be, and note how far the connection has come."""
        try:
            if peer.inside is None:
                self._first(peer)
            else:
                peer.move(ready, events)
                self._advance(peer)
        except OSError:
            self._drop(peer, "closed")
            return
        if peer.over:
            self._drop(peer, "closed")
            return
        for each, wanted in peer.wanted():
            known = self._selector.get_map().get(each)
            if known is not None and known.events != wanted:
                if wanted:
                    self._selector.modify(each, wanted)
                else:
                    self._selector.unregister(each)
            elif known is None and wanted:
                self._selector.register(each, wanted)

    def _first(self, peer: _Peer) -> None:
        """Take a connection to ZeroMQ with its first bytes; who says nothing costs one descriptor."""
        try:
            said = peer.outside.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        if not said:
            raise ConnectionError
        inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inside.setblocking(False)
            inside.connect(self._path)
        except OSError:
            inside.close()
            raise
        peer.inside = inside
        self._peers[inside] = peer
        self._stage(peer, SPOKEN)
        peer.move(peer.outside, _READ)

    def _advance(self, peer: _Peer) -> None:
        if peer.stage < PROVED:
            reached = peer.reached()
            if reached > peer.stage:
                self._stage(peer, reached)
        if peer.closed_inside and peer not in self._leaving:
            self._leaving[peer] = None
            peer.until = min(peer.until, time.monotonic() + LINGER_SECONDS)

    def _stage(self, peer: _Peer, stage: int) -> None:
        self._pending[peer.stage].pop(peer, None)
        peer.stage = stage
        if stage < PROVED:
            self._pending[stage][peer] = None
        else:
            peer.until = math.inf

    def _drop(self, peer: _Peer, reason: str = "") -> None:
        """End a connection; without proof it is counted under the reason."""
        if peer.stage < PROVED:
            self._pending[peer.stage].pop(peer, None)
            if reason:
                self.refused.note(reason, _address(peer.outside))
        self._leaving.pop(peer, None)
        for each in (peer.outside, peer.inside):
            if each is not None:
                if each in self._selector.get_map():
                    self._selector.unregister(each)
                self._peers.pop(each, None)
        peer.close()


class _Peer:
    """Is a connection, with ZeroMQ's side of it: what waits to be sent in each direction, and how far it has come."""

    def __init__(self, outside: socket.socket, until: float):
        self.outside, self.until = outside, until
        self.inside: socket.socket | None = None
        self.stage = SILENT
        self.closed_outside = self.closed_inside = False
        self._inwards, self._outwards = bytearray(), bytearray()
        self._seen = bytearray()  # ZeroMQ's bytes of the handshake
        self._said_all = False

    @property
    def over(self) -> bool:
        """Tells whether one side has ended and the other one has been sent all of it."""
        if self.closed_inside:
            return self.closed_outside
        return self.closed_outside and not self._inwards

    def wanted(self) -> list[tuple[socket.socket, int]]:
        """List what to wait for, on each side."""
        assert self.inside is not None or self.stage == SILENT
        if self.inside is None:
            return [(self.outside, _READ)]
        room_in = len(self._inwards) < BUFFER or self.closed_inside
        outside = _READ * (room_in and not self.closed_outside) | _WRITE * bool(
            self._outwards and not self.closed_outside
        )
        inside = _READ * (len(self._outwards) < BUFFER and not self.closed_inside) | _WRITE * bool(self._inwards)
        return [(self.outside, outside), (self.inside, 0 if self.closed_inside else inside)]

    def move(self, ready: socket.socket, events: int) -> None:
        """Read from the side that is ready, and write what the other one takes at once."""
        assert self.inside is not None
        if events & _READ:
            content = _received(ready)
            if ready is self.outside:
                if content is not None:
                    self.closed_outside = not content
                    self._inwards += content if not self.closed_inside else b""
            elif content is not None:
                self.closed_inside = not content
                self._outwards += content
                if self.stage < PROVED:
                    self._seen += content
        if not self.closed_inside:
            try:
                _write(self.inside, self._inwards)
            except OSError:  # ZeroMQ has ended it, and may have said why before
                self._inwards.clear()
                self.closed_inside = True
        if not self.closed_outside:
            _write(self.outside, self._outwards)
        if self.closed_inside and not self._outwards and not self._said_all:
            # Bytes that nobody reads would turn this end into a reset, and what was said last would be lost.
            self._said_all = True
            self.outside.shutdown(socket.SHUT_WR)

    def reached(self) -> int:
        """Read in ZeroMQ's answers how far the handshake has come: https://rfc.zeromq.org/spec/37."""
        at, stage = _GREETING, SPOKEN
        if len(self._seen) > _HANDSHAKE_BYTES:
            raise ConnectionError
        while len(self._seen) >= at + 10:
            flags = self._seen[at]
            size = int.from_bytes(self._seen[at + 1 : at + 9]) if flags & 2 else self._seen[at + 1]
            start = at + (9 if flags & 2 else 2)
            name = bytes(self._seen[start + 1 : start + 1 + self._seen[start]]) if flags & 4 else b""
            if name == b"READY":
                self._seen.clear()
                return PROVED
            stage = WELCOMED if name == b"WELCOME" else stage
            at = start + size
        return max(stage, self.stage)

    def close(self) -> None:
        """Close both sides."""
        self.outside.close()
        if self.inside is not None:
            self.inside.close()


def _address(outside: socket.socket) -> str:
    try:
        return str(outside.getpeername()[0])
    except OSError:
        return ""


def _received(ready: socket.socket) -> bytes | None:
    """Receive what is there: nothing at the connection's end, None if there is none yet."""
    try:
        return ready.recv(64 << 10)
    except BlockingIOError:
        return None


def _write(taker: socket.socket, content: bytearray) -> None:
    """Send as much as is taken at once, and remove it."""
    while content:
        try:
            sent = taker.send(content)
        except BlockingIOError:
            return
        del content[:sent]


def _tune(outside: socket.socket) -> None:
    with suppress(OSError):  # it may be gone
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
