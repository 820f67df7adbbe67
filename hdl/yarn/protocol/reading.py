"""Reads messages of the control channel: from a JSON object's fields to the dataclass of its kind, checked."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

from hdl.yarn.protocol.commands import (
    ConnectMesh,
    End,
    Load,
    Measure,
    Open,
    Prepare,
    Relayed,
    RunRound,
    Summarise,
    TrainAlone,
    TrainAsync,
)
from hdl.yarn.protocol.fresh_tokens import FreshTokens, TokensTaken
from hdl.yarn.protocol.message import WIRE_NAMES, Message, ProtocolError
from hdl.yarn.protocol.reports import (
    AloneReport,
    Answers,
    AsyncReport,
    Beat,
    Beats,
    Disconnected,
    Done,
    Failed,
    Hello,
    MemoryUse,
)

_COMMANDS: dict[str, type[Message]] = {
    kind.kind: kind
    for kind in (Open, Summarise, Measure, Prepare, Load, ConnectMesh, RunRound, TrainAsync, TrainAlone, Relayed, End)
}
_REPORTS: dict[str, type[Message]] = {
    kind.kind: kind
    for kind in (Hello, Beat, Beats, MemoryUse, AsyncReport, AloneReport, Done, Answers, Failed, Disconnected)
}
_ADAPTERS: dict[type[Message], TypeAdapter[Any]] = {}  # made when first needed
_HERE = {wire: name for name, wire in WIRE_NAMES.items()}


def read_command(received: dict[str, Any]) -> Message:
    """Read a message of the master: a `Command`, or `End`.

    Raises
    ------
    ProtocolError
        The message is not a command, or a field of it is missing or of a wrong type.
    """
    kind = _COMMANDS.get(str(received.get("kind")))
    if kind is None:
        raise ProtocolError(f"a command of kind {str(received.get('kind'))[:40]!r}; expected {', '.join(_COMMANDS)}")
    return _read(kind, received)


def read_report(received: dict[str, Any]) -> Message | None:
    """Read a message of a worker; None for a kind of message that is not known here.

    Raises
    ------
    ProtocolError
        A field of the message is missing or of a wrong type.
    """
    kind = _REPORTS.get(str(received.get("kind")))
    return _read(kind, received) if kind else None


def read_fresh_tokens(received: dict[str, Any]) -> FreshTokens:
    """Read a message of the client; raises `ProtocolError`, as for another kind of message."""
    return expect(FreshTokens, received)


def read_tokens_taken(received: dict[str, Any]) -> TokensTaken:
    """Read the master's answer to a client; raises `ProtocolError`, as for another kind of message."""
    return expect(TokensTaken, received)


def expect(kind: type[Message], received: dict[str, Any]) -> Any:
    """Read a message of this kind; raises `ProtocolError`, as for another kind of message."""
    if received.get("kind") != kind.kind:
        raise ProtocolError(f"a message of kind {str(received.get('kind'))[:40]!r}; expected {kind.kind}")
    return _read(kind, {name: value for name, value in received.items() if name != "kind"})


def _read(kind: type[Message], received: dict[str, Any]) -> Any:
    try:
        if kind not in _ADAPTERS:
            _ADAPTERS[kind] = TypeAdapter(kind)
        return _ADAPTERS[kind].validate_python({_HERE.get(name, name): value for name, value in received.items()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(WIRE_NAMES.get(str(step), step)) for step in first["loc"])
        given = "not shown" if kind is FreshTokens else str(first["input"])[:100]
        raise ProtocolError(f"a message of kind {kind.kind!r}: {where}: {first['msg']} (given {given})") from None
