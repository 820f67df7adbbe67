"""Times the master's own thread alone, without sockets: `python -m tests.bench.many_alone [--workers 16 64 256 1000]`.

The worker group, the runner, the page's record and the codec are the true ones; in place of the control port is a
queue, in which answers and signs of life lie as the bytes that relays would send. So it is quick, and says how much of
the work grows with the number of workers; `tests.bench.many` says what sockets and encryption add.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import statistics
import time
from collections import deque
from types import SimpleNamespace

from hdl import driver
from hdl.spec import parse
from hdl.yarn.comm import control
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.dashboard.state import State
from hdl.yarn.master.remote_weights import RemoteWeights
from hdl.yarn.master.runner import MasterRunner
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.protocol import Answers, Beat, Beats, Done, Hello
from hdl.yarn.protocol.relay_tree import subtree
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.resources import Changes, Container
from hdl.yarn.settings import Settings

PHASES = "load", "train", "validate", "update", "compute", "exchange", "merge"


class Queue:
    """Stands for the control port: each command is answered by bytes that were made before."""

    address = ""

    def __init__(self):
        self.waiting: deque[tuple[str, bytes]] = deque()
        self.answers: dict[str, bytes] = {}  # by name, with TICKET in the place of the command's id
        self.sent = 0

    def admit(self, name):
        pass

    refuse = admit

    def send(self, name, fields):
        content = control.pack(fields)
        self.sent += 1
        ticket = (fields.get("command") or fields)["ticket"]
        self.waiting.append((name, self.answers[name].replace(b"12345678", str(ticket).encode())))
        return bool(content)

    def receive(self, timeout):
        if not self.waiting:
            return None
        name, content = self.waiting.popleft()
        return name, control.unpack(content)


def group_of(workers: int, fan: int) -> tuple[WorkerGroup, Queue]:
    """Make a group whose workers are all there, connected in a tree if they are many."""
    settings, queue = Settings.make(workers=workers, relay_fan=fan), Queue()
    resources = SimpleNamespace(ask=lambda *args, **kwargs: None, poll=lambda progress: Changes(nodes=9))
    containers = Containers(resources, queue, None, 3.0)
    group = WorkerGroup(settings, Credentials.make(), queue, containers)
    group.begin([[rank] for rank in range(workers)], [[] for _ in range(workers)], lambda event: None)
    for member in group.places:
        member.launched(Container(f"container_1_0001_01_{member.rank:06d}", "node", member.rank), time.monotonic())
        member.joined(Hello(("node", 1), "node", 1, "avx2", []))
        member.prepared()
        group._named[member.name] = member
    group.remesh = False
    if workers > settings.relay_above:
        group.relays.plant(group.members, group.generation, fan, 20.0)
    row = {"round": 0, "batches": 1, "samples": 8, "cost": 1.0, "accuracy": 0.5, "val_samples": 0}
    for member in group.relays.heads() or group.members:
        if group.relays.members:
            places = sorted(subtree(member.rank, workers, fan))
            compute = [round(0.001234 + place / 1e6, 6) for place in places]
            seconds = {name: 0.001 * len(places) for name in PHASES if name != "compute"}
            told = Answers(12345678, group.generation, places, compute, seconds, {}, row if member.rank == 0 else None)
        else:
            told = Done(12345678, group.generation, row=row, seconds=dict.fromkeys(PHASES, 0.001))
        queue.answers[member.name] = control.pack(told.to_dict())
    return group, queue


def beats(group: WorkerGroup) -> list[tuple[str, bytes]]:
    """Make the signs of life of half a second."""
    generation, found = group.generation, []
    for member in group.relays.heads() or group.members:
        if group.relays.members:
            places = sorted(subtree(member.rank, len(group.members), group.settings.relay_fan))
            n = len(places)
            told = Beats(generation, places, places, [0.5] * n, [1 << 27] * n, [7] * n, [0.25] * n)
        else:
            told = Beat(member.rank, 0.5, generation, 1 << 27, 7)
        found.append((member.name, json.dumps(told.to_dict()).encode()))
    return found


def measure(workers: int, rounds: int, fan: int, profile: bool = False) -> tuple[float, float, float, int]:
    """Return milliseconds a round, a second of signs of life and a look of the page, and messages sent a round."""
    group, queue = group_of(workers, fan)
    runner, state = MasterRunner(group), State("application_1_0001")
    for member in group.members:
        member.incarnation.weights = range(1)
    spec = parse({"net": "4-3-2", "shards": workers, "optimizer": "sgd"})
    weights, took = RemoteWeights(0, lambda: None), []
    profiler = cProfile.Profile()
    for number in range(rounds):
        if profile and number:
            profiler.enable()
        began, queue.sent = time.thread_time(), 0
        weights, row = runner.advance(spec, weights)
        seconds = {"round": 0.1, "merge": 0.0, **runner.phases(), "workers": runner.timings()}
        state.hear(driver.Round({**row, "round": number, "version": number + 1, "seconds": seconds}))
        took.append(time.thread_time() - began)
        profiler.disable()
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    alive, shown = [], []
    for _ in range(10):
        queue.waiting.extend(beats(group))
        began = time.thread_time()
        while queue.waiting:
            group.hear(0.0)
        alive.append(2 * (time.thread_time() - began))
        began = time.thread_time()
        state.set_workers(group.status(runner.all_timings()))
        shown.append(time.thread_time() - began)
    group._connections.shutdown()
    return *(1e3 * statistics.median(each) for each in (took[1:], alive, shown)), queue.sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 64, 256, 1000, 4000])
    parser.add_argument("--fan", type=int, default=Settings().relay_fan)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}; milliseconds of the master's own thread, medians")
    print("| workers | messages out a round | a round | a second's signs of life | the page, once a second at most |")
    print("|---|---|---|---|---|")
    for workers in options.workers:
        took, alive, shown, sent = measure(workers, 40, options.fan, options.profile)
        print(f"| {workers} | {sent} | {took:.2f} | {alive:.2f} | {shown:.2f} |", flush=True)


if __name__ == "__main__":
    main()
