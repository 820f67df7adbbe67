"""One Hadoop job, followed through the log of the client that submitted it."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl import java_errors, programs
from hdl.errors import DeadlineError, HdlError, WorkerError
from hdl.runners import logs

KILL_SECONDS = 60.0
TASK_LOG = "stderr.task"  # the standard error of a MapReduce task's Python, beside Hadoop's own
_APPLICATION = re.compile(r"Submitted application (application_\d+_\d+)")
_PROGRESS = re.compile(r"\bmap (\d+)% reduce (\d+)%")
_FAILED = re.compile(r"Task Id : (attempt_\w+), Status : FAILED")
_GROUP, _COUNTER = re.compile(r"^\t(\S[^=]*)$"), re.compile(r"^\t\t(.+)=(\d+)$")


class HadoopJob:
    """Runs a job through its client.

    Parameters
    ----------
    command : list of str
        The client, which submits the job, waits for it and tells its counters at the end.
    environment : dict
        Added to this process's.
    deadline : float
        Seconds without any news after which it counts as hung.
    on_progress : function of (map share, reduce share)
    on_failed : function of (attempt, reason)
        An attempt failed and another one will be made.

    Attributes
    ----------
    application : str or None
    counters : dict of dict of int
        By group and name, of a job that succeeded.
    """

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        deadline: float,
        on_progress: Callable[[float, float], Any],
        on_failed: Callable[[str, str], Any],
    ):
        self.command, self.deadline = command, deadline
        self.on_progress, self.on_failed = on_progress, on_failed
        self.application: str | None = None
        self.counters: dict[str, dict[str, int]] = {}
        self._environment = {**os.environ, "HADOOP_ROOT_LOGGER": "INFO,console", **environment}
        self._group, self._failed = "", ""
        self._lines: list[str] = []

    def run(self) -> None:
        """Run the client to its end.

        Raises
        ------
        WorkerError
            It failed; the message holds what its tasks said, its application id and the command for the full log.
        DeadlineError
            No news for too long; the job was killed.
        """
        # A session of its own: Ctrl-C reaches the driver, which kills the job.
        process = subprocess.Popen(
            self.command, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            self._follow(process)
        except BaseException:
            process.kill()
            process.wait()
            self.kill()
            raise
        finally:
            if process.stdout:
                process.stdout.close()
        if process.wait():
            raise self._error(process.returncode)

    def kill(self) -> None:
        """End the job on the cluster, if it still runs."""
        if self.application:
            command = [programs.hadoop("yarn"), "application", "-kill", self.application]
            with suppress(DeadlineError):
                programs.run(command, KILL_SECONDS, environment=self._environment)

    @property
    def log_command(self) -> str:
        """The command that shows the whole log."""
        return logs.log_command(str(self.application))

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        handle, rest = process.stdout.fileno(), b""
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while True:
                if not selector.select(self.deadline):
                    raise DeadlineError(f"{self.application or 'the job'} has told nothing new for {self.deadline:g} s")
                chunk = os.read(handle, 1 << 16)
                if not chunk:
                    return
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take_line(line.decode(errors="replace"))

    def _take_line(self, line: str) -> None:
        """Take in one line of the client."""
        self._lines = [*self._lines[-200:], line]
        if self._failed:  # the line after tells why
            self.on_failed(self._failed, line.strip())
            self._failed = ""
        if match := _APPLICATION.search(line):
            self.application = match[1]
        elif match := _PROGRESS.search(line):
            self.on_progress(int(match[1]) / 100, int(match[2]) / 100)
        elif match := _FAILED.search(line):
            self._failed = match[1]
        elif match := _GROUP.match(line):
            self._group = match[1].strip()
        elif match := _COUNTER.match(line):
            self.counters.setdefault(self._group, {})[match[1]] = int(match[2])

    def _error(self, status: int) -> HdlError:
        if not self.application:
            client = "\n".join(self._lines)
            if java_errors.explain(client):
                return java_errors.error("the job could not be submitted", client)
            return WorkerError(f"the job could not be submitted (status {status}):\n" + "\n".join(self._lines[-15:]))
        tasks = ""
        with suppress(DeadlineError):
            tasks = logs.log_tail(self.application, ("stderr", TASK_LOG), headings=False)
        client = java_errors.explain("\n".join(self._lines)) or "\n".join(self._lines[-25:])
        said = f"its tasks said:\n{tasks}" if tasks else f"its client said:\n{client}"
        return WorkerError(f"{self.application} failed; {said}\nThe full log: {self.log_command}")
