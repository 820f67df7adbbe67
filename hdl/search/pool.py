"""Processes of this machine that train the trials of a search: they live as long as the search does, or a session."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Any

from hdl import scratch, told, trial, wire
from hdl.errors import DeadlineError, HdlError, Interrupted, WorkerError
from hdl.events import Outcome
from hdl.runners.base import Job, Notify, Replaced
from hdl.runners.frames import receive
from hdl.runners.messages import error_from
from hdl.runners.work import physical_memory
from hdl.runners.worker_process import WorkerProcess

MODULE = "hdl.search.trial_worker"
DEATHS = 3  # of processes at one trial, after which it has failed
DEADLINE = 3600.0  # seconds without a word: a round, or the reading of the data
ABANDON_SECONDS = 10.0  # that a worker has to leave a command that was given up, before another process replaces it
WANTED_SECONDS = 0.2  # between two looks whether somebody waits for a trial still


def carry_out(
    worker: WorkerProcess, command: bytes, notify: Notify, wanted: Callable[[], bool]
) -> dict[str, Any] | HdlError:
    """Have a process train a trial, from its table's last version where there is one, or a fit; one that dies is
    replaced.

    Parameters
    ----------
    worker : WorkerProcess
    command : bytes
        A message `trial` or `fit`.
    notify : function of an event
    wanted : function
        Whether somebody waits for it still.

    Returns
    -------
    dict or HdlError
        Of a trial the fields of its outcome; of a fit none, as it has written what it made. Or how the training failed.

    Raises
    ------
    WorkerError, DeadlineError, Interrupted
        Processes keep dying, or one is silent, or nobody waits any more: the process may be dead, or work on.
    """
    reason = ""
    for deaths in range(DEATHS):
        if deaths:
            notify(Replaced(worker.number, (), reason))
        try:
            ready(worker)
            worker.send(command)
            return _answer(worker, notify, wanted)
        except (EOFError, OSError) as error:
            if not wanted():
                raise Interrupted("nobody waits for the trial any more") from None
            if not isinstance(error, (EOFError, ConnectionError)):
                raise
            reason = worker.reap()
    raise WorkerError(f"processes died {DEATHS} times, the last one: {reason}{worker.standard_error()}")


def ready(worker: WorkerProcess) -> None:
    """Start another process where one has died."""
    if worker.process.poll() is not None:
        replace(worker)


def fields_of(job: Job, threads: int, device: str, memory: int, folder: str = "", umask: int = -1) -> dict[str, Any]:
    """Make the fields of a command `trial`.

    Parameters
    ----------
    job : Job
    threads, device, memory
        Of the worker.
    folder : str
        Where paths begin that are not absolute; empty: where this process is.
    umask : int
        Of the files that are written; -1: this process's.
    """
    own = {"threads": threads, "device": device, "memory": memory, "encrypt_spill": scratch.encrypting()}
    return {
        **trial.job_fields(job),
        **own,
        "folder": folder or os.getcwd(),
        "umask": own_umask() if umask < 0 else umask,
    }


def own_umask() -> int:
    """Tell this process's umask without changing it for a moment, which other threads would notice."""
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("Umask:")).split()[1], 8)


def _answer(worker: WorkerProcess, notify: Notify, wanted: Callable[[], bool]) -> dict[str, Any] | HdlError:
    heard, poll = time.monotonic(), select.poll()
    poll.register(worker.channel, select.POLLIN)
    while True:
        if not wanted():  # a long round gives signs of life more often than the time below
            raise Interrupted("nobody waits for the trial any more")
        if not poll.poll(WANTED_SECONDS * 1000):
            if time.monotonic() - heard > DEADLINE:
                raise DeadlineError(f"process {worker.process.pid} has said nothing for {DEADLINE:g} s")
            continue
        worker.midway = True
        kind, fields, _ = wire.unpack(receive(worker.channel))
        worker.midway, heard = False, time.monotonic()
        if kind == "trained":
            return fields
        if kind == "error":
            return error_from(fields, f"process {worker.process.pid}")
        if kind == "event":
            notify(told.event_of(fields))


def leave(worker: WorkerProcess) -> None:
    """Have a worker leave the command that it carries out, or another process take its place."""
    if worker.process.poll() is not None or worker.midway or not abandon(worker):
        replace(worker)


def abandon(worker: WorkerProcess) -> bool:
    """Have a worker leave a command; False if it does not in time, or has died.

    It is asked what it keeps behind that, so it answers even if it had answered the command before.
    """
    try:
        worker.send(wire.pack("abandon", {}), wire.pack("kept", {}))
        hear(worker, "kept", ABANDON_SECONDS)
        return True
    except (EOFError, OSError, HdlError):  # a deadline is an OSError
        return False


def hear(worker: WorkerProcess, wanted: str, seconds: float) -> dict[str, Any]:
    """Read what a worker says until it is of the kind that is wanted, and return its fields; what is older is dropped.

    Raises
    ------
    EOFError, OSError
        It has died, or the deadline has passed.
    """
    until = time.monotonic() + seconds
    while True:
        kind, fields, _ = wire.unpack(receive(worker.channel, until=until))
        for _ in range(fields["count"] if kind == "done" else 0):
            receive(worker.channel, until=until)
        if kind == wanted:
            worker.channel.settimeout(worker.deadline)
            return fields


def replace(worker: WorkerProcess) -> None:
    """Start a new process in the place of one that has died or hangs; what it kept is read again."""
    worker.kill()
    worker.opening = wire.pack("warm", {})
    worker.start()


class Pool:
    """Trains trials in processes; each takes one at a time, and keeps the decoded data for the next.

    Parameters
    ----------
    workers : int
        That there may be.
    threads : int
        Of each.
    device : str
    """

    def __init__(self, workers: int, threads: int, device: str = "cpu"):
        self._threads, self._device, self._memory = threads, device, physical_memory() // 2 // workers
        self._idle: list[WorkerProcess] = []
        self._all: list[WorkerProcess] = []
        self._lock, self._closed = threading.Lock(), False

    def train(self, job: Job, notify: Notify) -> Outcome:
        """Train a trial; raises what the training raises, and what `carry_out` does."""
        worker = self._take()
        try:
            fields = fields_of(job, self._threads, self._device, self._memory)
            found = carry_out(worker, wire.pack("trial", fields), notify, lambda: not self._closed)
        finally:
            with self._lock:
                self._idle.append(worker)
        if isinstance(found, HdlError):
            raise found
        return trial.outcome_of(found)

    def _take(self) -> WorkerProcess:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            worker = WorkerProcess(len(self._all), [], wire.pack("warm", {}), self._threads, DEADLINE, MODULE)
            self._all.append(worker)
            return worker

    def close(self) -> None:
        """End all processes."""
        self._closed = True
        with self._lock:
            for worker in self._all:
                worker.kill()
            self._all, self._idle = [], []
