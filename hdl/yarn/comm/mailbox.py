"""A worker's mailbox, over mutual TLS: payloads pushed by the master, results pulled, peers, the master's watch.

A connection says in its first frame what it is for; "give" and "take" are push and pull:

    {"purpose": "give", "name"}   a message follows, kept under that name until the worker wants it
    {"purpose": "take", "name"}   the worker answers with what it has published under that name, or nothing
    {"purpose": "peer", "generation", "rank"}   it becomes part of a mesh
    {"purpose": "watch"}          its end is the master's; the one thing ever said in it is that the worker was evicted
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
from hdl.runners.frames import receive, send
from hdl.wire import Buffer, Update, Weights
from hdl.yarn.comm import tls

Address = tuple[str, int]
Pieces = Sequence[Buffer]
_ACCEPTED = b"taken"
EVICTED = b"!"


def payload_name(name: str, generation: int, command_id: int) -> str:
    """Name a payload that belongs to a command.

    Rounds begin anew with each layer of a stack, and commands are given again: a payload is of use to its own only.
    """
    return f"{name}@{generation}.{command_id}"


def command_of(name: str) -> tuple[float, float]:
    """Read a payload's generation and command id from its name; one that belongs to no command outlives them.

    Examples
    --------
    >>> command_of(payload_name("weights:3", 1000002, 17)), command_of("equal")
    ((1000002, 17), (inf, inf))
    """
    parts = re.fullmatch(r".*@(\d{1,18})\.(\d{1,18})", name)
    return (int(parts[1]), int(parts[2])) if parts else (math.inf, math.inf)


class Mailbox:
    """Serves a worker's connections, each in a thread of its own.

    Parameters
    ----------
    context : ssl.SSLContext
    host : str
        To listen on.
    on_pull : function
        Called before a result is pulled.
    on_evicted : function
        Called when the master has evicted this worker.

    Attributes
    ----------
    address : (str, int)
    master_gone : threading.Event
        The watch of the present master has ended.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        on_pull: Callable[[], Any] = lambda: None,
        on_evicted: Callable[[], Any] = lambda: None,
    ):
        self._on_pull, self._on_evicted = on_pull, on_evicted
        self._changed = threading.Condition()
        self._payloads: dict[str, bytearray] = {}
        self._published: dict[str, Pieces] = {}
        self._peers: dict[tuple[int, int], socket.socket] = {}
        self._watch: socket.socket | None = None
        self.master_gone = threading.Event()
        self._listener = tls.Listener(context, host, self._connected)
        self.address: Address = self._listener.address

    def payload(self, name: str, seconds: float) -> bytearray:
        """Wait for what the master pushes under a name, and take it out."""
        return self._wait(self._payloads, name, seconds, f"the master has not sent {name!r}")

    def discard_before(self, generation: int, command_id: int) -> None:
        """Drop payloads that belong to commands before this one: nobody will ask for them any more."""
        with self._changed:
            for name in [name for name in self._payloads if command_of(name) < (generation, command_id)]:
                del self._payloads[name]

    def poll(self, name: str) -> bytearray | None:
        """Take out what the master has pushed under a name, if it has."""
        with self._changed:
            return self._payloads.pop(name, None)

    def peer(self, generation: int, rank: int, seconds: float) -> socket.socket:
        """Wait for the connection that a peer of a generation opens."""
        return self._wait(self._peers, (generation, rank), seconds, f"worker {rank} has not connected")

    def publish(self, results: dict[str, Pieces]) -> None:
        """Let these be pulled from now on, and nothing else."""
        self._published = results

    def close_peers_before(self, generation: int) -> None:
        """Close connections of peers that no mesh of this or a later generation wants."""
        with self._changed:
            old = [key for key in self._peers if key[0] < generation]
            for key in old:
                self._peers.pop(key).close()

    def close(self) -> None:
        """Close the listener, and connections that no mesh has taken over."""
        self._listener.close()
        self.close_peers_before(1 << 62)

    def _wait(self, arrived: dict[Any, Any], key: Any, seconds: float, missing: str) -> Any:
        until = time.monotonic() + seconds
        with self._changed:
            while key not in arrived:
                if not self._changed.wait(max(0.0, until - time.monotonic())) and key not in arrived:
                    raise DeadlineError(f"{missing} within {seconds:g} s")
            return arrived.pop(key)

    def _connected(self, channel: socket.socket, hello: dict[str, Any]) -> None:
        purpose = hello.get("purpose")
        if purpose == "peer":
            with self._changed:
                self._peers[int(hello["generation"]), int(hello["rank"])] = channel
                self._changed.notify_all()
            return
        with channel, suppress(OSError, EOFError):  # a peer that goes in the middle of it has lost interest
            if purpose == "give":
                content = receive(channel)
                with self._changed:
                    self._payloads[str(hello["name"])] = content
                    self._changed.notify_all()
                send(channel, _ACCEPTED)
            elif purpose == "take":
                if not str(hello["name"]).startswith("summary"):
                    self._on_pull()
                result = self._published.get(str(hello["name"]))
                send(channel, b"" if result is None else list(result))
            elif purpose == "watch":
                self._follow_watch(channel)

    def _follow_watch(self, channel: socket.socket) -> None:
        channel.settimeout(None)
        self._watch = channel
        self.master_gone.clear()
        with suppress(OSError):
            if channel.recv(1) == EVICTED:
                self._on_evicted()
        if self._watch is channel:  # a second master may have come before the first one's end was seen
            self.master_gone.set()


Kind = TypeVar("Kind", Weights, Update, Summary)


def decode_as(kind: type[Kind], content: Buffer) -> Kind:
    """Decode a message that must be of this kind.

    Raises
    ------
    WorkerError
        It is another one.
    WireError
        It is none.
    """
    decoded = wire.decode(content)
    if not isinstance(decoded, kind):
        raise WorkerError(f"a peer sent {type(decoded).__name__}; expected {kind.__name__}")
    return decoded


def push(context: ssl.SSLContext, address: Address, name: str, content: Pieces, seconds: float) -> None:
    """Push a payload into a worker's mailbox under a name, and wait until it has it.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        It is gone, or does not take it.
    """
    if _request(context, address, "give", name, seconds, content) != _ACCEPTED:
        raise WorkerError(f"{address}: has not taken {name!r}")


def pull(context: ssl.SSLContext, address: Address, name: str, seconds: float) -> bytearray:
    """Pull what a worker has published under a name.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        It is gone, or has published no such thing.
    """
    content = _request(context, address, "take", name, seconds)
    if not content:
        raise WorkerError(f"{address}: has no {name!r} any more")
    return content


def _request(
    context: ssl.SSLContext, address: Address, purpose: str, name: str, seconds: float, content: Pieces = ()
) -> bytearray:
    """Make a connection for one purpose, and return the answer."""
    try:
        with tls.connect(context, address, {"purpose": purpose, "name": name}, seconds) as channel:
            if content:
                send(channel, list(content))
            return receive(channel)
    except EOFError:
        raise WorkerError(f"{address[0]}:{address[1]} closed the connection over {name!r}") from None
