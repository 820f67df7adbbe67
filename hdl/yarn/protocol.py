"""The control channel's protocol: every message between the master and its workers, and the states of a member.

Messages are small JSON objects over ZeroMQ (`comm.control`). What is large (weights, updates, summaries, plans) travels
beside them over mutual TLS (`comm.mailbox`): the master pushes a command's payload into the worker's mailbox and pulls
results out of it; workers exchange updates among themselves over a mesh of connections (`comm.mesh`).

    member's state    worker                                        master

    REQUESTED                                                       asks YARN for a container
    STARTING          (its container runs)                          launches the worker
                      Hello ─────────────────────────────────────►
    JOINED                                  ◄──── Open + payload    the dataset and the worker's shards
                      Done (GPU) ────────────────────────────────►
                                            ◄─ Prepare + payload    the plan, once the data has been summarised
                      Done ──────────────────────────────────────►
    READY                                       ◄─── ConnectMesh    whenever the group has changed
                      Done, or Disconnected ─────────────────────►
                                                ◄───── Summarise
                      Done; the master pulls the summaries ──────►
                                       ◄─── RunRound (+ payload)    again and again; payload: weights that it lacks
                      Done (row, seconds), Disconnected, Failed ─►
                                     ◄─── TrainAsync (+ payload)    mode `async`: until the next command
                      AsyncReport … ─────────────────────────────►
                                                 ◄───────── End
    at any time       Beat, twice a second ──────────────────────►
                      MemoryUse, near the container's limit ─────►
    LOST                                                            container ended, or silent: another incarnation

Every command carries the generation of the group and an id. What a worker of an earlier generation says is not heard;
a worker that receives a command while it waits for something leaves that and turns to the new one.

The names on the wire are older than those here and stay: see `WIRE_NAMES` and each class's `kind`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError

from hdl.errors import HdlError

# Payloads of the bulk channel.
MERGED = "equal"  # pushed: the master's periodic merge, in mode `async`
ASYNC_UPDATE = "free"  # pulled: a worker's last weights, in mode `async`; pushed: the weights it begins with
UPDATE_SLICE = "update"  # pulled: the worker's slice of the update, in a line search

# Name here: name on the wire, where they differ.
WIRE_NAMES = {"command_id": "ticket", "incarnation": "life", "address": "bulk", "platform": "isa"}


def weights_name(round: int) -> str:
    """Name the payload that holds a round's weights.

    Examples
    --------
    >>> weights_name(3)
    'weights:3'
    """
    return f"weights:{round}"


def summary_name(shard: int) -> str:
    """Name the payload that holds a shard's summary."""
    return f"summary:{shard}"


class ProtocolError(HdlError, ValueError):
    """A control message with a field missing, or of a wrong type."""


class MemberState(Enum):
    """Where an incarnation of a member is in its life; it only moves down this list, but for JOINED and READY."""

    REQUESTED = "asked for"  # no container yet
    STARTING = "starting"  # the container is there, the worker has not said hello to this master
    JOINED = "joined"  # it has said hello, and lacks some of what all rounds share
    READY = "ready"  # it has all that
    LOST = "lost"  # evicted: nothing of it is heard any more

    @property
    def here(self) -> bool:
        """Whether commands can be given to it."""
        return self in (MemberState.JOINED, MemberState.READY)


