"""Commands: the control channel's messages from the master to a worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from hdl.yarn.protocol.message import Address, Finite, Message


class Header(NamedTuple):
    """Holds the first four fields of each command."""

    command_id: int  # of this master's commands, from 1
    generation: int  # of the worker group; a later attempt of the master has higher ones
    rank: int  # the place in the group that the worker fills
    incarnation: int  # how many workers have filled it before


@dataclass(frozen=True)
class Command(Message):
    """Base of the commands to one worker; the first fields are those of `Header`."""

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
class Measure(Command):
    """Carry the pass in the payload out over the worker's shards; what is found is then pulled."""

    kind: ClassVar[str] = "measure"


@dataclass(frozen=True)
class Prepare(Command):
    """Take the plan in the payload, which all rounds share."""

    kind: ClassVar[str] = "plan"


@dataclass(frozen=True)
class Load(Command):
    """Decode the worker's shards, before it takes part in a round: the others train on meanwhile."""

    kind: ClassVar[str] = "load"


@dataclass(frozen=True)
class ConnectMesh(Command):
    """Connect with the peers of the generation: see `hdl.sync.schedule`."""

    kind: ClassVar[str] = "mesh"
    peers: list[Address]  # addresses of their mailboxes, by place in the mesh
    ranks: list[int] | None = None  # theirs; None: they are the places
    shards: int = 0  # of the dataset, which say who needs whom; 0: as many as workers
    everybody: bool = False  # each connects with all others (mode `async`)
    # Of the tree of relays (`relay_tree`), where there are many workers:
    places: list[int] | None = None  # whose addresses (and ranks) `peers` has; None: all
    place: int | None = None  # the worker's own in the tree; None: there is none
    size: int | None = None
    fan: int | None = None
    above: Address | None = None  # mailbox of the worker above; None: the master is
    patience: Finite | None = None  # seconds without a word from above, after which it turns to the master itself


@dataclass(frozen=True)
class RunRound(Command):
    """Do a round: compute the worker's shards, exchange, merge; or several, one after the other."""

    kind: ClassVar[str] = "round"
    round: int
    evaluate_only: bool
    central: bool  # the master merges: the worker only makes its slice of the update (line search)
    given: Literal["", "whole", "slice"]  # the weights in the payload; empty: the worker has them
    keep: list[int]  # rounds whose weights the master is still to pull
    since: int | None = None  # the first round whose weights are kept beside these; None: this round
    count: int | None = None  # rounds to do, `given` being for the first; None: one


@dataclass(frozen=True)
class TrainAsync(Command):
    """Train without waiting for anybody, until the next command."""

    kind: ClassVar[str] = "free"
    last: int  # rounds to make at most
    done: int  # rounds that the training has behind it
    given: bool  # the payload holds weights to begin with; else the worker goes on with its own


@dataclass(frozen=True)
class TrainAlone(Command):
    """Train over all shards, without the others: a trial of a search."""

    kind: ClassVar[str] = "alone"
    config: dict[str, Any] | None = None  # see `settings.to_task_config`; None: only leave what is being trained


@dataclass(frozen=True)
class Relayed(Message):
    """Pass on a command that is the same for all, to those below in the tree of relays, and do it.

    Its rank and incarnation are each receiver's own, as of `ConnectMesh`. Answers go up the tree.
    """

    kind: ClassVar[str] = "relayed"
    command: dict[str, Any]


@dataclass(frozen=True)
class End(Message):
    """End the process."""

    kind: ClassVar[str] = "end"
