"""Chunks of the metrics log: complete ones are files of their own, which never change."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hdl import fs
from hdl.errors import OutputError, TableError
from hdl.metrics import METRICS

CHUNK = 128  # rounds: the last 64 or so, 36 kB, travel in each version's header; 10 000 rounds make 78 files
NAME = re.compile(r"rows-\d{8}-[0-9a-f]{12}\.jsonl")

Row = dict[str, Any]


@dataclass
class ChunkIndex:
    """The SHA-256 of a table's first chunks, which the file of the last of them lists."""

    folder: str
    chunks: int
    last: str

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of each chunk's file."""
        return [*read(self.folder, self.chunks - 1, self.last)[0], self.last]


class Chunk:
    """A chunk of rows, as lines in memory until they are in a file."""

    def __init__(self, number: int, lines: tuple[str, ...] | None = None, index: ChunkIndex | None = None):
        self.number, self.lines, self._index = number, lines, index
        self.folder = index.folder if index else None
        self._scores: dict[str, list[float | None]] = {}  # by metric

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the chunk's file."""
        assert self._index  # `file` sets it for the others
        return self._index.digests[self.number]

    def scores(self, metric: str) -> list[float | None]:
        """Looks up a metric of the validation in each row; read once."""
        if metric not in self._scores:
            self._scores[metric] = [row.get(f"val_{metric}") for row in self.rows()]
        return self._scores[metric]

    def rows(self) -> list[Row]:
        """Reads the chunk's rows."""
        try:
            return rows_in(self._text())
        except ValueError as error:
            raise TableError(f"{self.folder}: the rows of rounds from {self.number * CHUNK} on: {error}") from None

    def _text(self) -> Sequence[str]:
        lines = self.lines  # read once: another thread may set it to None
        return read(str(self.folder), self.number, self.digest)[1] if lines is None else lines

    def file(self, folder: str, before: list[str]) -> str:
        """Writes the chunk into a table's folder; gives the file's SHA-256."""
        lines = self._text()
        content = "\n".join([json.dumps({"before": before}), *lines, ""]).encode()
        digest = hashlib.sha256(content).hexdigest()
        path = _path(folder, self.number, digest)
        try:
            with suppress(FileExistsError):  # the name has the SHA-256: the file that is there is the same
                fs.publish(path, content)
        except OSError as error:
            said = error if isinstance(error, OutputError) else f"{path}: cannot be written: {error}"
            raise TableError(f"{said}; the versions so far are whole") from None
        self.lines, self.digest, self.folder = tuple(lines), digest, folder  # folder last: it says that the others hold
        return digest


def rows_in(lines: Iterable[str]) -> list[Row]:
    """Reads rows, a line of JSON each.

    Raises
    ------
    ValueError
        A line is none, or a validation in it is no number.
    """
    try:
        rows = [json.loads(line) for line in lines]
    except RecursionError:
        raise ValueError("a row of too many brackets") from None
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError(f"a row is {str(row)[:40]!r}; expected an object")
        for name, value in row.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
            if name.startswith("val_") and name[4:] in METRICS and value is not None and not number:
                raise ValueError(f"{name} of a row is {str(value)[:40]!r}; expected a number")
    return rows


def _path(folder: str, number: int, digest: str) -> str:
    return fs.join(folder, f"rows-{(number + 1) * CHUNK:08d}-{digest[:12]}.jsonl")


def read(folder: str, number: int, digest: str) -> tuple[list[str], list[str]]:
    """Reads a chunk's file: the SHA-256 of the chunks before it, and its rows as lines.

    Raises
    ------
    TableError
        The file cannot be read, or is damaged.
    """
    path = _path(folder, number, digest)
    try:
        with fs.open(path) as file:
            content = file.read()
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error}; it holds the metrics of {CHUNK} rounds") from None
    computed = hashlib.sha256(content).hexdigest()
    if computed != digest:
        raise TableError(f"{path}: its SHA-256 is {computed}, the table's versions say {digest}")
    try:
        head, *lines = content.decode().splitlines()
        before = json.loads(head)["before"]
        if len(lines) != CHUNK or len(before) != number:
            raise ValueError(f"{len(lines)} rows after {len(before)} chunks")
    except (ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: not {CHUNK} rows of metrics as hdl writes them: {error}") from None
    return before, lines
