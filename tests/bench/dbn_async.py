"""A deep belief network with one slow worker of four: `python -m tests.bench.dbn_async [--epochs 12]`.

MNIST, 784-500-300-10, RBMs pre-trained and the whole fine-tuned, once synchronously (`average`) and once
asynchronously, by the YARN application with processes of this machine. The last worker is stopped nine tenths of
the time, so it is ten times slower. For each: test error at the end, seconds until the synchronous one's final error
is reached, and how many processors the three others kept busy.
"""

from __future__ import annotations

import argparse
import os
import signal
import tempfile
import threading
import time

import psutil

from hdl import data, driver
from hdl.ops import Samples, make
from hdl.runners.base import Job
from hdl.spec import Spec, parse
from hdl.table import Table
from tests.runner.yarn_here import YarnHere

MNIST = os.path.join(os.environ.get("HDL_DATA", "../shared/data"), "mnist")
PERIOD, SHARE = 0.5, 0.1


class Throttle(threading.Thread):
    """Lets one process run for a tenth of the time."""

    def __init__(self, resources):
        super().__init__(daemon=True)
        self.resources, self.over = resources, threading.Event()

    def run(self):
        while not self.over.wait(SHARE * PERIOD):
            for process in [*self.resources.running.values()][3:4]:
                process.send_signal(signal.SIGSTOP)
                self.over.wait((1 - SHARE) * PERIOD)
                process.send_signal(signal.SIGCONT)


class Used:
    """Counts the processor seconds of the three workers that are not slowed down."""

    def __init__(self, resources):
        self.resources = resources

    def seconds(self) -> float:
        times = [psutil.Process(process.pid).cpu_times() for process in [*self.resources.running.values()][:3]]
        return sum(each.user + each.system for each in times)


def train(spec: Spec) -> dict:
    """Trains; gives the test errors by seconds since the start, the last error, and the processors the others used."""
    with tempfile.TemporaryDirectory() as folder:
        runner = YarnHere(4, publish_every=1)
        throttle, used = Throttle(runner.resources), Used(runner.resources)
        seen: list[tuple[float, str, int]] = []
        cpu: list[tuple[float, float]] = []

        def hear(event):
            if isinstance(event, driver.Started):
                if not throttle.is_alive():
                    throttle.start()
                cpu.append((time.monotonic(), used.seconds()))
            if isinstance(event, driver.Round):
                seen.append((time.monotonic(), "", event.row["version"]))
                cpu.append((time.monotonic(), used.seconds()))

        began = time.monotonic()
        outcome = runner.train(Job(MNIST, f"{folder}/model", spec), hear)
        throttle.over.set()
        took = time.monotonic() - began
        table = Table(outcome.table)
        rounds = len(outcome.rows)
        errors = {}
        for version in table.numbers()[1:]:
            errors[seen[len(seen) - rounds + version - 1][0] - began] = error(
                outcome.spec, table.read(version).weights.w
            )
        (t0, c0), (t1, c1) = cpu[0], cpu[-1]
        return {"errors": errors, "last": list(errors.values())[-1], "seconds": took, "busy": (c1 - c0) / (t1 - t0),
                "async": outcome.rows[-1].get("async")}  # fmt: skip


def error(spec: Spec, w) -> float:
    """Computes the test error on MNIST in percent."""
    source = data.open_source(f"{MNIST}:test")
    blocks = [block for splits in source.splits(1) for block in source.read(splits)]
    ops, wrong, count = make(spec, threads=2), 0, 0
    for block in blocks:
        scale = 0 * block.x[0].astype("f4") + 1 / 255
        out, _ = ops.forward(w, Samples(block.x, None, scale))
        wrong += int((out.argmax(axis=1) != block.y).sum())
        count += len(block.y)
    return 100 * wrong / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--pretrain-epochs", type=int, default=4)
    parser.add_argument("--more", type=int, default=3, help="epochs of the asynchronous one's fastest worker, times")
    given = parser.parse_args()
    base = {
        "model": "dbn", "net": "784-500-300-10", "shards": 4, "batch": 100, "seed": 1, "epochs": given.epochs,
        "pretrain": {"epochs": given.pretrain_epochs}, "optimizer": {"name": "adam", "schedule": {"name": "cosine"}},
        "keep": 1000,
    }  # fmt: skip
    results = {
        "synchronous": train(parse({**base, "sync": {"mode": "average"}})),
        "asynchronous": train(
            parse(
                {**base, "epochs": given.more * given.epochs, "sync": {"mode": "async", "equal": 2, "staleness": 1000}}
            )
        ),
    }
    goal = results["synchronous"]["last"] + 0.15
    print(
        "| | final test error | seconds, all | seconds to the synchronous error + 0.15 | processors the 3 others used |"
    )
    print("|---|---|---|---|---|")
    for name, result in results.items():
        first = next((at for at, wrong in result["errors"].items() if wrong <= goal), None)
        reached = "not reached" if first is None else f"{first:.0f}"
        print(f"| {name} | {result['last']:.2f} % | {result['seconds']:.0f} | {reached} | {result['busy']:.2f} |")
    print(results["asynchronous"]["async"])


if __name__ == "__main__":
    main()
