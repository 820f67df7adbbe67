"""Processes of this machine that train the trials of a search: they live as long as the search does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hdl import scratch, wire
from hdl.errors import DeadlineError, WorkerError
from hdl.events import Outcome
from hdl.runners.base import Job, Replaced
from hdl.runners.frames import receive
from hdl.runners.messages import error_from
from hdl.runners.worker_process import WorkerProcess
from hdl.search.trial_worker import event_of, job_fields, outcome_of

DEATHS = 3  # of processes at one trial, after which it has failed
DEADLINE = 3600.0  # seconds without a word: a round, or the reading of the data


class Pool:
    """Trains trials in processes; each takes one at a time, and keeps the decoded data for the next.

    Parameters
    ----------
    threads : int
        Of each.
    device : str
    """

    def __init__(self, threads: int, device: str = "cpu"):
        opening = {"threads": threads, "device": device, "encrypt_spill": scratch.encrypting()}
        self._opening = wire.pack("open", opening)
        self._threads = threads
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._lock = threading.Lock()

    def train(self, job: Job, notify: Callable[[Any], None]) -> Outcome:
        """Trains as a job says, from the table's last version where there is one; a process that dies is replaced.

        Raises
        ------
        HdlError
            As the training raised it; WorkerError if processes keep dying.
        """
        worker = self._take()
        for deaths in range(1, DEATHS + 1):
            try:
                worker.send(wire.pack("trial", job_fields(job)))
                outcome = self._answer(worker, notify)
            except (EOFError, ConnectionError):
                reason = worker.reap()
                if deaths == DEATHS:
                    said = worker.standard_error()
                    worker.start()
                    self._give(worker)
                    raise WorkerError(f"processes died {DEATHS} times, the last one: {reason}{said}") from None
                notify(Replaced(worker.number, (), reason))
                worker.start()
            else:
                self._give(worker)
                if isinstance(outcome, Outcome):
                    return outcome
                raise outcome
        raise AssertionError("unreachable")

    def _answer(self, worker: WorkerProcess, notify: Callable[[Any], None]) -> Outcome | Exception:
        while True:
            try:
                kind, fields, _ = wire.unpack(receive(worker.channel))
            except TimeoutError:
                raise DeadlineError(f"process {worker.process.pid} has said nothing for {DEADLINE:g} s") from None
            if kind == "done":
                return outcome_of(fields)
            if kind == "error":
                return error_from(fields, f"process {worker.process.pid}")
            notify(event_of(fields))

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            number = len(self._all)
            module = "hdl.search.trial_worker"
            worker = WorkerProcess(number, [], self._opening, self._threads, DEADLINE, module)
            self._all.append(worker)
            return worker

    def _give(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """Ends all processes."""
        with self._lock:
            for worker in self._all:
                worker.kill()
            self._all, self._idle = [], []
