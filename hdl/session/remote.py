"""A session's workers, seen from another process: a search beside the session's own, or one whose estimators fit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl import told, trial
from hdl.errors import HdlError, Interrupted, SessionEnded, SpecError
from hdl.events import Outcome
from hdl.runners.base import Job, Notify, Runner
from hdl.runners.messages import error_from
from hdl.search.pool import own_umask
from hdl.session import client, places

WANTED_SECONDS = 0.2  # between two looks whether somebody waits for a trial still
DYING_SECONDS = 3.0  # that a process which is killed may hold its lock for after its connections are closed


def work(
    session: str, asked: dict[str, Any], wanted: Callable[[], bool], notify: Notify = lambda event: None,
    died: Callable[[], Any] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Have a session's workers do something, and wait for that; returns the fields of what it came to.

    Parameters
    ----------
    session : str
        Its name.
    asked : dict
        What is to be done.
    wanted : function
        Whether somebody waits for it still.
    notify : function of an event
    died : function
        Called when the session's process is found to have died.

    Raises
    ------
    HdlError
        As it was raised there.
    Interrupted
        Nobody waits any more.
    SessionEnded
        The session has.
    """
    try:
        channel = places.connect(session)
    except HdlError:
        raise ended(session, died) from None
    with channel:
        places.send(channel, asked)
        channel.settimeout(WANTED_SECONDS)
        while True:
            try:
                message, _ = places.receive(channel)
            except TimeoutError:
                if wanted():
                    continue
                raise Interrupted("nobody waits for it any more") from None
            except (EOFError, ConnectionError):
                raise ended(session, died) from None
            if "outcome" in message:
                return message["outcome"]
            if "error" in message:
                raise error_from(message["error"], f"session {session!r}")
            notify(told.event_of(message["event"]))


def ended(session: str, died: Callable[[], Any] = lambda: None) -> SessionEnded:
    """Make the error that says that a session's process has ended."""
    own, until = places.place(session), time.monotonic() + DYING_SECONDS
    while record := places.read_record(own):
        with suppress(FileNotFoundError):  # it has just gone with its process
            if (held := places.lock(own, new=False)) is not None:
                os.close(held)
                died()
                return SessionEnded(places.died(session, record))
        if time.monotonic() > until:
            return SessionEnded(f"session {session!r} has left its work: it ends, or was busy for too long")
        time.sleep(0.05)
    return SessionEnded(places.died(session, {"ended": "it was stopped"}))


class RemoteWorkers:
    """Stands for the workers of a session that another process keeps.

    Parameters
    ----------
    session : str
        Its name.
    died : function, optional
        Called when the session's process is found to have died.
    """

    def __init__(self, session: str, died: Callable[[], Any] = lambda: None):
        self._died = died
        state = client.ask(session, "state")
        self.session, self.name = session, state["runner"]
        self.workers, self.threads, self.device = state["settings"]["workers"], state["threads"], state["device"]

    def close(self) -> None:
        """Do nothing: the session stays."""

    def runner(self) -> RemoteRunner:
        """Make the runner of one training, which one worker carries out."""
        return RemoteRunner(self)

    def train_whole(self, job: Job, notify: Notify, wanted: Callable[[], bool]) -> Outcome:
        """Have all workers train a trial."""
        if self.name == "local":
            raise SpecError(f"--spread and mode async: for workers on YARN; session {self.session!r} has local ones")
        return self.train(job, notify, wanted, True)

    def train(self, job: Job, notify: Notify, wanted: Callable[[], bool], whole: bool = False) -> Outcome:
        """Have one worker train a trial, or all of them: see `hdl.search.places.Kept`."""
        asked = {"do": "train", "job": trial.job_fields(job), "whole": whole, "folder": os.getcwd(),
                 "umask": own_umask()}  # fmt: skip
        return trial.outcome_of(work(self.session, asked, wanted, notify, self._died))


class RemoteRunner(Runner):
    """Has one of a session's workers train, as a trial: a network that is trained again on all rows."""

    def __init__(self, kept: RemoteWorkers):
        self.kept, self.name, self.device = kept, kept.name, kept.device

    def train(self, job: Job, drive: Any, notify: Notify) -> Any:
        return self.kept.train(job, notify, lambda: True)

    def close(self) -> None:
        """Do nothing: the session stays."""
