"""Reports: the control channel's messages from a worker to the master."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hdl.yarn.protocol.message import Address, Finite, Message


@dataclass(frozen=True)
class Hello(Message):
    """Tells the master that a worker is there: where, on which processor, with which weights."""

    kind: ClassVar[str] = "hello"
    address: Address  # of its mailbox
    host: str
    pid: int
    platform: str  # the best kind of core of its processor
    held: list[int]  # rounds whose weights it has
    shards: list[int] | None = None  # that it holds; None: it has not opened any
    clock: Finite | None = None  # its node's Unix time


@dataclass(frozen=True)
class Beat(Message):
    """Gives a sign of life."""

    kind: ClassVar[str] = "beat"
    shard: int  # being worked on; -1: none
    share: Finite  # of the shard that is done
    generation: int
    rss: int  # bytes of memory in use
    moves: int = -1  # grows whenever the work gets on: a process may beat and hang all the same


@dataclass(frozen=True)
class Beats(Message):
    """Gives signs of life of a worker and of those below it in the tree of relays: by place, columns as of `Beat`."""

    kind: ClassVar[str] = "beats"
    generation: int
    places: list[int]
    shards: list[int]
    shares: list[Finite]
    rss: list[int]
    moves: list[int]
    ages: list[Finite]  # seconds since each has said so
    detached: bool = False  # the worker above is gone or silent: this one turns to the master itself


@dataclass(frozen=True)
class MemoryUse(Message):
    """Warns that the worker's memory comes near its container's limit; bytes."""

    kind: ClassVar[str] = "memory"
    limit: int
    generation: int
    rss: int
    moves: int = -1


@dataclass(frozen=True)
class AsyncReport(Message):
    """Tells how far a worker is in mode `async`, after each of its rounds."""

    kind: ClassVar[str] = "free"
    generation: int
    round: int  # rounds that it has made
    merged: int = 0  # messages of peers that it has merged
    staleness: int = 0  # rounds that these were behind, summed
    stalest: int = 0  # the most
    late: int = 0  # messages that were too stale


@dataclass(frozen=True)
class AloneReport(Message):
    """Tells what happens in a training that the worker carries out alone."""

    kind: ClassVar[str] = "told"
    command_id: int
    generation: int
    events: list[dict[str, Any]]  # see `hdl.told`


@dataclass(frozen=True)
class Answer(Message):
    """Base of the answers to a command, which they name by its id."""

    command_id: int
    generation: int

    def to_dict(self) -> dict[str, Any]:
        """Return the message as it travels: the kind after the command's id and the generation."""
        command_id, generation, *rest = self._fields().items()
        return dict([command_id, generation, ("kind", self.kind), *rest])


@dataclass(frozen=True)
class Done(Answer):
    """Answers that the command is done."""

    kind: ClassVar[str] = "done"
    gpu: str | None = None  # of Open: why there is no GPU to use; empty: there is one, or none was asked for
    code: str | None = None  # of Open: code of the kernels that the GPU runs
    samples: int | None = None  # of Summarise
    summaries: list[str] | None = None  # of Summarise: names of the summaries to be pulled
    found: int | None = None  # of Measure: results to be pulled
    spilled: int | None = None  # of Load and RunRound: shards that are in files, as they do not fit into memory
    row: dict[str, Any] | None = None  # of RunRound, by the first worker alone: metrics
    seconds: dict[str, Finite] | None = None  # of RunRound, by what they were spent on
    kept: list[dict[str, Any]] | None = None  # of a session: decoded data, where that has changed
    later: list[tuple[dict[str, Any] | None, dict[str, Finite]]] | None = None  # row and seconds of its later rounds
    outcome: dict[str, Any] | None = None  # of TrainAlone: see `hdl.trial.outcome_fields`


def joined_seconds(each: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Join what several workers spent: sums, but of exchange the least (others wait in it) and of merge the most.

    Examples
    --------
    >>> joined_seconds([{"load": 1.0, "exchange": 0.5, "merge": 0.1}, {"load": 2.0, "exchange": 0.25, "merge": 0.2}])
    {'load': 3.0, 'exchange': 0.25, 'merge': 0.2}
    """
    found: dict[str, float] = {}
    for seconds in each:
        for name, value in seconds.items():
            if name in found:
                value = _JOINED.get(name, float.__add__)(found[name], value)
            found[name] = value
    return found


_JOINED: dict[str, Callable[[float, float], float]] = {"exchange": min, "merge": max}


@dataclass(frozen=True)
class Failed(Answer):
    """Answers that the command raised an error."""

    kind: ClassVar[str] = "failed"
    error: dict[str, Any]  # its fields, as all runners send them
    later: bool | None = None  # of RunRound: in a later round than its first, of which nothing was told yet


@dataclass(frozen=True)
class Disconnected(Answer):
    """Answers that the connection to a peer could not be made, or broke; the peer may be gone."""

    kind: ClassVar[str] = "lost"
    peer: int  # its rank
    reason: str


@dataclass(frozen=True)
class Answers(Message):
    """Collects answers that a relayed command is done, of a worker and those below it: by place, in columns.

    An answer that is not `Done` goes to the master by itself.
    """

    kind: ClassVar[str] = "answers"
    command_id: int
    generation: int
    places: list[int]
    compute: list[Finite]  # seconds as of `Done`, of each
    seconds: dict[str, Finite]  # the others, of all of them: see `joined_seconds`
    columns: dict[str, list[Any]]  # its other fields that any of them has
    row: dict[str, Any] | None = None  # of place 0
    bundle: str | None = None  # results of these, to be pulled from the sender's mailbox under this name
