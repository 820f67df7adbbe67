"""What two runs are compared by, and a driver that is put to sleep."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

PLAIN = ["--recipe", "plain", "--net", "0-5-0", "--shards", "1", "--seed", "3", "--no-report", "--quiet"]
DEADLINE = 250  # s; nothing takes it that gets on, and pytest ends a test that takes longer


def signatures(outcome):
    """SHA-256 of the weights of the versions that are there, and the metrics that must repeat."""
    table = Table(outcome.table)
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "time")} for row in outcome.rows]
    return {number: table.header(number)["signature"] for number in table.numbers()}, rows


def state_bytes(outcome):
    """All that the last version carries on, to the byte."""
    weights = Table(outcome.table).read().weights
    return {name: tensor.tobytes() for name, tensor in {"w": weights.w, **weights.state}.items()}


def same(here, local):
    """Check that two trainings have the same versions, metrics and last state."""
    assert signatures(here) == signatures(local)
    assert state_bytes(here) == state_bytes(local)


def both(runner, data, folder, on_event=None, **fields):
    """Train by a runner and by the local one, each into a table in a folder; returns both outcomes."""
    spec = parse({"epochs": 3, "batch": 8, "seed": 3, **fields})
    here = runner.train(Job(data, str(folder / "here"), spec), on_event)
    return here, driver.train(Job(data, str(folder / "local"), spec), LocalRunner(1, 1))


def until(process, condition, seconds=DEADLINE):
    """Wait for something that a process does while it lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def sleeper(data, table, versions, seconds=DEADLINE):
    """Give a training that was stopped in the midst of it, once its table has so many versions."""
    command = [sys.executable, "-m", "hdl", "train", data, "--out", table, "--epochs", "1000000", *PLAIN]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(process, lambda: (Table(table).latest() or 0) >= versions, seconds)
        process.send_signal(signal.SIGSTOP)
        until(process, lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, seconds)
        yield process
    finally:
        process.kill()
        process.communicate()
