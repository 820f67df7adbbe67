"""Who trains the trials of a search: processes of this machine, workers on YARN or of a session, or a runner, one trial
after the other.

A place has `slots`, trainings that it carries out at once, and `train`, which any of so many threads may call. It
resumes a trial from its table's last version; so a place may be lost at any time, and the bytes are the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from hdl import devices, driver
from hdl.data import Options
from hdl.errors import Interrupted, SessionEnded
from hdl.events import Outcome
from hdl.runners.base import Job, Log, Notify, Runner
from hdl.runners.shared import Shared, SharedRunner
from hdl.search.pool import Pool
from hdl.spec import Spec


class Place(Protocol):
    """The seam between a search and who trains: a context manager that ends what it has started."""

    slots: int

    def train(
        self, data: str, table: str, spec: Spec, options: Options, until: float, strict: bool,
        notify: Callable[[Any], None],
    ) -> Outcome:  # fmt: skip
        """Trains up to a share of the rounds; raises what the training raises."""

    def __enter__(self) -> Place: ...

    def __exit__(self, *_: object) -> None: ...


class _Local:
    """Trains in this process, or in several of its own."""

    def __init__(self, workers: int, threads: int | None, device: str):
        self.slots = workers
        self._threads, self._device = threads or max(1, devices.cores() // workers), device
        self._pool = Pool(workers, self._threads, device) if workers > 1 else None
        self._memory = Shared()

    def __enter__(self) -> _Local:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.close()

    def train(
        self, data: str, table: str, spec: Spec, options: Options, until: float, strict: bool,
        notify: Callable[[Any], None],
    ) -> Outcome:  # fmt: skip
        resume = driver.begun(table) is not None
        job = Job(data, table, spec, options, resume, strict=strict, until=until)
        if self._pool:
            return self._pool.train(job, notify)
        return driver.train(job, SharedRunner(self._memory, None, self._threads, self._device), notify)


class _Elsewhere:
    """Trains by a runner of the user's choice, a trial after the other, each over all of its workers."""

    slots = 1

    def __init__(self, make_runner: Callable[[int], Runner]):
        self._make_runner = make_runner

    def __enter__(self) -> _Elsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def train(
        self, data: str, table: str, spec: Spec, options: Options, until: float, strict: bool,
        notify: Callable[[Any], None],
    ) -> Outcome:  # fmt: skip
        job = Job(data, table, spec, options, driver.begun(table) is not None, strict=strict, until=until)
        return driver.train(job, self._make_runner(spec.shards), notify)


class Kept(Protocol):
    """Workers that stay from one trial to the next: of a session, or of an application of the search's own."""

    workers: int

    def train(self, job: Job, notify: Notify, wanted: Callable[[], bool]) -> Outcome:
        """Have one worker train a trial, from its table's last version where there is one.

        Parameters
        ----------
        job : Job
        notify : function of an event
        wanted : function
            Whether somebody waits for the trial still.

        Raises
        ------
        HdlError
            As the training raised it.
        Interrupted
            Nobody waits any more.
        SessionEnded
            The workers are no more; the message says how to go on.
        """

    def train_whole(self, job: Job, notify: Notify, wanted: Callable[[], bool]) -> Outcome:
        """Have all workers train it."""

    def close(self) -> Any:
        """Let them go."""


class KeptPlace:
    """Trains by workers that stay: one a trial, or all of them.

    Parameters
    ----------
    begin : function
        Gives the workers; again where they have ended.
    workers : int
    spread : bool
        All workers train one trial after the other.
    attempts : int
        Times that workers are begun.
    own : bool
        They end with the search.
    """

    def __init__(self, begin: Callable[[], Kept], workers: int, spread: bool, attempts: int = 1, own: bool = False):
        self.slots = 1 if spread else workers
        self._begin, self._spread, self._attempts, self._own = begin, spread, attempts, own
        self._lock, self._begun, self._closed = threading.Lock(), list[Kept](), False

    def __enter__(self) -> KeptPlace:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        with self._lock:
            if self._own and self._begun:
                self._begun[-1].close()

    def train(
        self, data: str, table: str, spec: Spec, options: Options, until: float, strict: bool,
        notify: Callable[[Any], None],
    ) -> Outcome:  # fmt: skip
        job, attempt = Job(data, table, spec, options, strict=strict, until=until), 1
        whole = self._spread or spec.sync.mode == "async"  # whose result is the workers' own rounds
        while True:
            with self._lock:
                if self._closed:
                    raise Interrupted("the search has ended")
                if len(self._begun) < attempt:
                    self._begun.append(self._begin())
                attempt, kept = len(self._begun), self._begun[-1]
            try:
                return (kept.train_whole if whole else kept.train)(job, notify, lambda: not self._closed)
            except SessionEnded as error:
                if self._closed or attempt >= self._attempts:
                    raise
                attempt += 1
                notify(Log(time.time(), f"{error}; other workers go on"))


def make_place(
    runner: str, workers: int | None, threads: int | None, device: str, make_runner: Callable[[int], Runner],
    say: Callable[[str], Any],
) -> Place:  # fmt: skip
    """Make the place of a runner's name; with "local" `workers` trials train side by side, on a GPU one."""
    if runner != "local":
        return _Elsewhere(make_runner)
    device = devices.resolve(device, say)
    return _Local(workers or (devices.cores() if device == "cpu" else 1), threads, device)
