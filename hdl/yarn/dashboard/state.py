"""What is known of a running application: the master's events in, plain values for the page and `hdl status` out."""

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

from hdl.driver import Round, Stage, Started
from hdl.runners.base import Progress, Replaced

LAST = 50  # rows and messages that are shown
EVENTS = 512  # kept for those who attach; the table has all rows
ANSWER = 256  # events in one answer
POINTS = 512  # of a curve
TEXT = 2000  # characters of a message

Point = tuple[int, float]
CURVES = ("cost", "val_cost", "accuracy", "val_accuracy")


class Shot(NamedTuple):
    """A `State` at one moment."""

    status: dict[str, Any]
    curves: dict[str, list[Point]]
    progress: tuple[str, float, float]  # stage, done, total
    seconds: float  # since the application began


class State:
    """A record of an application; any thread may tell it something, or ask. Its size does not grow with the rounds.

    Parameters
    ----------
    application : str
        YARN's id.
    facts : mapping of str to str
        What people want to know of the job: data, table, net, …, in this order.
    workers : iterable of dict
        See `workers`.

    Examples
    --------
    >>> state = State("application_1_0001", {"data": "hdfs:///mnist"})
    >>> state.hear(Stage("train"))
    >>> state.message("worker 1 died; another one does its shards again")
    >>> found = state.events(0)
    >>> [event["kind"] for event in found["events"]], state.events(found["next"])["events"]
    (['Stage', 'Log'], [])
    """

    def __init__(self, application: str, facts: Mapping[str, Any] | None = None, workers: Iterable[Mapping] = ()):
        self.application = application
        self.facts = {str(name): str(value) for name, value in (facts or {}).items()}
        self.began = time.monotonic()
        self._lock = threading.Lock()
        self._state, self._stage = "starting", ""
        self._rounds = self._round = self._layer = 0
        self._begun: tuple[int, dict[str, Any]] | None = None  # the last Started that is not among the events any more
        self._progress = ("", 0.0, 0.0)
        self._rows: deque[dict[str, Any]] = deque(maxlen=LAST)
        self._messages: deque[dict[str, Any]] = deque(maxlen=LAST)
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=EVENTS)
        self._next = 0
        self._curves = {name: _Curve() for name in CURVES}
        self._workers = [plain(worker) for worker in workers]

    def hear(self, event: Any) -> None:
        """An event of the driver or the runner; those that it does not know are let pass."""
        if not isinstance(event, (Stage, Started, Progress, Replaced, Round)):
            return
        told = {"kind": type(event).__name__, **plain(event)}
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
                if self._events and self._events[-1][1]["kind"] == "Progress":  # nobody needs the one before
                    self._events.pop()
            elif isinstance(event, Round):
                self._take(told["row"])
            elif isinstance(event, Replaced):
                again = f" its shards again: {', '.join(map(str, event.shards))}" if event.shards else " its work again"
                self._say(f"worker {event.worker} died ({event.reason}); another one does{again}")
            self._add(told)

    def know(self, facts: Mapping[str, Any]) -> None:
        """What came to light of the job later."""
        with self._lock:
            self.facts = {**self.facts, **{str(name): str(value) for name, value in facts.items()}}

    def workers(self, workers: Iterable[Mapping]) -> None:
        """How the workers are: of each worker, container, host, shards, state, seconds (of its last round),
        staleness (rounds; None where they wait for each other), log (URL)."""
        found = [plain(worker) for worker in workers]
        with self._lock:
            self._workers = found

    def message(self, text: str) -> None:
        """Something for people: a fault, a replacement, a wait."""
        with self._lock:
            said = self._say(text)
            self._add({"kind": "Log", **said})

    def ended(self, state: str, text: str = "") -> None:
        """The application is 'finished' or 'failed'."""
        with self._lock:
            self._state, self._stage = state, ""
        if text:
            self.message(text)

    def status(self) -> dict[str, Any]:
        """application, state, stage, rounds (of the whole training), round (that are done), rows and messages (the
        last ones), workers, facts."""
        with self._lock:
            return {
                "application": self.application, "state": self._state, "stage": self._stage, "rounds": self._rounds,
                "round": self._round, "rows": list(self._rows), "workers": self._workers,
                "messages": list(self._messages), "facts": self.facts,
            }  # fmt: skip

    def events(self, since: int) -> dict[str, Any]:
        """The events from number `since` on, at most `ANSWER`, and the `next` number to ask from.

        Of those that are gone, but what was Started last, and of one Progress after another, nothing is told. A number
        that was never given out is an earlier master's: then all there are.
        """
        with self._lock:
            kept = [*([self._begun] if self._begun else ()), *self._events]
            found = [item for item in kept if item[0] >= since or since > self._next][:ANSWER]
            next_ = found[-1][0] + 1 if found else self._next
        return {"next": next_, "events": [event for _, event in found]}

    def shot(self) -> Shot:
        """All that the page shows."""
        status = self.status()
        with self._lock:
            curves = {name: curve.points() for name, curve in self._curves.items()}
            return Shot(status, curves, self._progress, time.monotonic() - self.began)

    def _take(self, row: dict[str, Any]) -> None:
        """A row tells of the round that made its version, and of the validation of the weights before."""
        start = int(row["round"])
        self._rows.append(row)
        if not row.get("final"):
            self._round = start + 1
            for name in "cost", "accuracy":
                self._curves[name].add(start + 1, row.get(name))
        for name in "val_cost", "val_accuracy":
            self._curves[name].add(start, row.get(name))

    def _say(self, text: str) -> dict[str, Any]:
        said = {"time": time.time(), "text": str(text)[:TEXT]}
        self._messages.append(said)
        return said

    def _add(self, event: dict[str, Any]) -> None:
        if len(self._events) == EVENTS and self._events[0][1]["kind"] == "Started":
            self._begun = self._events[0]
        self._events.append((self._next, event))
        self._next += 1


class _Curve:
    """A line over rounds: every round of few, every 2nd, 4th, … of many, and always the last."""

    def __init__(self) -> None:
        self._kept: list[Point] = []
        self._last: Point | None = None
        self._stride = 1
        self._count = 0

    def add(self, x: int, y: Any) -> None:
        if not isinstance(y, (int, float)) or not math.isfinite(y):
            return
        self._last = x, float(y)
        if self._count % self._stride == 0:
            self._kept.append(self._last)
        self._count += 1
        if len(self._kept) > POINTS:
            del self._kept[1::2]
            self._stride *= 2

    def points(self) -> list[Point]:
        more = self._last is not None and (not self._kept or self._kept[-1] != self._last)
        return [*self._kept, *([self._last] if more and self._last else [])]


def plain(value: Any) -> Any:
    """As JSON has it: dataclasses, specs, mappings and arrays as their parts; numbers that it lacks as None."""
    kind = type(value)
    if kind in (str, int, bool, type(None)):  # most of it, so first: a round must not wait for the page
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
