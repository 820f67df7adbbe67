"""Following an application from afar: YARN's report, the events of its master's page, and at the end its outcome."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hdl import fs, step
from hdl.driver import Outcome, Round, Stage, Started, begun
from hdl.errors import DataError, DeadlineError, HdlError, SpecError, WorkerError
from hdl.runners.base import Log, Progress, Replaced
from hdl.runners.job import _NOISE, SAID, hadoop
from hdl.runners.messages import error_from
from hdl.spec import Spec, parse
from hdl.table import Table, layers
from hdl.yarn.client import client
from hdl.yarn.client.client import OUTCOME, Report
from hdl.yarn.client.submission import ORDER

LOOK_SECONDS = 1 / 3
PAGE_SECONDS = 5.0
PAGE_BYTES = 64 << 20
AWAY_SECONDS = 120.0  # that the ResourceManager may be gone while an application is followed
LOG_SECONDS = 20.0  # that the nodes may take to hand over a finished application's logs
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Waiting:
    """An event: YARN's state of an application whose master has not begun."""

    state: str
    text: str


def follow(application: str, on_event: Callable[[Any], None] | None = None, deadline: float | None = None) -> Outcome:
    """Follows an application to its end.

    Parameters
    ----------
    application : str
    on_event : function of an event, optional
        Called with what `driver.train` tells, and with `Log` and `Waiting`.
    deadline : float, optional
        Seconds after which the application is left to itself.

    Raises
    ------
    HdlError
        What ended the training, as it was raised in the application; WorkerError with what its processes said, if it
        was killed or broke down.
    DeadlineError
        The deadline has passed, or YARN does not answer any more.
    """
    heard = _Heard(application, on_event or (lambda event: None))
    until = None if deadline is None else time.monotonic() + deadline
    seen = 0
    while True:
        found = _patient_report(application)
        if found.state == "RUNNING":
            seen, events = events_of(found.url, seen)
            for event in events:
                heard.tell(event)
        elif not found.over:
            heard.wait(Waiting(found.state, waits_for(found.diagnostics)))
        if found.over:
            return _outcome(found, heard)
        if until is not None and time.monotonic() > until:
            raise DeadlineError(
                f"{application} runs for longer than {deadline:g} s; `hdl attach {application}` goes on"
            )
        time.sleep(LOOK_SECONDS)


class _Heard:
    """Hands events on, each round once: a master that came back tells again what the first one told.

    The layers of a stack are told apart: each has versions from 0 on.
    """

    def __init__(self, application: str, on_event: Callable[[Any], None]):
        self.application, self.on_event = application, on_event
        self.started: dict[int, Spec] = {}  # by layer
        self.last: dict[int, int] = {}  # version, by layer
        self.layer: int | None = None  # that rounds are of
        self.waiting: Waiting | None = None

    def wait(self, event: Waiting) -> None:
        if event != self.waiting:
            self.waiting = event
            self.on_event(event)

    def tell(self, event: Any) -> None:
        if isinstance(event, Started):
            self.layer = layer = event.spec.layer
            if self.started.get(layer) == event.spec:
                return
            self.started[layer] = event.spec
            self.last[layer] = max(self.last.get(layer, -1), event.version)
        elif isinstance(event, Round):
            if self.layer is None:  # it began before we listened
                path = order_of(self.application)["table"]
                self.tell(_beginning(begun(path) or Table(path)))
            layer = self.layer or 0
            if event.row["version"] <= self.last.get(layer, -1):
                return
            self.last[layer] = event.row["version"]
        self.on_event(event)

    def rest(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        """The rows of a table whose training is over, as far as they were not told."""
        found = _beginning(table)
        self.layer = found.spec.layer
        for row in rows:
            if self.layer not in self.started:
                self.tell(found)
            self.tell(Round(row))


def _beginning(table: Table) -> Started:
    """The beginning of a training, as its table tells it."""
    zero = table.header(0)
    spec, samples = parse(zero["spec"]), zero["about"]["schema"]["samples"]
    return Started(spec, samples, step.rounds(spec, samples), 0)


def waits_for(diagnostics: str) -> str:
    """What YARN says that an application waits for, without the figures of its queue and the time."""
    return re.sub(r"^\[[^]]*\]\s*", "", diagnostics).split(" Details :")[0].strip()


def events_of(url: str, since: int) -> tuple[int, list[Any]]:
    """The events that a master's page has from number `since` on, and the next number to ask for.

    A page that does not answer, because the master is on its way or on its way out, has none.
    """
    found = page(url, f"events.json?since={since}")
    if not isinstance(found, dict) or not isinstance(found.get("next"), int):
        return since, []
    return found["next"], [event for event in map(event_from, found.get("events") or ()) if event is not None]


def page(url: str, name: str) -> Any:
    """A JSON answer of a master's page through YARN's proxy; None while there is none."""
    if not url.startswith(("http://", "https://")):
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError, ValueError), opener.open(f"{url.rstrip('/')}/{name}", timeout=PAGE_SECONDS) as answer:
        return json.loads(answer.read(PAGE_BYTES))
    return None


