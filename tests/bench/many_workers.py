"""Plays many workers in a process, a thread each: `python -m tests.bench.many_workers FOLDER`, see `tests.bench.many`.

Each is the true worker with its true connections to the master and to others, but for what it computes: shards are
summarised, rounds take `SECONDS` (of the environment) and their weights stay as they were. Standard input has a line
of JSON a worker: its name, and its keys in base64. It ends with its standard input.
"""

import base64
import json
import os
import resource
import sys
import threading
import time
from dataclasses import replace
from functools import partial

from hdl import wire
from hdl.yarn.comm import tls
from hdl.yarn.comm.credentials import WorkerCredentials
from hdl.yarn.protocol import weights_name
from hdl.yarn.settings import CONTROL
from hdl.yarn.worker import relay, worker
from hdl.yarn.worker.rounds import Rounds
from hdl.yarn.worker.worker import Worker
from tests.bench.many import HOST, SECONDS

PATIENCE = 300.0  # s
PHASES = ("load", "train", "validate", "update")


class PlayedRounds(Rounds):
    """Does each round at once: its weights stay as they were."""

    def run(self, command, host, mesh):
        number = self.number = command.round
        weights = self._weights_of(command, None)
        self._beat(next(iter(host.splits)), 0.5)
        time.sleep(float(os.environ.get(SECONDS, "0")))
        after = replace(weights, round=number + 1)
        self.weights = {number: weights, after.round: after}
        self._mailbox.publish({weights_name(n): partial(wire.encode_parts, held) for n, held in self.weights.items()})
        row = {"round": number, "batches": 1, "samples": 8, "cost": 1.0 / (number + 1), "accuracy": 0.5,
               "val_samples": 0, "val_cost": None, "val_accuracy": None}  # fmt: skip
        taken = 0.001 + (command.rank % 7) / 10_000
        return row, {**dict.fromkeys(PHASES, taken), "merge": 0.0001, "compute": taken, "exchange": 0.0005}


class Played(Worker):
    """Connects to the master and its relays, and to no mesh."""

    def _connect_mesh(self, command):
        self._join_tree(command)


def main(staging):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    # Hundreds of workers share this process and its lock: their handshakes take longer than those of a worker alone.
    tls.HANDSHAKE_SECONDS = relay.CONNECT_SECONDS = PATIENCE
    threading.stack_size(256 << 10)
    worker.Rounds = PlayedRounds
    for line in sys.stdin:
        fields = json.loads(line)
        entries = {name: base64.b64decode(value) for name, value in fields["keys"].items()}
        played = Played(WorkerCredentials.from_dict(entries), entries[CONTROL].decode(), staging, HOST)
        threading.Thread(target=played.run, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1])
