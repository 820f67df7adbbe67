"""Sorted runs of distinct keys with counts: in memory while they are few, else in files, joined by streaming merges.

Letters: n keys of a run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import scratch, sealed

Keys = NDArray[np.uint64]
Counts = NDArray[np.int64] | None  # how often each key occurs; None: once each
CHUNK = 1 << 17  # keys that a merge takes from each run at a time


class Run:
    """Distinct keys in ascending order, each with how often it occurs.

    Parameters
    ----------
    keys : uint64 [n]
    counts : int64 [n] or None
        None: once each.
    """

    def __init__(self, keys: Keys, counts: Counts = None):
        self.keys, self.counts = keys, counts

    def __len__(self) -> int:
        return len(self.keys)

    def blocks(self) -> Iterator[tuple[Keys, Counts]]:
        """Give the run some keys at a time."""
        for low in range(0, len(self.keys), CHUNK):
            part = slice(low, low + CHUNK)
            yield self.keys[part], None if self.counts is None else self.counts[part]


class FileRun:
    """A run in a scratch file, which goes with the last that refers to it.

    Parameters
    ----------
    blocks : iterator of (keys, counts)
        What to write, in ascending order.
    """

    def __init__(self, blocks: Iterator[tuple[Keys, Counts]]):
        self._sizes = list[int]()
        self._sealed: tuple[sealed.Rows, sealed.Rows] | None = None
        if scratch.encrypting():
            self._seal(blocks)
            return
        self._file = scratch.file("hdl-ranks-")
        for block in blocks:
            for keys, counts in Run(*block).blocks():
                self._file.write(np.ascontiguousarray(keys).data)
                self._file.write((np.ones(len(keys), np.int64) if counts is None else counts.astype(np.int64)).data)
                self._sizes.append(len(keys))
        self._file.flush()

    def _seal(self, blocks: Iterator[tuple[Keys, Counts]]) -> None:
        """Write the blocks to encrypted files."""
        own = sealed.Rows(scratch.file("hdl-ranks-"), np.uint64), sealed.Rows(scratch.file("hdl-ranks-"), np.int64)
        for block in blocks:
            for keys, counts in Run(*block).blocks():
                own[0].append(keys)
                own[1].append(np.ones(len(keys), np.int64) if counts is None else counts)
                self._sizes.append(len(keys))
        for rows in own:
            rows.finish()
        self._sealed = own

    def __len__(self) -> int:
        return sum(self._sizes)

    def blocks(self) -> Iterator[tuple[Keys, Counts]]:
        """Give the run some keys at a time, read at their places: several may read at once."""
        yield from self._read_blocks()

    def _read_blocks(self) -> Iterator[tuple[Keys, NDArray[np.int64]]]:
        at = 0
        for size in self._sizes:
            if self._sealed is not None:
                yield self._sealed[0][at : at + size], self._sealed[1][at : at + size]
                at += size
                continue
            yield _read(self._file, at, size, np.uint64), _read(self._file, at + 8 * size, size, np.int64)
            at += 16 * size

    def mapped(self) -> tuple[Keys, NDArray[np.int64]]:
        """Give all keys and counts as arrays in files of their own, that are read when they are used; those that are
        encrypted in memory."""
        if self._sealed is not None:
            return np.asarray(self._sealed[0]), np.asarray(self._sealed[1])
        with scratch.file("hdl-ranks-") as keys, scratch.file("hdl-ranks-") as counts:
            for part, times in self._read_blocks():
                keys.write(part.data)
                counts.write(times.data)
            keys.flush()
            counts.flush()
            return (np.memmap(keys, np.uint64, "r", shape=(len(self),)),
                    np.memmap(counts, np.int64, "r", shape=(len(self),)))  # fmt: skip


def _read(file: Any, at: int, size: int, dtype: Any) -> NDArray:
    out: NDArray = np.empty(size, dtype)
    view = out.view(np.uint8).data
    while len(view):
        got = os.preadv(file.fileno(), [view], at)
        if not got:
            raise OSError("a scratch file of ranks ended early")
        view, at = view[got:], at + got
    return out


def run_of(keys: Sequence[Keys]) -> Run:
    """Make a run of keys in any order, each once for every time that it is there."""
    together = np.concatenate(keys) if len(keys) != 1 else keys[0].copy()
    together.sort()
    starts = _starts(together)
    if len(starts) == len(together):
        return Run(together)
    return Run(together[starts], np.diff(starts, append=len(together)))


def merged(runs: Sequence[Run]) -> Run:
    """Join runs in memory."""
    if len(runs) == 1:
        return runs[0]
    return Run(*_joined([(run.keys, run.counts) for run in runs]))


def streamed(runs: Sequence[Run | FileRun]) -> Iterator[tuple[Keys, Counts]]:
    """Join runs, giving some keys at a time in ascending order; no more than `CHUNK` keys of each are held."""
    if len(runs) == 1:
        yield from runs[0].blocks()
        return
    readers = [run.blocks() for run in runs]
    heads: list[tuple[Keys, Counts]] = []
    live = []
    for reader in readers:
        if (block := next(reader, None)) is not None:
            heads.append(block)
            live.append(reader)
    while heads:
        last = min(keys[-1] for keys, _ in heads)  # all keys up to it are in the heads
        taken, rest, still = [], [], []
        for (keys, counts), reader in zip(heads, live, strict=True):
            at = int(np.searchsorted(keys, last, side="right"))
            taken.append((keys[:at], None if counts is None else counts[:at]))
            head: tuple[Keys, Counts] | None = (keys[at:], None if counts is None else counts[at:])
            if at == len(keys):
                head = next(reader, None)
            if head is not None:
                rest.append(head)
                still.append(reader)
        yield _joined([part for part in taken if len(part[0])])
        heads, live = rest, still


def _joined(parts: Sequence[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    if len(parts) == 1:
        return parts[0]
    if all(counts is None for _, counts in parts):
        run = run_of([keys for keys, _ in parts])
        return run.keys, run.counts
    keys = np.concatenate([keys for keys, _ in parts])
    counts = np.concatenate([np.ones(len(keys), np.int64) if counts is None else counts for keys, counts in parts])
    order = np.argsort(keys, kind="stable")  # of sorted runs, which it merges
    keys, counts = keys[order], counts[order]
    starts = _starts(keys)
    return keys[starts], np.add.reduceat(counts, starts)


def _starts(keys: Keys) -> NDArray[np.int64]:
    """Give the places where another key begins in sorted keys."""
    if not len(keys):
        return np.empty(0, np.int64)
    first = np.empty(len(keys), bool)
    first[0] = True
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return np.flatnonzero(first)
