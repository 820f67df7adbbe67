"""Sixty-four true worker processes on this machine: the local runner's bytes, and few connections and threads each."""

import math

import pytest

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from tests.runner.common import signatures
from tests.runner.counting import train

WORKERS = 64
FAN = 8


@pytest.mark.full
def test_sixty_four_processes_give_the_local_runners_bytes(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": WORKERS, "epochs": 3, "batch": 8, "seed": 3})
    data = csv(8 * WORKERS)
    job = Job(data, str(tmp_path / "here"), spec)
    here, workers, master, _ = train(job, WORKERS, relay_above=WORKERS - 1, relay_fan=FAN)
    local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
    assert signatures(here) == signatures(local)
    assert len(workers) == WORKERS
    # To a peer two connections, and as many to each worker above and below in the tree; two and a watch to the master.
    peers = 3 * math.ceil(math.log2(WORKERS))
    for each in workers.values():
        assert each["tcp"] + each["unix"] <= 2 * peers + 2 * (FAN + 1) + 3 + 8
        assert each["threads"] < 32 + FAN
    assert master["threads"] < 64
