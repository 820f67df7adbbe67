"""Summaries on their way to the master: joined along the fixed tree over shards wherever siblings meet.

A summary of many columns is megabytes long, so one a shard would be too much for the master with many workers. Blocks
[a, a + 2^k) of shards with a a multiple of 2^k are nodes of the tree over any number of shards: two neighbouring ones
can be joined without knowing how many there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hdl import sync, wire
from hdl.data import Summary
from hdl.errors import WorkerError
from hdl.wire import Buffer
from hdl.yarn.comm.mailbox import decode_as


class Node(NamedTuple):
    """Holds the summary of the shards [lo, hi)."""

    lo: int
    hi: int
    summary: Summary


def name(node: Node) -> str:
    """Name the payload that holds a node's summary.

    Examples
    --------
    >>> name(Node(4, 6, None))
    'summary:4-6'
    """
    return f"summary:{node.lo}-{node.hi}"


def read(named: str, content: Buffer) -> Node:
    """Read a node from its payload and the payload's name.

    Raises
    ------
    WorkerError
        It is something else.
    """
    found = re.fullmatch(r"summary:(\d{1,9})-(\d{1,9})", named)
    if not found:
        raise WorkerError(f"a worker sent {named[:40]!r}; expected a summary")
    return Node(int(found[1]), int(found[2]), decode_as(Summary, content))


def joined(nodes: Iterable[Node]) -> list[Node]:
    """Join neighbouring blocks of equal size that make a larger one, as far as that goes; the result is in order."""
    held: dict[int, Node] = {}  # by the first shard
    for node in nodes:
        size = node.hi - node.lo
        while size & (size - 1) == 0 and node.lo % size == 0:
            first = node.lo & ~size  # of the block that this one and its sibling make
            other = held.get(node.lo ^ size)
            if other is None or other.hi - other.lo != size:
                break
            del held[other.lo]
            a, b = sorted((node, other), key=lambda each: each.lo)
            node, size = Node(first, first + 2 * size, a.summary.join(b.summary)), 2 * size
        held[node.lo] = node
    return [held[lo] for lo in sorted(held)]


def whole(nodes: Iterable[Node], shards: int) -> Summary:
    """Join the summaries of all shards to one; each is let go as soon as it is joined.

    Raises
    ------
    SyncError
        Shards are missing.
    """
    found = sync.join_nodes(joined(nodes), shards, lambda a, b: Node(a.lo, b.hi, a.summary.join(b.summary)))
    if [(node.lo, node.hi) for node in found] != [(0, shards)]:
        raise sync.SyncError(f"expected summaries of all {shards} shards; there are those of "
                             f"{', '.join(f'{node.lo} to {node.hi - 1}' for node in found) or 'none'}")  # fmt: skip
    return found[0].summary


def join_results(results: Sequence[tuple[Any, Sequence[Buffer]]], place: int) -> list[tuple[Any, Sequence[Buffer]]]:
    """Join the summaries among results of several workers, each under its worker's place and its name; others stay."""
    own = [(label, content) for label, content in results if str(label[1]).startswith("summary:")]
    if len(own) < 2:
        return [*results]
    nodes = joined(read(label[1], content[0] if len(content) == 1 else b"".join(content)) for label, content in own)
    rest = [(label, content) for label, content in results if not str(label[1]).startswith("summary:")]
    return rest + [([place, name(node)], wire.encode_parts(node.summary)) for node in nodes]
