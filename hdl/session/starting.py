"""Starts a session's process, and makes the workers that it keeps."""

from __future__ import annotations

import os
import select
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hdl
from hdl import errors, scratch
from hdl.data import opened
from hdl.errors import DeadlineError, HdlError, SpecError, WorkerError
from hdl.session import places

START_SECONDS = {"local": 60.0, "yarn": 360.0}  # for the process to be there, and YARN's master
LOG_BYTES = 4000  # of the log's end that is shown


def start(name: str, runner: str, idle: float, settings: dict[str, Any], command: list[str]) -> dict[str, Any]:
    """Start a session; returns its record.

    Parameters
    ----------
    name : str
    runner : {'local', 'yarn'}
    idle : float
        Seconds without a command after which it ends by itself; 0: never.
    settings : dict
        Of its workers: see `make_workers`.
    command : list of str
        By which a user starts it again.

    Raises
    ------
    SpecError
        There is a session of this name, or its settings are wrong.
    WorkerError, DeadlineError
        Its process ends at once, or does not become ready.
    """
    own, seconds = places.place(name), START_SECONDS[runner]
    scratch.make_private(str(own))
    held = places.lock(own)
    if held is None:
        raise SpecError(
            f"there is a session {name!r} already: use it, give another --name, or: hdl session stop {name}"
        )
    os.close(held)  # of one that died, or a new one: the process takes it
    record = {"name": name, "runner": runner, "host": socket.gethostname(), "idle": idle, "settings": settings,
              "version": places.version(), "started": time.time(), "command": shlex.join(command)}  # fmt: skip
    places.write_record(own, record)
    ready, theirs = os.pipe()
    log = os.open(own / places.LOG, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hdl.session.server", name, str(theirs)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[theirs], start_new_session=True, cwd="/",
            env={**os.environ, "PYTHONPATH": _path()},
        )  # fmt: skip
    finally:
        os.close(theirs)
        os.close(log)
    said = _answer(ready, process, seconds)
    if said == "ready":
        return places.read_record(own)
    kind, _, text = said.partition("\n")
    tail = (own / places.LOG).read_bytes()[-LOG_BYTES:].decode(errors="replace").strip()
    process.kill()
    process.wait()
    places.remove(own)
    error = getattr(errors, kind, None)
    if isinstance(error, type) and issubclass(error, HdlError):
        raise error(text)
    if kind == "late":
        raise DeadlineError(f"session {name!r} was not ready within {seconds:g} s; its log:\n{tail}")
    raise WorkerError(f"session {name!r} ended as it began; its log:\n{tail}")


def _answer(ready: int, process: subprocess.Popen[bytes], seconds: float) -> str:
    """Wait for what a starting process says: `ready`, an error's type and text, or nothing if it dies."""
    until, said = time.monotonic() + seconds, b""
    try:
        while (left := until - time.monotonic()) > 0:
            if not select.select([ready], [], [], left)[0]:
                break
            piece = os.read(ready, 1 << 16)
            said += piece
            if not piece or said == b"ready":
                return said.decode()
        return "late"
    finally:
        os.close(ready)


def _path() -> str:
    """Return where the process finds this hdl, and what this process finds."""
    root = str(Path(hdl.__file__).resolve().parent.parent)
    return os.pathsep.join([root, *(os.path.abspath(entry) for entry in sys.path if entry and entry != root)])


def make_workers(record: dict[str, Any]) -> Any:
    """Make the workers of a session, in its own process."""
    opened.keep()
    if record["runner"] == "yarn":
        from hdl.session.yarn import YarnWorkers

        return YarnWorkers(record["settings"])
    from hdl.session.local import LocalWorkers

    return LocalWorkers(**record["settings"])
