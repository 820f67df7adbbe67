"""Follows an application from afar: YARN's report, the events of its master's page, and at the end its outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from hdl import envpack, fs
from hdl.errors import DataError, DeadlineError, HdlError, SpecError, WorkerError
from hdl.events import Outcome
from hdl.measuring import Gathered
from hdl.runners.base import Log
from hdl.runners.logs import log_tail, where
from hdl.runners.messages import error_from
from hdl.spec import parse
from hdl.table import Table, layers
from hdl.yarn.client import client, diagnostics, renewal
from hdl.yarn.client.client import Report
from hdl.yarn.client.events import Listener, Source, Waiting, waits_for
from hdl.yarn.settings import OUTCOME, TASK_CONFIG

POLL_SECONDS = 1 / 3
AWAY_SECONDS = 120.0  # that the ResourceManager may be gone while an application is followed


def follow(application: str, on_event: Callable[[Any], None] | None = None, deadline: float | None = None) -> Any:
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
    Outcome or Gathered
        As `driver.train` or `measuring.gather` returned it in the application.

    Raises
    ------
    HdlError
        The error that ended the training, as it was raised in the application; WorkerError with the end of its logs, if
        it was killed or broke down.
    DeadlineError
        The deadline has passed, or YARN does not answer any more.
    """
    listener = Listener(on_event or (lambda event: None), cache(lambda: _table(application)))
    with renewal.following(application) as messages:
        return _follow(
            application, listener, None if deadline is None else time.monotonic() + deadline, deadline, messages
        )


def _follow(
    application: str, listener: Listener, until: float | None, deadline: float | None,
    messages: Callable[[], list[str]],
) -> Outcome | Gathered:  # fmt: skip
    source = Source(listener)
    while True:
        for text in messages():
            listener.tell(Log(time.time(), text))
        report = _patient_report(application)
        if report.state == "RUNNING":
            source.poll(report)
        elif not report.over:
            listener.wait(Waiting(report.state, waits_for(report.diagnostics)))
        if report.over:
            return _outcome(report, listener)
        if until is not None and time.monotonic() > until:
            raise DeadlineError(
                f"{application} runs for longer than {deadline:g} s; `hdl attach {application}` goes on"
            )
        time.sleep(POLL_SECONDS)


def task_config_of(application: str) -> dict[str, Any]:
    """Read an application's task config: data, table, options, settings.

    Raises
    ------
    SpecError
        The application's folder is not there any more.
    """
    return _read(application, TASK_CONFIG) or _gone(application)


def _table(application: str) -> str:
    """Name the table whose rounds the application makes.

    Raises
    ------
    SpecError
        It measures, and makes none; or its folder is gone.
    """
    config = task_config_of(application)
    if config.get("asked") is not None:
        raise SpecError(f"{application} measures {config['table']}, and makes no rounds")
    return config["table"]


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


def result(application: str, written: dict[str, Any], listener: Listener) -> Outcome | Gathered:
    """Make of what a master wrote or said at its end the result, and hand on the rounds that were not handed on."""
    if "measured" in written:
        with fs.open(fs.join(client.staging(application), written["measured"])) as file:
            return Gathered.unpack(file.read())
    fields = written["outcome"]
    table = Table(fields["table"])
    rows = list(table.read(fields["version"]).rows)
    for layer in layers(table.path):
        listener.rest(layer, layer.rows())
    listener.rest(table, rows)
    return Outcome(**{**fields, "spec": parse(fields["spec"]), "rows": rows})


def _outcome(report: Report, listener: Listener) -> Outcome | Gathered:
    """Read the outcome of an application that is over, and hand on the rounds that were not handed on.

    Raises
    ------
    HdlError
        The application failed: see `follow`.
    """
    renewal.forget(report.application)
    # An attempt that was given up may have woken, and told of its own end at any time: the last attempt's counts.
    written = _read(report.application, OUTCOME.format(report.attempt))
    if written and ("outcome" in written or "measured" in written):
        found = result(report.application, written, listener)
        client.remove(client.staging(report.application))
        return found
    log = where(report.application)
    if written and "error" in written:
        client.remove(client.staging(report.application))
        raise _placed(error_from(written["error"], "its master"), report.application)
    message = f"{report.application} {report.final.lower()} after attempt {report.attempt} of its master"
    if report.diagnostics:
        message += f": {diagnostics.cause(report.diagnostics)}"
    if unfit := envpack.refusal(report.diagnostics):
        message = f"{report.application} failed: {unfit}"
    elif report.state != "KILLED" and (said := log_tail(report.application)):
        message += f"\nits processes said:\n{said}"
    broken = WorkerError(f"{message}\n{log[0].upper()}{log[1:]}")
    broken.add_note(report.diagnostics)  # what `--traceback` shows
    raise broken


def _placed(error: HdlError, application: str) -> HdlError:
    """Add to an error the application that it comes from."""
    said_where = f" ({application}; {where(application)})"
    if isinstance(error, DataError):
        return DataError(error.message + said_where, error.path, error.line, error.offset)
    return type(error)(f"{error}{said_where}")
