"""Follows an application from afar: YARN's report, the events of its master's page, and at the end its outcome."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hdl import fs, step
from hdl.driver import Outcome, Round, Stage, Started, begun
from hdl.errors import DataError, DeadlineError, HdlError, SpecError, WorkerError
from hdl.runners.base import Log, Progress, Replaced
from hdl.runners.logs import log_command, log_tail
from hdl.runners.messages import error_from
from hdl.spec import Spec, parse
from hdl.table import Table, layers
from hdl.yarn.client import client, renewal
from hdl.yarn.client.client import Report
from hdl.yarn.settings import OUTCOME, TASK_CONFIG

POLL_SECONDS = 1 / 3
PAGE_SECONDS = 5.0
PAGE_BYTES = 64 << 20
AWAY_SECONDS = 120.0  # that the ResourceManager may be gone while an application is followed


@dataclass(frozen=True)
class Waiting:
    """Is an event: YARN's state of an application whose master has not begun."""

    state: str
    text: str


def follow(application: str, on_event: Callable[[Any], None] | None = None, deadline: float | None = None) -> Outcome:
    """Follow an application to its end.

    Parameters
    ----------
    application : str
    on_event : function of an event, optional
        Called with the events of `driver.train`, and with `Log` and `Waiting`.
    deadline : float, optional
        Seconds after which this function stops to follow; the application runs on.

    Returns
    -------
    Outcome
        As `driver.train` returned it in the application.

    Raises
    ------
    HdlError
        The error that ended the training, as it was raised in the application; WorkerError with the end of its logs, if
        it was killed or broke down.
    DeadlineError
        The deadline has passed, or YARN does not answer any more.
    """
    listener = _Listener(application, on_event or (lambda event: None))
    with renewal.following(application) as messages:
        return _follow(listener, None if deadline is None else time.monotonic() + deadline, deadline, messages)


def _follow(
    listener: _Listener, until: float | None, deadline: float | None, messages: Callable[[], list[str]]
) -> Outcome:
    application, seen = listener.application, 0
    while True:
        for text in messages():
            listener.on_event(Log(time.time(), text))
        report = _patient_report(application)
        if report.state == "RUNNING":
            seen, events = events_of(report.url, seen)
            for event in events:
                listener.tell(event)
        elif not report.over:
            listener.wait(Waiting(report.state, waits_for(report.diagnostics)))
        if report.over:
            return _outcome(report, listener)
        if until is not None and time.monotonic() > until:
            raise DeadlineError(
                f"{application} runs for longer than {deadline:g} s; `hdl attach {application}` goes on"
            )
        time.sleep(POLL_SECONDS)


class _Listener:
    """Hands events on, each round once: a second attempt of the master repeats events of the first.

    Rounds are counted by layer of a stack, as each layer has versions from 0 on.
    """

    def __init__(self, application: str, on_event: Callable[[Any], None]):
        self.application, self.on_event = application, on_event
        self.started: dict[int, Spec] = {}  # by layer
        self.last: dict[int, int] = {}  # version, by layer
        self.layer: int | None = None  # of the rounds that come now
        self.waiting: Waiting | None = None

    def wait(self, event: Waiting) -> None:
        """Hand on that the application waits, unless that was the last event."""
        if event != self.waiting:
            self.waiting = event
            self.on_event(event)

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
                path = task_config_of(self.application)["table"]
                self.tell(_started(begun(path) or Table(path)))
            layer = self.layer or 0
            if event.row["version"] <= self.last.get(layer, -1):
                return
            self.last[layer] = event.row["version"]
        self.on_event(event)

    def rest(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        """Hand on the rows of a table whose training is over, as far as they were not handed on."""
        started = _started(table)
        self.layer = started.spec.layer
        for row in rows:
            if self.layer not in self.started:
                self.tell(started)
            self.tell(Round(row))


def _started(table: Table) -> Started:
    """Make the event of a training's beginning out of its table."""
    zero = table.header(0)
    spec, samples = parse(zero["spec"]), zero["about"]["schema"]["samples"]
    return Started(spec, samples, step.rounds(spec, samples), 0)


def waits_for(diagnostics: str) -> str:
    """Extract from diagnostics the reason for which an application waits, without its queue's figures and the time."""
    return re.sub(r"^\[[^]]*\]\s*", "", diagnostics).split(" Details :")[0].strip()


def events_of(url: str, since: int) -> tuple[int, list[Any]]:
    """Read the events of a master's page from number `since` on; returns the next number to ask for, and the events.

    A page that does not answer, because the master starts or ends, has no events.
    """
    answer = page(url, f"events.json?since={since}")
    if not isinstance(answer, dict) or not isinstance(answer.get("next"), int):
        return since, []
    return answer["next"], [event for event in map(event_from, answer.get("events") or ()) if event is not None]


def page(url: str, name: str) -> Any:
    """Read a JSON answer of a master's page through YARN's proxy; None while the page does not answer."""
    if not url.startswith(("http://", "https://")):
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, ValueError), opener.open(f"{url.rstrip('/')}/{name}", timeout=PAGE_SECONDS) as answer:
        return json.loads(answer.read(PAGE_BYTES))
    return None


