"""Records of text whose quoted fields may span lines: a line ends a record where all quotes before it are closed.

Whether a byte lies in quotes is known only from the start of the file. So a dataset is cut where records start: whoever
cuts it reads each file that is cut once up to its last cut, and whoever reads a split starts with a record.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from hdl.data.base import BLOCK_BYTES, FileSplit
from hdl.data.block import Bad
from hdl.data.streams import Stream, _without_mark, line_number, open_stream
from hdl.errors import DataError


def closed(line: str, delimiter: str) -> bool:
    """Tell whether no quoted field of a line goes on; a quote inside of another field, as in `5" disk`, is a sign."""
    try:
        next(csv.reader([line], delimiter=delimiter, strict=True), None)
    except csv.Error:
        return False
    return True


def record_starts(path: str, offsets: Sequence[int]) -> list[int]:
    """Find where the first record starts at or after each of some decoded offsets, which rise."""
    out: list[int] = []
    left = list(offsets)
    at, odd = 0, 0
    with open_stream(path) as stream:
        while left and (chunk := stream.read(BLOCK_BYTES)):
            lo = 0
            while left and left[0] - 1 - at < len(chunk):
                if (wanted := max(0, left[0] - 1 - at)) > lo:
                    odd ^= chunk.count(b'"', lo, wanted) & 1
                    lo = wanted
                lo, odd, found = _past(chunk, lo, odd)
                if not found:
                    break
                out.append(at + lo)
                left.pop(0)
                lo -= 1  # the newline, which may end the record of the next offset too
            odd ^= chunk.count(b'"', lo) & 1
            at += len(chunk)
    return out + [at] * len(left)


def at_records(splits: Sequence[FileSplit]) -> dict[FileSplit, FileSplit]:
    """Move the cuts between splits to where the next record starts."""
    cuts: dict[str, set[int]] = {}
    for path, start, length in splits:
        cuts.setdefault(path, set()).update((start, start + length))
    moved: dict[tuple[str, int], int] = {}
    for path, offsets in cuts.items():
        inside = sorted(offset for offset in offsets if 0 < offset < max(offsets))
        moved |= {(path, lo): hi for lo, hi in zip(inside, record_starts(path, inside) if inside else [], strict=True)}
    out = {}
    for split in splits:
        path, start, stop = split.path, split.start, split.start + split.length
        lo, hi = moved.get((path, start), start), moved.get((path, stop), stop)
        out[split] = FileSplit(path, lo, hi - lo)
    return out


def _past(data: bytes, lo: int, odd: int) -> tuple[int, int, bool]:
    """Go past the next newline outside of quotes; returns where, the parity of quotes, and whether there is one."""
    while (end := data.find(b"\n", lo)) >= 0:
        odd ^= data.count(b'"', lo, end) & 1
        lo = end + 1
        if not odd:
            return lo, odd, True
    return len(data), odd ^ (data.count(b'"', lo) & 1), False


def record_blocks(path: str, start: int, length: int, longest: int, bad: Bad) -> Iterator[tuple[int, bytes]]:
    """Give the records that start in [start, start + length), some at a time; one starts at `start`.

    Parameters and yields as of `hdl.data.streams.line_blocks`, with records in place of lines.
    """
    stop, step = start + length, min(BLOCK_BYTES, longest)
    with open_stream(path) as stream:
        stream.skip(start)
        pending, at, more = b"", start, True
        while at < stop and (pending or more):
            chunk = stream.read(step)
            pending, more = pending + chunk, bool(chunk)
            if at == 0:
                pending, at = _without_mark(path, pending)
                stop = max(stop, at + 1)
            end = _last(pending) if more else len(pending)
            first = _past(pending, 0, 0)[0] if len(pending) > longest else 0
            if first > longest:
                line = line_number(path, at)
                bad.add(DataError(f"the record is longer than {longest} bytes (max_line)", path, line=line))
                pending, at = (pending[first:], at + first) if end else _skip(stream, pending, at, step)
                continue
            if at + end >= stop:  # the last record is the one that holds the byte stop - 1
                odd = pending.count(b'"', 0, max(0, stop - 1 - at)) & 1
                end = _past(pending, max(0, stop - 1 - at), odd)[0]
            if end:
                yield at, pending[:end]
            pending, at = pending[end:], at + end


def _last(data: bytes) -> int:
    """Find the end of the last record that ends in some bytes."""
    end = data.rfind(b"\n") + 1
    odd = data.count(b'"', 0, end) & 1
    while end and odd:
        before = data.rfind(b"\n", 0, end - 1) + 1
        odd ^= data.count(b'"', before, end) & 1
        end = before
    return end


def _skip(stream: Stream, pending: bytes, at: int, step: int) -> tuple[bytes, int]:
    """Read past a record without holding it; returns what has been read after it, and its offset."""
    odd = pending.count(b'"') & 1
    while chunk := stream.read(step):
        end, odd, found = _past(chunk, 0, odd)
        if found:
            return chunk[end:], stream.at - len(chunk) + end
    return b"", stream.at
