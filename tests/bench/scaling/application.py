"""The application in the simulation: a master that gives commands, workers that carry them out, signs of life, losses.

It follows hdl.yarn.master: a round's command goes to all, all compute and exchange, and the round is over when the
last answer has been read. Above `relayed` workers messages pass relays (`hdl.yarn.protocol.relay_tree`). When a worker
is lost, the master hears of it, has another container or gives the shards away, lets all connect anew and gives the
round's command again: what others have computed stays.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import simpy

from hdl.yarn.protocol import relay_tree
from hdl.yarn.settings import Settings
from tests.bench.scaling.costs import Cluster, Costs
from tests.bench.scaling.network import Network, Process, Queue
from tests.bench.scaling.schedules import Schedule, traffic

BEAT = 0.5  # seconds between a worker's signs of life
RELAYED, FAN = (Settings.model_fields[name].default for name in ("relay_above", "relay_fan"))


@dataclass
class Told:
    """Holds what a simulated training has shown, in seconds but for counts."""

    rounds: list[float] = field(default_factory=list)
    computing: list[float] = field(default_factory=list)  # the longest of each round
    master: float = 0.0  # its processor time
    messages: int = 0  # that it read and wrote for rounds
    pause: float = 0.0  # by the loss of a worker


class Application:
    """Simulates a training.

    Parameters
    ----------
    schedule : Schedule
        Of an update's exchange.
    size : int
        Bytes of an update.
    cluster, costs : Cluster, Costs
    fan : int
        Children of a relay; 0: all talk to the master itself.
    beats : bool
        Workers give signs of life.
    seed : int
        Of the stragglers.
    """

    def __init__(
        self, schedule: Schedule, size: int, cluster: Cluster, costs: Costs, fan: int = 0, beats: bool = True,
        seed: int = 0,
    ):  # fmt: skip
        self.env = simpy.Environment()
        self.schedule, self.size, self.cluster, self.costs = schedule, size, cluster, costs
        self.n, self.fan = schedule.n, fan or schedule.n
        self.network = Network(self.env, schedule.nodes, cluster, costs)
        self.master = self.network.host if cluster.local else Queue(self.env)
        self.random, self.told = random.Random(seed), Told()
        self._children = [relay_tree.children(rank, self.n, self.fan) for rank in range(self.n)]
        self.below = [len(relay_tree.subtree(rank, self.n, self.fan)) for rank in range(self.n)]  # itself among them
        self._left = [0] * self.n  # answers that a worker waits for, its own among them
        self._top = list(relay_tree.children(None, self.n, self.fan))
        self._open, self._over = 0, self.env.event()
        self._seconds: list[float] = []
        self._busy = 0.0
        if beats:
            for rank in range(self.n):
                self.env.process(self._beat(rank))

    def run(self, rounds: int) -> Told:
        """Simulate rounds without a loss."""
        self.env.run(self.env.process(self._rounds(rounds)))
        self.told.master = self._busy
        return self.told

    def lose(self, elastic: bool, silent: float = 0.0) -> Told:
        """Simulate a round in whose middle a worker is lost.

        Parameters
        ----------
        elastic : bool
            Its shards go to others, who load them; else all wait for another container.
        silent : float
            Seconds without a sign of life until the master gives it up; 0: its process ended, which YARN tells.
        """
        self.env.run(self.env.process(self._lose(elastic, silent)))
        return self.told

    # --- rounds -------------------------------------------------------------------------------------------------------

    def _rounds(self, rounds: int) -> Process:
        for _ in range(rounds):
            seconds = [self._computes() for _ in range(self.n)]
            began = self.env.now
            yield from self._round(seconds)
            self.told.rounds.append(self.env.now - began)
            self.told.computing.append(max(seconds))

    def _computes(self) -> float:
        usual = self.cluster.compute * math.exp(self.random.gauss(0.0, self.cluster.spread))
        return usual * (self.cluster.slow_factor if self.random.random() < self.cluster.slow else 1.0)

    def _round(self, seconds: list[float]) -> Process:
        """Give the round's command, and wait for all answers."""
        self._seconds = seconds
        self._left = [1 + len(children) for children in self._children]
        self._open, self._over = len(self._top), self.env.event()
        self._occupy(self.costs.master_round)
        for server in range(self.n, self.schedule.nodes):
            self.env.process(self.network.exchange(server, self.schedule))
        for rank in self._top:
            self.told.messages += 1
            sent = self._occupy(self.costs.master_message / 2)
            self.network.at(sent + self.cluster.latency, self._start, rank)
        yield self._over

    def _occupy(self, seconds: float) -> float:
        """Occupy the master; gives the time at which it is done."""
        self._busy += seconds
        return self.master.take(seconds)[1]

    def _start(self, rank: int) -> None:
        for child in self._children[rank]:
            _, sent = self.network.nodes[rank].cpu.take(self.costs.relay)
            self.network.at(sent + self.cluster.latency, self._start, child)
        self.env.process(self._work(rank))

    def _work(self, rank: int) -> Process:
        network, seconds = self.network, self._seconds[rank]
        yield network.work(rank, self.costs.step)
        if self.cluster.local:
            yield network.work(rank, seconds)
        else:
            yield self.env.timeout(seconds)
        yield from network.exchange(rank, self.schedule)
        yield network.work(rank, self.size * self.costs.merge_byte)
        self._answered(rank)

    def _answered(self, rank: int) -> None:
        """Note an answer of a worker or of one below it; when all are there, one message goes up."""
        self._left[rank] -= 1
        if not self._left[rank]:
            self.network.at(self.env.now + self.cluster.latency, self._up, rank)

    def _up(self, rank: int) -> None:
        above = relay_tree.parent(rank, self.fan)
        if above is not None:
            _, read = self.network.nodes[above].cpu.take(self.costs.relay)
            self.network.at(read, self._answered, above)
            return
        self.told.messages += 1
        others = self.below[rank] - 1
        self.network.at(self._occupy(self.costs.master_message / 2 + others * self.costs.master_entry), self._read)

    def _read(self) -> None:
        self._open -= 1
        if not self._open:
            self._over.succeed()

    def _beat(self, rank: int) -> Process:
        yield self.env.timeout(BEAT * self.random.random())
        above = relay_tree.parent(rank, self.fan)
        while True:
            if above is None:
                self._occupy(self.costs.master_beat + (self.below[rank] - 1) * self.costs.master_beat_entry)
            else:
                self.network.nodes[above].cpu.take(self.costs.relay)
            yield self.env.timeout(BEAT)

    # --- a loss -------------------------------------------------------------------------------------------------------

    def _lose(self, elastic: bool, silent: float) -> Process:
        cluster, costs = self.cluster, self.costs
        began = self.env.now
        yield self.env.timeout(silent or cluster.detect)
        if not elastic:
            yield self.env.timeout(cluster.container)
            self._occupy(costs.master_hello)
        yield self.env.process(self._connect())
        redone = [0.0] * self.n
        redone[self.n // 2] = cluster.load + cluster.compute
        yield from self._round(redone)
        self.told.pause = self.env.now - began

    def _connect(self) -> Process:
        """Let all connect anew: each opens its connections one after the other, and accepts as many."""
        peers = [each.peers for each in traffic(self.schedule)]
        left, done = [self.n], self.env.event()

        def connected() -> None:
            left[0] -= 1
            if not left[0]:
                done.succeed()

        def told(rank: int) -> None:
            self.env.process(opening(rank))

        def opening(rank: int) -> Process:
            yield self.network.work(rank, peers[rank] * (self.costs.handshake_out + self.costs.handshake_in))
            yield self.env.timeout(
                0 if self.cluster.local else peers[rank] * 6 * self.cluster.latency
            )  # there and back
            self.network.at(self._occupy(self.costs.master_message / 2) + self.cluster.latency, connected)

        for rank in range(self.n):
            cost = self.costs.master_message / 2 + peers[rank] * self.costs.master_address
            self.network.at(self._occupy(cost) + self.cluster.latency, told, rank)
        yield done
