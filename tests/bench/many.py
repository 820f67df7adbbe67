"""Measures what a round costs the master with many workers: `python -m tests.bench.many [--workers 16 64 256 1000]`.

The master is the true one, with its true driver, page and control port, in this process; the workers are played by a
few processes, a thread each (`tests.bench.many_workers`): their connections are true, their rounds are not computed.
Each round has its command, as rounds have that take long enough.
Told of each number: processor time of the master's process a round (all its threads, less what signs of life cost in
that time), and of its own thread with them, which reads and writes messages; messages that the master writes and reads
a round; what it costs a second to hear signs of life; the seconds from the workers' request to the end of the first
round, the master's processor time in them, and its threads. The played workers are on the same machine, so that how
long a round takes says more of them.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import numpy as np

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.comm import control_server
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.master import stretches
from hdl.yarn.master.master import lead
from hdl.yarn.master.watcher import Live
from hdl.yarn.resource_manager.processes import HOST
from hdl.yarn.resource_manager.resources import Changes, Container, Resources
from hdl.yarn.settings import Settings
from tests.runner import counting

SECONDS = "HDL_BENCH_SECONDS"  # a played round's
SLEPT = 4.0  # of the round in which only signs of life are heard


class Played(Resources):
    """Grants each request at once, and has a few processes play the containers."""

    def __init__(self, staging: str, processes: int, seconds: float):
        environment = {**os.environ, SECONDS: str(seconds)}
        self.processes = [
            subprocess.Popen([sys.executable, "-m", "tests.bench.many_workers", staging], stdin=subprocess.PIPE,
                             text=True, env=environment)
            for _ in range(processes)
        ]  # fmt: skip
        self._asked: dict[int, None] = {}
        self._count = 0

    def register(self, host, port, url):
        return []

    def ask(self, number, hosts=(), strict=False):
        self._asked[number] = None

    def cancel(self, number):
        self._asked.pop(number, None)

    def poll(self, progress):
        changes = Changes(available="enough", nodes=1)
        for number in self._asked:
            self._count += 1
            changes.granted.append(Container(f"container_1_0001_01_{self._count:06d}", HOST, number))
        self._asked.clear()
        return changes

    def launch(self, container, secret_keys):
        keys = {name: base64.b64encode(value).decode() for name, value in secret_keys.items()}
        process = self.processes[self._count % len(self.processes)]
        self._count += 1
        process.stdin.write(json.dumps({"name": container.id, "keys": keys}) + "\n")
        process.stdin.flush()

    def stop(self, container):
        pass

    def unregister(self, succeeded, message, url=""):
        pass

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()


class Counted:
    """Counts the messages of the control channel while it is entered."""

    def __enter__(self):
        self.count: Counter[str] = Counter()
        self._send, self._receive = control_server.Server.send, control_server.Server.receive

        def send(server, name, fields):
            self.count["sent"] += 1
            return self._send(server, name, fields)

        def receive(server, timeout):
            got = self._receive(server, timeout)
            self.count["received"] += got is not None
            return got

        control_server.Server.send, control_server.Server.receive = send, receive
        return self

    def __exit__(self, *_):
        control_server.Server.send, control_server.Server.receive = self._send, self._receive


def measure(workers: int, rounds: int, processes: int, seconds: float, **settings) -> dict[str, float]:
    """Train with so many played workers, and tell what it cost: see the module."""
    spec = parse({"net": "4-3-2", "shards": workers, "epochs": rounds, "batch": 8, "optimizer": "sgd", "seed": 1})
    rng = np.random.default_rng(0)
    at: list[tuple[float, float, float, Counter[str]]] = []
    begun: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, Counted() as counted, contextlib.redirect_stderr(io.StringIO()):
        x = rng.normal(size=(8 * workers, 4)).astype(np.float32)
        np.savez(f"{folder}/data.npz", x=x, y=np.arange(len(x)) % 2)
        given = Settings.make(
            workers=workers, threads=1, publish_every=10**9, gather_seconds=300, silence_seconds=300, **settings
        )
        job = Job(f"{folder}/data.npz", f"{folder}/model", spec)
        resources = Played(folder, processes, seconds)
        watcher = Live("application_1_0001", job, given, HOST, [])
        hear, threads = watcher.hear, [0]

        def heard(event):
            hear(event)
            if isinstance(event, driver.Round):
                threads[0] = threading.active_count()
                at.append((time.perf_counter(), time.process_time(), time.thread_time(), Counter(counted.count)))
            elif isinstance(event, driver.Stage) and not begun:
                begun.append((time.perf_counter(), time.process_time()))

        watcher.hear = heard
        with patch.object(stretches, "MOST", 1):
            lead(job, given, folder, resources, Credentials.make(), HOST, watcher=watcher)
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if len(at) < rounds:
        raise SystemExit(f"{workers} workers: {len(at)} of {rounds} rounds")
    steps = list(zip(at[2:], at[1:-1], strict=True))
    wall, process, thread = (statistics.median(b[i] - a[i] for b, a in steps) * 1e3 for i in range(3))
    sent, received = ((at[-1][3][name] - at[1][3][name]) / len(steps) for name in ("sent", "received"))
    return {
        "round": wall, "process": process, "thread": thread, "sent": sent, "received": received,
        "start": at[0][0] - begun[0][0], "start process": at[0][1] - begun[0][1], "threads": threads[0],
        "descriptors": descriptors,
    }  # fmt: skip


def real(workers: int) -> None:
    """Train with so many true worker processes, and print what they and the master have open."""
    spec = parse({"net": "4-3-2", "shards": workers, "epochs": 6, "batch": 8, "optimizer": "sgd", "seed": 1})
    with tempfile.TemporaryDirectory() as folder:
        x = np.random.default_rng(0).normal(size=(8 * workers, 4)).astype(np.float32)
        np.savez(f"{folder}/data.npz", x=x, y=np.arange(len(x)) % 2)
        began = time.perf_counter()
        here, each, master, _ = counting.train(
            Job(f"{folder}/data.npz", f"{folder}/here", spec), workers, relay_above=min(64, workers - 1)
        )
        took = time.perf_counter() - began
        local = driver.train(Job(f"{folder}/data.npz", f"{folder}/local", spec), LocalRunner(1, 1))
        shas = [Table(table).header(outcome.version)["signature"] for table, outcome in
                ((f"{folder}/here", here), (f"{folder}/local", local))]  # fmt: skip
    print(f"{workers} processes, {took:.0f} s; SHA-256 {shas[0][:16]} {'==' if shas[0] == shas[1] else '!='} local")
    print("| | TCP | Unix sockets | threads | descriptors | MiB resident | MiB own |\n|---|---|---|---|---|---|---|")
    for name, some in ("a worker, median", each), ("a worker, most", each), ("the master", {0: master}):
        take = max if "most" in name else statistics.median
        values = [take(one[key] for one in some.values()) for key in next(iter(some.values()))]
        print(f"| {name} | {' | '.join(f'{value:.0f}' for value in values)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 256, 1000])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--real", type=int, metavar="N", help="N true worker processes instead, their sockets counted")
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(f"load {os.getloadavg()[0]:.1f}")
    if options.real:
        real(options.real)
        return
    print("| workers | master, ms a round | its own thread | messages out, in | ms a second for signs of life | "
          "s to the first round | master's processor | threads |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for workers in options.workers:
        quick = measure(workers, options.rounds, options.processes, 0.0)
        idle = measure(workers, 4, options.processes, SLEPT)
        alive = (idle["process"] - quick["process"]) / SLEPT  # ms a second
        own = quick["process"] - alive * quick["round"] / 1e3
        print(
            f"| {workers} | {own:.2f} | {quick['thread']:.2f} | {quick['sent']:.0f}, "
            f"{quick['received']:.0f} | {alive:.1f} | {quick['start']:.1f} | "
            f"{quick['start process']:.2f} | {quick['threads']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
