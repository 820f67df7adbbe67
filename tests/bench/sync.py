"""Measures one synchronisation of the YARN application: `python -m tests.bench.sync [--workers 4] [--turns 3]`.

The worker group is made of processes of this machine (all of the application but YARN), with mutual TLS on loopback.
For each net: the median time of a round that is not computing (the round as the master sees it, less the longest
worker's computation), its spread, and beside it the time that moving the same bytes takes over plain TCP: as many
processes, the same two exchanges (each sends every other one its slice, twice), nothing encrypted, encoded or joined.
The two take turns.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import socket
import statistics
import tempfile
import time

import numpy as np

from hdl import driver
from hdl.models import mlp
from hdl.runners.base import Job
from hdl.spec import parse
from hdl.yarn.comm.mesh import Mesh
from tests.runner.yarn_here import YarnHere

NETS = {"400-25-10": 200, "784-100-32-10": 100, "784-2500-2000-1500-1000-500-10": 6}


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


def plain(size: int, workers: int, rounds: int) -> list[float]:
    """Measures plain TCP: seconds that the same bytes take among as many processes."""
    context = mp.get_context("spawn")
    ports, times = context.Array("i", workers), context.SimpleQueue()
    barrier = context.Barrier(workers)
    processes = [
        context.Process(target=_peer, args=(rank, size, rounds, ports, barrier, times)) for rank in range(workers)
    ]
    for process in processes:
        process.start()
    seconds = [times.get() for _ in processes]
    for process in processes:
        process.join()
    return [max(each) for each in zip(*seconds, strict=True)][1:]


def _peer(rank, size, rounds, ports, barrier, times):
    workers = len(ports)
    listener = socket.create_server(("127.0.0.1", 0))
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
    mesh, took = Mesh(rank, workers, 0, outward, inward), []
    piece = np.ones(size // workers, np.uint8).data
    for _ in range(rounds + 1):
        barrier.wait()
        began = time.perf_counter()
        mesh.share([[piece]])
        mesh.share([[piece]])
        took.append(time.perf_counter() - began)
    times.put(took)
    barrier.wait()
    mesh.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--net", action="append")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        print(f"{options.workers} workers; milliseconds: median (10 % to 90 %) of all rounds")
        for net in options.net or NETS:
            inputs, outputs, rounds = int(net.split("-")[0]), int(net.split("-")[-1]), NETS.get(net, 20)
            x = rng.normal(size=(50 * options.workers, inputs)).astype(np.float32)
            np.savez(f"{folder}/{inputs}.npz", x=x, y=np.arange(len(x)) % outputs)
            size = mlp.layout(parse({"net": net, "loss": "softmax"})).size * 4
            ours, exchanges, theirs = [], [], []
            for _ in range(options.turns):
                overhead, exchange = application(net, options.workers, rounds, f"{folder}/{inputs}.npz")
                ours += overhead
                exchanges += exchange
                theirs += plain(size, options.workers, rounds)
            ratio = statistics.median(ours) / statistics.median(theirs)
            print(f"{net} ({size / 1e6:.2f} MB): a synchronisation {_text(ours)}, of it exchange {_text(exchanges)}; "
                  f"plain TCP {_text(theirs)}; ratio {ratio:.2f}")  # fmt: skip


def _text(seconds: list[float]) -> str:
    low, middle, high = (np.percentile(seconds, at) * 1e3 for at in (10, 50, 90))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
