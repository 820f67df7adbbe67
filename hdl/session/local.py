"""Kept worker processes of this machine, and the runner by which one training after the other uses them."""

from __future__ import annotations

import os
import time
from typing import Any

from hdl import wire
from hdl.errors import HdlError
from hdl.runners.frames import receive
from hdl.runners.local import LocalRunner
from hdl.runners.worker_process import WorkerProcess

ABANDON_SECONDS = 10.0  # that a worker has to leave a command that was given up, before another process replaces it
LOOK_SECONDS = 10.0  # that it has to say what it keeps
DEADLINE = 600.0  # as `LocalRunner`'s


class LocalWorkers:
    """Keeps the processes of a session.

    Parameters
    ----------
    workers : int
    threads : int, optional
        Of each worker; None: the cores that this process may use, shared out.
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int, optional
        Bytes of decoded samples that all workers together keep in memory; None: half of the machine's.
    """

    name = "local"

    def __init__(self, workers: int, threads: int | None = None, device: str = "cpu", memory: int | None = None):
        self.workers, self.threads, self.device, self.memory = workers, threads, device, memory
        own = KeptRunner(self)  # checks, and fills in
        self.threads, self.memory = own.threads, own.memory
        warm = wire.pack("warm", {})
        self.processes = [WorkerProcess(k, [], warm, own.threads, DEADLINE) for k in range(workers)]
        self._kept: list[dict[str, Any]] = []

    def runner(self) -> KeptRunner:
        """Make the runner of one training."""
        return KeptRunner(self)

    def look(self) -> None:
        """Ask the workers what they keep, between two commands; a process that has died is replaced."""
        kept: dict[str, dict[str, Any]] = {}
        for worker in self.processes:
            try:
                if worker.process.poll() is not None:
                    raise EOFError
                worker.send(wire.pack("kept", {}))
                worker.channel.settimeout(LOOK_SECONDS)
                _, fields, _ = wire.unpack(receive(worker.channel))
                worker.channel.settimeout(worker.deadline)
            except (EOFError, OSError, HdlError):
                replace(worker)
                continue
            for one in fields["kept"]:
                whole = kept.setdefault(one["data"], {"data": one["data"], "bytes": 0, "files": 0, "used": 0.0})
                for name in ("bytes", "files"):
                    whole[name] += one[name]
                whole["used"] = max(whole["used"], one["used"])
        self._kept = sorted(kept.values(), key=lambda one: -one["used"])

    def describe(self) -> dict[str, Any]:
        """Describe the workers and what they keep, in plain values."""
        return {"kept": self._kept, "memory": self.memory, "pids": [each.process.pid for each in self.processes]}

    def close(self) -> None:
        """End all processes."""
        for worker in self.processes:
            worker.kill()


class KeptRunner(LocalRunner):
    """Carries the rounds of one training out by processes that stay.

    Parameters
    ----------
    kept : LocalWorkers
    """

    alone_here = False
    keeps = True

    def __init__(self, kept: LocalWorkers):
        super().__init__(kept.workers, kept.threads, DEADLINE, kept.device, kept.memory)
        self.kept = kept

    def process(self, number: int, shards: list[int], fields: dict[str, Any]) -> WorkerProcess:
        worker = self.kept.processes[number]
        worker.opening = wire.pack("open", {**fields, "folder": os.getcwd()})  # a path may be of the command's folder
        worker.shards, worker.busy, worker.done = shards, None, 0.0
        worker.seen = time.monotonic()
        worker.send(worker.opening)
        return worker

    def close(self) -> None:
        """Have workers that still compute leave that: the processes stay."""
        for worker in self._processes:
            if worker.midway or (worker in self._owing and not abandon(worker)):
                replace(worker)
        self._owing, self._processes = set(), []


def abandon(worker: WorkerProcess) -> bool:
    """Have a worker leave a command, and read its answer; False if it does not in time, or has died."""
    until = time.monotonic() + ABANDON_SECONDS
    try:
        worker.send(wire.pack("abandon", {}))
        while True:
            kind, fields, _ = wire.unpack(receive(worker.channel, until=until))
            for _ in range(fields["count"] if kind == "done" else 0):
                receive(worker.channel, until=until)
            if kind in ("done", "error"):
                worker.channel.settimeout(worker.deadline)
                return True
    except (EOFError, OSError, HdlError):  # a deadline is an OSError
        return False


def replace(worker: WorkerProcess) -> None:
    """Start a new process in the place of one that has died or hangs; what it kept is read again."""
    worker.kill()
    worker.opening = wire.pack("warm", {})
    worker.start()
