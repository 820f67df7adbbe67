"""Real runs: the application with worker processes on this machine, which count what they send."""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

from hdl import driver
from hdl.models import mlp
from hdl.runners.base import Job
from hdl.spec import parse
from hdl.yarn.master import stretches
from hdl.yarn.resource_manager.processes import Processes
from tests.bench.scaling.counted import COUNTED
from tests.runner.yarn_here import YarnHere

ROWS = 8  # of a shard: next to nothing to compute


class CountedProcesses(Processes):
    """Starts workers that count."""

    module = "tests.bench.scaling.counted"


@dataclass
class Run:
    """Holds what a run has shown, of its rounds but the first.

    Attributes
    ----------
    size : int
        Bytes of an update.
    messages, sent, received, connections, threads : list of int
        Of each worker in a round.
    cpu : float
        Seconds of processor time of all workers in a round, in the middle.
    master : float
        And of the master.
    seconds : float
        A round, as the driver sees it, without computing.
    """

    size: int
    messages: list[int]
    sent: list[int]
    received: list[int]
    connections: list[int]
    threads: list[int]
    cpu: float
    master: float
    seconds: float


def run(workers: int, shards: int, net: str, rounds: int = 8) -> Run:
    """Train with real workers on data that are next to nothing; each round has its command, as long ones have.

    Raises
    ------
    HdlError
        The training failed.
    """
    inputs, outputs = int(net.split("-")[0]), int(net.split("-")[-1])
    spec = parse({"net": net, "shards": shards, "epochs": rounds, "batch": ROWS, "optimizer": "sgd", "seed": 1})
    size = mlp.layout(parse({"net": net, "loss": "softmax"})).size * 4
    rows, at = list[dict](), [time.process_time()]

    def hear(event: object) -> None:
        if isinstance(event, driver.Round):
            rows.append(event.row["seconds"])
            at.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(ROWS * shards, inputs)).astype(np.float32)
        np.savez(f"{folder}/data.npz", x=x, y=np.arange(len(x)) % outputs)
        here = YarnHere(workers, make=CountedProcesses, publish_every=10**9, gather_seconds=300, silence_seconds=120)
        with patch.object(stretches, "MOST", 1):
            here.train(Job(f"{folder}/data.npz", f"{folder}/model", spec), hear)
        lines = [
            [json.loads(line) for line in (Path(here.staging) / COUNTED.format(rank)).read_text().splitlines()]
            for rank in range(workers)
        ]
    of_round = [[own[k] for own in lines] for k in range(2, rounds)]
    last = of_round[-1]

    def each(name: str) -> list[int]:
        return [worker.get(name, 0) for worker in last]

    return Run(
        size, each("messages"), each("bytes"), each("received"), each("connections"), each("threads"),
        statistics.median(sum(worker["cpu"] for worker in every) for every in of_round),
        statistics.median(b - a for a, b in itertools.pairwise(at[2:])),
        statistics.median(row["round"] + row["merge"] - row["compute"] for row in rows[2:]),
    )  # fmt: skip


if __name__ == "__main__":
    for n in (2, 4, 8):
        print(run(n, n, "784-100-32-10"))
