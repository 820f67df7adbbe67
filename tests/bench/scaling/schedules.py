"""Who sends whom how much, and when: hdl's halving and doubling, its direct exchange, a ring, a parameter server.

A schedule gives each node its steps. In a step a node sends its messages and waits for those that it is to get.
Letters: n workers, P bytes of an update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol


class Send(NamedTuple):
    """A message to a peer."""

    peer: int
    size: int  # bytes
    joined: bool  # the peer joins it to what it has, or else only keeps it


class Step(NamedTuple):
    """One step of one node."""

    number: int  # of all nodes: a message belongs to its receiver's step of the same number
    sends: list[Send]  # in this order
    expected: int  # messages to wait for


class Schedule(Protocol):
    """Gives the steps of each node; the first n nodes are workers, the others servers."""

    n: int

    @property
    def nodes(self) -> int: ...

    def of(self, node: int) -> Iterator[Step]: ...


class Ring:
    """Reduce-scatter and all-gather around a ring (Patarasuk & Yuan 2009): 2(n-1) steps of P/n bytes."""

    def __init__(self, n: int, size: int):
        self.n = self.nodes = n
        self.size = size

    def of(self, node: int) -> Iterator[Step]:
        after = (node + 1) % self.n
        for number in range(2 * (self.n - 1)):
            joined = number < self.n - 1
            piece = (node - number + (0 if joined else self.n)) % self.n
            yield Step(number, [Send(after, part(self.size, self.n, piece), joined)], 1)


class Direct:
    """Everybody sends everybody his slice, then the joined one: two steps of n-1 messages.

    Up to `small` bytes the whole update goes to everybody at once: one step.
    """

    def __init__(self, n: int, size: int, small: int = 256 << 10):
        self.n = self.nodes = n
        self.size, self.small = size, small

    def of(self, node: int) -> Iterator[Step]:
        peers = [(node + step) % self.n for step in range(1, self.n)]
        if self.size <= self.small:
            yield Step(0, [Send(peer, self.size, True) for peer in peers], self.n - 1)
        else:
            yield Step(0, [Send(peer, part(self.size, self.n, peer), True) for peer in peers], self.n - 1)
            yield Step(1, [Send(peer, part(self.size, self.n, node), False) for peer in peers], self.n - 1)


class Servers:
    """A parameter server (Li et al. 2014) on nodes of its own, each with an equal part of the parameters."""

    def __init__(self, n: int, size: int, servers: int = 1):
        self.n, self.size, self.servers = n, size, servers
        self.nodes = n + servers

    def of(self, node: int) -> Iterator[Step]:
        if node < self.n:
            places = [(node + step) % self.servers for step in range(self.servers)]
            yield Step(0, [Send(self.n + place, part(self.size, self.servers, place), True) for place in places], 0)
            yield Step(1, [], self.servers)
        else:
            own = part(self.size, self.servers, node - self.n)
            yield Step(0, [], self.n)
            yield Step(1, [Send(worker, own, False) for worker in range(self.n)], 0)


class Listed:
    """A schedule that is given transfer by transfer."""

    def __init__(self, n: int, transfers: Iterable[tuple[int, int, Send]]):
        """Take transfers as (step, sender, message)."""
        self.n = self.nodes = n
        self._sends: dict[tuple[int, int], list[Send]] = {}
        self._expected: dict[tuple[int, int], int] = {}
        self._steps: dict[int, set[int]] = {}
        for number, sender, send in transfers:
            self._sends.setdefault((sender, number), []).append(send)
            self._expected[send.peer, number] = self._expected.get((send.peer, number), 0) + 1
            self._steps.setdefault(sender, set()).add(number)
            self._steps.setdefault(send.peer, set()).add(number)

    def of(self, node: int) -> Iterator[Step]:
        for number in sorted(self._steps.get(node, ())):
            yield Step(number, self._sends.get((node, number), []), self._expected.get((node, number), 0))


def part(size: int, parts: int, which: int) -> int:
    """Computes the bytes of one of nearly equal parts."""
    return (which + 1) * size // parts - which * size // parts


class Mirrored:
    """One node of a schedule in which all do the same: what it sends comes to itself, as its peers' messages would.

    With equal workers that begin together this takes the same time as all of them, and a thousandth of the events.
    """

    def __init__(self, whole: Ring | Direct):
        self.n = self.nodes = 1
        self._whole = whole

    def of(self, node: int) -> Iterator[Step]:
        for number, sends, expected in self._whole.of(node):
            yield Step(number, [Send(0, size, joined) for _, size, joined in sends], expected)


class Traffic(NamedTuple):
    """Counts of one node."""

    messages: int  # sent
    sent: int  # bytes
    received: int  # bytes
    gets: int  # messages
    peers: int  # that it sends to or gets from


def traffic(schedule: Schedule) -> list[Traffic]:
    """Counts what each node sends and gets."""
    messages, sent, received, gets = ([0] * schedule.nodes for _ in range(4))
    peers: list[set[int]] = [set() for _ in range(schedule.nodes)]
    for node in range(schedule.nodes):
        for step in schedule.of(node):
            for send in step.sends:
                messages[node] += 1
                sent[node] += send.size
                received[send.peer] += send.size
                gets[send.peer] += 1
                peers[node].add(send.peer)
                peers[send.peer].add(node)
    return [Traffic(*each) for each in zip(messages, sent, received, gets, map(len, peers), strict=True)]
