"""Fits of estimators as orders to a session: samples in files that its workers map, weights and results as messages.

The files lie in a folder of the session's own, which its user alone may enter. Fits that are there at once go together
in one command, as parts that the workers share.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hdl import data, wire
from hdl.errors import HdlError, Interrupted, WorkerError
from hdl.fitting.order import Made, Order, name_of, samples_message
from hdl.fitting.rounds import Limits, Trained
from hdl.ops import Samples
from hdl.ops.transformed import TransformedInput
from hdl.runners.platform import device_class
from hdl.session import client, places
from hdl.session.api import error_of
from hdl.spec import Spec
from hdl.wire import Weights

TOGETHER_SECONDS = 0.25  # that a fit waits for those of the other tasks, to go in one command
ABORT_SECONDS = 15.0  # that the session has to end a command
FOLDER = "fits"


class Fits:
    """Has a session train the fits of some tasks.

    Parameters
    ----------
    session : str
        Its name.
    device : str
        Of its workers.
    copied : bool
        Whether its workers read copies, on the cluster.

    Attributes
    ----------
    error : HdlError or None
        What has ended the session's work.
    """

    def __init__(self, session: str, device: str, copied: bool):
        self.session, self._copied = session, copied
        self._cpu = device_class(device) in ("cpu", "auto")
        self._folder = places.place(session) / f"{FOLDER}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._news = threading.Condition()
        self._waiting: list[tuple[Path, Future[None]]] = []
        self._tasks = self._count = 0
        self._closed = False
        self._channel: Any = None  # of the command that runs
        self._said: set[str] = set()
        self._sender: threading.Thread | None = None
        self.error: HdlError | None = None

    @contextmanager
    def task(self) -> Iterator[None]:
        """Count a task that runs: each has a fit at most."""
        with self._news:
            self._tasks += 1
        try:
            yield
        finally:
            with self._news:
                self._tasks -= 1
                self._news.notify_all()

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
        train = self._file(shard.train)
        held = self._file(shard.validation) if len(shard.validation) else ""
        order = Order(spec, weights, train, held, replace(limits, told=None, measured=None), worker.platform)
        with self._news:
            self._count += 1
            path = self._folder / f"{self._count}.order"
        _write(path, [order.pack()])
        made = self._ordered(path)
        ((one, pace),) = made.fits
        if isinstance(one, Exception):
            raise one
        if limits.pace is not None and pace is not None:
            limits.pace.__dict__.update(vars(pace))
        return one

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
        with self._news:
            self._check()
            if not path.exists():
                if not self._folder.exists():
                    self._folder.mkdir(0o700)
                    _sweep(self._folder)
                _write(path, pieces)
        return str(path)

    # --- orders -------------------------------------------------------------------------------------------------------

    def _ordered(self, path: Path) -> Made:
        """Have the session carry an order out, together with those that others wait for."""
        done: Future[None] = Future()
        with self._news:
            self._check()
            self._waiting.append((path, done))
            if self._sender is None:
                self._sender = threading.Thread(target=self._send, name="hdl-session-fits", daemon=True)
                self._sender.start()
            self._news.notify_all()
        done.result()
        _, plain, tensors = wire.unpack(path.with_suffix(".made").read_bytes())
        for each in (path, path.with_suffix(".made")):
            each.unlink(missing_ok=True)
        return Made.from_parts(plain, tensors)

    def _check(self) -> None:
        """Refuse what comes after the end."""
        if self.error is not None or self._closed:
            raise self.error or Interrupted("the search has ended")

    def _send(self) -> None:
        """Send what waits, one command after the other, until the end of all tasks."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._closed)
                if not self._closed:
                    self._news.wait_for(lambda: self._closed or len(self._waiting) >= self._tasks, TOGETHER_SECONDS)
                taken, self._waiting = self._waiting, []
                if self._closed and self.error is None:
                    self.error = Interrupted("the search has ended")
            error = self.error or self._command([str(path) for path, _ in taken], self._began)
            with self._news:
                self._channel, self.error = None, error
                self._news.notify_all()
            for _, done in taken:
                done.set_exception(error) if error else done.set_result(None)
            if error:
                return

    def _command(self, words: list[str], sent: Callable[[Any], Any]) -> HdlError | None:
        """Have the session carry out `hdl fit`; returns the error that it ends with."""
        with TemporaryFile() as out, TemporaryFile() as err:
            try:
                command = ["fit", *words, "--session", self.session]
                status = client.run(self.session, command, out.fileno(), err.fileno(), sent=sent)
            except HdlError as error:
                return error
            except OSError as error:
                return WorkerError(f"session {self.session!r}: {error}")
            err.seek(0)
            return error_of(status, err.read().decode(errors="replace")) if status else None

    def _began(self, channel: Any) -> None:
        with self._news:
            self._channel = channel
            if self._closed:
                client.interrupt(channel)

    def abort(self) -> None:
        """End what the session trains, and wait for that."""
        with self._news:
            if not self._closed and self._channel is not None:
                with suppress(OSError):
                    client.interrupt(self._channel)
            self._closed = True
            self._news.notify_all()
            self._news.wait_for(lambda: self._channel is None, ABORT_SECONDS)

    def close(self) -> None:
        """End, and remove all files."""
        self.abort()
        if self._sender is not None:
            self._sender.join(ABORT_SECONDS)
        if self._folder.exists():
            if self._copied:  # else, and where the session has died, they go with the application
                self._command(["--forget", str(self._folder / "all")], lambda channel: None)
            shutil.rmtree(self._folder, ignore_errors=True)


def _write(path: Path, pieces: Iterable[wire.Buffer]) -> None:
    """Write a file that others see when it is whole."""
    fresh = path.with_suffix(f".{threading.get_ident()}.tmp")
    with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
    fresh.replace(path)


def _sweep(own: Path) -> None:
    """Remove the folders of processes that have died."""
    for other in own.parent.glob(f"{FOLDER}-*"):
        pid = other.name.split("-")[1]
        if other != own and pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(other, ignore_errors=True)
