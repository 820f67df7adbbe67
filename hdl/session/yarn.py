"""A session's application on YARN, seen from the session's process: it hands the master one order after the other.

The keys that prove it to the master are made here with the application, and are in this process alone. If it ends, the
application does so as well, once it has been idle for as long as the session may be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any

from hdl import fs, identity, starting
from hdl.errors import DeadlineError, HdlError, Interrupted, SpecError, WorkerError
from hdl.events import Outcome
from hdl.measuring import Gathered
from hdl.runners.base import Job, Log, Notify, Runner
from hdl.runners.messages import error_from
from hdl.yarn.client import client, renewal
from hdl.yarn.client.events import Listener, Source, event_from
from hdl.yarn.client.follow import result
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import SESSION, Credentials, WorkerCredentials
from hdl.yarn.protocol.message import Message, ProtocolError
from hdl.yarn.protocol.session import Ask, Cancel, Order, Stop, Told, read_told
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import DATA_SHARE, Settings, to_task_config

START_SECONDS = 300.0  # that YARN has to start the master
ANSWER_SECONDS = 5.0  # after which a message to the master is said again
LOST_SECONDS = 120.0  # without an answer, after which YARN's report is believed, and the session over
POLL_SECONDS = 0.05
END_SECONDS = 30.0  # that the application has to end in order
OVER = ("FINISHED", "FAILED", "KILLED")


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

    def __init__(self, settings: dict[str, Any], say: Callable[[str], Any] = print):
        self.settings = Settings.make(**settings)
        self.workers, self.threads, self.device = (
            self.settings.workers,
            self.settings.threads or None,
            self.settings.device,
        )
        self._say, self._orders, self._told = say, 0, Told(0, 0, [])
        java.start()
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

    def order(self, job: Job) -> int:
        """Give the master an order; returns its number."""
        self._orders += 1
        self._speak(Order(self._orders, to_task_config(job, self.settings)))
        return self._orders

    def ask(self, since: int = 0) -> Told:
        """Ask the master what has happened."""
        return self._speak(Ask(since))

    def cancel(self, number: int) -> None:
        """Have an order end."""
        self._speak(Cancel(number))

    def look(self) -> None:
        """Ask what is kept, and whether the application is there.

        Raises
        ------
        HdlError
            It is not.
        """
        for text in self._messages():
            self._say(text)
        self.ask()

    def describe(self) -> dict[str, Any]:
        """Describe the application and what its workers keep, in plain values."""
        room = int((self.settings.memory << 20) * DATA_SHARE) * self.workers
        return {"kept": self._told.kept or [], "memory": room, "application": self.application}

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
        WorkerError
            The application is over.
        DeadlineError
            The master does not answer.
        """
        began = time.monotonic()
        while True:
            self._client.send(message.to_dict())
            received = self._client.receive(ANSWER_SECONDS)
            while received is not None:
                with suppress(ProtocolError):
                    self._told = read_told(received)
                    while (received := self._client.receive(0)) is not None:  # of what was said twice
                        self._told = read_told(received)
                    return self._told
                received = self._client.receive(ANSWER_SECONDS)
            with suppress(DeadlineError):
                report = client.report(self.application)
                if report.over:
                    raise WorkerError(
                        f"{self.application} {report.final.lower()}: {report.diagnostics or 'it is over'}"
                    )
            if time.monotonic() - began > LOST_SECONDS:
                raise DeadlineError(f"the master of {self.application} has not answered for {LOST_SECONDS:g} s")


class KeptYarnRunner(Runner):
    """Trains by a session's application; the driver runs in its master.

    Parameters
    ----------
    kept : YarnWorkers
    """

    name = "yarn"

    def __init__(self, kept: YarnWorkers):
        self.kept, self.workers, self.application = kept, kept.workers, kept.application

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
        if job.spec and self.workers > job.spec.shards:
            raise SpecError(f"--session: has {self.workers} workers; expected at most one a shard, {job.spec.shards}")
        number = self.kept.order(starting.staged(job))
        try:
            return self._follow(job, number, notify)
        except KeyboardInterrupt:
            self.kept.cancel(number)
            with suppress(HdlError):
                self._follow(job, number, lambda event: None)
            raise

    def _follow(self, job: Job, number: int, notify: Notify) -> Outcome | Gathered:
        listener = Listener(notify, lambda: job.table)
        source, since = Source(listener), 0
        while True:
            for text in self.kept._messages():
                notify(Log(time.time(), text))
            told = self.kept.ask(since)
            if told.number == number:
                since = told.next
                source.take([event for event in map(event_from, told.events) if event is not None])
                if told.outcome is not None and not told.events:
                    return self._outcome(told.outcome, listener, source)
            time.sleep(POLL_SECONDS)

    def _outcome(self, written: dict[str, Any], listener: Listener, source: Source) -> Outcome | Gathered:
        if "error" in written:
            error = error_from(written["error"], "its master")
            if isinstance(error, Interrupted):
                raise KeyboardInterrupt
            raise error
        source.take([])
        return result(self.application, written, listener)

    def close(self) -> None:
        """Do nothing: the application stays."""
