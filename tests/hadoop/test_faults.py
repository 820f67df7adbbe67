"""Faults on a real cluster: the final bytes are those of a run without, or a clear error leaves the last version."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from hdl.driver import Round, Started
from hdl.errors import Fenced, TableError
from hdl.runners.base import Replaced
from hdl.table import Table
from tests.hadoop.runners import QUIET, RUNNERS, local, signatures, train

pytestmark = pytest.mark.full
FIELDS = {"epochs": 2, "optimizer": "momentum"}


@pytest.fixture
def expected(data, folder):
    local(data, f"{folder}/expected", **FIELDS)
    return signatures(f"{folder}/expected")


class Killer(threading.Thread):
    """Kills the first process of a task that it sees: Hadoop's own, or the Python below it."""

    def __init__(self, kind, victim):
        super().__init__(daemon=True)
        self.kind, self.victim, self.killed, self.stopped = kind, victim, None, False

    def run(self):
        while not self.killed and not self.stopped:
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                if "org.apache.hadoop.mapred.YarnChild" in words and any(f"_{self.kind}_0" in word for word in words):
                    self._kill(process)
            time.sleep(0.05)

    def _kill(self, child):
        try:
            victims = [child] if self.victim == "java" else [
                below for below in child.children(recursive=True) if "hdl." in " ".join(below.cmdline())
            ]  # fmt: skip
            for process in victims[:1]:
                process.kill()
                self.killed = process.pid
        except psutil.NoSuchProcess:
            pass


KILLED = [
    (name, kind, victim) for name in RUNNERS for kind, victim in (("m", "python"), ("m", "java"), ("r", "python"))
]


@pytest.mark.parametrize(("name", "kind", "victim"), KILLED)
def test_a_task_killed_with_sigkill_is_done_again(data, expected, folder, archive, name, kind, victim):
    killer, events = Killer(kind, victim), []

    def watch(event):
        events.append(event)
        if isinstance(event, Started):
            killer.start()

    runner = RUNNERS[name](archive=archive, uber=False, settings=QUIET)
    try:
        train(data, f"{folder}/model", runner, on_event=watch, **FIELDS)
    finally:
        killer.stopped = True
    assert killer.killed
    assert [event for event in events if isinstance(event, Replaced)]
    assert signatures(f"{folder}/model") == expected


@pytest.mark.parametrize("name", RUNNERS)
def test_a_mapper_that_exits_1_once_and_speculation_change_nothing(data, expected, folder, archive, tmp_path, name):
    """The first Python exits with 1, the second one dawdles, so that another attempt may overtake it."""
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\n"
        f"if mkdir {tmp_path}/one 2>/dev/null; then echo out of coffee >&2; exit 1; fi\n"
        f"if mkdir {tmp_path}/two 2>/dev/null; then sleep 20; fi\n"
        f'exec {sys.base_prefix}/bin/python3 "$@"\n'
    )
    python.chmod(0o755)
    events = []
    runner = RUNNERS[name](archive=archive, python=str(python), uber=False, settings={
        "mapreduce.map.speculative": "true", "mapreduce.reduce.speculative": "true",
    })  # fmt: skip
    train(data, f"{folder}/model", runner, on_event=events.append, **FIELDS)
    assert [event for event in events if isinstance(event, Replaced)]
    assert signatures(f"{folder}/model") == expected


def test_a_datanode_that_dies_with_two_replicas_is_not_missed(cluster, data, expected, folder, archive):
    def kill(event):
        if isinstance(event, Round) and event.row["version"] == 1:
            cluster.kill("datanode2")

    try:
        train(data, f"{folder}/model", RUNNERS["mapreduce"](archive=archive, settings=QUIET), on_event=kill, **FIELDS)
        assert signatures(f"{folder}/model") == expected
    finally:
        cluster.restart("datanode2")
        cluster.wait_ready(300)


def test_a_namenode_in_safe_mode_for_30_seconds_is_waited_for(admin, data, expected, folder, archive):
    timers, began = [], []

    def enter(event):
        if isinstance(event, Round) and not timers:
            admin("safemode", "enter")
            began.append(time.monotonic())
            timers.append(threading.Timer(30, admin, ("safemode", "leave")))
            timers[0].start()

    try:
        train(data, f"{folder}/model", RUNNERS["mapreduce"](archive=archive, settings=QUIET), on_event=enter, **FIELDS)
    finally:
        timers[0].join()
    assert time.monotonic() - began[0] > 30
    assert signatures(f"{folder}/model") == expected


def test_a_quota_hit_while_publishing_leaves_the_last_version_and_resumes(admin, data, expected, folder, archive):
    table = f"{folder}/model"

    def limit(event):
        if isinstance(event, Started):
            admin("setSpaceQuota", "1k", table)

    with pytest.raises(TableError, match=r"v00000001.*quota"):
        train(data, table, RUNNERS["mapreduce"](archive=archive, settings=QUIET), on_event=limit, **FIELDS)
    assert Table(table).numbers() == [0]
    admin("clrSpaceQuota", table)
    train(data, table, RUNNERS["mapreduce"](archive=archive, settings=QUIET), resume=True)
    assert signatures(table) == expected


def test_a_driver_killed_between_rounds_resumes_to_the_same_bytes(data, expected, folder, archive):
    table = f"{folder}/model"
    command = [
        sys.executable, "-m", "hdl", "train", data, "--out", table, "--runner", "mapreduce", "--no-report", "--quiet",
        "--net", "0-5-0", "--shards", "4", "--batch", "8", "--seed", "3", "--epochs", "2", "--optimizer", "momentum",
    ]  # fmt: skip
    driver = subprocess.Popen(command, env={**os.environ, "HDL_NODE_ARCHIVE": archive})
    try:
        until = time.monotonic() + 600
        while 1 not in Table(table).numbers() and time.monotonic() < until and driver.poll() is None:
            time.sleep(0.2)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert Table(table).latest() == 1
    train(data, table, RUNNERS["mapreduce"](archive=archive, settings=QUIET), resume=True)
    assert signatures(table) == expected


def test_of_two_drivers_on_one_table_one_wins_a_version_and_the_other_stops(data, expected, folder, archive):
    table = f"{folder}/model"

    def other(event):
        if isinstance(event, Started):
            from hdl.runners.local import LocalRunner

            train(data, table, LocalRunner(1), resume=True)

    with pytest.raises(Fenced, match=r"the table belongs to run"):
        train(data, table, RUNNERS["mapreduce"](archive=archive, settings=QUIET), on_event=other, **FIELDS)
    assert signatures(table) == expected
