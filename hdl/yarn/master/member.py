"""A member of the worker group: a place with its shards, and the incarnation that fills it."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

from hdl.yarn.protocol import Answer, Beat, Command, Done, Hello, MemberState
from hdl.yarn.resource_manager.resources import Container


@dataclass
class Incarnation:
    """Holds the state of one worker in a member's place, from the request for its container to its loss.

    Attributes
    ----------
    number : int
        How many incarnations the place had before.
    state : MemberState
        Changed by the methods of `Member` alone.
    container : Container or None
        None: not granted yet.
    inherited : bool
        True where an earlier attempt of the master launched the container.
    address : (str, int)
        Of the worker's mailbox.
    platform, gpu, code : str
        The best kind of core of the worker's processor; why it has no GPU, where one may be asked for; code of the
        kernels that its GPU runs.
    watch : socket or None
        Connection by which the worker sees that the master is gone, or that it was evicted.
    seen : float
        Time of the worker's last message, in seconds of `time.monotonic`.
    memory : int
        Bytes of memory in use, as of the last beat.
    moves : int
        Count of the work's progress, as of the last beat.
    weights : range
        Rounds whose weights the worker has.
    trains : bool
        It takes part in the rounds. False: it has not been given shards, or loads them while the others train.
    joining : (Command's class, int) or None
        The command, and its id, that it carries out before it takes part; None: none.
    loaded : bool
        It has loaded the shards that it is to take over.
    leaving : str
        Why YARN wants the container back; empty: it does not.
    spilled : int
        Shards that it holds in files, as they do not fit into its memory.
    kept : list of dict
        Decoded data that the worker of a session keeps, as it said last.
    tokens : int
        Number of the last fresh tokens that the worker was given; 0: those that its container was started with.
    tokens_again : float
        Time at which to try again, after it has not taken them.
    """

    number: int = 0
    state: MemberState = MemberState.REQUESTED
    container: Container | None = None
    inherited: bool = False
    address: tuple[str, int] = ("", 0)
    platform: str = ""
    gpu: str = ""
    code: str = ""
    watch: socket.socket | None = None
    seen: float = 0.0
    memory: int = 0
    moves: int = -1
    weights: range = range(0)
    trains: bool = False
    joining: tuple[type[Command], int] | None = None
    loaded: bool = False
    leaving: str = ""
    spilled: int = 0
    kept: list[dict[str, Any]] = field(default_factory=list)
    tokens: int = 0
    tokens_again: float = 0.0


@dataclass
class Member:
    """Is a place in the group: a rank, its shards, and the incarnation that fills it.

    Attributes
    ----------
    rank : int
    shards : list of int
        In rising order; of a worker that does not take part yet, those that it is to take over.
    hosts : list of str
        Hosts of the shards' blocks, where its container should be, the best first.
    incarnation : Incarnation
        The worker that fills the place.
    position : (int, float)
        Shard that is being worked on (-1: none), and the share of it that is done.
    answer : Answer or None
        To the present command; None: not yet.
    tried : list of int
        Shards of the present command; empty: it has been given none.
    order : int
        Of a session, number of the order that it carries out alone; 0: none.
    given_up : str
        Why that order is not given to another worker, where its workers have failed too often.
    """

    rank: int
    shards: list[int]
    hosts: list[str]
    incarnation: Incarnation = field(default_factory=Incarnation)
    position: tuple[int, float] = (-1, 0.0)
    answer: Answer | None = None
    tried: list[int] = field(default_factory=list)
    order: int = 0
    given_up: str = ""

    @property
    def name(self) -> str:
        """Id of the container; empty while there is none."""
        return self.incarnation.container.id if self.incarnation.container else ""

    @property
    def host(self) -> str:
        """Host of the container; empty while there is none."""
        return self.incarnation.container.host if self.incarnation.container else ""

    @property
    def offer(self) -> dict[str, str]:
        """Kinds of core that the worker has, as `hdl.runners.platform` compares them."""
        now = self.incarnation
        return {"isa": now.platform, "gpu": now.gpu, "code": now.code}

    @property
    def status(self) -> str:
        """The state in a word for people."""
        mine = self.incarnation
        if mine.state.here and mine.joining:
            return "loading"
        return MemberState.READY.value if mine.state.here else mine.state.value

    @property
    def done(self) -> Done:
        """The answer to a command that the worker has done."""
        assert isinstance(self.answer, Done)
        return self.answer

    @property
    def shards_done(self) -> float:
        """Shards of the present command that are done."""
        shard, share = self.position
        if self.answer:
            return len(self.shards)
        return self.shards.index(shard) + share if shard in self.shards else 0.0

    def answered(self, command_id: int) -> bool:
        """Tells whether the worker has answered this command."""
        return self.answer is not None and self.answer.command_id == command_id

    # --- the states of an incarnation ---------------------------------------------------------------------------------

    def launched(self, container: Container, now: float, inherited: bool = False) -> None:
        """Enter STARTING: the container is there."""
        mine = self.incarnation
        mine.state, mine.container, mine.inherited, mine.seen = MemberState.STARTING, container, inherited, now

    def joined(self, hello: Hello) -> None:
        """Enter JOINED: the worker has said hello."""
        mine = self.incarnation
        mine.state, mine.address, mine.platform = MemberState.JOINED, hello.address, hello.platform
        mine.joining, mine.loaded = None, False

    def prepared(self) -> None:
        """Enter READY: the worker has been given the shared commands."""
        self.incarnation.state = MemberState.READY

    def outdated(self) -> None:
        """Go back from READY to JOINED: there is another shared command."""
        if self.incarnation.state is MemberState.READY:
            self.incarnation.state = MemberState.JOINED

    def lost(self) -> Incarnation:
        """Replace the incarnation, which is LOST, by another one, REQUESTED; returns the lost one."""
        old = self.incarnation
        old.state = MemberState.LOST
        self.incarnation = Incarnation(old.number + 1)
        self.tried = []
        return old

    # --- the worker's reports -----------------------------------------------------------------------------------------

    def beaten(self, beat: Beat) -> bool:
        """Record a sign of life; tells whether the work has got on since the last one."""
        self.position, self.incarnation.memory = (beat.shard, beat.share), beat.rss
        before, self.incarnation.moves = self.incarnation.moves, beat.moves
        return beat.moves != before

    def answers(self, answer: Answer) -> None:
        """Record the answer to a command."""
        self.answer = answer
        if isinstance(answer, Done):
            self.incarnation.gpu = self.incarnation.gpu if answer.gpu is None else answer.gpu
            self.incarnation.kept = self.incarnation.kept if answer.kept is None else answer.kept
            self.incarnation.code = self.incarnation.code if answer.code is None else answer.code
