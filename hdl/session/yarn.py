"""A session's application on YARN, seen from the session's process: it hands the master one order after the other.

The keys that prove it to the master are made here with the application, and are in this process alone. If it ends, the
application does so as well, once it has been idle for as long as the session may be.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hdl import driver, fs, identity, scratch, starting
from hdl.errors import DeadlineError, HdlError, Interrupted, SessionEnded, SpecError, WorkerError
from hdl.events import Outcome
from hdl.measuring import Gathered
from hdl.runners import fits
from hdl.runners.base import Job, Log, Notify, Runner
from hdl.runners.messages import error_from
from hdl.session.staged import Staged
from hdl.told import event_of
from hdl.yarn.client import client, connection, renewal
from hdl.yarn.client.events import Listener, Source
from hdl.yarn.client.follow import result
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import SESSION, Credentials, WorkerCredentials
from hdl.yarn.protocol.message import Message, ProtocolError
from hdl.yarn.protocol.session import Ask, Cancel, Order, Stop, Told, read_told
from hdl.yarn.settings import DATA_SHARE, Settings, to_task_config

START_SECONDS = 300.0  # that YARN has to start the master
ANSWER_SECONDS = 5.0  # after which a message to the master is said again
LOST_SECONDS = 120.0  # without an answer, after which YARN's report is believed, and the session over
SEARCH_IDLE = 600.0  # without an order, after which a search's own application ends: its driver has died, or sleeps
POLL_SECONDS = 0.02
END_SECONDS = 30.0  # that the application has to end in order
OVER = ("FINISHED", "FAILED", "KILLED")


def of_search(out: str, fields: dict[str, Any], say: Callable[[str], Any]) -> YarnWorkers:
    """Begin an application for the trials of one search, which ends with it.

    Parameters
    ----------
    out : str
        The search's folder, for the application's name.
    fields : dict
        Of its settings.
    say : function of str
    """
    named = {name: os.environ.get(f"HDL_NODE_{name.upper()}") for name in ("python", "archive")}
    # Each trial begins where there is a worker, so there may be fewer at any time.
    own = {"name": f"hdl search: {out}", "fewest": None, "session": True, "session_idle": SEARCH_IDLE, "attempts": 1,
           "encrypt_spill": scratch.encrypting()}  # fmt: skip
    return YarnWorkers({**named, **fields, **own}, say)


class YarnWorkers:
    """Keeps the application of a session.

    Parameters
    ----------
    settings : dict
        Of `hdl.yarn.settings.Settings`.
    say : function of str
        Called with messages for the session's log.
    """

    name = "yarn"
    over = ""  # why the application is over, once it is
    tell_over: Callable[[str], str] = staticmethod(str)  # makes the sentence of it that users read

    def __init__(self, settings: dict[str, Any], say: Callable[[str], Any] = print):
        self.settings = Settings.make(**settings)
        self.workers, self.threads, self.device = (
            self.settings.workers,
            self.settings.threads or None,
            self.settings.device,
        )
        self.fewest = self.settings.fewest
        self._say, self._orders, self._told = say, 0, Told(0, 0, [])
        self._speaking = threading.RLock()  # trials are followed by a thread each
        connection.prepare()
        keys: list[Credentials] = []
        home = identity.home()
        self.application = client.submit(Job(home, home), self.settings, made=keys.append)
        self._open = ExitStack()
        try:
            self._messages = self._open.enter_context(renewal.following(self.application))
            self._address = self._wait_for_master()
            public, secret = keys[0].curve(SESSION)
            own = WorkerCredentials(b"", b"", SESSION, public, secret, keys[0].curve("master")[0])
            self._client = Client(own, self._address)
            self._open.callback(self._client.close)
            self.ask()
        except BaseException:
            self._open.close()
            with suppress(HdlError):
                client.kill(self.application)
            raise

    def _wait_for_master(self) -> str:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            report = client.report(self.application)
            if report.over:
                raise WorkerError(f"{self.application} {report.state.lower()}: {report.diagnostics}")
            if report.state == "RUNNING":
                with suppress(HdlError, OSError):
                    return renewal.master_address(client.staging(self.application))
            time.sleep(0.2)
        raise DeadlineError(f"{self.application}: YARN has not started its master within {START_SECONDS:g} s")

    def runner(self) -> KeptYarnRunner:
        """Make the runner of one training."""
        return KeptYarnRunner(self)

    def order(self, job: Job, alone: bool = False) -> int:
        """Give the master an order; returns its number.

        Parameters
        ----------
        job : Job
        alone : bool
            One worker carries it out: a trial.
        """
        with self._speaking:
            self._orders += 1
            self._speak(Order(self._orders, to_task_config(job, self.settings), alone))
            return self._orders

    def ask(self, since: int = 0, number: int = 0) -> Told:
        """Ask the master what has happened in an order; number 0: how the session is."""
        return self._speak(Ask(since, number))

    def cancel(self, number: int) -> None:
        """Have an order end."""
        self._speak(Cancel(number))

    def train(self, job: Job, notify: Notify, wanted: Callable[[], bool], folder: str = "", umask: int = -1) -> Outcome:
        """Have one worker train a trial: see `hdl.search.places.Kept`; folder and umask do not matter on HDFS."""
        return KeptYarnRunner(self, True, wanted).train(job, None, notify)

    def train_whole(self, job: Job, notify: Notify, wanted: Callable[[], bool]) -> Outcome:
        """Have all workers train a trial: see `train`."""
        job = replace(job, resume=driver.begun(job.table) is not None)
        return KeptYarnRunner(self, False, wanted).train(job, None, notify)

    def fit(self, order: str, wanted: Callable[[], bool]) -> None:
        """Have one worker make an estimator's fit; what it makes is beside its order."""
        with self.staged.copied(Path(order)) as path:
            job = Job(path, fits.title(order), asked={"fit": path})
            KeptYarnRunner(self, True, wanted).carry_out(job, lambda event: None)

    def forget(self, folder: str) -> None:
        """Remove what was copied for a folder of fits."""
        self.staged.forget(folder)

    @cached_property
    def staged(self) -> Staged:
        """The copies of fits' files."""
        return Staged(client.staging(self.application))

    def look(self) -> None:
        """Ask what is kept, and whether the application is there.

        Raises
        ------
        HdlError
            It is not.
        """
        for text in self._messages():
            self._say(text)
        self._told = self.ask()

    def describe(self) -> dict[str, Any]:
        """Describe the application and what its workers keep, in plain values."""
        room = int((self.settings.memory << 20) * DATA_SHARE) * self.workers
        told = self._told
        return {"kept": told.kept or [], "memory": room, "application": self.application, "turns": told.turns or [],
                "used": told.memory or []}  # fmt: skip

    def close(self) -> None:
        """End the application."""
        with suppress(HdlError):
            self._speak(Stop())
        until = time.monotonic() + END_SECONDS
        with suppress(HdlError):
            while not client.report(self.application).over:
                if time.monotonic() > until:
                    client.kill(self.application)
                    break
                time.sleep(0.1)
            renewal.forget(self.application)
            client.remove(client.staging(self.application))
        self._open.close()

    def _speak(self, message: Message) -> Told:
        """Say something to the master until it has answered.

        Raises
        ------
        SessionEnded
            The application is over, or its master does not answer.
        """
        number = getattr(message, "number", 0)
        with self._speaking:
            began = time.monotonic()
            while not self.over:
                self._client.send(message.to_dict())
                while (received := self._client.receive(ANSWER_SECONDS)) is not None:
                    with suppress(ProtocolError):
                        if (told := read_told(received)).number == number:  # others answer what was said twice
                            return told
                with suppress(DeadlineError):
                    report = client.report(self.application)
                    if report.over:
                        why = " ".join((report.diagnostics or "it is over").split())
                        self.over = f"{self.application} {report.final.lower()}: {why}"
                if time.monotonic() - began > LOST_SECONDS:
                    self.over = f"the master of {self.application} has not answered for {LOST_SECONDS:g} s"
            raise SessionEnded(self.tell_over(self.over))


