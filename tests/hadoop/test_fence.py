"""On HDFS: a run that slept through another one's training stops when it wakes, and one that is resumed overtakes."""

import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from hdl import cli
from hdl.table import Table
from tests.hadoop.runners import put_csv

FLAGS = ["--recipe", "plain", "--net", "0-5-0", "--shards", "1", "--seed", "3", "--no-report", "--quiet"]
DEADLINE = 600


def until(process, condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def sleeper(folder):
    """Gives the paths of data and of a table, and a training that was stopped in the midst of it."""
    data, table = put_csv(f"{folder}/data"), f"{folder}/model"
    command = [sys.executable, "-m", "hdl", "train", data, "--out", table, "--epochs", "1000000", *FLAGS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(process, lambda: (Table(table).latest() or 0) > 3)
        process.send_signal(signal.SIGSTOP)
        until(process, lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        yield data, table, process
    finally:
        process.kill()
        process.communicate()


def test_a_run_that_sleeps_while_its_table_is_overwritten_and_resumed(sleeper):
    data, table, process = sleeper
    assert cli.run(["train", data, "--out", table, "--overwrite", "--epochs", "4", *FLAGS, "--lr", "0.3"]) == 0
    assert cli.run(["train", data, "--out", table, "--resume", "--epochs", "6", "--no-report", "--quiet"]) == 0
    stored = Table(table)
    before = {number: stored.read(number).signature for number in stored.numbers()}
    assert max(before) == 6
    process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=DEADLINE)
    assert process.returncode == 4, said
    assert re.search(r"model: the table belongs to run \w{12} \(.*, process \d+, .*\); this run, which", said)
    assert {number: stored.read(number).signature for number in Table(table).numbers()} == before
    assert cli.run(["repair", table]) == 0
