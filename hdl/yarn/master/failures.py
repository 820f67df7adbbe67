"""Remembers how workers failed: whose fault each was, which nodes are avoided meanwhile, and when it was too often.

A worker's container ends by the fault of one of three:

- **its node**: a disk that is full or broken, a container that the node cannot start. The node is avoided at once, and
  nothing is counted against the training.
- **the training itself**, or nobody knows: a crash. It counts, and the third one at the same shards ends the training.
  A node on which a container crashes that was started after another one had crashed there is avoided too; the crash
  that shows it does not count.
- **the training, for certain**: more memory than it asked for. The second time ends the training.

Preemptions, lost nodes and containers that were stopped are nobody's fault. A node is avoided for a while and then
tried again; the second time it is avoided for twice as long, and so on. Whatever is older than the validity is
forgotten, failures and nodes alike.

At most a third of the nodes are avoided at a time, at least one of two or more, and never the last one, as MapReduce,
Tez and Spark stop avoiding nodes too once many of them fail: beyond that a node's fault counts as the training's. Where
training stands still because no other node gives a container, the nodes that are avoided are tried before their time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl.yarn.resource_manager.resources import Container, log_of

LONGEST = 300  # characters of a reason, where it is told beside a node
MEMORY_LIMIT = 2  # containers that may be killed for their memory
MOMENT = 1.0  # seconds, longer than it takes to tell YARN
KINDS = ("node", "exited", "memory", "silent")  # of an end that is somebody's fault: see `Ended`


@dataclass
class Failure:
    """Describes one failure of a worker.

    Parameters
    ----------
    keys : tuple of hashable
        What it is counted by: the worker's shards.
    kind : {'node', 'exited', 'memory', 'silent'}
        'silent': without a sign of life; it may show a broken node and never counts.
    container : Container
    reason : str
    used : int
        Bytes of memory in use when last seen.
    when : float
        Unix time.
    counts : bool
        Whether it counts against the training; set when it is added.
    """

    keys: tuple[Hashable, ...]
    kind: str
    container: Container
    reason: str
    used: int = 0
    when: float = 0.0
    counts: bool = False


@dataclass
class Node:
    """Remembers one node's failures.

    Attributes
    ----------
    strikes : int
        Times that it was avoided.
    last : float
        Unix time of its last failure.
    until : float
        It is avoided until then; 0: it is not.
    why, log : str
        The last reason, and the command that shows the log.
    """

    strikes: int = 0
    last: float = 0.0
    until: float = 0.0
    why: str = ""
    log: str = ""


@dataclass
class Failures:
    """Remembers failures for a while. Used by one thread.

    Parameters
    ----------
    limit : int
        Crashes at one shard that end the training.
    validity : float
        Seconds after which a failure is forgotten.
    avoid_seconds : float
        That a node is avoided the first time; 0: none ever is.
    patience : float
        Seconds that training may stand still for want of a container before nodes are tried before their time.
    clock : function
        Returns Unix time.

    Attributes
    ----------
    nodes : int
        Nodes of the cluster; 0: not known yet, and none is avoided.
    changed : function
        Called with `to_dict()` whenever other nodes are avoided than before.

    Examples
    --------
    >>> failures = Failures(limit=3, validity=3600.0, avoid_seconds=60.0, clock=lambda: 1000.0)
    >>> failures.nodes = 4
    >>> full = Failure((0,), "node", Container("c1", "node2", 0), "its disk: No space left on device")
    >>> failures.add(full)
    ['node node2 is avoided for 60 s: its disk: No space left on device']
    >>> failures.avoided, full.counts
    (['node2'], False)
    """

    limit: int
    validity: float
    avoid_seconds: float
    patience: float = 60.0
    clock: Callable[[], float] = time.time
    nodes: int = 0
    changed: Callable[[dict[str, Any]], Any] = lambda fields: None
    _failures: list[Failure] = field(default_factory=list)
    _nodes: dict[str, Node] = field(default_factory=dict)
    _launched: dict[str, float] = field(default_factory=dict)  # by container
    _lifted: float = 0.0  # seconds of the present standstill after which nodes were tried before their time

    # --- what happens -------------------------------------------------------------------------------------------------

    def launched(self, container: Container) -> None:
        """Note that a container was started."""
        self._launched[container.id] = self.clock()

    def add(self, failure: Failure) -> list[str]:
        """Add a failure; returns what people should be told of its node."""
        failure.when = now = self.clock()
        self._forget(now)
        launched = self._launched.pop(failure.container.id, 0.0)
        if failure.kind not in KINDS:
            return []
        self._failures.append(failure)
        host, said = failure.container.host, list[str]()
        node = self._nodes.setdefault(host, Node())
        shown = failure.kind == "node" or (failure.kind != "memory" and node.last and launched > node.last)
        again = node.strikes > 0 and failure.kind != "memory"  # a node that is tried again has one chance
        avoided = node.until > now
        if failure.kind != "memory":
            node.last, node.why, node.log = now, _short(failure.reason), log_of(failure.container)
        if (shown or again) and not avoided and self._may_avoid(host):
            seconds = min(self.avoid_seconds * 2**node.strikes, max(self.avoid_seconds, self.validity))
            node.strikes += 1
            node.until, avoided = now + seconds, True
            said.append(f"node {host} is avoided for {duration(seconds)}: {node.why}{_log(node.log)}")
            self.changed(self.to_dict())
        of_node = failure.kind == "node" or shown or again
        failure.counts = failure.kind == "memory" or (failure.kind != "silent" and not (of_node and avoided))
        return said

    def review(self) -> list[str]:
        """Try the nodes again whose time is over; returns what people should be told."""
        now, said = self.clock(), list[str]()
        for host, node in self._nodes.items():
            if 0 < node.until <= now:
                node.until = 0.0
                said.append(f"node {host} is tried again")
        if said:
            self.changed(self.to_dict())
        return said

    def standstill(self, seconds: float) -> list[str]:
        """Try all nodes before their time if training has stood still for so long, for want of a container."""
        if seconds < self._lifted:
            self._lifted = 0.0  # another standstill
        avoided = self.avoided
        if not avoided or seconds < self._lifted + self.patience:
            return []
        self._lifted = seconds
        for host in avoided:
            self._nodes[host].until = 0.0
        self.changed(self.to_dict())
        listed, are = ", ".join(avoided), "is" if len(avoided) == 1 else "are"
        return [
            f"no other node has given a container for {duration(self.patience)}: {listed} {are} tried before the time"
        ]

    # --- what follows -------------------------------------------------------------------------------------------------

    @property
    def avoided(self) -> list[str]:
        """Hosts that are avoided now, sorted."""
        now = self.clock()
        return sorted(host for host, node in self._nodes.items() if node.until > now)

    def told(self) -> str:
        """Name the nodes that are avoided: until when, and why; empty if there are none."""
        each = [(host, self._nodes[host]) for host in self.avoided]
        return "; ".join(f"{host} until {_time(node.until)} ({node.why}{_log(node.log)})" for host, node in each)

    def count(self, key: Hashable, kind: str = "") -> int:
        """Count the failures at a shard that count against the training, of all kinds or of one."""
        return len(self._against(key, kind))

    def over(self, who: str, failure: Failure, memory: int) -> str:
        """Say why the training ends by this failure, the last one; empty: it goes on.

        Parameters
        ----------
        who : str
            Names the worker.
        failure : Failure
        memory : int
            MiB that a worker's container has.
        """
        if failure.kind == "memory":
            most = max((self._against(key, "memory") for key in failure.keys), key=len, default=[])
            if len(most) >= MEMORY_LIMIT:
                used = failure.used or max(each.used for each in most)
                return (
                    f"{who} was killed for its memory {_times(len(most))}, with {memory} MiB: {failure.reason}; "
                    f"it used {used >> 20} MiB when last seen. --worker-memory asks for more{self._where(most)}"
                )
            return ""
        kinds = [[each for each in self._against(key) if each.kind != "memory"] for key in failure.keys]
        most = max(kinds, key=len, default=[])
        if not failure.counts or len(most) < self.limit:
            return ""
        return f"{who} failed {_times(len(most))}{self._where(most)}, the last one: {failure.reason}"

    def _against(self, key: Hashable, kind: str = "") -> list[Failure]:
        self._forget(self.clock())
        return [each for each in self._failures if each.counts and key in each.keys and kind in ("", each.kind)]

    def _where(self, failures: Sequence[Failure]) -> str:
        """Name the nodes of failures, and the command for the last one's log."""
        hosts = Counter(each.container.host for each in failures)
        listed = ", ".join(f"{host} ({_times(times)})" if times > 1 else host for host, times in hosts.items())
        log = log_of(failures[-1].container)
        return f" (on {listed}{f'; its log: {log}' if log else ''})"

    def _may_avoid(self, host: str) -> bool:
        most = min(self.nodes - 1, max(1, self.nodes // 3))
        return self.avoid_seconds > 0 and len({*self.avoided} - {host}) < most

    def _forget(self, now: float) -> None:
        self._failures = [each for each in self._failures if each.when > now - self.validity]
        kept = {host: node for host, node in self._nodes.items() if max(node.last, node.until) > now - self.validity}
        self._nodes = kept

    # --- from one attempt of the master to the next -------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return the nodes as plain values, for the next attempt of the master: YARN keeps avoiding them."""
        return {"nodes": {host: vars(node) for host, node in sorted(self._nodes.items())}}

    def restore(self, fields: Mapping[str, Any]) -> None:
        """Take over the nodes of an earlier attempt.

        YARN avoids them until it is told otherwise: so one whose time has passed meanwhile is avoided for a moment.
        """
        self._nodes = {str(host): Node(**node) for host, node in fields["nodes"].items()}
        for node in self._nodes.values():
            node.until = max(node.until, self.clock() + MOMENT) if node.until else 0.0


def duration(seconds: float) -> str:
    """Write seconds for people.

    Examples
    --------
    >>> duration(60), duration(120), duration(5400), duration(7200), duration(2.5)
    ('60 s', '2 min', '90 min', '2 h', '2.5 s')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def _time(unix: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(unix))


def _short(reason: str) -> str:
    text = " ".join(reason.split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _log(command: str) -> str:
    return f"; its log: {command}" if command else ""


def hosts_but(hosts: Iterable[str], avoided: Iterable[str]) -> list[str]:
    """Leave out of hosts those that are avoided; the order stays."""
    left_out = {*avoided}
    return [host for host in hosts if host not in left_out]
