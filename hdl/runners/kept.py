"""Decoded data that a worker keeps from one training for the next, up to a bound; what was used longest ago goes first.

A dataset is known again by its files' names, lengths and times of change (`hdl.data.content`), by how it is read and
cut, and decoded samples by what the schema and the held out part make of them. So what is kept decides no weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl import data, fs, scratch
from hdl.data import Shard, Summary, content
from hdl.runners.base import Plan
from hdl.runners.watched import Beat
from hdl.runners.work import Host, decoded_bytes, same_samples

MOST = 64  # datasets that are remembered, most of them by their summaries alone


@dataclass
class Decoded:
    """Holds the decoded shards of one plan's samples.

    Parameters
    ----------
    host : KeptHost
    plan : Plan
    validation : str
        What the files are of a validation part that is data of its own.
    shards : dict of int to Shard
    used : float
        Unix time of the training that took it last.
    """

    host: KeptHost
    plan: Plan
    validation: str
    shards: dict[int, Shard] = field(default_factory=dict)
    used: float = 0.0

    @property
    def bytes(self) -> tuple[int, int]:
        """Count the bytes in memory, and those in files."""
        counts = [decoded_bytes(shard) for shard in self.shards.values()]
        return sum(held for held, _ in counts), sum(filed for _, filed in counts)


class KeptHosts:
    """Keeps the hosts of the datasets that a worker has opened, and what they have decoded.

    Attributes
    ----------
    room : int
        Bytes that decoded samples may take, of all datasets together. What a training itself needs it gets as without
        a session: beyond the bound its shards go to files.
    decoded : list of Decoded
        The one that was used last at the end.
    """

    def __init__(self) -> None:
        self.room = 0
        self.decoded: list[Decoded] = []
        self._changed = False
        self._hosts: dict[str, KeptHost] = {}  # by what was opened; the one that was used last at the end

    def open(self, fields: Mapping[str, Any]) -> Host:
        """Make the host of a command `open`, or find the one that has opened the same."""
        self.room = fields["memory"]
        scratch.encrypt(bool(fields.get("encrypt_spill")))
        key = json.dumps({name: value for name, value in fields.items() if name not in ("memory", "training")})
        host = self._hosts.pop(key, None) or KeptHost.of(self, fields)
        host.memory = self.room
        self._hosts[key] = host
        for other in self._hosts.values():
            if other is not host:
                other.blocks.clear()  # of a training that ended before it decoded them
        for old in [*self._hosts][:-MOST]:
            gone = self._hosts.pop(old)
            self.decoded = [one for one in self.decoded if one.host is not gone]
        return host

    def take(self, host: KeptHost, plan: Plan, validation: str) -> Decoded:
        """Find the decoded shards of a plan; those that are missing are added by the caller."""
        for one in self.decoded:
            if one.host is host and one.validation == validation and same_samples(one.plan, plan):
                self.decoded = [other for other in self.decoded if other is not one]  # plans hold arrays: no ==
                break
        else:
            one = Decoded(host, plan, validation)
        one.used, self._changed = time.time(), True
        self.decoded.append(one)
        return one

    def news(self) -> list[dict[str, Any]] | None:
        """Describe what is kept, if that has changed since this was asked last."""
        changed, self._changed = self._changed, False
        return self.describe() if changed else None

    def fit(self) -> None:
        """Let go what was used longest ago, until all fits into the room or only the present training's is left."""
        while len(self.decoded) > 1 and self.bytes() > self.room:
            del self.decoded[0]

    def bytes(self) -> int:
        """Count the bytes of decoded samples, and of blocks on their way to become some."""
        blocks = sum(block.x.nbytes for host in self._hosts.values() for own in host.blocks.values() for block in own)
        return blocks + sum(one.bytes[0] for one in self.decoded)

    def describe(self) -> list[dict[str, Any]]:
        """Describe what is kept in plain values, what was used last at the end."""
        return [
            {"data": one.host.name, "shards": len(one.shards), "bytes": held, "files": filed, "used": one.used}
            for one in self.decoded
            for held, filed in [one.bytes]
        ]


class KeptHost(Host):
    """Does a worker's work without reading what it has read for an earlier training."""

    kept: KeptHosts
    name: str  # of the dataset, as lists show it

    def __init__(self, *rest: Any, **more: Any):
        super().__init__(*rest, **more)
        self._summaries: dict[int, Summary] = {}

    @classmethod
    def of(cls, kept: KeptHosts, fields: Mapping[str, Any]) -> KeptHost:
        """Make a host whose decoded samples others keep."""
        host = cls.from_fields(fields)
        assert isinstance(host, cls)
        host.kept, host.name = kept, fields["path"]
        if "folder" in fields and not fs.is_remote(host.name):
            host.name = fs.join(fields["folder"], host.name)
        return host

    def summarise(self, numbers: Sequence[int], beat: Beat) -> list[Summary]:
        missing = [number for number in numbers if number not in self._summaries]
        if missing:
            self._summaries.update(zip(missing, super().summarise(missing, beat), strict=True))
            self.kept.fit()
        return [self._summaries[number] for number in numbers]

    def prepare(self, plan: Plan) -> None:
        found = plan.validation
        told = ""
        if found is not None:
            told = content.of(data.open_source(found["data"], found["options"], plan.schema).every_file())
        self._plan, self._validation = plan, None  # the base keeps decoded shards that are of the same plan
        self._shards = self.kept.take(self, plan, told).shards
        super().prepare(plan)

    def shard(self, number: int, beat: Beat) -> Shard:
        missing = number not in self._shards
        shard = super().shard(number, beat)
        if missing:
            self.kept.fit()
            self.kept._changed = True
        return shard
