"""A session's messages on the control channel, between the process on the user's machine and the master.

The client speaks, and the master answers each message with `Told`: so a connection that breaks, or a laptop that
slept, costs no more than asking again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hdl.yarn.protocol.message import Message
from hdl.yarn.protocol.reading import expect


@dataclass(frozen=True)
class Order(Message):
    """Train, or measure, as a task config says, when its turn comes: see `hdl.runners.turns`."""

    kind: ClassVar[str] = "order"
    number: int  # of the session's orders, from 1; one that has come before is not taken again
    config: dict[str, Any]  # see `settings.to_task_config`
    alone: bool = False  # one worker carries it out: a trial of a search


@dataclass(frozen=True)
class Ask(Message):
    """Ask what has happened in an order since an event's number."""

    kind: ClassVar[str] = "ask"
    since: int
    number: int = 0  # of the order; 0: of none, only how the session is


@dataclass(frozen=True)
class Cancel(Message):
    """End an order, as Ctrl-C does."""

    kind: ClassVar[str] = "cancel"
    number: int


@dataclass(frozen=True)
class Stop(Message):
    """End the session, and what runs."""

    kind: ClassVar[str] = "stop"


@dataclass(frozen=True)
class Told(Message):
    """Answers each of the client's messages."""

    kind: ClassVar[str] = "told"
    number: int  # of the order that the message was about; 0: none
    next: int  # the event to ask for next
    events: list[dict[str, Any]]  # of that order
    outcome: dict[str, Any] | None = None  # of that order, once it is over: as an application's
    before: int = 0  # orders that come before that one, which waits; 0: it has begun
    kept: list[dict[str, Any]] | None = None  # decoded data: see `KeptHosts.describe`
    turns: list[dict[str, Any]] | None = None  # who has workers and who waits: see `hdl.runners.turns`
    memory: list[int] | None = None  # bytes that each worker uses; 0: it is not there


def read_from_client(received: dict[str, Any]) -> Message:
    """Read a message of the client; raises `ProtocolError`, as for another kind of message."""
    kinds: dict[Any, type[Message]] = {kind.kind: kind for kind in (Order, Ask, Cancel, Stop)}
    return expect(kinds.get(received.get("kind"), Ask), received)


def read_told(received: dict[str, Any]) -> Told:
    """Read the master's answer; raises `ProtocolError`, as for another kind of message."""
    return expect(Told, received)
