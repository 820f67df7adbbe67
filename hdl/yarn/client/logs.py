"""Reads an application's logs, as its nodes hand them over to `yarn logs`."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Iterator

from hdl.errors import DeadlineError
from hdl.runners.job import NOISE, SAID, hadoop

LOG_SECONDS = 20.0  # that the nodes may take to hand over a finished application's logs
COMMAND_SECONDS = 60.0


def log_command(application: str, container: str = "") -> str:
    """Give the command that shows the whole log."""
    return f"yarn logs -applicationId {application}" + (f" -containerId {container}" if container else "")


def said_by(application: str, seconds: float = LOG_SECONDS) -> str:
    """Read the end of what an application wrote to standard error, without Hadoop's chatter."""
    until = time.monotonic() + seconds
    while True:
        lines = [line for line in log_lines(application) if not NOISE.search(line)]
        if lines or time.monotonic() > until:
            return "\n".join(lines)[-SAID:]
        time.sleep(1.0)


def log_lines(application: str, container: str = "") -> Iterator[str]:
    """Read what an application's processes wrote, or one container's, each file after a line that names it.

    No line if the nodes have not handed it over yet; while it runs, what they have now.

    Raises
    ------
    DeadlineError
        YARN takes too long.
    """
    words = log_command(application, container).split()
    command = [hadoop("yarn"), *words[1:], "-log_files", "stdout,stderr"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=COMMAND_SECONDS)
    except subprocess.TimeoutExpired:
        raise DeadlineError(f"`{' '.join(words)}` took more than {COMMAND_SECONDS:g} s") from None
    if done.returncode == 0:
        yield from _contents(done.stdout.splitlines())


def _contents(lines: Iterable[str]) -> Iterator[str]:
    """Find the files in what `yarn logs` prints, without its own lines and without empty files."""
    place = file = ""
    inside, first = False, False
    for line in lines:
        if inside and line.startswith("End of LogType:"):
            inside = False
        elif inside and (line or not first):
            if first:
                yield f"==== {place}, {file}"
            first = False
            yield line
        elif line.startswith("Container: "):
            place = line.removeprefix("Container: ")
        elif line.startswith("LogType:"):
            file = line.removeprefix("LogType:")
        elif line == "LogContents:":
            inside = first = True
