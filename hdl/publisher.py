"""The publication of versions in the background, while the driver computes the next round."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from hdl.errors import HdlError
from hdl.runners.base import RoundRunner
from hdl.table import Table, Version

PACE = 1.0  # seconds between two versions where none is waited for: writing them takes time from training


class Publisher:
    """Writes versions in the background: the next round is computed meanwhile, the round after that waits for it.

    Parameters
    ----------
    table : Table
    keep : int
        Versions that thinning leaves, beside version 0, the best and the last.
    every : int
        Rounds between two published versions; 0: none is waited for, and at most one in `PACE` seconds is written.
    runner : RoundRunner
    """

    def __init__(self, table: Table, keep: int, every: int, runner: RoundRunner):
        self.table, self.keep, self.every, self.runner = table, keep, every, runner
        self._pool = ThreadPoolExecutor(1, "hdl-publish")
        self._written: Future[Any] | None = None
        self._last = float("-inf")
        self._skipped: Version | None = None  # the last version offered, if it was not due

    def begin(self, write: Callable[[], object]) -> None:
        """Has what comes before the first version that is offered written, in the background too: see `offer`."""
        self._written = self._pool.submit(write)

    def check(self) -> None:
        """Raises the error of what could not be written, if that is known by now."""
        if self._written and self._written.done():
            self._written.result()

    def offer(self, version: Version) -> None:
        """Publishes a version if it is due.

        Raises
        ------
        HdlError, OSError
            The version published before could not be written.
        """
        self.check()
        free = (self._written is None or self._written.done()) and time.monotonic() - self._last >= PACE
        due = version.number % self.every == 0 if self.every else free
        self._skipped = None if due else version
        if due:
            self._publish(version)

    def _publish(self, version: Version) -> None:
        if self._written:
            self._written.result()
        self._last = time.monotonic()
        self.runner.keep(version.weights)
        self._written = self._pool.submit(self._write, version)

    def _write(self, version: Version) -> None:
        self.table.publish(version)
        self.table.thin(self.keep, version.rows)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        """Publishes the last version, whatever ended the rounds; after an error another one is not raised."""
        with self._pool, suppress(*((HdlError, OSError) if kind else ())):
            if self._skipped:
                self._publish(self._skipped)
            if self._written:
                self._written.result()
