"""A worker process of the local runner, seen from the driver: its socket, its standard error, its start and its end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import hdl
from hdl import scratch, wire
from hdl.errors import DeadlineError
from hdl.runners.frames import send

START = 60.0  # seconds that a worker has to start, beside the deadline: a busy machine's disk may be slow
_STDERR = 8000  # bytes of a dead worker's standard error that are shown


class WorkerProcess:
    """Starts a worker process, sends it messages and ends it.

    Parameters
    ----------
    number : int
        Of the worker.
    shards : list of int
        Of the worker.
    opening : bytes
        The message `open`, which comes first after each start.
    threads : int
        Of the worker.
    deadline : float
        Seconds without a sign of life after which the worker counts as hung.
    module : str
        Program that the process is.

    Attributes
    ----------
    busy : int or None
        The shard that it last spoke of.
    done : float
        Shards of the present command.
    seen : float
        `time.monotonic()` of the last sign of life, or when the first is due.
    answered : float
        `time.perf_counter()` of its last answer.
    midway : bool
        A message is being sent or received: if that is interrupted, the channel is of no use any more.
    """

    def __init__(
        self, number: int, shards: list[int], opening: bytes, threads: int, deadline: float,
        module: str = "hdl.runners.local_worker",
    ):  # fmt: skip
        self.number, self.shards, self.opening = number, shards, opening
        self.threads, self.deadline, self.module = threads, deadline, module
        self.answered = 0.0
        self.start()

    def start(self) -> None:
        """Start the process and return at once; messages that are sent meanwhile wait in the socket."""
        self.busy: int | None = None
        self.done = 0.0
        self.midway = False
        self.seen = time.monotonic() + START
        self.errors = scratch.file("hdl-worker-")
        self.channel, theirs = socket.socketpair()
        self.channel.settimeout(self.deadline)
        root = str(Path(hdl.__file__).resolve().parent.parent)
        path = [root, *(entry for entry in sys.path if entry and entry != root)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        for name in "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS":  # the NumPy backend's
            environment[name] = str(self.threads)
        with theirs:
            self.process = subprocess.Popen(
                # -P: a numpy.py in the user's folder is not ours
                [sys.executable, "-P", "-m", self.module, str(theirs.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        self.send(self.opening)

    def send(self, *messages: bytes | list[wire.Buffer]) -> None:
        """Send messages; a worker that is dead is noticed when it does not answer."""
        self.seen, self.midway = max(self.seen, time.monotonic()), True
        try:
            send(self.channel, *messages)
        except ConnectionError:
            pass
        except TimeoutError:
            who = f"worker {self.number} (process {self.process.pid})"
            raise DeadlineError(f"{who} has taken no message for {self.deadline:g} s{self.standard_error()}") from None
        self.midway = False

    def standard_error(self) -> str:
        """Read the end of the standard error, as the end of a sentence and on lines of its own."""
        size = self.errors.seek(0, os.SEEK_END)
        self.errors.seek(max(0, size - _STDERR))
        text = self.errors.read().decode(errors="replace").strip()
        return f"; its standard error:\n{text}" if text else "; its standard error is empty"

    def reap(self) -> str:
        """Reap the dead process, and say how it ended."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:  # it has closed its socket and lives on
            self.process.kill()
            code = self.process.wait()
        self._release()
        return f"killed by signal {-code}" if code < 0 else f"exited with status {code}"

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        self._release()
        self.errors.close()

    def _release(self) -> None:
        self.channel.close()
        if self.process.stdin:
            self.process.stdin.close()
