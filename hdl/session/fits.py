"""Fits of estimators as orders to a session: samples in files that its workers map, weights and results as messages.

The files lie in a folder of the session's own, which its user alone may enter. Each fit is a turn of one worker, as a
trial of a search is: see `hdl.runners.turns`. There are no more of them at once than there are workers, so what comes
in between waits for one fit of each worker.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
import warnings
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from hdl import data
from hdl.errors import HdlError, Interrupted
from hdl.fitting.order import Made, Order, name_of, samples_message
from hdl.fitting.rounds import Limits, Trained
from hdl.ops import Samples
from hdl.ops.transformed import TransformedInput
from hdl.runners.fits import made_at, write
from hdl.runners.platform import device_class
from hdl.session import client, places, remote
from hdl.spec import Spec
from hdl.wire import Weights

LOOK_SECONDS = 0.2  # between two looks whether the search has ended
FOLDER, OVER = "fits", "the search has ended"


class Fits:
    """Has a session train the fits of some tasks.

    Parameters
    ----------
    session : str
        Its name.
    device : str
        Of its workers.
    workers : int
        That it has.

    Attributes
    ----------
    error : HdlError or None
        What has ended the session's work.
    """

    def __init__(self, session: str, device: str, workers: int):
        self.session = session
        self._cpu = device_class(device) in ("cpu", "auto")
        self._folder = places.place(session) / f"{FOLDER}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._lock, self._slots = threading.Lock(), threading.Semaphore(workers)
        self._numbers, self._closed = count(1), False
        self._said: set[str] = set()
        self.error: HdlError | None = None

    def train(self, spec: Spec, weights: Weights, shard: data.Shard, worker: Any, limits: Limits) -> Trained | None:
        """Have the session train; None: what is asked for is trained in this process, which is told once.

        Parameters are those of `hdl.fitting.rounds.train`.

        Raises
        ------
        NonFinite, ValueError
            As here.
        HdlError
            The session does not go on.
        """
        if why := self._here(worker, limits):
            if why not in self._said:
                self._said.add(why)
                warnings.warn(f"{why} is trained in this process, not by session {self.session!r}", stacklevel=6)
            return None
        try:
            train = self._file(shard.train)
            held = self._file(shard.validation) if len(shard.validation) else ""
            order = Order(spec, weights, train, held, replace(limits, told=None, measured=None), worker.platform)
            made = self._ordered(order)
        except (FileNotFoundError, Interrupted):  # the folder goes with the session
            self.error = self.error or (Interrupted(OVER) if self._closed else remote.ended(self.session))
        except HdlError as error:
            self.error = self.error or error
        if self.error is not None:
            raise self.error
        if isinstance(made.trained, Exception):
            raise made.trained
        if limits.pace is not None and made.pace is not None:
            limits.pace.__dict__.update(vars(made.pace))
        return made.trained

    def _here(self, worker: Any, limits: Limits) -> str:
        """Say what a fit has that only this process can do; empty: nothing."""
        if limits.told is not None or limits.measured is not None:
            return "a fit that is verbose"
        if isinstance(worker, TransformedInput):
            return "a layer above others"
        if device_class(worker.platform) != "cpu" or not self._cpu:
            return "a fit on a GPU"
        return ""

    # --- files --------------------------------------------------------------------------------------------------------

    def _file(self, samples: Samples) -> str:
        """Write samples to a file, unless one of the same is there; returns its path."""
        pieces = samples_message(samples)
        path = self._folder / name_of(pieces)
        with self._lock:
            self._check()
            if not path.exists():
                if not self._folder.exists():
                    self._folder.mkdir(0o700)
                    _sweep(self._folder)
                write(path, pieces)
        return str(path)

    # --- orders -------------------------------------------------------------------------------------------------------

    def _ordered(self, order: Order) -> Made:
        """Have one of the session's workers carry an order out, when its turn comes."""
        path = self._folder / f"{next(self._numbers)}.order"
        made = Path(made_at(str(path)))
        content = [order.pack()]
        with self._lock:
            self._check()
            write(path, content)
        while not self._slots.acquire(timeout=LOOK_SECONDS):
            self._check()
        try:
            self._check()
            remote.work(self.session, {"do": "fit", "order": str(path)}, lambda: not self._closed)
        finally:
            self._slots.release()
        found = made.read_bytes()
        for each in (path, made):
            each.unlink(missing_ok=True)
        return Made.unpack(found)

    def _check(self) -> None:
        """Refuse what comes after the end."""
        if self.error is not None or self._closed:
            raise self.error or Interrupted(OVER)

    def abort(self) -> None:
        """Leave what the session trains."""
        self._closed = True

    def close(self) -> None:
        """End, and remove all files."""
        self.abort()
        over = self._folder.with_name(f"{self._folder.name}-over")
        with self._lock:  # nobody here writes
            try:
                self._folder.rename(over)  # and no worker writes into it while it is emptied
            except FileNotFoundError:
                return
        with suppress(HdlError):  # where the session has died, copies go with the application
            client.ask(self.session, "forget", folder=self._folder.name)
        shutil.rmtree(over, ignore_errors=True)


def _sweep(own: Path) -> None:
    """Remove the folders of processes that have died."""
    for other in own.parent.glob(f"{FOLDER}-*"):
        pid = other.name.split("-")[1]
        if other != own and pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(other, ignore_errors=True)
