"""A crowd of connections to the master's control port, of a process that has no key: the training goes on."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.common import state_bytes
from tests.runner.crowded import IDLE, SLOW

DESCRIPTORS = 600  # that the master may have, and fewer than a tenth of what the crowd asks of it


@pytest.mark.timeout(900)
def test_5000_idle_and_200_slow_connections_end_no_training(csv, tmp_path):
    """In the crowd a worker is killed: its successor gets in, and the bytes are the local runner's."""
    spec = {"net": "0-5-0", "shards": 4, "epochs": 4, "batch": 8, "seed": 3}
    data, table, folder = csv(90), str(tmp_path / "here"), tmp_path / "application"
    folder.mkdir()
    words = ["-m", "tests.runner.crowded", data, table, str(folder), json.dumps(spec), str(DESCRIPTORS)]
    environment = {**os.environ, "HDL_FAULT": "computing:2:1:1:KILL"}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["made"] >= IDLE + SLOW
    assert sum(told["refused"].values()) > IDLE - DESCRIPTORS
    assert told["lost"] == 1
    assert told["descriptors"] < DESCRIPTORS / 2
    assert "the control port refused" in done.stderr
    local = driver.train(Job(data, str(tmp_path / "local"), parse(spec)), LocalRunner(1, 1))
    assert Table(table).latest() == local.version
    assert state_bytes(replace(local, table=table)) == state_bytes(local)
