"""Kept worker processes of this machine, and the runner by which one training after the other uses them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hdl import fs, trial, wire
from hdl.errors import HdlError
from hdl.events import Outcome
from hdl.runners import fits
from hdl.runners.base import Job, Log, Notify, RoundRunner
from hdl.runners.local import LocalRunner
from hdl.runners.turns import Turn, Turns
from hdl.runners.worker_process import WorkerProcess
from hdl.search.pool import MODULE, carry_out, fields_of, hear, leave, replace

LOOK_SECONDS = 10.0  # that it has to say what it keeps
WAIT_SECONDS = 0.2  # between two looks whether somebody waits still
DEADLINE = 600.0  # as `LocalRunner`'s


class LocalWorkers:
    """Keeps the processes of a session.

    Parameters
    ----------
    workers : int
    threads : int, optional
        Of each worker; None: the cores that this process may use, shared out.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int, optional
        Bytes of decoded samples that all workers together keep in memory; None: half of the machine's.
    """

    name = "local"

    def __init__(self, workers: int, threads: int | None = None, device: str = "cpu", memory: int | None = None):
        self.workers, self.threads, self.device = workers, threads, device
        own = KeptRunner(self, memory)  # checks, and fills in
        self.threads, self.memory = own.threads, own.memory
        warm = wire.pack("warm", {})
        self.processes = [WorkerProcess(k, [], warm, own.threads, DEADLINE, MODULE) for k in range(workers)]
        self._kept: dict[int, list[dict[str, Any]]] = {}  # by worker, as it said last
        self._turns, self._changed = Turns(workers), threading.Condition()

    def runner(self) -> KeptRunner:
        """Make the runner of one training."""
        return KeptRunner(self, self.memory)

    @contextmanager
    def turn(
        self, what: str, whole: bool, data: str = "", wanted: Callable[[], bool] = lambda: True,
        tell: Callable[[int], Any] = lambda before: None,
    ) -> Iterator[tuple[int, ...]]:  # fmt: skip
        """Wait for workers, and have them until the end of the context.

        Parameters
        ----------
        what : str
            For people.
        whole : bool
            All workers are wanted, and not one.
        data : str
            That is read: a worker that keeps it is taken, if one is free.
        wanted : function
            Whether somebody waits for this still.
        tell : function of int
            Called with how many come before, if any do.
        """
        mine, told = Turn(what, whole), False
        with self._changed:
            try:
                self._turns.ask(mine)
                while not mine.workers:
                    liked = [number for number, kept in self._kept.items() if any(one["data"] == data for one in kept)]
                    if self._turns.waiting[0] is mine and self._turns.begin(range(self.workers), liked):
                        break
                    if not told:
                        told = True
                        tell(self._turns.before(mine))
                    self._changed.wait(WAIT_SECONDS)
                    if not wanted():
                        raise KeyboardInterrupt
            except BaseException:
                self._turns.end(mine)
                self._changed.notify_all()
                raise
        try:
            yield mine.workers
        finally:
            with self._changed:
                self._turns.end(mine)
                self._changed.notify_all()

    def train(self, job: Job, notify: Notify, wanted: Callable[[], bool], folder: str = "", umask: int = -1) -> Outcome:
        """Have one worker train a trial: see `hdl.search.places.Kept`, and of folder and umask `fields_of`."""
        data = job.data if fs.is_remote(job.data) else fs.join(folder or os.getcwd(), job.data)
        with self.turn(job.table, False, data, wanted) as (number,):
            worker = self.processes[number]
            fields = fields_of(job, self.threads or 1, self.device, self.memory // self.workers, folder, umask)
            try:
                found = carry_out(worker, wire.pack("trial", fields), notify, wanted)
                self._look_at(worker)
            except BaseException:
                leave(worker)
                raise
        if isinstance(found, HdlError):
            raise found
        return trial.outcome_of(found)

    def fit(self, order: str, wanted: Callable[[], bool]) -> None:
        """Have one worker make an estimator's fit: see `hdl.runners.fits`; what it makes is beside its order."""
        own = {"threads": self.threads or 1, "device": self.device, "memory": self.memory // self.workers}
        with self.turn(fits.title(order), False, wanted=wanted) as (number,):
            worker = self.processes[number]
            try:
                failed = carry_out(worker, wire.pack("fit", {"order": order, **own}), lambda event: None, wanted)
            except BaseException:
                leave(worker)
                raise
        if isinstance(failed, HdlError):
            raise failed

    def forget(self, folder: str) -> None:
        """Do nothing: whose fits these are removes their files."""

    def look(self) -> None:
        """Ask the workers that do nothing what they keep; a process that has died is replaced."""
        with self._changed:  # nobody is given a worker meanwhile
            busy = {number for turn in self._turns.running for number in turn.workers}
            for number, worker in enumerate(self.processes):
                if number not in busy:
                    self._look_at(worker)

    def _look_at(self, worker: WorkerProcess) -> None:
        try:
            if worker.process.poll() is not None:
                raise EOFError
            worker.send(wire.pack("kept", {}))
            self._kept[worker.number] = hear(worker, "kept", LOOK_SECONDS)["kept"]
        except (EOFError, OSError, HdlError):
            replace(worker)
            self._kept.pop(worker.number, None)

    def describe(self) -> dict[str, Any]:
        """Describe the workers, who has them and what they keep, in plain values."""
        kept: dict[str, dict[str, Any]] = {}
        for one in [one for own in [*self._kept.values()] for one in own]:
            whole = kept.setdefault(one["data"], {"data": one["data"], "bytes": 0, "files": 0, "used": 0.0})
            for name in ("bytes", "files"):
                whole[name] += one[name]
            whole["used"] = max(whole["used"], one["used"])
        with self._changed:
            turns = self._turns.describe()
        pids = [each.process.pid for each in self.processes]
        return {"kept": sorted(kept.values(), key=lambda one: -one["used"]), "memory": self.memory, "pids": pids,
                "turns": turns, "used": [resident(pid) for pid in pids]}  # fmt: skip

    def close(self) -> None:
        """End all processes."""
        for worker in self.processes:
            worker.kill()


def resident(pid: int) -> int:
    """Return the bytes of memory that a process has in use; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


class KeptRunner(LocalRunner):
    """Carries the rounds of one training out by all processes of a session, when its turn has come.

    Parameters
    ----------
    kept : LocalWorkers
    memory : int, optional
    """

    alone_here = False
    keeps = True

    def __init__(self, kept: LocalWorkers, memory: int | None):
        super().__init__(kept.workers, kept.threads, DEADLINE, kept.device, memory)
        self.kept = kept

    def train(self, job: Job, drive: Callable[[Job, RoundRunner, Notify], Any], notify: Notify) -> Any:
        def tell(before: int) -> None:
            notify(Log(time.time(), f"the session's workers are busy: {before} before this one"))

        with self.kept.turn(job.table, True, tell=tell):
            try:
                return drive(job, self, notify)
            finally:
                self.close()  # before the next turn begins

    def process(self, number: int, shards: list[int], fields: dict[str, Any]) -> WorkerProcess:
        worker = self.kept.processes[number]
        worker.opening = wire.pack("open", {**fields, "folder": os.getcwd()})  # a path may be of the command's folder
        worker.shards, worker.busy, worker.done = shards, None, 0.0
        worker.seen = time.monotonic()
        worker.send(worker.opening)
        return worker

    def close(self) -> None:
        """Have workers that still compute leave that: the processes stay."""
        for worker in self._processes:
            if worker.midway or worker in self._owing:
                leave(worker)
        self._owing, self._processes = set(), []