@dataclass(frozen=True)
class Message:
    """A message of the control channel."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the message as it travels; what is None is left out."""
        return {"kind": self.kind, **self._fields()}

    def _fields(self) -> dict[str, Any]:
        values = {WIRE_NAMES.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


# --- commands: master to worker ---------------------------------------------------------------------------------------


class Header(NamedTuple):
    """The first four fields of each command."""

    command_id: int  # of this master's commands, from 1
    generation: int  # of the worker group; a later attempt of the master has higher ones
    rank: int  # the place in the group that the worker fills
    incarnation: int  # how many workers have filled it before


@dataclass(frozen=True)
class Command(Message):
    """A command to one worker; its first fields are those of `Header`."""

    command_id: int
    generation: int
    rank: int
    incarnation: int


@dataclass(frozen=True)
class Open(Command):
    """Open the dataset that the payload names; answered with what the worker's GPU is."""

    kind: ClassVar[str] = "open"


@dataclass(frozen=True)
class Summarise(Command):
    """Summarise the worker's shards; the summaries are then pulled."""

    kind: ClassVar[str] = "summarise"


@dataclass(frozen=True)
class Prepare(Command):
    """Take the plan in the payload, which all rounds share."""

    kind: ClassVar[str] = "plan"


@dataclass(frozen=True)
class ConnectMesh(Command):
    """Connect with all workers of the generation."""

    kind: ClassVar[str] = "mesh"
    peers: list[tuple[str, int]]  # addresses of their mailboxes, by rank


@dataclass(frozen=True)
class RunRound(Command):
    """Do a round: compute the worker's shards, exchange, merge."""

    kind: ClassVar[str] = "round"
    round: int
    evaluate_only: bool
    central: bool  # the master merges: the worker only makes its slice of the update (line search)
    given: Literal["", "whole", "slice"]  # the weights in the payload; empty: the worker has them
    keep: list[int]  # rounds whose weights the master is still to pull


@dataclass(frozen=True)
class TrainAsync(Command):
    """Train without waiting for anybody, until the next command."""

    kind: ClassVar[str] = "free"
    last: int  # rounds to make at most
    done: int  # rounds that the training has behind it
    given: bool  # the payload holds weights to begin with; else the worker goes on with its own


@dataclass(frozen=True)
class End(Message):
    """End the process."""

    kind: ClassVar[str] = "end"


# --- reports: worker to master ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello(Message):
    """A worker is there."""

    kind: ClassVar[str] = "hello"
    address: tuple[str, int]  # of its mailbox
    host: str
    pid: int
    platform: str  # the best kind of core of its processor
    held: list[int]  # rounds whose weights it has


@dataclass(frozen=True)
class Beat(Message):
    """A sign of life."""

    kind: ClassVar[str] = "beat"
    shard: int  # being worked on; -1: none
    share: float  # of it that is done
    generation: int
    rss: int  # bytes of memory in use
    moves: int = -1  # grows whenever the work gets on: a process may beat and hang all the same


@dataclass(frozen=True)
class MemoryUse(Message):
    """The worker's memory comes near its container's limit; bytes."""

    kind: ClassVar[str] = "memory"
    limit: int
    generation: int
    rss: int
    moves: int = -1


@dataclass(frozen=True)
class AsyncReport(Message):
    """How far a worker is in mode `async`, after each of its rounds."""

    kind: ClassVar[str] = "free"
    generation: int
    round: int  # rounds that it has made
    merged: int = 0  # messages of peers that it has merged
    staleness: int = 0  # rounds that these were behind, summed
    stalest: int = 0  # the most
    late: int = 0  # messages that were too stale


@dataclass(frozen=True)
class Answer(Message):
    """An answer to the command of that id."""

    command_id: int
    generation: int

    def to_dict(self) -> dict[str, Any]:
        ticket, generation, *rest = self._fields().items()
        return dict([ticket, generation, ("kind", self.kind), *rest])


@dataclass(frozen=True)
class Done(Answer):
    """The command is done."""

    kind: ClassVar[str] = "done"
    gpu: str | None = None  # of Open: why there is no GPU to use; empty: there is one, or none was asked for
    code: str | None = None  # of Open: code of the kernels that the GPU runs
    samples: int | None = None  # of Summarise
    row: dict[str, Any] | None = None  # of RunRound: metrics
    seconds: dict[str, float] | None = None  # of RunRound, by what they were spent on


@dataclass(frozen=True)
class Failed(Answer):
    """The command raised an error."""

    kind: ClassVar[str] = "failed"
    error: dict[str, Any]  # its fields, as all runners send them


@dataclass(frozen=True)
class Disconnected(Answer):
    """The connection to a peer could not be made, or broke; the peer may be gone."""

    kind: ClassVar[str] = "lost"
    peer: int  # its rank
    reason: str


_COMMANDS: dict[str, type[Message]] = {
    kind.kind: kind for kind in (Open, Summarise, Prepare, ConnectMesh, RunRound, TrainAsync, End)
}
_REPORTS: dict[str, type[Message]] = {
    kind.kind: kind for kind in (Hello, Beat, MemoryUse, AsyncReport, Done, Failed, Disconnected)
}
_ADAPTERS: dict[type[Message], TypeAdapter[Any]] = {}  # made when first needed
_HERE = {wire: name for name, wire in WIRE_NAMES.items()}


def read_command(received: dict[str, Any]) -> Message:
    """Read a message of the master: a `Command`, or `End`.

    Raises
    ------
    ProtocolError
        It is none, or a field of it is missing or of a wrong type.
    """
    kind = _COMMANDS.get(str(received.get("kind")))
    if kind is None:
        raise ProtocolError(f"a command of kind {str(received.get('kind'))[:40]!r}; expected {', '.join(_COMMANDS)}")
    return _read(kind, received)


def read_report(received: dict[str, Any]) -> Message | None:
    """Read a message of a worker; None if it is of no kind that is known here.

    Raises
    ------
    ProtocolError
        A field of it is missing or of a wrong type.
    """
    kind = _REPORTS.get(str(received.get("kind")))
    return _read(kind, received) if kind else None


def _read(kind: type[Message], received: dict[str, Any]) -> Any:
    try:
        if kind not in _ADAPTERS:
            _ADAPTERS[kind] = TypeAdapter(kind)
        return _ADAPTERS[kind].validate_python({_HERE.get(name, name): value for name, value in received.items()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(WIRE_NAMES.get(str(step), step)) for step in first["loc"])
        given = str(first["input"])[:100]
        raise ProtocolError(f"a message of kind {kind.kind!r}: {where}: {first['msg']} (given {given})") from None
