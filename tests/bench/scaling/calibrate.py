"""Measures what one core of this machine takes for what the simulation is made of: seconds of processor time.

Processor time, not the clock's: so a busy machine changes little. All of it is the application's own code: connections
by `Mailbox` and `tls`, messages by `Mesh`, joins by `hdl.sync`, messages of the master by `tests.bench.many`.
"""

from __future__ import annotations

import multiprocessing as mp
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from hdl import sync, wire
from hdl.spec import parse
from hdl.wire import Update, Weights
from hdl.yarn.comm import tls
from hdl.yarn.comm.allreduce import allreduce
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials
from hdl.yarn.comm.mailbox import Mailbox
from hdl.yarn.comm.mesh import Mesh
from tests.bench import many as played
from tests.bench.scaling import real
from tests.bench.scaling.application import BEAT, FAN
from tests.bench.scaling.costs import Costs

SIZES = {1 << 16: 200, 1 << 20: 60, 1 << 23: 10}  # bytes of a message: how often
HANDSHAKES = 100
EXCHANGES = 500
IDLE = 2.0  # seconds of a round in which the master hears signs of life alone
HOST = "127.0.0.1"
PATIENCE = 60.0  # s


def transport(
    sizes: dict[int, int] = SIZES, handshakes: int = HANDSHAKES, ready: Callable[[], Any] = lambda: None
) -> Costs:
    """Measures messages and connections of a mesh between two processes; `ready` is called before small ones."""
    context, credentials = mp.get_context("spawn"), Credentials.make()
    here, there = context.Pipe()
    keys = credentials.worker("worker")
    process = context.Process(target=_peer, args=(there, keys, sizes, handshakes), daemon=True)
    process.start()
    try:
        box = Mailbox(WorkerCredentials.from_dict(keys).tls(server=True), HOST)
        own = WorkerCredentials.from_dict(keys).tls(server=False)
        address = here.recv()
        began = time.process_time()
        outs = [tls.connect(own, address, _hello(number), PATIENCE) for number in range(handshakes)]
        opened = (time.process_time() - began) / handshakes
        here.send(box.address)
        accepted = here.recv()
        mesh = Mesh(0, 2, 1, {1: outs[0]}, {1: box.peer(1, 0, PATIENCE)})
        sent, received = {}, {}
        for size, count in sizes.items():
            piece = np.ones(size, np.uint8).data
            mesh.send(1, [piece])
            here.recv()
            began = time.process_time()
            for _ in range(count):
                mesh.send(1, [piece])
            sent[size] = (time.process_time() - began) / count
            received[size] = here.recv() / count
        ready()
        message = exchanging(mesh) / 4  # of an exchange's two messages out and two in
    finally:
        process.kill()
        process.join()
    return Costs(
        send_message=message, send_byte=slope(sent), receive_message=message, receive_byte=slope(received),
        handshake_out=opened, handshake_in=accepted,
    )  # fmt: skip


def exchanging(mesh: Mesh) -> float:
    """Measures a whole exchange of next to no bytes: encoding, heads, joins, threads, waking up."""
    spec = parse({"net": "8-2", "shards": 2, "optimizer": "sgd", "sync": {"mode": "gradient"}})
    tensors, sums = {"gradient": np.ones(64, np.float32)}, {"samples": 10.0, "cost": 1.0}
    update = Update("gradient", 0, mesh.rank, mesh.rank + 1, tensors, sums, {})
    began = time.process_time()
    for _ in range(EXCHANGES):
        allreduce(mesh, spec, [update], 64, small=0)
    return (time.process_time() - began) / EXCHANGES


def _hello(number: int) -> dict[str, Any]:
    return {"purpose": "peer", "generation": 1, "rank": number}


def _peer(pipe: Any, keys: dict[str, bytes], sizes: dict[int, int], handshakes: int) -> None:
    """Be the other process: accept, and receive."""
    box = Mailbox(WorkerCredentials.from_dict(keys).tls(server=True), HOST)
    began = time.process_time()
    pipe.send(box.address)
    address = pipe.recv()
    inward = [box.peer(1, number, PATIENCE) for number in range(handshakes)]
    pipe.send((time.process_time() - began) / handshakes)
    outward = tls.connect(WorkerCredentials.from_dict(keys).tls(server=False), address, _hello(0), PATIENCE)
    mesh = Mesh(1, 2, 1, {0: outward}, {0: inward[0]})
    for count in sizes.values():
        mesh.receive(0)
        pipe.send(None)
        began = time.process_time()
        for _ in range(count):
            mesh.receive(0)
        pipe.send(time.process_time() - began)
    exchanging(mesh)


