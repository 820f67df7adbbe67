"""Reads an application's logs, as its nodes hand them over to `yarn logs`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hdl import hadoop_conf, kerberos, programs

HAND_OVER_SECONDS = 20.0  # that the nodes may take to hand over a finished application's logs
COMMAND_SECONDS = 60.0
TAIL = 6000  # characters that `log_tail` returns at most
FILES = "stdout", "stderr"
FILTERS = "hadoop.http.filter.initializers"  # property: what all web pages of Hadoop go through
# What log4j and the JVM say in every process, and nobody wants to read.
NOISE = re.compile(
    r"log4j:|WARNING:|^SLF4J|reporter:|^\s*$|^[=*]+$|^End of LogType|"
    r"^(LogType|LogLastModified|LogLength|LogContents|LogAggregationType|Container:|INFO: )|com\.sun\.jersey"
)


class LogLine(NamedTuple):
    """Holds a line of a log.

    Attributes
    ----------
    container : str
        And its node.
    file : str
    text : str
    """

    container: str
    file: str
    text: str


def log_command(application: str, container: str = "") -> str:
    """Give the command that shows the whole log."""
    return f"yarn logs -applicationId {application}" + (f" -containerId {container}" if container else "")


def collected() -> bool:
    """Tell whether the nodes hand over the logs of what has ended, as far as the configuration here says."""
    site = _site()
    return not site or site.get("yarn.log-aggregation-enable", "false").lower() == "true"


def hidden() -> str:
    """Say why the nodes show no log of what runs, where that is their configuration; else an empty text."""
    site = _site()
    if site.get("yarn.acl.enable", "false").lower() != "true" or "AuthenticationFilter" in site.get(FILTERS, ""):
        return ""
    return (
        "YARN's access control lists are on and its nodes' pages ask nobody who they are "
        f"({FILTERS}), so they show logs to nobody while it runs"
    )


def _site() -> dict[str, str]:
    """Read the configuration here; nothing if it is somewhere else."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    if not folder or not os.path.exists(os.path.join(folder, "yarn-site.xml")):
        return {}
    return hadoop_conf.read(folder, ("core-site.xml", "yarn-site.xml"))


def where(application: str, container: str = "") -> str:
    """Say where the whole log is: a command that shows it, or that the nodes keep it."""
    if collected():
        return f"the full log: {log_command(application, container)}"
    return (
        "the full log is on the nodes, in yarn.nodemanager.log-dirs: this cluster does not collect logs "
        "(yarn.log-aggregation-enable)"
    )


def log_lines(
    application: str, container: str = "", files: Sequence[str] = FILES, problems: list[str] | None = None
) -> Iterator[str]:
    """Read what an application's processes wrote, or one container's, each file after a line that names it.

    No line if the nodes have not handed it over yet; while it runs, what they have now. What `yarn logs` says if it
    shows none is appended to `problems`.

    Raises
    ------
    DeadlineError
        YARN takes too long.
    """
    return _with_headings(_read(application, container, files, problems))


def log_tail(
    application: str, files: Sequence[str] = FILES, headings: bool = True, seconds: float = HAND_OVER_SECONDS
) -> str:
    """Wait for an application's logs, and read their end without Hadoop's chatter.

    Parameters
    ----------
    application : str
    files : list of str
    headings : bool
        Whether a line names each file.
    seconds : float
        To wait for the nodes; then nothing is returned.

    Raises
    ------
    DeadlineError
        YARN takes too long.
    """
    until = time.monotonic() + (seconds if collected() else 0.0)
    while True:
        lines = _read(application, "", files)
        texts = _with_headings(lines) if headings else (line.text for line in lines)
        wanted = [text for text in texts if not NOISE.search(text)]
        if wanted or time.monotonic() > until:
            return "\n".join(wanted)[-TAIL:]
        time.sleep(1.0)


def _read(
    application: str, container: str, files: Sequence[str], problems: list[str] | None = None
) -> Iterator[LogLine]:
    words = log_command(application, container).split()
    command = [programs.hadoop("yarn"), *words[1:], "-log_files", ",".join(files)]
    late, ours = f"`{' '.join(words)}` took more than {COMMAND_SECONDS:g} s", kerberos.java_environment()
    done = programs.run(command, COMMAND_SECONDS, late, environment=ours)
    lines = 0
    if done.returncode == 0:
        for lines, line in enumerate(_contents(done.stdout.splitlines()), 1):  # noqa: B007 - counts
            yield line
    if not lines and problems is not None:
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if not NOISE.search(line)]
        problems += [line for line in said if " INFO " not in line][-1:]


def _contents(printed: Iterable[str]) -> Iterator[LogLine]:
    """Find the files in what `yarn logs` prints, without its own lines and without empty files."""
    container = file = ""
    inside, first = False, False
    for line in printed:
        if inside and line.startswith("End of LogType:"):
            inside = False
        elif inside and (line or not first):
            first = False
            yield LogLine(container, file, line)
        elif line.startswith("Container: "):
            container = line.removeprefix("Container: ")
        elif line.startswith("LogType:"):
            file = line.removeprefix("LogType:")
        elif line == "LogContents:":
            inside = first = True


def _with_headings(lines: Iterable[LogLine]) -> Iterator[str]:
    last = "", ""
    for line in lines:
        if (line.container, line.file) != last:
            last = line.container, line.file
            yield f"==== {line.container}, {line.file}"
        yield line.text
