"""Daemons as processes: started in sessions of their own, known by pid and start time, stopped by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hdl.errors import DeadlineError, HdlError, SpecError

# What daemons write is their user's alone: tokens and keys of jobs, data, logs.
UMASK = 0o077


@dataclass(frozen=True)
class Daemon:
    """Names a process that outlives this one.

    `started` is the kernel's start time (clock ticks since boot): by it a pid that was given to another process
    meanwhile, as after a reboot, is told apart and never signalled.
    """

    name: str
    pid: int
    started: int
    log: str

    @property
    def alive(self) -> bool:
        """Tells whether the daemon still runs; a zombie does not."""
        return _start_time(self.pid) == self.started

    def signal(self, number: int) -> None:
        """Send the daemon a signal, if it still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def tail(self, lines: int = 20) -> str:
        """Return the last lines of the daemon's log."""
        try:
            return "\n".join(Path(self.log).read_text(errors="replace").splitlines()[-lines:])
        except OSError as error:
            return f"(no log: {error})"


_children: dict[int, subprocess.Popen] = {}  # kept so that what dies under us is reaped


def close(folder: Path) -> None:
    """Make a folder, or take one that is there, for its user alone.

    Raises
    ------
    SpecError
        It is another user's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder.chmod(0o700)
    except PermissionError:
        raise SpecError(f"{folder} belongs to another user; a cluster needs a folder of your own, --dir") from None


def spawn(name: str, command: list[str], log: Path, environment: dict[str, str]) -> Daemon:
    """Start a daemon that writes to `log`, and that the end of this process or its terminal does not end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env=environment, cwd=log.parent, start_new_session=True, umask=UMASK,
        )  # fmt: skip
    _children[child.pid] = child
    return Daemon(name, child.pid, _start_time(child.pid) or 0, str(log))


def wait_listening(host: str, port: int, daemon: Daemon, deadline: float) -> None:
    """Wait until a daemon listens; `deadline` is one of `time.monotonic`.

    Raises
    ------
    HdlError
        It has ended.
    DeadlineError
    """
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
        except OSError:
            if not daemon.alive:
                raise HdlError(f"{daemon.name} ended; the end of {daemon.log}:\n{daemon.tail()}") from None
            if time.monotonic() > deadline:
                raise DeadlineError(f"{daemon.name} does not listen at {host}:{port}; its log: {daemon.log}") from None
            time.sleep(0.1)
        else:
            return


def stop(daemons: list[Daemon], seconds: float = 15) -> None:
    """Ask all daemons to end, wait for `seconds` at most, then kill those that are left."""
    for daemon in daemons:
        daemon.signal(signal.SIGCONT)  # a stopped process would not hear
        daemon.signal(signal.SIGTERM)
    if not _wait_ended(daemons, seconds):
        for daemon in daemons:
            daemon.signal(signal.SIGKILL)
        _wait_ended(daemons, 10)


def _wait_ended(daemons: list[Daemon], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(daemon.alive for daemon in daemons):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _start_time(pid: int) -> int | None:
    if (child := _children.get(pid)) and child.poll() is not None:
        del _children[pid]
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    return None if fields[0] in "ZX" else int(fields[19])
