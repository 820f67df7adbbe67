"""What reaches a worker over mutual TLS: gifts of the master, what others take, peers of a crew, the master's watch.

A connection says in its first frame what it is for:

    {"purpose": "give", "name"}   a message follows, kept under that name until the worker wants it
    {"purpose": "take", "name"}   the worker answers with what it offers under that name, or nothing
    {"purpose": "peer", "generation", "rank"}   it becomes part of a mesh
    {"purpose": "watch"}          its end is the master's; the one thing ever said in it is that the worker was given up
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from hdl import wire
from hdl.data import Summary
from hdl.errors import DeadlineError, WorkerError
from hdl.runners.local_worker import receive, send
from hdl.wire import Buffer, Update, Weights
from hdl.yarn.comm import tls

Address = tuple[str, int]
Pieces = Sequence[Buffer]
_TAKEN = b"taken"
DISMISSED = b"!"


def titled(name: str, generation: int, ticket: int) -> str:
    """The name of a gift that belongs to a command.

    Rounds begin anew with each layer of a stack, and commands are given again: a gift is of use to its own one only.
    """
    return f"{name}@{generation}.{ticket}"


def belongs(name: str) -> tuple[float, float]:
    """The inverse: a gift's generation and ticket; one that belongs to no command outlives them.

    Examples
    --------
    >>> belongs(titled("weights:3", 1000002, 17)), belongs("equal")
    ((1000002, 17), (inf, inf))
    """
    found = re.fullmatch(r".*@(\d{1,18})\.(\d{1,18})", name)
    return (int(found[1]), int(found[2])) if found else (math.inf, math.inf)


class Mailbox:
    """Serves a worker's connections, each in a thread of its own.

    Parameters
    ----------
    context : ssl.SSLContext
    host : str
        To listen on.
    taking : function
        Called before something is taken.
    dismissed : function
        Called when the master has given this worker up.

    Attributes
    ----------
    address : (str, int)
    master_gone : threading.Event
        The watch of the present master has ended.
    """

    def __init__(self, context: ssl.SSLContext, host: str, taking: Callable[[], Any] = lambda: None,
                 dismissed: Callable[[], Any] = lambda: None):  # fmt: skip
        self._taking, self._dismissed = taking, dismissed
        self._changed = threading.Condition()
        self._gifts: dict[str, bytearray] = {}
        self._offers: dict[str, Pieces] = {}
        self._peers: dict[tuple[int, int], socket.socket] = {}
        self._watch: socket.socket | None = None
        self.master_gone = threading.Event()
        self._listener = tls.Listener(context, host, self._connected)
        self.address: Address = self._listener.address

    def gift(self, name: str, seconds: float) -> bytearray:
        """What the master gave under a name; it is handed out once."""
        return self._wait(self._gifts, name, seconds, f"the master has not sent {name!r}")

    def tidy(self, generation: int, ticket: int) -> None:
        """Forgets gifts that belong to commands before this one: nobody will ask for them any more."""
        with self._changed:
            for name in [name for name in self._gifts if belongs(name) < (generation, ticket)]:
                del self._gifts[name]

    def came(self, name: str) -> bytearray | None:
        """What the master gave under a name, if it has; it is handed out once."""
        with self._changed:
            return self._gifts.pop(name, None)

    def peer(self, generation: int, rank: int, seconds: float) -> socket.socket:
        """The connection that a peer of a generation opened."""
        return self._wait(self._peers, (generation, rank), seconds, f"worker {rank} has not connected")

    def offer(self, offers: dict[str, Pieces]) -> None:
        """From now on this can be taken, and nothing else."""
        self._offers = offers

    def forget(self, generation: int) -> None:
        """Closes connections of peers that no mesh of this or a later generation wants."""
        with self._changed:
            old = [key for key in self._peers if key[0] < generation]
            for key in old:
                self._peers.pop(key).close()

    def close(self) -> None:
        """Closes what nobody has taken over."""
        self._listener.close()
        self.forget(1 << 62)

    def _wait(self, found: dict[Any, Any], key: Any, seconds: float, missing: str) -> Any:
        until = time.monotonic() + seconds
        with self._changed:
            while key not in found:
                if not self._changed.wait(max(0.0, until - time.monotonic())) and key not in found:
                    raise DeadlineError(f"{missing} within {seconds:g} s")
            return found.pop(key)

    def _connected(self, channel: socket.socket, hello: dict[str, Any]) -> None:
        purpose = hello.get("purpose")
        if purpose == "peer":
            with self._changed:
                self._peers[int(hello["generation"]), int(hello["rank"])] = channel
                self._changed.notify_all()
            return
        with channel, suppress(OSError, EOFError):  # whoever goes in the middle of it has lost interest
            if purpose == "give":
                content = receive(channel)
                with self._changed:
                    self._gifts[str(hello["name"])] = content
                    self._changed.notify_all()
                send(channel, _TAKEN)
            elif purpose == "take":
                if not str(hello["name"]).startswith("summary"):
                    self._taking()
                offered = self._offers.get(str(hello["name"]))
                send(channel, b"" if offered is None else list(offered))
            elif purpose == "watch":
                self._watched(channel)

    def _watched(self, channel: socket.socket) -> None:
        channel.settimeout(None)
        self._watch = channel
        self.master_gone.clear()
        with suppress(OSError):
            if channel.recv(1) == DISMISSED:
                self._dismissed()
        if self._watch is channel:  # a second master may have come before the first one's end was seen
            self.master_gone.set()


Kind = TypeVar("Kind", Weights, Update, Summary)


def decoded(kind: type[Kind], content: Buffer) -> Kind:
    """A message that is of the kind that is expected.

    Raises
    ------
    WorkerError
        It is another one.
    WireError
        It is none.
    """
    found = wire.decode(content)
    if not isinstance(found, kind):
        raise WorkerError(f"a peer sent {type(found).__name__}; expected {kind.__name__}")
    return found


def give(context: ssl.SSLContext, address: Address, name: str, content: Pieces, seconds: float) -> None:
    """Gives a worker a message under a name, and waits until it has it.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        It is gone, or does not take it.
    """
    if _asked(context, address, "give", name, seconds, content) != _TAKEN:
        raise WorkerError(f"{address}: has not taken {name!r}")


def take(context: ssl.SSLContext, address: Address, name: str, seconds: float) -> bytearray:
    """What a worker offers under a name.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        It is gone, or offers no such thing.
    """
    content = _asked(context, address, "take", name, seconds)
    if not content:
        raise WorkerError(f"{address}: has no {name!r} any more")
    return content


def _asked(
    context: ssl.SSLContext, address: Address, purpose: str, name: str, seconds: float, content: Pieces = ()
) -> bytearray:
    """The answer on a connection made for one purpose."""
    try:
        with tls.connect(context, address, {"purpose": purpose, "name": name}, seconds) as channel:
            if content:
                send(channel, list(content))
            return receive(channel)
    except EOFError:
        raise WorkerError(f"{address[0]}:{address[1]} closed the connection over {name!r}") from None
