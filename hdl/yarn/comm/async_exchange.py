"""Weights that workers publish to each other without waiting: the last ones count, older ones are passed over."""

from __future__ import annotations

import threading
from contextlib import suppress

from hdl.errors import HdlError
from hdl.wire import Buffer
from hdl.yarn.comm.allreduce import Mesh, Message


class Stopped(Exception):
    """Nobody listens any more."""


class Gossip:
    """Takes over a mesh: a thread a peer sends what was published last, another one keeps what the peer published last.

    Parameters
    ----------
    mesh : Mesh
        Of no use for anything else afterwards.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh
        self._changed = threading.Condition()
        self._published: tuple[int, Message] = 0, ()
        self._heard: dict[int, Buffer] = {}
        self._stopped = False
        mesh.check = self._check
        peers = [rank for rank in range(mesh.size) if rank != mesh.rank]
        self._threads = [
            threading.Thread(target=work, args=[peer], daemon=True)
            for peer in peers
            for work in (self._send, self._hear)
        ]
        for thread in self._threads:
            thread.start()

    def publish(self, message: Message) -> None:
        """From now on this is what peers get; one that is busy never sees what came before."""
        with self._changed:
            self._published = self._published[0] + 1, message
            self._changed.notify_all()

    def heard(self) -> dict[int, Buffer]:
        """The last message of each peer that has sent one since the last call, by rank."""
        with self._changed:
            found, self._heard = self._heard, {}
        return found

    def stop(self) -> None:
        """Ends all connections."""
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
        with suppress(HdlError):  # whoever is lost is the master's concern
            while True:
                with self._changed:
                    while self._published[0] == sent and not self._stopped:
                        self._changed.wait()
                    if self._stopped:
                        return
                    sent, message = self._published
                self._mesh.send(peer, message)

    def _hear(self, peer: int) -> None:
        with suppress(HdlError, Stopped):
            while True:
                (message,) = self._mesh.hear(peer)
                with self._changed:
                    self._heard[peer] = message
