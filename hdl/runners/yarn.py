"""Runs a training as one long-lived YARN application: submits it, follows it, ends it with Ctrl-C."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl import scratch, starting, timeline
from hdl.errors import HdlError, SpecError
from hdl.runners.base import Job, Log, Notify, Runner
from hdl.yarn.client import client, connection, renewal
from hdl.yarn.client.follow import follow
from hdl.yarn.settings import Settings


class YarnRunner(Runner):
    """Trains in one application on YARN; the driver runs in its master, not here.

    Java, where it is needed, starts with it, before anything reads HDFS: make it first.

    Parameters
    ----------
    workers : int
        At most, where `fewest` is given.
    threads : int, optional
        Of each worker's core; None: its vcores.
    on_submitted : function of str, optional
        Called with the application's id.
    detach : bool
        Return when the application is submitted.
    **settings
        Fields of `hdl.yarn.settings.Settings`, such as `fewest`.

    Attributes
    ----------
    application : str or None
    seconds : dict
        What each step of submitting took.

    Examples
    --------
    >>> runner = YarnRunner(workers=4, memory=2048)  # doctest: +SKIP
    >>> job = Job("hdfs:///digits", "hdfs:///model", Spec(shards=4))  # doctest: +SKIP
    >>> outcome = hdl.driver.train(job, runner)  # doctest: +SKIP
    """

    name = "yarn"

    def __init__(
        self, workers: int = 1, threads: int | None = None, on_submitted: Callable[[str], None] | None = None,
        detach: bool = False, **settings: Any,
    ):  # fmt: skip
        for name in ("python", "archive"):  # as for the other runners on Hadoop
            settings[name] = settings.get(name) or os.environ.get(f"HDL_NODE_{name.upper()}")
        settings.setdefault("encrypt_spill", scratch.encrypting())
        self.settings = Settings.make(workers=workers, threads=threads, **settings)
        self.workers, self.detach, self.on_submitted = workers, detach, on_submitted
        self.application: str | None = None
        self.seconds: dict[str, float] = {}
        timeline.reached("client", "imported")
        connection.prepare()
        self._begun: client.Begun | None = client.begin(self.settings)

    def train(self, job: Job, drive: Any, notify: Notify) -> Any:
        """Submit the application and follow it: the driver runs in its master.

        Returns
        -------
        Outcome or None
            None if the application was only submitted.

        Raises
        ------
        KeyboardInterrupt
            The application was ended; the table's last version stays.
        """
        settings = self.settings
        if job.spec and settings.workers > job.spec.shards:
            raise SpecError(f"workers: expected at most one a shard, {job.spec.shards} (given {settings.number})")
        if job.spec:
            settings.check_mode(job.spec.sync.mode)
        if settings.name == "hdl":
            what = "hdl" if job.asked is None else "hdl evaluate"
            settings = settings.model_copy(update={"name": f"{what}: {job.table}"})
        job = starting.staged(job)
        begun, self._begun = self._begun, None  # of one application: who trains again begins again
        self.application = client.submit(job, settings, self.seconds, begun=begun)
        if self.on_submitted:
            self.on_submitted(self.application)
        if limit := renewal.limit_of(self.application, followed=not self.detach):
            notify(Log(time.time(), limit))
        if self.detach:
            return None
        try:
            return follow(self.application, notify)
        except KeyboardInterrupt:
            with suppress(HdlError):
                client.kill(self.application)
            raise

    def close(self) -> None:
        """Do nothing: nothing is held here."""