def event_from(fields: Any) -> Any:
    """An event out of its JSON; None for one that this hdl does not know."""
    if not isinstance(fields, dict):
        return None
    kinds = {"Stage": Stage, "Started": Started, "Progress": Progress, "Replaced": Replaced, "Round": Round, "Log": Log}
    rest = {name: value for name, value in fields.items() if name != "kind"}
    try:
        if fields["kind"] == "Started":
            rest["spec"] = parse(rest["spec"])
        elif fields["kind"] == "Replaced":
            rest["shards"] = tuple(rest["shards"])
        return kinds[fields["kind"]](**rest)
    except (KeyError, TypeError, HdlError):
        return None


def order_of(application: str) -> dict[str, Any]:
    """What the application was told: data, table, options.

    Raises
    ------
    SpecError
        Its folder is not there any more.
    """
    return _read(application, ORDER) or _gone(application)


def _read(application: str, name: str) -> dict[str, Any] | None:
    with suppress(FileNotFoundError), fs.open(fs.join(client.staging(application), name)) as file:
        return json.loads(file.read())
    return None


def _gone(application: str) -> Any:
    raise SpecError(f"{application}: its folder {client.staging(application)} is gone; its end was told before")


def _patient_report(application: str) -> Report:
    """YARN's report; a ResourceManager that restarts is waited for."""
    until = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return client.report(application)
        except DeadlineError:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


def _outcome(found: Report, heard: _Heard) -> Outcome:
    """What became of an application that is over; the rounds that were not told yet are told now."""
    left = _read(found.application, OUTCOME)
    if left and "outcome" in left:
        fields = left["outcome"]
        table = Table(fields["table"])
        rows = list(table.read(fields["version"]).rows)
        for layer in layers(table.path):
            heard.rest(layer, layer.rows())
        heard.rest(table, rows)
        client.remove(client.staging(found.application))
        return Outcome(**{**fields, "spec": parse(fields["spec"]), "rows": rows})
    log = f"The full log: {log_command(found.application)}"
    if left and "error" in left:
        client.remove(client.staging(found.application))
        raise _placed(error_from(left["error"], "its master"), found.application)
    message = f"{found.application} {found.final.lower()} after attempt {found.attempt} of its master"
    if found.diagnostics:
        message += f": {found.diagnostics[:1500]}"
    if found.state != "KILLED" and (said := said_by(found.application)):
        message += f"\nits processes said:\n{said}"
    raise WorkerError(f"{message}\n{log}")


def _placed(error: HdlError, application: str) -> HdlError:
    """The same error, with the application that it comes from."""
    where = f" ({application}; the full log: {log_command(application)})"
    if isinstance(error, DataError):
        return DataError(error.message + where, error.path, error.line, error.offset)
    return type(error)(f"{error}{where}")


def log_command(application: str, container: str = "") -> str:
    """What shows the whole log."""
    return f"yarn logs -applicationId {application}" + (f" -containerId {container}" if container else "")


def said_by(application: str, seconds: float = LOG_SECONDS) -> str:
    """The end of what an application wrote to standard error, without Hadoop's chatter."""
    until = time.monotonic() + seconds
    while True:
        lines = [line for line in log_lines(application) if not _NOISE.search(line)]
        if lines or time.monotonic() > until:
            return "\n".join(lines)[-SAID:]
        time.sleep(1.0)


def log_lines(application: str, container: str = "") -> Iterator[str]:
    """What an application's processes wrote, or one container's, each file after a line that names it.

    None if the nodes have not handed it over yet; while it runs, what they have now.

    Raises
    ------
    DeadlineError
        YARN takes too long.
    """
    words = log_command(application, container).split()
    command = [hadoop("yarn"), *words[1:], "-log_files", "stdout,stderr"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise DeadlineError(f"`{' '.join(words)}` took more than {COMMAND_SECONDS:g} s") from None
    if done.returncode == 0:
        yield from _contents(done.stdout.splitlines())


def _contents(lines: Iterable[str]) -> Iterator[str]:
    """The files in what `yarn logs` prints, without its own lines and without empty files."""
    place = file = ""
    inside, first = False, False
    for line in lines:
        if inside and line.startswith("End of LogType:"):
            inside = False
        elif inside and (line or not first):
            if first:
                yield f"==== {place}, {file}"
            first = False
            yield line
        elif line.startswith("Container: "):
            place = line.removeprefix("Container: ")
        elif line.startswith("LogType:"):
            file = line.removeprefix("LogType:")
        elif line == "LogContents:":
            inside = first = True