def event_from(fields: Any) -> Any:
    """Make an event out of its JSON; None for a kind of event that this hdl does not know."""
    if not isinstance(fields, dict):
        return None
    types = {"Stage": Stage, "Started": Started, "Progress": Progress, "Replaced": Replaced, "Round": Round, "Log": Log}
    rest = {name: value for name, value in fields.items() if name != "kind"}
    try:
        if fields["kind"] == "Started":
            rest["spec"] = parse(rest["spec"])
        elif fields["kind"] == "Replaced":
            rest["shards"] = tuple(rest["shards"])
        return types[fields["kind"]](**rest)
    except (KeyError, TypeError, HdlError):
        return None


def task_config_of(application: str) -> dict[str, Any]:
    """Read an application's task config: data, table, options, settings.

    Raises
    ------
    SpecError
        The application's folder is not there any more.
    """
    return _read(application, TASK_CONFIG) or _gone(application)


def _read(application: str, name: str) -> dict[str, Any] | None:
    with suppress(FileNotFoundError), fs.open(fs.join(client.staging(application), name)) as file:
        return json.loads(file.read())
    return None


def _gone(application: str) -> Any:
    raise SpecError(f"{application}: its folder {client.staging(application)} is gone; its end was told before")


def _patient_report(application: str) -> Report:
    """Ask YARN for its report, for `AWAY_SECONDS` again and again while the ResourceManager restarts."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return client.report(application)
        except DeadlineError:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


def _outcome(report: Report, listener: _Listener) -> Outcome:
    """Read the outcome of an application that is over, and hand on the rounds that were not handed on.

    Raises
    ------
    HdlError
        The application failed: see `follow`.
    """
    renewal.forget(report.application)
    written = _read(report.application, OUTCOME)
    if written and "outcome" in written:
        fields = written["outcome"]
        table = Table(fields["table"])
        rows = list(table.read(fields["version"]).rows)
        for layer in layers(table.path):
            listener.rest(layer, layer.rows())
        listener.rest(table, rows)
        client.remove(client.staging(report.application))
        return Outcome(**{**fields, "spec": parse(fields["spec"]), "rows": rows})
    log = f"The full log: {log_command(report.application)}"
    if written and "error" in written:
        client.remove(client.staging(report.application))
        raise _placed(error_from(written["error"], "its master"), report.application)
    message = f"{report.application} {report.final.lower()} after attempt {report.attempt} of its master"
    if report.diagnostics:
        message += f": {report.diagnostics[:1500]}"
    if report.state != "KILLED" and (said := log_tail(report.application)):
        message += f"\nits processes said:\n{said}"
    raise WorkerError(f"{message}\n{log}")


def _placed(error: HdlError, application: str) -> HdlError:
    """Add to an error the application that it comes from."""
    where = f" ({application}; the full log: {log_command(application)})"
    if isinstance(error, DataError):
        return DataError(error.message + where, error.path, error.line, error.offset)
    return type(error)(f"{error}{where}")
