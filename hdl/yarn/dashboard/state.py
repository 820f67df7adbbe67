"""Records a running application: the master's events in, plain values for the page and `hdl status` out.

Events of the driver and the worker group reach `State.hear`; the page asks for a `State.snapshot`, a client that
follows the application for `State.events` by number, and other tools for `State.status`.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from hdl.events import Round, Stage, Started
from hdl.runners.base import Progress, Replaced

SHOWN = 50  # rows and messages that are shown, the last ones
KEPT_EVENTS = 512  # for clients that attach later; the table has all rows
ANSWER_EVENTS = 256  # in one answer, at most
CURVE_POINTS = 512  # of a curve, at most
MESSAGE_CHARACTERS = 2000  # of a message, at most

Point = tuple[int, float]  # round, value
CURVES = ("cost", "val_cost", "accuracy", "val_accuracy")  # of a row of metrics


class Snapshot(NamedTuple):
    """Holds a `State` as it is at one moment, for the page."""

    status: dict[str, Any]  # see `State.status`
    curves: dict[str, list[Point]]  # by the metric's name, a key of `CURVES`
    progress: tuple[str, float, float]  # stage, done, total
    seconds: float  # since the application began


class State:
    """Keeps the record of an application, in memory that does not grow with the rounds; any thread may use it.

    Parameters
    ----------
    application : str
        YARN's id.
    facts : mapping of str to str
        The job for people: data, table, net, …, shown in this order.
    workers : iterable of dict
        See `set_workers`.

    Examples
    --------
    >>> state = State("application_1_0001", {"data": "hdfs:///mnist"})
    >>> state.hear(Stage("train"))
    >>> state.message("worker 1 died; another one does its shards again")
    >>> answer = state.events(0)
    >>> [event["kind"] for event in answer["events"]], state.events(answer["next"])["events"]
    (['Stage', 'Log'], [])
    """

    def __init__(self, application: str, facts: Mapping[str, Any] | None = None, workers: Iterable[Mapping] = ()):
        self.application = application
        self.facts = {str(name): str(value) for name, value in (facts or {}).items()}
        self.began = time.monotonic()
        self._lock = threading.Lock()
        self._state, self._stage = "starting", ""
        self._rounds = self._round = self._layer = 0
        self._dropped_start: tuple[int, dict[str, Any]] | None = None  # the last Started that events have pushed out
        self._progress = ("", 0.0, 0.0)
        self._rows: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._messages: deque[dict[str, Any]] = deque(maxlen=SHOWN)
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=KEPT_EVENTS)
        self._next = 0
        self._curves = {name: _Curve() for name in CURVES}
        self._workers = [plain(worker) for worker in workers]

    def hear(self, event: Any) -> None:
        """Record an event of the driver or the runner; events of other types are ignored."""
        if not isinstance(event, (Stage, Started, Progress, Replaced, Round)):
            return
        fields = {"kind": type(event).__name__, **plain(event)}
        with self._lock:
            if self._state == "starting":
                self._state = "running"
            if isinstance(event, Stage):
                self._stage, self._progress = event.name, ("", 0.0, 0.0)
            elif isinstance(event, Started):
                self._rounds, self._round = event.rounds, min(event.version, event.rounds)
                self._progress = "", 0.0, 0.0
                if event.spec.layer != self._layer:  # another training, with rounds from 0 on
                    self._layer = event.spec.layer
                    self._rows.clear()
                    self._curves = {name: _Curve() for name in CURVES}
            elif isinstance(event, Progress):
                self._progress = event.stage, event.done, event.total
                if self._events and self._events[-1][1]["kind"] == "Progress":  # the newer one replaces it
                    self._events.pop()
            elif isinstance(event, Round):
                self._add_row(fields["row"])
            elif isinstance(event, Replaced):
                again = f" its shards again: {', '.join(map(str, event.shards))}" if event.shards else " its work again"
                self._add_message(f"worker {event.worker} died ({event.reason}); another one does{again}")
            self._add_event(fields)

    def take(self, events: Iterable[dict[str, Any]]) -> None:
        """Record events of a training that goes on elsewhere, in plain values, for a client that follows it."""
        with self._lock:
            for event in events:
                self._add_event(event)

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Add facts of the job that were not known at the beginning."""
        with self._lock:
            self.facts = {**self.facts, **{str(name): str(value) for name, value in facts.items()}}

    def set_workers(self, workers: Iterable[Mapping]) -> None:
        """Record the workers' present state.

        Parameters
        ----------
        workers : iterable of dict
            Of each its worker (rank), container, host, shards, state, seconds (of its last round), staleness (rounds;
            None where workers wait for each other) and log (URL).
        """
        values = [plain(worker) for worker in workers]
        with self._lock:
            self._workers = values

    def message(self, text: str) -> None:
        """Record a message for people: a fault, a replacement, a wait."""
        with self._lock:
            self._add_event({"kind": "Log", **self._add_message(text)})

    def ended(self, state: str, text: str = "") -> None:
        """Record that the application has ended: it is 'finished' or 'failed'."""
        with self._lock:
            self._state, self._stage = state, ""
        if text:
            self.message(text)

    def status(self) -> dict[str, Any]:
        """Return the record as a dict.

        Returns
        -------
        dict
            ``application``, ``state``, ``stage``, ``rounds`` (of the whole training), ``round`` (rounds that are done),
            ``rows`` and ``messages`` (the last ones), ``workers`` and ``facts``.
        """
        with self._lock:
            return {
                "application": self.application, "state": self._state, "stage": self._stage, "rounds": self._rounds,
                "round": self._round, "rows": list(self._rows), "workers": self._workers,
                "messages": list(self._messages), "facts": self.facts,
            }  # fmt: skip

    def events(self, since: int) -> dict[str, Any]:
        """Return the events from number `since` on, at most `ANSWER_EVENTS`, and the number to ask for next.

        Old events are dropped, but for the last Started; of consecutive Progress events only the last is kept. A number
        higher than any that was given out is of an earlier master: it gets all events.

        Returns
        -------
        dict
            ``next`` and ``events``, each with its ``kind`` and fields.
        """
        with self._lock:
            kept = [*([self._dropped_start] if self._dropped_start else ()), *self._events]
            answer = [item for item in kept if item[0] >= since or since > self._next][:ANSWER_EVENTS]
            following = answer[-1][0] + 1 if answer else self._next
        return {"next": following, "events": [event for _, event in answer]}

    def snapshot(self) -> Snapshot:
        """Return all that the page shows."""
        status = self.status()
        with self._lock:
            curves = {name: curve.points() for name, curve in self._curves.items()}
            return Snapshot(status, curves, self._progress, time.monotonic() - self.began)

    def _add_row(self, row: dict[str, Any]) -> None:
        """Record a row of metrics: of the round that made its version, and of the validation of the weights before."""
        start = int(row["round"])
        self._rows.append(row)
        if not row.get("final"):
            self._round = start + 1
            for name in "cost", "accuracy":
                self._curves[name].add(start + 1, row.get(name))
        for name in "val_cost", "val_accuracy":
            self._curves[name].add(start, row.get(name))

    def _add_message(self, text: str) -> dict[str, Any]:
        message = {"time": time.time(), "text": str(text)[:MESSAGE_CHARACTERS]}
        self._messages.append(message)
        return message

    def _add_event(self, event: dict[str, Any]) -> None:
        if len(self._events) == KEPT_EVENTS and self._events[0][1]["kind"] == "Started":
            self._dropped_start = self._events[0]
        self._events.append((self._next, event))
        self._next += 1


