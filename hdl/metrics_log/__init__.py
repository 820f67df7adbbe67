"""The metrics of all rounds, a row each: those of the last rounds in memory, those before in files that never change.

A chunk is `CHUNK` consecutive rows. A complete chunk is a file of its own, ``rows-00000128-<sha>.jsonl``: a line of
JSON with the SHA-256 of all chunks before it, then a line a row. Its name ends with the beginning of its own SHA-256,
so two drivers that write different rows write different files. A driver that dies after it wrote a chunk, or whose
version another driver published first, leaves a file to which no version refers.

A log knows the metric that decides which version is the best: the validation cost, unless the spec names another one.
A version whose metric is not there, since it was not measured or one class is missing, is never the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from hdl import fs, strict_json
from hdl.metrics import METRICS
from hdl.metrics_log.chunks import CHUNK, NAME, Chunk, ChunkIndex, Row, read

__all__ = ["CHUNK", "COST", "MetricsLog", "best", "names", "rounds"]

COST = "cost"  # the metric that decides where no other is named


_UNMEASURED = float("inf"), 0


class MetricsLog(Sequence[Row]):
    """A list of rows to which rows can only be added. Adding takes the same time however many there are.

    Rows in files are read when asked for.

    Parameters
    ----------
    rows : iterable of dict
        The i-th, from 0, has the metrics of version i + 1, and the validation of version i.
    metric : str
        Decides which version is the best: a name in `hdl.metrics.METRICS`, which says whether higher is better.

    Examples
    --------
    >>> log = MetricsLog([{"version": 1, "val_cost": 0.5}])
    >>> more = log.then({"version": 2, "val_cost": 0.7})
    >>> len(log), len(more), more[-1]["version"], more.score(0), more.stale()
    (1, 2, 2, 0.5, 1)
    """

    def __init__(self, rows: Iterable[Row] = (), metric: str = COST):
        self.metric = metric
        self._chunks: tuple[Chunk, ...] = ()
        self._tail: tuple[Row, ...] = ()
        self._lines: tuple[str, ...] = ()  # the tail as text: a row is encoded once
        self._first: tuple[float, int] | None = _UNMEASURED  # rank of the best, rounds measured since; None: unknown
        self._extend(rows)

    @classmethod
    def stored(cls, folder: str, count: int, digest: str, tail: Iterable[Row], metric: str = COST) -> MetricsLog:
        """Makes the log of a table.

        Parameters
        ----------
        folder : str
            The table's.
        count : int
            Rows in files.
        digest : str
            SHA-256 of the last of these files.
        tail : iterable of dict
            The rows after them.
        metric : str
            That decides.
        """
        self, index = cls(metric=metric), ChunkIndex(folder, count // CHUNK, digest)
        self._chunks = tuple(Chunk(number, index=index) for number in range(index.chunks))
        self._first = None if count else self._first
        self._extend(tail)
        return self

    @classmethod
    def of(cls, rows: Iterable[Row], metric: str | None = None) -> MetricsLog:
        """Makes a log of rows, in which `metric` decides; a log is returned as it is, if that decides there (None)."""
        if not isinstance(rows, MetricsLog):
            return cls(rows, metric or COST)
        if metric in (None, rows.metric):
            return rows
        other = rows.then()
        other.metric, other._first = str(metric), None
        return other

    def then(self, *rows: Row) -> MetricsLog:
        """Makes a log of these rows and some more; this one does not change."""
        longer = MetricsLog.__new__(MetricsLog)
        vars(longer).update(vars(self))
        longer._extend(rows)
        return longer

    def file(self, folder: str) -> tuple[int, str]:
        """Writes all complete chunks into the folder of a table, unless they are there.

        Returns
        -------
        (int, str)
            The number of rows in files, and the SHA-256 of the last file; 0 and "" if no chunk is complete.

        Raises
        ------
        TableError
            A file cannot be written, or an earlier one cannot be read.
        """
        first = len(self._chunks)
        while first and self._chunks[first - 1].folder != folder:
            first -= 1
        digest = self._chunks[first - 1].digest if first else ""
        if first < len(self._chunks):
            before = [*read(folder, first - 1, digest)[0], digest] if first else []
            for chunk in self._chunks[first:]:
                chunk.scores(self.metric)  # computed while the lines are in memory
                digest = chunk.file(folder, before)
                before.append(digest)
            for chunk in self._chunks[max(0, first - 1) : -1]:  # not the last: it may hold the last row
                chunk.lines = None
        return len(self._chunks) * CHUNK, digest

    def tail(self) -> str:
        """Writes the rows after those that `file` puts into files, a line of JSON each."""
        return "\n".join(self._lines)

    def score(self, version: int) -> float | None:
        """Looks up the metric that decides, of a version; None if it was not measured, or is not defined there."""
        at, rest = divmod(version, CHUNK)
        if at < len(self._chunks):
            return self._chunks[at].scores(self.metric)[rest]
        row = self._tail[rest] if version < len(self) else {}
        return row.get(f"val_{self.metric}")

    def scores(self) -> Iterator[float | None]:
        """Yields the metric that decides, of the versions 0, 1, …, of as many as there are rows."""
        yield from chain.from_iterable(chunk.scores(self.metric) for chunk in self._chunks)
        yield from (row.get(f"val_{self.metric}") for row in self._tail)

    def stale(self) -> int:
        """Counts the rounds measured since the best one; rounds without the metric do not count."""
        if self._first is None:
            self._first = self._followed(_UNMEASURED, self.scores())
        return self._first[1]

    def _followed(self, first: tuple[float, int], scores: Iterable[float | None]) -> tuple[float, int]:
        """Goes on from the rank of the best and the number of rounds since: both after some more scores."""
        for score in scores:
            if score is not None:
                rank = _rank(self.metric, score)
                first = (rank, 0) if rank < first[0] else (first[0], first[1] + 1)
        return first

    def _extend(self, rows: Iterable[Row]) -> None:
        rows = iter(rows)
        while new := tuple(islice(rows, CHUNK - len(self._tail))):
            self._tail += new
            self._lines += tuple(strict_json.dumps(row, sort_keys=True, separators=(",", ":")) for row in new)
            if self._first is not None:
                self._first = self._followed(self._first, (row.get(f"val_{self.metric}") for row in new))
            if len(self._tail) == CHUNK:
                self._chunks += (Chunk(len(self._chunks), self._lines),)
                self._tail = self._lines = ()

    def __len__(self) -> int:
        return len(self._chunks) * CHUNK + len(self._tail)

    def __iter__(self) -> Iterator[Row]:
        yield from chain.from_iterable(chunk.rows() for chunk in self._chunks)
        yield from self._tail

    def __getitem__(self, at: Any) -> Any:
        numbers = range(len(self))[at]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        chunk, rest = divmod(numbers, CHUNK)
        return self._chunks[chunk].rows()[rest] if chunk < len(self._chunks) else self._tail[rest]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (MetricsLog, list)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Rows of {len(self)} rounds>"


def _rank(metric: str, score: float) -> float:
    """Turns a score to a number of which less is better."""
    return -score if METRICS[metric].higher else score


def best(rows: Sequence[Row], numbers: Iterable[int] | None = None, metric: str | None = None) -> int | None:
    """Finds the version with the best validation, the earliest of equals; None if none has the metric that decides.

    Parameters
    ----------
    rows : sequence of dict
        Metrics of all rounds.
    numbers : iterable of int, optional
        The versions to choose from; all if not given, though not all may have been published.
    metric : str, optional
        That decides; None: that of the log, or the cost where rows are no log.
    """
    log = rows if isinstance(rows, MetricsLog) else None
    metric = metric or (log.metric if log is not None else COST)

    def score_in_list(version: int) -> float | None:
        return rows[version].get(f"val_{metric}") if version < len(rows) else None

    score_of = MetricsLog.of(log, metric).score if log is not None else score_in_list
    candidates = range(len(rows)) if numbers is None else numbers
    scored = [(_rank(metric, score), number) for number in candidates if (score := score_of(number)) is not None]
    return min(scored)[1] if scored else None


def names(folder: str) -> list[str]:
    """Lists the files of rows in a table's folder, those of drivers that died included."""
    return [fs.join(folder, name) for name in fs.list(folder) if NAME.fullmatch(name)] if fs.isdir(folder) else []


def rounds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Converts the rows of a table to rounds, counted from 1, each with the validation of the weights that it made.

    In a row the validation is of the weights that its round started from; the closing evaluation is no round. Metrics
    of the validation are there by their names, such as `val_auc`.
    """
    validations = {row["round"]: row for row in rows if row.get("val_cost") is not None}
    result = []
    for row in rows:
        if row.get("final"):
            continue
        number, seconds = row["round"] + 1, row.get("seconds") or {}
        validation = validations.get(number, {})
        others = {name: value for name, value in validation.items() if name.startswith("val_")}
        result.append(
            others
            | {
                "round": number,
                "version": row["version"],
                "cost": row.get("cost"),
                "accuracy": row.get("accuracy"),
                "val_cost": validation.get("val_cost"),
                "val_accuracy": validation.get("val_accuracy"),
                "samples": row.get("samples"),
                "seconds": seconds.get("round"),
                "workers": seconds.get("workers") or [],
            }
        )
    return result
