"""A session's workers, seen from a search beside its process: each trial is sent there when it is to begin."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
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
        try:
            channel = places.connect(self.session)
        except HdlError:
            raise self._ended() from None
        with channel:
            places.send(channel, asked)
            channel.settimeout(WANTED_SECONDS)
            while True:
                try:
                    message, _ = places.receive(channel)
                except TimeoutError:
                    if wanted():
                        continue
                    raise Interrupted("nobody waits for the trial any more") from None
                except (EOFError, ConnectionError):
                    raise self._ended() from None
                if "outcome" in message:
                    return trial.outcome_of(message["outcome"])
                if "error" in message:
                    raise error_from(message["error"], f"session {self.session!r}")
                notify(told.event_of(message["event"]))

    def _ended(self) -> SessionEnded:
        """Make the error that says that the session's process has ended."""
        own = places.place(self.session)
        record = places.read_record(own)
        if record:
            until = time.monotonic() + DYING_SECONDS
            while (held := places.lock(own)) is None and time.monotonic() < until:
                time.sleep(0.05)
            if held is None:
                return SessionEnded(f"session {self.session!r} has left the search: it ends, or was busy for too long")
            os.close(held)  # it has died
            self._died()
        return SessionEnded(places.died(self.session, record))


class RemoteRunner(Runner):
    """Has one of a session's workers train, as a trial: a network that is trained again on all rows."""

    def __init__(self, kept: RemoteWorkers):
        self.kept, self.name, self.device = kept, kept.name, kept.device

    def train(self, job: Job, drive: Any, notify: Notify) -> Any:
        return self.kept.train(job, notify, lambda: True)

    def close(self) -> None:
        """Do nothing: the session stays."""
