"""Measures one synchronisation of the YARN application: `python -m tests.bench.sync [--workers 4] [--turns 3]`.

The worker group is made of processes of this machine (all of the application but YARN). For each net: the median time
of a round that is not computing (the round as the master sees it, less the longest worker's computation), its spread,
and beside it the time that moving the same bytes takes over plain TCP: as many processes, the same two exchanges (each
sends every other one its slice, twice), nothing encrypted, encoded or joined.

Between them stand the exchange and join alone, without master and training, over what containers of one host have
(Unix sockets) and over what two hosts have (TLS). All take turns. Processor time is of all workers together: a busy
machine changes it less than the clock.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import os
import socket
import statistics
import tempfile
import time

import numpy as np

from hdl import driver, wire
from hdl.models import mlp
from hdl.runners.base import Job
from hdl.spec import parse
from hdl.yarn.comm import local, mesh
from hdl.yarn.comm.allreduce import allreduce
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.comm.mailbox import Mailbox
from hdl.yarn.comm.mesh import Mesh
from hdl.yarn.worker.memory import keep_memory
from tests.runner.yarn_here import YarnHere

NETS = {"400-25-10": 200, "784-100-32-10": 100, "784-2500-2000-1500-1000-500-10": 6}
SECONDS = 120  # that a round may take on a busy machine
KINDS = ("TCP", "Unix", "TLS")


def application(net: str, workers: int, rounds: int, data: str) -> tuple[list[float], list[float]]:
    """Measures the application: seconds of each round but the first that are not computing, and of its exchange."""
    spec = parse({"net": net, "shards": workers, "epochs": rounds + 1, "batch": 50, "optimizer": "sgd", "seed": 1})
    rows: list[dict] = []

    def hear(event):
        if isinstance(event, driver.Round):
            rows.append(event.row["seconds"])

    with tempfile.TemporaryDirectory() as folder:
        YarnHere(workers, publish_every=10**9).train(Job(data, f"{folder}/model", spec), hear)
    return [row["round"] + row["merge"] - row["compute"] for row in rows[1:]], [row["exchange"] for row in rows[1:]]


def exchange(kind: str, size: int, workers: int, rounds: int) -> list[tuple[float, float]]:
    """Measures exchanges among processes: seconds of each but the first, and processor seconds of all workers."""
    context = mp.get_context("spawn")
    ports, times, barrier = context.Array("i", workers), context.Queue(), context.Barrier(workers, timeout=SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        keys = Credentials.make()
        shared = (kind, size, rounds, ports, barrier, times, keys.to_dict(), folder)
        processes = [context.Process(target=_member, args=(rank, *shared)) for rank in range(workers)]
        for process in processes:
            process.start()
        measured = [times.get(timeout=SECONDS) for _ in processes]
        for process in processes:
            process.join()
    turns = list(zip(*measured, strict=True))[1:]
    return [(max(wall for wall, _ in turn), sum(cpu for _, cpu in turn)) for turn in turns]


def _member(rank, kind, size, rounds, ports, barrier, times, keys, folder):
    """Takes part in exchanges as one worker."""
    workers = len(ports)
    group = _plain(rank, ports, barrier) if kind == "TCP" else _own(rank, kind, ports, barrier, keys, folder)
    if kind != "TCP":
        keep_memory()  # as workers do
    spec = parse({"net": "1-1", "shards": workers, "batch": 1, "sync": {"mode": "average"}})
    piece, took = np.ones(size // workers, np.uint8).data, []
    update = wire.Update("average", 0, rank, rank + 1, {"w": np.ones(size // 4, np.float32)}, {"samples": 1})
    for _ in range(rounds + 1):
        barrier.wait()
        began, cpu = time.perf_counter(), time.process_time()
        if kind == "TCP":
            group.share([[piece]])
            group.share([[piece]])
        else:
            allreduce(group, spec, [update], size // 4)
        took.append((time.perf_counter() - began, time.process_time() - cpu))
    times.put(took)
    barrier.wait()
    group.close()


def _plain(rank, ports, barrier):
    """Connects a worker with all others by plain TCP."""
    workers, listener = len(ports), socket.create_server(("127.0.0.1", 0))
    ports[rank] = listener.getsockname()[1]
    barrier.wait()
    outward, inward = {}, {}
    for peer in range(workers):
        if peer != rank:
            outward[peer] = socket.create_connection(("127.0.0.1", ports[peer]))
            outward[peer].sendall(bytes([rank]))
            outward[peer].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while len(inward) < workers - 1:
        channel, _ = listener.accept()
        inward[channel.recv(1)[0]] = channel
    return Mesh(rank, workers, 0, outward, inward)


def _own(rank, kind, ports, barrier, keys, folder):
    """Connects a worker as the application does."""
    if kind == "Unix":
        os.environ[local.VARIABLE] = folder
    keys = Credentials.from_dict(keys)
    mailbox = Mailbox(keys.tls(server=True), "127.0.0.1")
    ports[rank] = mailbox.address[1]
    barrier.wait()
    peers, nothing = {rank: ("127.0.0.1", port) for rank, port in enumerate(ports)}, lambda *given: None
    made = mesh.connect(
        rank,
        len(ports),
        0,
        peers,
        keys.tls(server=False),
        lambda peer: mailbox.peer(0, peer, SECONDS),
        nothing,
        nothing,
    )
    assert {channel.family == socket.AF_UNIX for channel in made._outward.values()} == {kind == "Unix"}
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--net", action="append")
    parser.add_argument("--only-exchange", action="store_true", help="without the application")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{options.workers} workers; milliseconds: median (10 % to 90 %) of all rounds")
        for net in options.net or NETS:
            inputs, outputs, rounds = int(net.split("-")[0]), int(net.split("-")[-1]), NETS.get(net, 20)
            x = rng.normal(size=(50 * options.workers, inputs)).astype(np.float32)
            np.savez(f"{folder}/{inputs}.npz", x=x, y=np.arange(len(x)) % outputs)
            size = mlp.layout(parse({"net": net, "loss": "softmax"})).size * 4
            ours, exchanges, kinds = [], [], {kind: [] for kind in KINDS}
            for _ in range(options.turns):
                if not options.only_exchange:
                    overhead, inner = application(net, options.workers, rounds, f"{folder}/{inputs}.npz")
                    ours += overhead
                    exchanges += inner
                for kind in KINDS:
                    kinds[kind] += exchange(kind, size, options.workers, rounds)
            print(f"{net} ({size / 1e6:.2f} MB)")
            walls = {kind: [wall for wall, _ in turns] for kind, turns in kinds.items()}
            plain = statistics.median(walls["TCP"])
            used = {kind: statistics.median(cpu for _, cpu in turns) for kind, turns in kinds.items()}
            for kind in KINDS:
                what = "plain TCP, bytes alone" if kind == "TCP" else f"exchange and join, {kind}"
                print(f"  {what:25s} {_text(walls[kind])}, {statistics.median(walls[kind]) / plain:.2f} x; "
                      f"processor {used[kind] * 1e3:.2f}, {used[kind] / used['TCP']:.2f} x")  # fmt: skip
            if ours:
                print(f"  {'a synchronisation':25s} {_text(ours)}, {statistics.median(ours) / plain:.2f} x; "
                      f"of it exchange {_text(exchanges)}", flush=True)  # fmt: skip


def _text(seconds: list[float]) -> str:
    low, middle, high = (np.percentile(seconds, at) * 1e3 for at in (10, 50, 90))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
