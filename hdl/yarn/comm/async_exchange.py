"""Exchanges the latest weights among workers without anybody waiting: older ones are passed over."""

from __future__ import annotations

import threading
from contextlib import suppress

from hdl.errors import HdlError
from hdl.wire import Buffer
from hdl.yarn.comm.mesh import Mesh, Message


class Stopped(Exception):
    """Says that the exchange has been stopped."""


class AsyncExchange:
    """Sends each peer the message that was published last, and keeps the last one of each peer: two threads a peer.

    Parameters
    ----------
    mesh : Mesh
        Used by the exchange alone from now on, and closed by it.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._changed = threading.Condition()
        self._published: tuple[int, Message] = 0, ()
        self._latest: dict[int, Buffer] = {}
        self._stopped = False
        mesh.check = self._check
        peers = [rank for rank in range(mesh.size) if rank != mesh.rank]
        self._threads = [
            threading.Thread(target=work, args=[peer], daemon=True)
            for peer in peers
            for work in (self._send, self._receive)
        ]
        for thread in self._threads:
            thread.start()

    def publish(self, message: Message) -> None:
        """Send this message to all peers from now on; a peer that is busy never sees the ones before."""
        with self._changed:
            self._published = self._published[0] + 1, message
            self._changed.notify_all()

    def latest(self) -> dict[int, Buffer]:
        """Take the last message of each peer that has sent one since the last call, by rank."""
        with self._changed:
            latest, self._latest = self._latest, {}
        return latest

    def stop(self) -> None:
        """End all connections."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._mesh.shut()
        for thread in self._threads:  # a descriptor that is closed under a thread may be another connection's at once
            thread.join()
        self._mesh.close()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped

    def _send(self, peer: int) -> None:
        sent = 0
        with suppress(HdlError):  # a lost peer is the master's concern
            while True:
                with self._changed:
                    while self._published[0] == sent and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    sent, message = self._published
                self._mesh.send(peer, message)

    def _receive(self, peer: int) -> None:
        with suppress(HdlError, Stopped):
            while True:
                (message,) = self._mesh.receive(peer)
                with self._changed:
                    self._latest[peer] = message
