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
import select
import selectors
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress

from hdl.errors import WorkerError
from hdl.yarn.comm.passage import PROVED, READ, SILENT, SPOKEN, Passage
from hdl.yarn.comm.refusals import Refusals

HANDSHAKE_SECONDS = 5.0  # until an accepted connection has proved who it is
PENDING = 256  # connections without proof at a time, at most; one more ends the least advanced, the oldest of them
PENDING_SHARE = 16  # a 16th of the descriptors that the process may have, at most: each takes up to three
ACCEPTED = 8  # connections accepted between two looks at those that are there, so that a crowd ends no handshake
RESERVE = 8  # descriptors that are held for ZeroMQ: it ends a process in which it cannot accept a connection
LINGER_SECONDS = 1.0  # that what is still to be sent has, once ZeroMQ has ended a connection
_NAME = "control"


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
        Connections that were ended without proof, by reason: 'crowd', 'slow', 'closed', 'descriptors'.

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
        self._pending: list[dict[Passage, None]] = [{}, {}, {}]  # by how far they have come, the oldest first
        self._peers: dict[socket.socket, Passage] = {}
        self._leaving: dict[Passage, None] = {}  # ended by ZeroMQ
        self._ended_by: float | None = None
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._reserve: list[int] = []
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
        self._selector.register(self._socket, READ)
        self._selector.register(self._woken, READ)
        self._hold()

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
        for descriptor in (self._descriptor, *self._reserve):
            os.close(descriptor)
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
                    self._serve(peer, key.fileobj, events)  # type: ignore[arg-type]
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
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    continue  # it is gone again
                if len(self._reserve) > RESERVE // 2:
                    os.close(self._reserve.pop())
                    continue
                if not self._make_room():
                    time.sleep(0.01)
                return
            if sum(map(len, self._pending)) >= self._most:
                self._make_room()
            outside.setblocking(False)
            _tune(outside)
            peer = Passage(outside, time.monotonic() + HANDSHAKE_SECONDS)
            self._pending[SILENT][peer] = None
            self._peers[outside] = peer
            self._selector.register(outside, READ)
            self._serve(peer, outside, READ)

    def _make_room(self) -> bool:
        """End the least advanced connection, of several the oldest; False if there is none without proof."""
        peer = next((peer for some in self._pending for peer in some), None)
        if peer is not None:
            self._drop(peer, "crowd")
        return peer is not None

    def _serve(self, peer: Passage, ready: socket.socket, events: int) -> None:
        """Read and write what can be, and note how far the connection has come."""
        idle = peer.idle
        try:
            if peer.inside is None:
                self._first(peer)
            else:
                peer.move(ready, events)
                self._advance(peer)
            if peer.over:
                raise ConnectionError
        except _NoDescriptors:
            self._drop(peer, "descriptors")
            return
        except OSError:
            self._drop(peer, "closed")
            return
        if idle and peer.idle:  # a message has passed at once: what is waited for stays the same
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

    def _first(self, peer: Passage) -> None:
        """Take a connection to ZeroMQ with its first bytes; who says nothing costs one descriptor."""
        try:
            said = peer.outside.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        if not said:
            raise ConnectionError
        if len(self._reserve) < 2:
            self._hold()
        if len(self._reserve) < 2:
            raise _NoDescriptors
        for _ in range(2):  # for this side, and for ZeroMQ's
            os.close(self._reserve.pop())
        inside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            inside.setblocking(False)
            inside.connect(self._path)
            waiting = select.poll()
            waiting.register(inside, select.POLLIN)
            # Until ZeroMQ has accepted it, and greets, no other connection may take the descriptor that is free.
            if not waiting.poll(1000 * HANDSHAKE_SECONDS):
                raise ConnectionError
        except OSError:
            inside.close()
            raise
        self._hold()
        peer.inside = inside
        self._peers[inside] = peer
        self._stage(peer, SPOKEN)
        peer.move(peer.outside, READ)

    def _hold(self) -> None:
        """Fill the reserve of descriptors, as far as there are any."""
        with suppress(OSError):
            while len(self._reserve) < RESERVE:
                self._reserve.append(os.dup(self._descriptor))

    def _advance(self, peer: Passage) -> None:
        if peer.stage < PROVED:
            reached = peer.reached()
            if reached > peer.stage:
                self._stage(peer, reached)
        if peer.closed_inside and peer not in self._leaving:
            self._leaving[peer] = None
            peer.until = min(peer.until, time.monotonic() + LINGER_SECONDS)

    def _stage(self, peer: Passage, stage: int) -> None:
        self._pending[peer.stage].pop(peer, None)
        peer.stage = stage
        if stage < PROVED:
            self._pending[stage][peer] = None
        else:
            peer.until = math.inf

    def _drop(self, peer: Passage, reason: str = "") -> None:
        """End a connection; without proof it is counted under the reason."""
        if peer.stage < PROVED and self._pending[peer.stage].pop(peer, peer) is None and reason:
            self.refused.note(reason, peer.address)
        self._leaving.pop(peer, None)
        for side in (peer.outside, peer.inside):
            if side is not None and self._peers.pop(side, None) is not None and side in self._selector.get_map():
                self._selector.unregister(side)
        peer.close()


class _NoDescriptors(OSError):
    """Says that the reserve is used up."""


def _tune(outside: socket.socket) -> None:
    with suppress(OSError):  # it may be gone
        outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