@cache
def crowded(pairs: int) -> float:
    """Measures a message while so many pairs of processes exchange at once: on shared cores caches are cold."""
    context = mp.get_context("spawn")
    told, together = context.Queue(), context.Barrier(pairs)
    processes = [context.Process(target=_pair, args=(told, together)) for _ in range(pairs)]
    for process in processes:
        process.start()
    try:
        return statistics.median(told.get(timeout=PATIENCE) for _ in processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def _pair(told: Any, together: Any) -> None:
    """Be one of the pairs."""
    told.put(transport({}, 1, lambda: together.wait(PATIENCE)).send_message)


def slope(measured: dict[int, float]) -> float:
    """Fits the seconds of a byte to the two largest sizes; 0 where nothing was measured."""
    if not measured:
        return 0.0
    *_, large, largest = sorted(measured)
    return (measured[largest] - measured[large]) / (largest - large)


def joining(parameters: int = 4_000_000, turns: int = 3) -> Costs:
    """Measures joins of two updates, and what makes the next weights of the whole; a net too large for caches."""
    spec = parse({"net": "8-2", "shards": 2, "optimizer": "sgd"})
    rng = np.random.default_rng(0)
    sums = {"samples": 10.0, "batches": 1.0, "cost": 1.0, "correct": 5.0}
    a, b = (
        Update("average", 0, shard, shard + 1, {"w": rng.random(parameters, np.float32)}, sums, {}) for shard in (0, 1)
    )
    weights = Weights(0, a.tensors["w"], {})
    joined = _least(lambda: sync.join(spec, a, b), turns)
    total = sync.join(spec, a, b)
    merged = _least(lambda: wire.encode_parts(sync.advance(spec, weights, [total])[0]), turns)
    return Costs(join_byte=joined / parameters / 4, merge_byte=merged / parameters / 4)


def _least(work: Callable[[], Any], turns: int) -> float:
    seconds = []
    for _ in range(turns):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return min(seconds)


def leading(few: int = 16, some: int = 64, many: int = 192) -> Costs:
    """Measures the true master with workers that are played (`tests.bench.many`): without relays, and with them."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    quick = {n: played.measure(n, 10, 2, 0.0) for n in (few, some, many)}
    idle = {n: played.measure(n, 3, 2, IDLE) for n in (few, some, many)}
    # Of a second of rounds in which nothing else is heard; then a round's own part.
    alive = {n: (idle[n]["process"] - quick[n]["process"]) / (idle[n]["round"] - quick[n]["round"]) for n in idle}
    own = {n: (quick[n]["process"] - alive[n] * quick[n]["round"]) / 1e3 for n in quick}
    message = max(0.0, own[some] - own[few]) / (some - few)
    once = max(0.0, own[few] - few * message)
    beat = max(0.0, alive[some] - alive[few]) * BEAT / (some - few)
    turning = max(0.0, alive[few] * BEAT - few * beat)  # its loop, without a worker
    return Costs(
        master_round=once,
        master_message=message,
        master_entry=max(0.0, own[many] - once - FAN * message) / (many - FAN),
        master_beat=beat,
        master_beat_entry=max(0.0, alive[many] * BEAT - turning - FAN * beat) / (many - FAN),
        master_hello=(quick[some]["start process"] - quick[few]["start process"]) / (some - few),
        relay=message / 2,
    )


def calibrate() -> Costs:
    """Measures all costs."""
    joined, led, one = joining(), leading(), real.run(2, 2, "8-4-2")
    moved = transport()
    step = one.cpu / 2 - one.messages[0] * (moved.send_message + moved.receive_message)
    return replace(
        moved, join_byte=joined.join_byte, merge_byte=joined.merge_byte, step=max(0.0, step),
        **{name: value for name, value in vars(led).items() if name.startswith(("master", "relay"))},
    )  # fmt: skip


if __name__ == "__main__":
    print(calibrate())
