"""One Hadoop job, followed through the log of the client that submitted it."""

from __future__ import annotations

import os
import re
import selectors
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hdl import envpack, java_errors, kerberos, programs
from hdl.errors import DataError, DeadlineError, HdlError, WorkerError
from hdl.runners import logs

KILL_SECONDS = 60.0
TASK_LOG = "stderr.task"  # the standard error of a MapReduce task's Python, beside Hadoop's own
_APPLICATION = re.compile(r"Submitted application (application_\d+_\d+)")
_PROGRESS = re.compile(r"\bmap (\d+)% reduce (\d+)%")
_FAILED = re.compile(r"Task Id : (attempt_\w+), Status : FAILED")
_LOGGED = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ |\d\d/\d\d/\d\d \d\d:\d\d:\d\d "
)  # how a line of a log begins
_ENDED = re.compile(r"failed with state \w+ due to: (.*)")
# Of what the client says at a failed job's end, when it has not said why: not its counters, and no stack.
_CHATTER = re.compile(
    r"^\s|^$| INFO |Counters: \d+$|Streaming Command Failed!|Job not successful!|^(SLF4J|log4j|WARNING):"
)
_NAMED = re.compile(r"(?i)^(?:.*\s(?:ERROR|FATAL)\s+\S+:|(?:fatal )?error:)\s*(.*\S)")
REASON_LINES = 60  # of a failed attempt; stacks are long
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
        An attempt failed, and another one will be made unless it was the last; the reason is one sentence.

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
        self._environment = {**kerberos.java_environment(), "HADOOP_ROOT_LOGGER": "INFO,console", **environment}
        self._group, self._ended = "", ""
        self._failed: list[str] = []  # the last attempt that failed, and what the client says about it
        self._telling = False  # it goes on
        self._lines: list[str] = []

    def run(self) -> None:
        """Run the client to its end.

        Raises
        ------
        WorkerError
            It failed; the message holds what its tasks said, or why the last attempt of one failed, the application's
            id and the command for the full log.
        LoginError, SpecError, HdlError
            It could not be submitted: the cluster does not let the user in, has no such queue, and so on.
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

    def placed(self, error: HdlError) -> HdlError:
        """Add the job to an error of one of its tasks."""
        if self.application is None or self.application in str(error):
            return error
        where = f" ({self.application}; the full log: {self.log_command})"
        if isinstance(error, DataError):
            return DataError(error.message + where, error.path, error.line, error.offset)
        return type(error)(f"{error}{where}")

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
        if self._telling and (_LOGGED.match(line) or len(self._failed) > REASON_LINES):
            self._told()
        elif self._telling:
            self._failed.append(line)
        if match := _APPLICATION.search(line):
            self.application = match[1]
        elif match := _PROGRESS.search(line):
            self.on_progress(int(match[1]) / 100, int(match[2]) / 100)
        elif match := _FAILED.search(line):
            self._failed, self._telling = [match[1]], True
        elif match := _ENDED.search(line):
            self._ended = match[1].strip()
        elif match := _GROUP.match(line):
            self._group = match[1].strip()
        elif match := _COUNTER.match(line):
            self.counters.setdefault(self._group, {})[match[1]] = int(match[2])

    def _told(self) -> None:
        """Hand on why an attempt failed, now that the client has said it all."""
        self._telling = False
        self.on_failed(self._failed[0], reason(self._failed[1:]))

    def _error(self, status: int) -> HdlError:
        if self._telling:
            self._told()
        if not self.application:
            said = "\n".join(line for line in self._lines if " INFO " not in line)
            if java_errors.explain(said):
                return java_errors.error("the job could not be submitted", said)
            made = WorkerError(f"the job could not be submitted (status {status}): {telling(self._lines)}")
            made.add_note("\n".join(self._lines))  # what `--traceback` shows
            return made
        tasks = ""
        with suppress(DeadlineError):
            tasks = logs.log_tail(self.application, ("stderr", TASK_LOG), headings=False)
        if unfit := envpack.refusal(tasks):
            return WorkerError(f"{self.application} failed: {unfit}\nThe full log: {self.log_command}")
        whys = [f"its tasks said:\n{tasks}"] if tasks else []
        if self._failed:
            whys.append(f"{self._failed[0]}: {reason(self._failed[1:])}")
        if self._ended and not whys:
            whys.append(self._ended)
        said = "\n".join(whys) or f"its client said:\n{_last(self._lines, 25)}"
        return WorkerError(f"{self.application} failed; {said}\nThe full log: {self.log_command}")


def reason(lines: Sequence[str]) -> str:
    """Say in one sentence why an attempt failed, of what the client prints about it.

    Examples
    --------
    >>> reason(["Error: java.lang.RuntimeException: subprocess failed with code 3", "\\tat org.apache.X.y(X.java:1)"])
    'RuntimeException: subprocess failed with code 3'
    """
    text = "\n".join(line.removeprefix("Error: ") for line in lines)
    known = java_errors.explain(text)
    return known or " ".join(line.strip() for line in lines if line.strip())[:1000] or "Hadoop does not say why"


def telling(lines: Sequence[str]) -> str:
    """Return the line that says why a client failed: the last error that it names, or else the last that is no chatter.

    Examples
    --------
    >>> telling(["Error: JAVA_HOME is not set and could not be found.", "Try --help for more information"])
    'JAVA_HOME is not set and could not be found.'
    """
    last = _last(lines, len(lines)).splitlines()
    named = [match[1].strip() for line in last if (match := _NAMED.match(line))]
    return (named or last or ["its client says nothing"])[-1].strip()[:500]


def _last(lines: Sequence[str], number: int) -> str:
    """Return the last lines that say something; of lines that all do not, the last ones as they are."""
    telling = [line for line in lines if not _CHATTER.search(line)]
    return "\n".join((telling or lines)[-number:])
