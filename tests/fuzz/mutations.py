"""Damaged copies of valid messages, for tests that show a reader to end each in a value or in an error of its own.

A corpus is a list of valid messages, and of inputs that once were too much for their reader: `kept` reads those from
`tests/fuzz/corpus/NAME`, a file each. `bytes_of` damages bytes (flips, cuts, lengths, splices), `json_of` damages plain
values where they lie (another type, too large, missing, twice as deep). Both draw a list of single damages, so that a
failure is told as the fewest that make it. The fixture `fuzz` of `conftest.py` carries it out.
"""

from __future__ import annotations

import copy
import json
import re
import signal
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from hdl.errors import HdlError

CORPUS = Path(__file__).parent / "corpus"
SECONDS = 20.0  # of this process's own time, for one input: ten thousand times what any takes
ALLOCATED = 32 << 20  # bytes, beside `PER_BYTE` for each byte of the input
PER_BYTE = 64
NUMBERS = [0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
TEXTS = [
    b"-1", b"0", b"1e999", b"-1e999", b"1.5", b"NaN", b"Infinity", b"null", b"true", b'""', b"[]", b"{}",
    str(2**31).encode(), str(2**62).encode(), str(2**63).encode(), str(2**64).encode(), b"9" * 30, b"9" * 5000,
]  # fmt: skip
VALUES = [
    None, True, False, 0, 1, -1, 0.5, -0.5, 2**31, 2**53, 2**62, 2**63, 2**64, -(2**63), 10**400, 1e308, float("inf"),
    float("-inf"), float("nan"), "", "a", "0", "\x00", "é\ud800", "../../etc/passwd", "x" * 10_000, [], [0], [-1],
    [2**62], [0, 2**62], [None], ["a"], [[]], [1, 2, 3], {}, {"": None}, {"a": 1}, {"a": {"a": {"a": []}}}, [[[[[]]]]],
]  # fmt: skip


class Hang(BaseException):
    """An input that a reader did not end with; no reader catches it."""


def kept(name: str) -> list[bytes]:
    """Return the inputs of a corpus that are kept as files."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


@st.composite
def bytes_of(draw: Callable, corpus: Sequence[bytes], most: int = 4) -> bytes:
    """Draw a message of the corpus with up to `most` damages."""
    data = draw(st.sampled_from(corpus))
    for _ in range(draw(st.integers(0, most))):
        damage = draw(st.sampled_from(_DAMAGES))
        data = damage(draw, data, corpus)
    return data


def _at(draw: Callable, data: bytes) -> int:
    """Draw a place: half of all in the beginning, where lengths and headers are."""
    return draw(st.integers(0, len(data)) | st.integers(0, min(16, len(data))))


def _flip(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    if not data:
        return data
    at = min(_at(draw, data), len(data) - 1)
    return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]


def _cut(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    return data[: _at(draw, data)]


def _drop(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    at = _at(draw, data)
    return data[:at] + data[at + draw(st.integers(1, 64)) :]


def _twice(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    lo, hi = sorted((_at(draw, data), _at(draw, data)))
    return data[:hi] + data[lo:]


def _insert(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    at = _at(draw, data)
    return data[:at] + draw(st.binary(max_size=32)) + data[at:]


def _splice(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(corpus))
    return data[: _at(draw, data)] + other[_at(draw, other) :]


def _length(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Write a number over some bytes, as lengths are written."""
    at, width = _at(draw, data), draw(st.sampled_from((1, 2, 4, 8)))
    number = draw(st.sampled_from(NUMBERS)) & (1 << 8 * width) - 1
    return data[:at] + number.to_bytes(width, draw(st.sampled_from(("little", "big")))) + data[at + width :]


def _text(draw: Callable, data: bytes, corpus: Sequence[bytes]) -> bytes:
    """Put another number in the place of one that is written as text."""
    places = [match.span() for match in re.finditer(rb"-?\d+(\.\d+)?", data[:100_000])]
    if not places:
        return data
    lo, hi = draw(st.sampled_from(places))
    return data[:lo] + draw(st.sampled_from(TEXTS)) + data[hi:]


_DAMAGES = (_flip, _cut, _drop, _twice, _insert, _splice, _length, _text, _text)


@st.composite
def json_of(draw: Callable, corpus: Sequence[Any], most: int = 3) -> Any:
    """Draw a plain value (of dict, list, str, int, float, bool, None) of the corpus with up to `most` damages."""
    value = copy.deepcopy(draw(st.sampled_from(corpus)))
    for _ in range(draw(st.integers(1, most))):
        places = list(_places(value))
        if not places:
            return draw(st.sampled_from(VALUES))
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(("replace", "replace", "replace", "remove", "copy", "add")))
        if what == "replace":
            holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        elif what == "remove":
            del holder[key]
        elif what == "copy":  # what lies elsewhere
            other, at = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(other[at])
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = copy.deepcopy(draw(st.sampled_from(VALUES)))
        else:
            holder.append(copy.deepcopy(draw(st.sampled_from(VALUES))))
    return value


def _places(value: Any) -> Any:
    """Yield each (holder, key) within a plain value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in list(items):
        yield value, key
        yield from _places(each)


def text_of(value: Any) -> bytes:
    """Write a plain value as JSON, what JSON has not included: NaN, and half a pair of surrogates."""
    return json.dumps(value).encode()


def ends(read: Callable[[Any], Any], data: Any, errors: tuple[type[BaseException], ...] = (HdlError,)) -> Any:
    """Read an input; returns the value, or the error where it is one of `errors`.

    Raises
    ------
    Hang
        It took more than `SECONDS` of this process's time.
    AssertionError
        More was allocated than the input's length allows.
    BaseException
        Whatever else the reader raised.
    """
    size = len(data) if isinstance(data, (bytes, bytearray, str)) else 0
    most = ALLOCATED + PER_BYTE * size
    with _within(SECONDS):
        tracemalloc.start()
        try:
            result = read(data)
        except errors as error:
            result = error
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
    assert peak <= most, f"{peak} bytes were allocated for an input of {size}; expected at most {most}"
    return result


@contextmanager
def _within(seconds: float) -> Any:
    """Raise Hang once this process has computed for so long. Who waits for something computes not: pytest's own limit
    is for that."""

    def stop(number: int, frame: Any) -> None:
        raise Hang(f"not at an end after {seconds:g} s of this process's time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
