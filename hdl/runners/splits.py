"""Shards as input splits of a MapReduce job: a JSON payload, and the hosts beside which its task should run.

pydoop reads the splits of a job from one file on HDFS (``pydoop.mapreduce.pipes.externalsplits.uri``) and hands each
to its task as bytes. Our patch of pydoop adds the hosts; the payload stays JSON on the whole way, never pickle.
The format is Hadoop's own: big-endian lengths, BytesWritable, then Text for each host.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

URI = "pydoop.mapreduce.pipes.externalsplits.uri"
MOST_HOSTS = 5  # as many as Hadoop's own scheduler looks at with profit


def encode(splits: Iterable[tuple[object, Sequence[str]]]) -> bytes:
    """Make the splits file: of each split its payload (JSON-able) and its hosts, best first.

    Examples
    --------
    >>> decode(encode([({"shard": 0}, ["node1"])])[4:])
    {'shard': 0}
    """
    parts = [_one(payload, hosts) for payload, hosts in splits]
    return struct.pack(">i", len(parts)) + b"".join(parts)


def decode(raw: bytes) -> Any:
    """Read the payload of one split, of ``context.get_input_split(raw=True)``."""
    (length,) = struct.unpack_from(">i", raw)
    if length < 0 or 4 + length > len(raw):
        raise ValueError(f"a split of {len(raw)} bytes says that its payload has {length}")
    return json.loads(raw[4 : 4 + length])


def _one(payload: object, hosts: Sequence[str]) -> bytes:
    content = json.dumps(payload).encode()
    names = [name.encode() for name in hosts[:MOST_HOSTS]]
    for name in names:
        if len(name) > 127:  # above, Text's length takes more than one byte; no host name is that long
            raise ValueError(f"host name of {len(name)} bytes: {name.decode()!r}")
    texts = b"".join(bytes([len(name)]) + name for name in names)
    return struct.pack(">i", len(content)) + content + struct.pack(">i", len(names)) + texts
