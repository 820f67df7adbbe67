"""Two runs on one table: one that slept, or that another one overtakes, stops and does no harm."""

import os
import re
import signal

from hdl.cli import run
from hdl.table import Table
from tests.runner.common import DEADLINE, PLAIN, sleeper


def signatures(table):
    stored = Table(table)
    return {number: stored.read(number).signature for number in stored.numbers()}


def test_a_driver_that_slept_through_another_ones_training_changes_nothing(csv, tmp_path):
    data, table = csv(), str(tmp_path / "model")
    with sleeper(data, table, versions=51) as process:
        assert not run(["train", data, "--out", table, "--overwrite", "--epochs", "8", *PLAIN, "--lr", "0.3"])
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
