"""On HDFS: a run that slept through another one's training stops when it wakes, and one that is resumed overtakes."""

import re
import signal

from hdl import cli
from hdl.table import Table
from tests.hadoop.runners import put_csv
from tests.runner.common import PLAIN, sleeper

DEADLINE = 600


def test_a_run_that_sleeps_while_its_table_is_overwritten_and_resumed(folder):
    data, table = put_csv(f"{folder}/data"), f"{folder}/model"
    with sleeper(data, table, versions=4, seconds=DEADLINE) as process:
        assert cli.run(["train", data, "--out", table, "--overwrite", "--epochs", "4", *PLAIN, "--lr", "0.3"]) == 0
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
