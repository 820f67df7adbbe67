"""Two runs on one table: one that slept, or that another one overtakes, stops and does no harm."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hdl.cli import run
from hdl.table import Table

FLAGS = ["--recipe", "plain", "--net", "0-5-0", "--shards", "1", "--seed", "3", "--no-report", "--quiet"]
DEADLINE = 120


def training(data, table, epochs, *more):
    command = [sys.executable, "-m", "hdl", "train", data, "--out", table, "--epochs", str(epochs), *FLAGS, *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(process, condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def sleeper(csv, tmp_path):
    """Gives the path of data, and a training of it into tmp_path/model that was stopped in the midst of it."""
    data, table = csv(), str(tmp_path / "model")
    process = training(data, table, 1_000_000)
    try:
        until(process, lambda: (Table(table).latest() or 0) > 50)
        process.send_signal(signal.SIGSTOP)
        until(process, lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        yield data, table, process
    finally:
        process.kill()
        process.communicate()


def signatures(table):
    stored = Table(table)
    return {number: stored.read(number).signature for number in stored.numbers()}


def test_a_driver_that_slept_through_another_ones_training_changes_nothing(sleeper):
    data, table, process = sleeper
    assert not run(["train", data, "--out", table, "--overwrite", "--epochs", "8", *FLAGS, "--lr", "0.3"])
    before, files = signatures(table), sorted(os.listdir(table))
    assert max(before) == 8
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 4, said
    assert re.search(r"model: the table belongs to run \w{12} \(.*, process \d+, .*\); this run, which", said)
    assert signatures(table) == before
    assert sorted(name for name in os.listdir(table) if not name.startswith(("rows-", "."))) == [
        name for name in files if not name.startswith(("rows-", "."))
    ]
    assert not run(["evaluate", table, data])
