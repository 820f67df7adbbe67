"""One Hadoop job, followed through the log of the client that submitted it."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hdl.errors import DeadlineError, Unavailable, WorkerError

KILL_SECONDS = 60
LOG_SECONDS = 20  # that the nodes may take to hand over a finished application's logs
TASK_LOG = "stderr.task"  # beside Hadoop's own stderr: what a MapReduce task's Python says
SAID = 6000  # characters of the tasks' standard error that are shown
_APPLICATION = re.compile(r"Submitted application (application_\d+_\d+)")
_PROGRESS = re.compile(r"\bmap (\d+)% reduce (\d+)%")
_FAILED = re.compile(r"Task Id : (attempt_\w+), Status : FAILED")
_GROUP, _COUNTER = re.compile(r"^\t(\S[^=]*)$"), re.compile(r"^\t\t(.+)=(\d+)$")
# What log4j and the JVM say in every task, and nobody wants to read.
NOISE = re.compile(
    r"log4j:|WARNING:|^SLF4J|reporter:|^\s*$|^[=*]+$|^End of LogType|"
    r"^(LogType|LogLastModified|LogLength|LogContents|LogAggregationType|Container:|INFO: )|com\.sun\.jersey"
)


def hadoop(name: str = "hadoop") -> str:
    """The path of one of Hadoop's commands.

    Raises
    ------
    Unavailable
        There is none.
    """
    home = os.environ.get("HADOOP_HOME")
    found = shutil.which(name, path=f"{home}/bin") if home else shutil.which(name)
    if not found:
        raise Unavailable(f"no {name}: set HADOOP_HOME, put it on the PATH, or try `hdl cluster start`")
    return found


class Job:
    """A job and its client.

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
        self._group, self._failed, self._lines = "", "", []

    def run(self) -> None:
        """Runs it to its end.

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
            process.stdout.close()
        if process.wait():
            raise self._error(process.returncode)

    def kill(self) -> None:
        """Ends the job on the cluster, if it still runs."""
        if self.application:
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    [hadoop("yarn"), "application", "-kill", self.application],
                    env=self._environment, capture_output=True, timeout=KILL_SECONDS,
                )  # fmt: skip

    @property
    def log_command(self) -> str:
        """What shows the whole log."""
        return f"yarn logs -applicationId {self.application}"

    def _follow(self, process: subprocess.Popen) -> None:
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
                    self._hear(line.decode(errors="replace"))

    def _hear(self, line: str) -> None:
        """One line of the client."""
        self._lines = [*self._lines[-200:], line]
        if self._failed:  # the line after tells why
            self.on_failed(self._failed, line.strip())
            self._failed = ""
        if found := _APPLICATION.search(line):
            self.application = found[1]
        elif found := _PROGRESS.search(line):
            self.on_progress(int(found[1]) / 100, int(found[2]) / 100)
        elif found := _FAILED.search(line):
            self._failed = found[1]
        elif found := _GROUP.match(line):
            self._group = found[1].strip()
        elif found := _COUNTER.match(line):
            self.counters.setdefault(self._group, {})[found[1]] = int(found[2])

    def _error(self, status: int) -> WorkerError:
        if not self.application:
            said = "\n".join(self._lines[-15:])
            return WorkerError(f"the job could not be submitted (status {status}):\n{said}")
        tasks = self._said_by_tasks()
        said = f"its tasks said:\n{tasks}" if tasks else "its client said:\n" + "\n".join(self._lines[-25:])
        return WorkerError(f"{self.application} failed; {said}\nThe full log: {self.log_command}")

    def _said_by_tasks(self) -> str:
        """The end of what the tasks wrote to standard error; nothing if the nodes do not hand it over in time."""
        until = time.monotonic() + LOG_SECONDS
        command = [hadoop("yarn"), "logs", "-applicationId", self.application, "-log_files", f"stderr,{TASK_LOG}"]
        while time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                done = subprocess.run(
                    command, env=self._environment, capture_output=True, text=True, timeout=KILL_SECONDS
                )
                lines = [line for line in done.stdout.splitlines() if not NOISE.search(line)]
                if done.returncode == 0 and lines:
                    return "\n".join(lines)[-SAID:]
            time.sleep(1)
        return ""
