"""A worker's mailbox, over mutual TLS: payloads pushed by the master, results pulled, peers, the master's watch.

The first frame of a connection names its purpose; "give" and "take" are push and pull:

    {"purpose": "give", "name"}   a payload follows, kept under that name until the worker reads it
    {"purpose": "spread", "name"} a bundle of payloads follows, for this worker and those below it: see `worker.relay`
    {"purpose": "take", "name"}   the worker answers with the result that it published under that name, or with nothing
    {"purpose": "peer", "generation", "rank"}   the connection becomes one of a mesh
    {"purpose": "relay", "generation", "place", "way"}   of a worker below in the tree of relays (`worker.relay`)
    {"purpose": "tokens"}         fresh tokens follow, which the worker uses at once, whatever it is doing
    {"purpose": "watch"}          the connection ends with the master; the only message in it is `EVICTED`
"""

from __future__ import annotations

import math
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
EVICTED = b"!"  # the master's, to a worker whose place another one has


def payload_name(name: str, generation: int, command_id: int) -> str:
    """Name a payload that belongs to a command.

    Rounds begin anew with each layer of a stack, and commands are given again: a payload is of use to its own command
    only.
    """
    return f"{name}@{generation}.{command_id}"


def command_of(name: str) -> tuple[float, float]:
    """Read generation and command id from a payload's name; infinite for a payload of no command, which outlives all.

    Examples
    --------
    >>> command_of(payload_name("weights:3", 1000002, 17)), command_of("equal")
    ((1000002, 17), (inf, inf))
    """
    match = re.fullmatch(r".*@(\d{1,18})\.(\d{1,18})", name)
    return (int(match[1]), int(match[2])) if match else (math.inf, math.inf)


class Mailbox:
    """Serves a worker's connections, each in a thread of its own.

    Parameters
    ----------
    context : ssl.SSLContext
    host : str
        Name or address of the interface to listen on.
    on_pull : function of str
        Called with a result's name before it is pulled.
    on_evicted : function
        Called when the master has evicted this worker.
    on_tokens : function of bytes
        Called with fresh tokens, in the connection's thread.

    Attributes
    ----------
    address : (str, int)
    master_gone : threading.Event
        Set once the watch of the present master has ended.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        host: str,
        on_pull: Callable[[str], Any] = lambda name: None,
        on_evicted: Callable[[], Any] = lambda: None,
        on_tokens: Callable[[bytes], Any] = lambda content: None,
    ):
        self._on_pull, self._on_evicted, self._on_tokens = on_pull, on_evicted, on_tokens
        self.on_relay: Callable[[Any, dict[str, Any]], Any] = lambda channel, hello: channel.close()
        self.on_bundle: Callable[[str, Buffer], Any] = lambda name, content: None
        self.bundles: dict[str, Pieces] = {}  # results of several workers, by name
        self._changed = threading.Condition()
        self._payloads: dict[str, bytearray] = {}
        self._published: Mapping[str, Pieces | Callable[[], Pieces]] = {}
        self._peers: dict[tuple[int, int], socket.socket] = {}
        self._watch: socket.socket | None = None
        self.master_gone = threading.Event()
        self._listener = tls.Listener(context, host, self._connected)
        self.address: Address = self._listener.address

    def payload(self, name: str, seconds: float) -> bytearray:
        """Wait for the payload that the master pushes under a name, and take it out.

        Raises
        ------
        DeadlineError
            No such payload comes within `seconds`.
        """
        return self._wait(self._payloads, name, seconds, f"the master has not sent {name!r}")

    def discard_before(self, generation: int, command_id: int) -> None:
        """Drop payloads that belong to commands before this one: nobody will ask for them any more."""
        with self._changed:
            for name in [name for name in self._payloads if command_of(name) < (generation, command_id)]:
                del self._payloads[name]

    def poll(self, name: str) -> bytearray | None:
        """Take out the payload that the master has pushed under a name; None if there is none."""
        with self._changed:
            return self._payloads.pop(name, None)

    def peer(self, generation: int, rank: int, seconds: float) -> socket.socket:
        """Wait for the connection that a peer of a generation opens.

        Raises
        ------
        DeadlineError
            The peer does not connect within `seconds`.
        """
        return self._wait(self._peers, (generation, rank), seconds, f"worker {rank} has not connected")

    def deliver(self, name: str, content: bytearray) -> None:
        """Keep a payload under a name until this worker reads it."""
        with self._changed:
            self._payloads[name] = content
            self._changed.notify_all()

    def publish(self, results: Mapping[str, Pieces | Callable[[], Pieces]]) -> None:
        """Let these results be pulled by name from now on, and no earlier ones; a function is called for its result."""
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
        if purpose == "relay":
            self.on_relay(channel, hello)
            return
        with channel, suppress(OSError, EOFError):  # the other side is gone, and needs no answer
            if purpose == "give":
                self.deliver(str(hello["name"]), receive(channel))
                send(channel, _ACCEPTED)
            elif purpose == "spread":
                self.on_bundle(str(hello["name"]), receive(channel))
                send(channel, _ACCEPTED)
            elif purpose == "take":
                if not str(hello["name"]).startswith(("summary", "bundle")):
                    self._on_pull(str(hello["name"]))
                result = self._published.get(str(hello["name"]), self.bundles.get(str(hello["name"])))
                send(channel, b"" if result is None else list(result() if callable(result) else result))
            elif purpose == "tokens":
                self._on_tokens(bytes(receive(channel)))
                send(channel, _ACCEPTED)
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
    """Decode a message that must be of a given kind.

    Raises
    ------
    WorkerError
        The message is of another kind.
    WireError
        The content is no message.
    """
    decoded = wire.decode(content)
    if not isinstance(decoded, kind):
        raise WorkerError(f"a peer sent {type(decoded).__name__}; expected {kind.__name__}")
    return decoded


def push(context: ssl.SSLContext, address: Address, name: str, content: Pieces, seconds: float) -> None:
    """Push a payload into a worker's mailbox under a name, and wait until the worker has received it.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        The worker is gone, or does not take the payload.
    """
    if _request(context, address, "give", name, seconds, content) != _ACCEPTED:
        raise WorkerError(f"{address}: has not taken {name!r}")


def spread(context: ssl.SSLContext, address: Address, name: str, content: Pieces, seconds: float) -> None:
    """Push a bundle of payloads to a worker, which passes on those of others; errors are those of `push`."""
    if _request(context, address, "spread", name, seconds, content) != _ACCEPTED:
        raise WorkerError(f"{address}: has not taken {name!r}")


def give_tokens(context: ssl.SSLContext, address: Address, content: bytes, seconds: float) -> None:
    """Give a worker fresh tokens, and wait until it uses them.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        The worker is gone, or cannot take them.
    """
    if _request(context, address, "tokens", "", seconds, [content]) != _ACCEPTED:
        raise WorkerError(f"{address}: has not taken fresh tokens")


def pull(context: ssl.SSLContext, address: Address, name: str, seconds: float) -> bytearray:
    """Pull the result that a worker has published under a name.

    Raises
    ------
    WorkerError, DeadlineError, OSError
        The worker is gone, or has published nothing under that name.
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