class KeptYarnRunner(Runner):
    """Trains by a session's application; the driver runs in its master.

    Parameters
    ----------
    kept : YarnWorkers
    alone : bool
        One worker trains: a trial.
    wanted : function
        Whether somebody waits for it still.
    """

    name = "yarn"

    def __init__(self, kept: YarnWorkers, alone: bool = False, wanted: Callable[[], bool] = lambda: True):
        self.kept, self.workers, self.application = kept, kept.workers, kept.application
        self.alone, self.wanted = alone, wanted

    def train(self, job: Job, drive: Any, notify: Notify) -> Any:
        """Have the application train, and follow that.

        Raises
        ------
        KeyboardInterrupt
            It has ended what it was doing; the table's last version stays.
        """
        for name, path in (("data", job.data), ("table", job.table)):
            if not fs.is_remote(path):
                raise SpecError(f"{name} {path}: runner yarn reads and writes HDFS; expected hdfs://…")
        if job.spec and self.workers > job.spec.shards and not self.alone:
            raise SpecError(
                f"--session: has {self.kept.settings.number} workers; expected at most one a shard, {job.spec.shards}"
            )
        return self.carry_out(starting.staged(job), notify)

    def carry_out(self, job: Job, notify: Notify) -> Any:
        """Give the application an order, and follow that; returns its result, of a fit None.

        Raises
        ------
        KeyboardInterrupt
            See `train`.
        """
        number = self.kept.order(job, self.alone)
        try:
            return self._follow(job, number, notify)
        except KeyboardInterrupt:
            self.kept.cancel(number)
            with suppress(HdlError):
                self._follow(job, number, lambda event: None)
            raise

    def _follow(self, job: Job, number: int, notify: Notify) -> Outcome | Gathered | None:
        listener = Listener(notify, lambda: job.table)
        source, since, told_before = Source(listener), 0, False
        while True:
            for text in self.kept._messages():
                notify(Log(time.time(), text))
            told = self.kept.ask(since, number)
            if told.before and not told_before and not self.alone:
                told_before = True
                notify(Log(time.time(), f"the session's workers are busy: {told.before} before this one"))
            since = told.next
            source.take([event for event in map(event_of, told.events) if event is not None])
            if told.outcome is not None and not told.events:
                return self._outcome(told.outcome, listener, source)
            if not self.wanted():
                self.wanted = lambda: True
                raise KeyboardInterrupt
            time.sleep(POLL_SECONDS)

    def _outcome(self, written: dict[str, Any], listener: Listener, source: Source) -> Outcome | Gathered | None:
        if "error" in written:
            error = error_from(written["error"], "its master")
            if isinstance(error, Interrupted):
                raise KeyboardInterrupt
            raise error
        source.take([])
        if not written.get("outcome", True):  # of a fit, which has written what it made
            return None
        return result(self.application, written, listener)

    def close(self) -> None:
        """Do nothing: the application stays."""
