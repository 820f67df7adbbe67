"""A connection's way through the control port: bytes in both directions, and how far its handshake has come."""

from __future__ import annotations

import selectors
import socket

BUFFER = 256 << 10  # bytes that wait in one direction of a connection, before no more are read
READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
SILENT, SPOKEN, WELCOMED, PROVED = range(4)  # how far a connection has come
_GREETING = 64  # bytes of a greeting of ZMTP 3
_HANDSHAKE_BYTES = 4096  # that ZeroMQ says in a handshake, at most: it is some 350


class Passage:
    """Holds a connection and ZeroMQ's side of it: what waits to be sent in each direction, and how far it has come.

    Parameters
    ----------
    outside : socket
        Does not block.
    until : float
        When it is to be ended, in seconds of `time.monotonic`.

    Attributes
    ----------
    inside : socket or None
        To ZeroMQ; None before the first byte.
    stage : int
        SILENT, SPOKEN, WELCOMED (it knows the master's public key) or PROVED.
    """

    def __init__(self, outside: socket.socket, until: float):
        self.outside, self.until = outside, until
        self.inside: socket.socket | None = None
        self.stage = SILENT
        self.closed_outside = self.closed_inside = False
        self._inwards, self._outwards = bytearray(), bytearray()
        self._seen = bytearray()  # ZeroMQ's bytes of the handshake
        self._said_all = False

    @property
    def address(self) -> str:
        """The other side's address; empty if it is gone."""
        try:
            return str(self.outside.getpeername()[0])
        except OSError:
            return ""

    @property
    def over(self) -> bool:
        """Tells whether one side has ended and the other one has been sent all of it."""
        if self.closed_inside:
            return self.closed_outside
        return self.closed_outside and not self._inwards

    @property
    def idle(self) -> bool:
        """Tells whether both sides are there, and nothing waits to be sent to either."""
        ended = self.inside is None or self.closed_outside or self.closed_inside
        return not (ended or self._inwards or self._outwards)

    def wanted(self) -> list[tuple[socket.socket, int]]:
        """List what to wait for, on each side."""
        assert self.inside is not None or self.stage == SILENT
        if self.inside is None:
            return [(self.outside, READ)]
        room_in = len(self._inwards) < BUFFER or self.closed_inside
        outside = READ * (room_in and not self.closed_outside) | WRITE * bool(
            self._outwards and not self.closed_outside
        )
        inside = READ * (len(self._outwards) < BUFFER and not self.closed_inside) | WRITE * bool(self._inwards)
        return [(self.outside, outside), (self.inside, 0 if self.closed_inside else inside)]

    def move(self, ready: socket.socket, events: int) -> None:
        """Read from the side that is ready, and write what the other one takes at once."""
        assert self.inside is not None
        if events & READ:
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
