"""Measures the cost of a round beside its training, by runner and mode; run by hand: see docs/hadoop.md.

HDL_TEST_CLUSTER=FOLDER python -m tests.hadoop.overhead [rounds|weights]
"""

import os
import sys
from pathlib import Path
from statistics import median

from hdl import fs, wire
from hdl.cluster.daemons import Cluster
from hdl.runners.messages import plan_message

PARTS = ("round", "start", "read", "compute", "shuffle", "finish")
ROUNDS = 3


def measure(name, data, table, runner, **fields):
    """Prints the median of each part of some rounds' seconds, and the load meanwhile."""
    from tests.hadoop.runners import train

    rows = train(data, table, runner, epochs=ROUNDS, **fields).rows
    seconds = [row["seconds"] for row in rows if not row.get("final")]
    shown = " | ".join(f"{median(row[part] for row in seconds):.1f}" for part in PARTS)
    worst = max(row["round"] for row in seconds)
    print(f"| {name} | {shown} | {worst:.1f} | {os.getloadavg()[0]:.1f} |", flush=True)


def rounds(folder, data):
    from tests.hadoop.runners import RUNNERS

    for uber in True, False:
        for name, make in RUNNERS.items():
            where = "in the master" if uber else "in containers"
            measure(f"{name}, {where}", data, f"{folder}/{name}-{uber}", make(uber=uber))


def weights(folder, data):
    """The round's weights (17 MB) from the distributed cache, and read by each task itself."""
    from tests.hadoop.runners import RUNNERS

    class Direct(RUNNERS["mapreduce"]):
        def prepare(self, plan):
            super().prepare(plan)
            self.plan_bytes, self._files = plan_message(plan), {}

        def round(self, weights, evaluate_only=False):
            place = f"{self._work}/direct-{self._jobs}"
            fs.mkdir(place)
            fs.publish(f"{place}/plan", self.plan_bytes)
            fs.publish(f"{place}/weights", wire.encode(weights))
            messages = self._run("round", {"evaluate_only": evaluate_only, "table": place})
            return [wire.decode(message) for message in messages]

    fields = {"net": "0-2048-2048-0", "optimizer": "sgd"}
    for uber in True, False:
        for name, make in (("distributed cache", RUNNERS["mapreduce"]), ("direct read", Direct)):
            where = "in the master" if uber else "in containers"
            measure(f"{name}, {where}", data, f"{folder}/{name[:5]}-{uber}", make(uber=uber), **fields)


def main():
    os.environ.update(Cluster.load(Path(os.environ["HDL_TEST_CLUSTER"])).environment())
    from tests.hadoop.runners import put_csv

    folder = "hdfs:///tests/overhead"
    if fs.exists(folder):
        fs.remove(folder)
    data = put_csv(f"{folder}/data")
    print(f"| | {' | '.join(PARTS)} | longest round | load |\n|{'---|' * (len(PARTS) + 3)}")
    {"rounds": rounds, "weights": weights}[sys.argv[1]](folder, data)


if __name__ == "__main__":
    main()
