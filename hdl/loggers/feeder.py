"""A thread that carries points to one writer, so that no training waits for a log or ends by its fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from hdl.loggers import secrets
from hdl.loggers.base import Point, Training, Writer

AGAIN_SECONDS = 10.0  # after a failure, until it is tried again
PAUSE_SECONDS = 0.25  # between two writes: rounds of milliseconds are written many at a time


class Feeder:
    """Feeds a writer with the points of one training, in a thread of its own.

    A failure is told once, until it goes away; the points are kept and tried again.

    Parameters
    ----------
    writer : Writer
    training : Training
    overwrite : bool
        Whether the log of an earlier training is replaced.
    warn : function of a text
        Called in that thread.
    again : float, optional
        Seconds between two tries; None: `AGAIN_SECONDS`.
    """

    def __init__(
        self, writer: Writer, training: Training, overwrite: bool, warn: Callable[[str], None],
        again: float | None = None,
    ):  # fmt: skip
        self.writer, self._training, self._overwrite, self._warn = writer, training, overwrite, warn
        self._again = AGAIN_SECONDS if again is None else again
        self._points: list[Point] = []
        self._ready = threading.Condition()
        self._ending: str | None = None  # the state that the training ended with
        self._failure = ""
        self._given_up = False
        # A daemon: a server that never answers must not keep a command from ending.
        self._thread = threading.Thread(target=self._run, name=f"log {writer.shown}", daemon=True)
        self._thread.start()

    def put(self, points: Sequence[Point]) -> None:
        """Hands over points to be written soon."""
        with self._ready:
            self._points.extend(points)
            self._ready.notify()

    def end(self, state: str) -> None:
        """Ends the log, after what is left is written, or the writer's patience is over."""
        with self._ready:
            self._ending = state
            self._ready.notify()
        self._thread.join(self.writer.seconds)
        if self._thread.is_alive():
            self._given_up = True
            self._warn(f"--log {self.writer.shown}: does not answer; its last rounds may be missing there")

    def _run(self) -> None:
        last: Mapping[str, int] | None = None  # None: the log is not open
        waiting: list[Point] = []
        while True:
            with self._ready:
                if self._failure:
                    self._ready.wait_for(lambda: self._ending, self._again)
                else:
                    self._ready.wait_for(lambda: self._ending, PAUSE_SECONDS)
                    self._ready.wait_for(lambda: self._points or self._ending)
                waiting += self._points
                self._points, ending = [], self._ending
            try:
                if last is None:
                    last = self.writer.begin(self._training, self._overwrite)
                    self._overwrite = False  # what comes after this is ours
                last = self._write(waiting, last)
                if ending:
                    self.writer.end(ending)
            except Exception as error:  # whatever a library raises: the training is worth more
                last = None
                self._failed(error, ending is not None)
            else:
                waiting, self._failure = [], ""
            if ending:
                return

    def _write(self, waiting: Sequence[Point], last: Mapping[str, int]) -> Mapping[str, int]:
        """Writes what the log does not have yet, and returns the last steps that it has then.

        Of a training that went on after its end, the weights in between are measured twice.
        """
        new, last = [], dict(last)
        for point in waiting:
            values = {name: value for name, value in point.values.items() if point.step > last.get(name, -1)}
            last.update(dict.fromkeys(values, point.step))
            if values:
                new.append(Point(point.step, point.time, values))
        if new:
            self.writer.write(new)
        return last

    def _failed(self, error: Exception, ending: bool) -> None:
        said = secrets.hidden(" ".join(str(error).split())[:300] or type(error).__name__, self.writer.target)
        if self._given_up or (said == self._failure and not ending):
            return
        self._failure = said
        rest = "some rounds are missing there" if ending else "the training goes on, and this is tried again"
        self._warn(f"--log {self.writer.shown}: {said}; {rest}")
