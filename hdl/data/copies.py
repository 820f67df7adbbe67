"""Finds the same samples twice: packed copies beside their originals, and files of the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import combinations

from hdl.data.formats import HEAD, Seen
from hdl.data.leftout import LeftOut
from hdl.data.streams import BLOCK_BYTES, compression, open_stream, stem
from hdl.errors import DataError

_NUMBERED = re.compile(r"part[-_](\w[-_])?\d+", re.I)  # part-00000.parquet, part-r-00000
MOST = 256  # files that might be the same; of more, the engine that wrote them is trusted


def unpacked(files: Sequence[Seen], left: LeftOut) -> list[Seen]:
    """Leaves packed copies of other files out.

    Raises
    ------
    DataError
        A file and its packed copy hold different bytes.
    """
    kept: dict[str, Seen] = {}
    for item in sorted(files, key=lambda item: stem(item.path) != item.path):  # originals before copies
        first = kept.setdefault(stem(item.path), item)
        if first is item:
            continue
        if first.digest != item.digest:
            what = f"other bytes than in {first.name}, whose packed copy it should be by its name"
            raise DataError(what + "; leave one of them out, or name the one that is meant", item.path)
        left.add(f"the packed copy of {first.name}", item.name)
    chosen = set(map(id, kept.values()))
    return [item for item in files if id(item) in chosen]


def twins(files: Sequence[Seen]) -> list[tuple[Seen, Seen]]:
    """Finds files with the same decoded bytes; each later file comes with the first that it repeats.

    Sizes and first bytes are compared first, so that a folder without such files is not read whole.
    """
    packed = any(stem(item.path) != item.path for item in files)
    repeated: list[tuple[Seen, Seen]] = []
    for group in _alike(files, None if packed else lambda item: item.size):
        for same in _alike(group, lambda item: item.digest) if len(group) <= MOST else ():
            seen: set[int] = set()
            for (i, first), (j, other) in combinations(enumerate(same), 2):
                if i not in seen and j not in seen and _equal(first, other):
                    seen.add(j)
                    repeated.append((first, other))
    return repeated


def numbered_parts(first: Seen, second: Seen) -> bool:
    """Tells small parts that an engine numbered: two may hold the same few samples, or none."""
    return max(first.size, second.size) < HEAD and all(_NUMBERED.match(item.name) for item in (first, second))


def _alike(files: Iterable[Seen], key) -> list[list[Seen]]:
    """Groups files with the same key; a file alone makes no group."""
    groups: dict[object, list[Seen]] = {}
    for item in files:
        groups.setdefault(key and key(item), []).append(item)
    return [group for group in groups.values() if len(group) > 1]


def _equal(a: Seen, b: Seen) -> bool:
    """Compares the decoded bytes of two files."""
    if a.size != b.size and compression(a.path) is None and compression(b.path) is None:
        return False
    with open_stream(a.path) as first, open_stream(b.path) as second:
        while (block := first.read(BLOCK_BYTES)) == second.read(BLOCK_BYTES):
            if not block:
                return True
    return False
