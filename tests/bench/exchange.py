"""Compares exchanges: `python -m tests.bench.exchange [--workers 2,4,8,16] [--turns 20]`.

So many processes of this machine, connected as workers of the YARN application are, join updates that are there
already: directly (each with all others) and along the tree (recursive halving and doubling), taking turns. For each
size the median time of the slowest process, its spread, and the ratio of the two; and the bytes and messages that a
worker sends.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import statistics
import time
from typing import Any

import numpy as np

from hdl.spec import parse
from hdl.wire import Update
from hdl.yarn.comm import mesh as meshes
from hdl.yarn.comm.allreduce import SMALL, allreduce
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.comm.mailbox import Mailbox

SIZES = {"41 KB": 10_285, "0.3 MB": 82_000, "4 MB": 1_000_000, "48 MB": 12_000_000}


def worker(rank: int, size: int, keys: Any, ports: Any, barrier: Any, results: Any, turns: int, sizes: str) -> None:
    """Takes part as one worker, and puts its seconds by size and kind into the queue."""
    credentials = Credentials.from_dict(keys)
    mailbox = Mailbox(credentials.tls(server=True), "127.0.0.1")
    ports[rank] = mailbox.address[1]
    barrier.wait()
    addresses = [("127.0.0.1", port) for port in ports]
    kinds = {}
    for number, direct in enumerate((1 << 20, 0)):
        kinds[direct] = meshes.connect(
            rank, size, number, dict(enumerate(addresses)), credentials.tls(server=False),
            lambda peer, number=number: mailbox.peer(number, peer, 30.0), lambda: None, lambda phase: None,
            shards=size, direct=direct,
        )  # fmt: skip
    spec = parse({"net": "10-5-2", "shards": size, "sync": {"mode": "average"}})
    took: dict[tuple[str, int], list[float]] = {}
    sent: dict[tuple[str, int], tuple[float, float]] = {}
    for name in sizes.split(","):
        parameters = SIZES[name]
        vector = np.random.default_rng(rank).normal(size=parameters).astype(np.float32)
        update = Update("average", 0, rank, rank + 1, {"w": vector}, {"samples": 10})
        for turn in range(max(3, turns // (1 + parameters // 1_000_000)) + 1):
            for direct, mesh in kinds.items():
                before = mesh.sent_bytes, mesh.sent_messages
                barrier.wait()
                began = time.perf_counter()
                allreduce(mesh, spec, [update], parameters, SMALL)
                if turn:
                    took.setdefault((name, direct), []).append(time.perf_counter() - began)
                sent[name, direct] = mesh.sent_bytes - before[0], mesh.sent_messages - before[1]
    results.put((took, sent))
    barrier.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", default="2,4,8,16")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--sizes", default=",".join(SIZES))
    options = parser.parse_args()
    context = mp.get_context("spawn")
    for size in map(int, options.workers.split(",")):
        ports, results, barrier = context.Array("i", size), context.Queue(), context.Barrier(size)
        keys = Credentials.make().to_dict()
        processes = [
            context.Process(
                target=worker, args=(rank, size, keys, ports, barrier, results, options.turns, options.sizes)
            )
            for rank in range(size)
        ]
        for process in processes:
            process.start()
        found = [results.get() for _ in processes]
        for process in processes:
            process.join()
        for name in options.sizes.split(","):
            told, middle = [], {}
            for direct, kind in ((1 << 20, "directly"), (0, "tree")):
                slowest = [max(each) for each in zip(*(took[name, direct] for took, _ in found), strict=True)]
                low, middle[kind], high = (float(np.percentile(slowest, at)) * 1e3 for at in (10, 50, 90))
                sent = statistics.mean(sent[name, direct][0] for _, sent in found)
                messages = statistics.mean(sent[name, direct][1] for _, sent in found)
                told.append(
                    f"{kind} {middle[kind]:.2f} ms ({low:.2f} to {high:.2f}), {sent / 1e6:.2f} MB in {messages:.0f}"
                )
            print(f"{size} workers, {name}: {'; '.join(told)}; ratio {middle['tree'] / middle['directly']:.2f}")


if __name__ == "__main__":
    main()
