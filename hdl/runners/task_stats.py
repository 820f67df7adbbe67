"""Statistics of a Hadoop job's tasks: what each did, when and where, and what its node can compute with."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hdl import wire
from hdl.runners import platform

MESSAGE = "note"  # the kind of message that statistics travel as
_WORK = "shards", "samples", "batches", "bad", "read", "compute"  # fields of a map task
_CAPABILITIES = "isa", "gpu", "code"  # fields of a map task that summarised


@dataclass
class TaskStats:
    """Counts what a task does; travels to the driver as a message of kind `note`.

    Attributes
    ----------
    kind : {'map', 'reduce'}
    began, ended : float
        Unix time. Clocks of nodes may differ.
    host : str
    shards : list of int
        Of a map task, as all that follows.
    samples, batches, bad : int
        `bad` counts the records that were skipped.
    read, compute : float
        Seconds.
    capabilities : dict of str
        What `platform.capabilities` says, of a task that summarised. Fields of their own in the message.
    """

    kind: Literal["map", "reduce"]
    began: float
    ended: float = 0.0
    host: str = field(default_factory=socket.gethostname)
    shards: list[int] = field(default_factory=list)
    samples: int = 0
    batches: int = 0
    bad: int = 0
    read: float = 0.0
    compute: float = 0.0
    capabilities: dict[str, str] = field(default_factory=dict)

    def end(self) -> bytes:
        """Pack the statistics of a task that ends now."""
        self.ended = time.time()
        work = {name: getattr(self, name) for name in _WORK} if self.kind == "map" else {}
        fields = {"kind": self.kind, "began": self.began, "ended": self.ended, "host": self.host}
        return wire.pack(MESSAGE, {**work, **self.capabilities, **fields})

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> TaskStats:
        """Make the statistics of a message's fields."""
        work = {name: fields[name] for name in _WORK if name in fields}
        capabilities = {name: fields[name] for name in _CAPABILITIES if name in fields}
        return cls(fields["kind"], fields["began"], fields["ended"], fields["host"], **work, capabilities=capabilities)


def negotiate(stats: Iterable[TaskStats], device: str, tell: Callable[[str], Any] = lambda text: None) -> str:
    """Agree on a platform among the tasks that summarised; raises as `platform.negotiate` does."""
    offers = [(f"{task.host} (shards {task.shards})", task.capabilities) for task in stats if task.kind == "map"]
    return platform.negotiate(offers, device, tell)


def phases(stats: Iterable[TaskStats], began: float, ended: float) -> dict[str, float]:
    """Split a job's seconds on its longest way: start of the last map task, its reading and computing, shuffle, end.

    Parameters
    ----------
    stats : of the job's tasks
    began, ended : float
        When the client was started, and when it ended; Unix time.
    """
    stats = list(stats)
    maps = [task for task in stats if task.kind == "map"]
    if not maps:
        return {}
    last = max(maps, key=lambda task: task.ended)
    reduced = max((task.ended for task in stats if task.kind == "reduce"), default=last.ended)
    return {
        "start": last.began - began,
        "read": last.read,
        "compute": last.compute,
        "shuffle": reduced - last.ended,
        "finish": ended - reduced,
    }
