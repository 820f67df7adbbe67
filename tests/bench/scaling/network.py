"""Nodes, their ports and processors, in a discrete-event simulation.

A message takes the sender's processor, its port, the way, the receiver's port and its processor, one after the other;
each serves who comes first. Long messages pass in segments, so that these overlap, as over TCP. simpy keeps the time; a
queue is arithmetic on the time at which it is free, so that a segment costs three events.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

import simpy

from tests.bench.scaling.costs import Cluster, Costs
from tests.bench.scaling.schedules import Schedule

OVERLAPPING = 8  # segments of a message that is long enough

Process = Generator[simpy.Event, Any, None]


class Queue:
    """Serves requests in the order in which they come, some at a time."""

    def __init__(self, env: simpy.Environment, units: int = 1):
        self._env, self._free, self.busy = env, [0.0] * units, 0.0

    def take(self, seconds: float, after: float = 0.0) -> tuple[float, float]:
        """Reserve the next free unit, from `after` on; gives the times at which its work begins and ends."""
        begins = max(self._env.now, after, heapq.heappop(self._free))
        heapq.heappush(self._free, begins + seconds)
        self.busy += seconds
        return begins, begins + seconds


class Node:
    """Holds a node's queues, and how many messages have come for each step."""

    def __init__(self, env: simpy.Environment, cpu: Queue):
        self.cpu, self.out, self.into = cpu, Queue(env), Queue(env)
        self.arrived: dict[int, int] = {}
        self.waiting: tuple[int, int, simpy.Event] | None = None  # step, messages, who waits


class Network:
    """Carries messages among nodes.

    Parameters
    ----------
    env : simpy.Environment
    nodes : int
    cluster : Cluster
    costs : Costs
    """

    def __init__(self, env: simpy.Environment, nodes: int, cluster: Cluster, costs: Costs):
        self.env, self.cluster, self.costs = env, cluster, costs
        self.host = Queue(env, cluster.cores)  # of all, where they are processes of one machine
        self.nodes = [Node(env, self.host if cluster.local else Queue(env, cluster.cores)) for _ in range(nodes)]

    def at(self, when: float, then: Callable[..., None], *arguments: Any) -> None:
        """Call a function at a time."""
        event = simpy.Timeout(self.env, max(0.0, when - self.env.now))
        event.callbacks.append(lambda _: then(*arguments))  # type: ignore[union-attr]

    def work(self, node: int, seconds: float) -> simpy.Event:
        """Occupy a node's processor; the event is its end."""
        _, ends = self.nodes[node].cpu.take(seconds)
        return self.env.timeout(ends - self.env.now)

    def send(self, sender: int, receiver: int, size: int, done: Callable[..., None], *arguments: Any) -> None:
        """Send a message; `done` is called with the arguments when its last byte has been decrypted."""
        source, (least, most) = self.nodes[sender], self.cluster.segment
        segments = max(1, -(-size // min(most, max(least, size // OVERLAPPING))))
        for place in range(segments):
            length = (place + 1) * size // segments - place * size // segments
            fixed = 0.0 if place else self.costs.send_message
            _, encrypted = source.cpu.take(fixed + length * self.costs.send_byte)
            then = (done, arguments) if place == segments - 1 else None
            if self.cluster.local:
                self.at(encrypted, self._decrypt, receiver, length, then)
            else:
                begins, _ = source.out.take(length / self.cluster.bandwidth, encrypted)
                self.at(begins + self.cluster.latency, self._arrive, receiver, length, then)

    def _arrive(self, receiver: int, length: int, then: Any) -> None:
        _, there = self.nodes[receiver].into.take(length / self.cluster.bandwidth)
        self.at(there, self._decrypt, receiver, length, then)

    def _decrypt(self, receiver: int, length: int, then: Any) -> None:
        fixed = self.costs.receive_message if then else 0.0
        _, decrypted = self.nodes[receiver].cpu.take(fixed + length * self.costs.receive_byte)
        if then:
            self.at(decrypted, then[0], *then[1])

    def exchange(self, rank: int, schedule: Schedule) -> Process:
        """Take a node through all steps of a schedule."""
        own = self.nodes[rank]
        for number, sends, expected in schedule.of(rank):
            for peer, size, joined in sends:
                self.send(rank, peer, size, self._deliver, peer, number, size, joined)
            if own.arrived.get(number, 0) < expected:
                event = self.env.event()
                own.waiting = number, expected, event
                yield event
            own.arrived.pop(number, None)

    def _deliver(self, receiver: int, number: int, size: int, joined: bool) -> None:
        if joined and self.costs.join_byte:
            _, ends = self.nodes[receiver].cpu.take(size * self.costs.join_byte)
            self.at(ends, self._count, receiver, number)
        else:
            self._count(receiver, number)

    def _count(self, receiver: int, number: int) -> None:
        node = self.nodes[receiver]
        node.arrived[number] = node.arrived.get(number, 0) + 1
        if node.waiting and node.waiting[0] == number and node.arrived[number] >= node.waiting[1]:
            event, node.waiting = node.waiting[2], None
            event.succeed()