class _Curve:
    """Keeps a curve over rounds: every round of few, every 2nd, 4th, … of many, and always the last."""

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._last: Point | None = None
        self._stride = 1
        self._count = 0

    def add(self, x: int, y: Any) -> None:
        """Add a point, unless its value is no finite number."""
        if not isinstance(y, (int, float)) or not math.isfinite(y):
            return
        self._last = x, float(y)
        if self._count % self._stride == 0:
            self._kept.append(self._last)
        self._count += 1
        if len(self._kept) > CURVE_POINTS:
            del self._kept[1::2]
            self._stride *= 2

    def points(self) -> list[Point]:
        """Return the points that are kept, and the last one."""
        if self._last is None or (self._kept and self._kept[-1] == self._last):
            return [*self._kept]
        return [*self._kept, self._last]


def participation(workers: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    """Say how many workers take part, of a number that may change; empty where it is fixed.

    Examples
    --------
    >>> participation([{"shards": [0, 1]}, {"shards": [2]}, {"shards": []}], {"workers": "2 to 8"})
    '2 of 2 to 8 workers'
    """
    allowed = str(facts.get("workers") or "")
    taking_part = sum(bool(worker.get("shards")) and worker.get("state") != "loading" for worker in workers)
    return f"{taking_part} of {allowed} workers" if " to " in allowed else ""


def plain(value: Any) -> Any:
    """Convert a value to what JSON has: dataclasses, specs, mappings, arrays and sets; NaN and infinity become None."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):  # most values, so first: a round must not wait for the page
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict:
        return {str(name): plain(item) for name, item in value.items()}
    if kind in (list, tuple):
        return [plain(item) for item in value]
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (set, frozenset)):
        return plain(sorted(value))
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain(item) for item in value]
    for base in (int, float):  # an enumeration's member, a subclass
        if isinstance(value, base):
            return plain(base(value))
    return str(value)
