"""Reads what a running application tells: its page's events or, without a page, its table's rounds and its report."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hdl import step
from hdl.driver import begun
from hdl.errors import HdlError
from hdl.events import Round, Started
from hdl.models import stack
from hdl.runners.base import Log
from hdl.spec import Spec, parse
from hdl.table import Table, layers
from hdl.told import event_of
from hdl.yarn.client import web
from hdl.yarn.client.client import Report
from hdl.yarn.client.web import NoPage

PATIENCE_SECONDS = 15.0  # that a page may be silent, as its master starts, before that is said
AGAIN_SECONDS = 20.0  # until a page that cannot be read is asked again: somebody may have called kinit
TABLE_SECONDS = 2.0  # between two looks into the table
SHARE = 0.05  # of the training, after which its progress is said again where there is nothing else to say


@dataclass(frozen=True)
class Waiting:
    """Is an event: YARN's state of an application whose master has not begun."""

    state: str
    text: str


class Source:
    """Finds what a running application has to tell, and tells it to a listener; it is never silent for long.

    That is its page. Where the page cannot be read, a line says why, and rounds come from the table, whose versions
    hold them all; before its first version, and between two, the report's share of the training is told.
    """

    def __init__(self, listener: Listener):
        self._listener = listener
        self._next = 0  # event to ask for
        self._held: list[Any] = []  # events that are told once version 0 is in the table
        self._silent_since: float | None = None
        self._why = ""  # the page cannot be read: what was said of it
        self._page_at = self._table_at = 0.0  # monotonic time from which each is looked at again
        self._seen = "", -1  # table and version that were looked at last
        self._share = 0.0  # that was told

    def poll(self, report: Report) -> None:
        """Tell what is new."""
        now = time.monotonic()
        if now >= self._page_at and self._page(report.url, now):
            return
        if self._why and now >= self._table_at:
            self._table_at = now + TABLE_SECONDS
            if not self._table():
                self._report(report)

    def _page(self, url: str, now: float) -> bool:
        """Tell the page's new events; False if it cannot be read."""
        try:
            self._next, events = events_of(url, self._next)
        except NoPage as error:
            self._silent_since = self._silent_since or now
            if error.lasting or now - self._silent_since >= PATIENCE_SECONDS:
                self._page_at = now + AGAIN_SECONDS
                if str(error) != self._why:
                    self._why = str(error)
                    self._log(f"no live progress: {error}. Rounds are told as the table gets them")
            return False
        if self._why:
            self._log("the application's page is there again")
        self._silent_since, self._why = None, ""
        self.take(events)
        return True

    def take(self, events: Iterable[Any]) -> None:
        """Tell events, or hold them until version 0 is in the table, where they may come before it."""
        self._held += events
        while self._held and not self._is_early(self._held[0]):
            self._listener.tell(self._held.pop(0))

    def _is_early(self, event: Any) -> bool:
        """Tell whether a training has begun whose version 0 is still being written: who is told of it reads that."""
        if not isinstance(event, Started) or event.version:
            return False
        try:
            return Table(stack.folder(self._listener.table(), event.spec)).latest() is None
        except (HdlError, OSError):  # whoever reads the table says what is wrong with it
            return False

    def _table(self) -> bool:
        """Tell the rounds of the table's new versions; False if there are none."""
        before = self._listener.told
        with suppress(HdlError, OSError):  # a table that is being made, HDFS in between: the next look sees more
            path = self._listener.table()
            table = begun(path)
            if table is None:
                return False
            seen = table.path, table.numbers()[-1]
            if seen != self._seen:
                for each in [*layers(path), *([table] if table.path == path else ())]:
                    self._listener.rest(each, each.rows())
                self._seen = seen
        return self._listener.told > before

    def _report(self, report: Report) -> None:
        if report.progress >= self._share + SHARE:
            self._share = report.progress
            said = f": {report.diagnostics}" if report.diagnostics else ""
            self._log(f"YARN: {report.state.lower()}, {100 * report.progress:.0f} % done{said}")

    def _log(self, text: str) -> None:
        self._listener.tell(Log(time.time(), text))


class Listener:
    """Hands events on, each round once: a second attempt of the master repeats events of the first.

    Rounds are counted by layer of a stack, as each layer has versions from 0 on.

    Parameters
    ----------
    on_event : function of an event
    table : function
        Returns the path of the application's table.
    """

    def __init__(self, on_event: Callable[[Any], None], table: Callable[[], str] = str):
        self.on_event, self.table = on_event, table
        self.told = 0  # events
        self.started: dict[int, Spec] = {}  # by layer
        self.last: dict[int, int] = {}  # version, by layer
        self.layer: int | None = None  # of the rounds that come now
        self.waiting: Waiting | None = None

    def wait(self, event: Waiting) -> None:
        """Hand on that the application waits, unless that was the last event."""
        if event != self.waiting:
            self.waiting = event
            self._hand_on(event)

    def tell(self, event: Any) -> None:
        """Hand on an event, unless it repeats one that was handed on."""
        if isinstance(event, Started):
            self.layer = layer = event.spec.layer
            if self.started.get(layer) == event.spec:
                return
            self.started[layer] = event.spec
            self.last[layer] = max(self.last.get(layer, -1), event.version)
        elif isinstance(event, Round):
            if self.layer is None:  # the training began before its events were read
                path = self.table()
                self.tell(started_of(begun(path) or Table(path)))
            layer = self.layer or 0
            if event.row["version"] <= self.last.get(layer, -1):
                return
            self.last[layer] = event.row["version"]
        self._hand_on(event)

    def rest(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        """Hand on the rows of a table whose training is over, as far as they were not handed on."""
        started = started_of(table)
        self.layer = started.spec.layer
        for row in rows:
            if self.layer not in self.started:
                self.tell(started)
            self.tell(Round(row))

    def _hand_on(self, event: Any) -> None:
        self.told += 1
        self.on_event(event)


def started_of(table: Table) -> Started:
    """Make the event of a training's beginning out of its table."""
    zero = table.header(0)
    spec, samples = parse(zero["spec"]), zero["about"]["schema"]["samples"]
    return Started(spec, samples, step.rounds(spec, samples), 0)


def waits_for(diagnostics: str) -> str:
    """Extract from diagnostics the reason for which an application waits, without its queue's figures and the time."""
    return re.sub(r"^\[[^]]*\]\s*", "", diagnostics).split(" Details :")[0].strip()


def events_of(url: str, since: int) -> tuple[int, list[Any]]:
    """Read the events of a master's page from number `since` on; returns the next number to ask for, and the events.

    Raises
    ------
    NoPage
        The page cannot be read, now or at all, or is no master's.
    """
    answer = page(url, f"events.json?since={since}")
    if not isinstance(answer, dict) or not isinstance(answer.get("next"), int):
        raise NoPage(f"{url} is not the page of a master of hdl")
    return answer["next"], [event for event in map(event_of, answer.get("events") or ()) if event is not None]


def page(url: str, name: str) -> Any:
    """Read a JSON answer of a master's page through YARN's proxy.

    Raises
    ------
    NoPage
    """
    return web.read_json(f"{url.rstrip('/')}/{name}")
