"""Finds other programs, such as Hadoop's, and runs them to their end within a time; a failure is raised."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from hdl.errors import DeadlineError, HdlError, Unavailable

SHOWN = 4000  # characters of a failed command's output


def hadoop(name: str = "hadoop") -> str:
    """Find one of Hadoop's commands: in HADOOP_HOME, or on the PATH.

    Raises
    ------
    Unavailable
        There is none.
    """
    home = os.environ.get("HADOOP_HOME")
    path = shutil.which(name, path=f"{home}/bin") if home else shutil.which(name)
    if not path:
        raise Unavailable(f"no {name}: set HADOOP_HOME, put it on the PATH, or try `hdl cluster start`")
    return path


def run(
    command: Sequence[str],
    seconds: float,
    late: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its status.

    Parameters
    ----------
    command : list of str
    seconds : float
        The time that it may take.
    late : str, optional
        Message of the DeadlineError; None: names the command.
    folder : Path, optional
        To run in.
    environment : dict, optional
        In place of this process's.

    Raises
    ------
    DeadlineError
        It takes longer.
    OSError
        It cannot be started.

    Examples
    --------
    >>> run(["echo", "yes"], 10.0).stdout
    'yes\\n'
    """
    try:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        message = late or f"{command[0]} took more than {seconds:g} s: {' '.join(command)}"
        raise DeadlineError(message) from None


def check(
    command: Sequence[str],
    seconds: float,
    failed: str | None = None,
    late: str | None = None,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a command that must succeed; return its standard output. Parameters and errors as of `run`, and:

    Parameters
    ----------
    failed : str, optional
        Begins the message of the HdlError; None: names the command.

    Raises
    ------
    HdlError
        It fails; the message ends with the end of its output.

    Examples
    --------
    >>> check(["ls", "/nowhere"], 10.0, "no list")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    hdl.errors.HdlError: no list:
    ls: cannot access '/nowhere': No such file or directory
    """
    done = run(command, seconds, late, folder, environment)
    if done.returncode:
        message = f"{failed}:" if failed else f"failed: {' '.join(command)}"
        raise HdlError(f"{message}\n{(done.stdout + done.stderr)[-SHOWN:]}")
    return done.stdout
