"""Attempts at a task: one killed in the middle of its training, one overtaken, one that dies inside of the master."""

import json
import re
import sys
import threading
import time
from contextlib import suppress
from urllib.request import urlopen

import psutil
import pytest

from hdl.driver import Round, Started
from hdl.runners.base import Replaced
from tests.hadoop.runners import QUIET, RUNNERS, local, signatures, train

pytestmark = pytest.mark.full
FIELDS = {"epochs": 1, "optimizer": "momentum"}
# One round of several seconds a shard, and a task that says twice a second how far it is.
LONG = {
    "net": "0-256-256-0", "epochs": 20000, "sync": {"every": 20000}, "optimizer": {"name": "sgd", "lr": 0.01},
}  # fmt: skip
OFTEN = {"mapreduce.task.progress-report.interval": 500}


class Midway(threading.Thread):
    """Kills the Python of a task that has told YARN's web service that it is in the middle of its training."""

    def __init__(self, cluster, table):
        super().__init__(daemon=True)
        self.manager, self.table = cluster.status()["web"]["resourcemanager"], table
        self.killed, self.stopped = "", False

    def run(self):
        while not self.killed and not self.stopped:
            time.sleep(0.2)
            with suppress(OSError, ValueError):  # the job has ended meanwhile
                for task, said in self._tasks():
                    share = re.match(r"shard \d+: (\d+)%", said)
                    if not self.killed and share and 2 <= int(share[1]) <= 80:
                        self._kill(task.replace("task_", "attempt_") + "_0", said)

    def _tasks(self):
        for app in (self._get("ws/v1/cluster/apps?states=RUNNING")["apps"] or {}).get("app", ()):
            if self.table in app["name"]:
                job = app["id"].replace("application", "job")
                tasks = self._get(f"proxy/{app['id']}/ws/v1/mapreduce/jobs/{job}/tasks")["tasks"] or {}
                yield from ((task["id"], task["status"]) for task in tasks.get("task", ()) if task["type"] == "MAP")

    def _get(self, path):
        with urlopen(f"{self.manager}/{path}", timeout=10) as answer:
            return json.load(answer)

    def _kill(self, attempt, said):
        with suppress(psutil.NoSuchProcess):
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or []
                if "org.apache.hadoop.mapred.YarnChild" in words and attempt in words:
                    for below in process.children(recursive=True):
                        if re.search(r"-m hdl\.(runners\.mapreduce|streaming\.mapper)", " ".join(below.cmdline())):
                            below.kill()
                            self.killed = f"{attempt}: {said}"


@pytest.mark.parametrize("name", RUNNERS)
def test_a_task_killed_in_the_middle_of_its_training_is_done_again(cluster, data, folder, archive, name):
    local(data, f"{folder}/expected", **LONG)
    killer, events = Midway(cluster, f"{folder}/model"), []

    def watch(event):
        events.append(event)
        if isinstance(event, Started):
            killer.start()

    runner = RUNNERS[name](archive=archive, uber=False, settings=QUIET | OFTEN)
    try:
        train(data, f"{folder}/model", runner, on_event=watch, **LONG)
    finally:
        killer.stopped = True
    assert killer.killed
    replaced = [event.reason.partition(":")[0] for event in events if isinstance(event, Replaced)]
    assert replaced == [killer.killed.partition(":")[0]]
    assert signatures(f"{folder}/model") == signatures(f"{folder}/expected")


@pytest.mark.parametrize("name", RUNNERS)
def test_an_attempt_that_is_overtaken_changes_nothing(data, folder, archive, tmp_path, name):
    """One Python of the round sleeps for longer than anybody waits: only a speculative attempt can end the job."""
    local(data, f"{folder}/expected", **FIELDS)
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\n"
        f"if [ -e {tmp_path}/round ] && mkdir {tmp_path}/one 2>/dev/null; then sleep 3600; fi\n"
        f'exec {sys.base_prefix}/bin/python3 "$@"\n'
    )
    python.chmod(0o755)
    counters = []

    def watch(event):
        if isinstance(event, Started):
            (tmp_path / "round").touch()
        if isinstance(event, Round):
            counters.append(runner.counters["Job Counters"])

    runner = RUNNERS[name](archive=archive, python=str(python), uber=False, settings={
        "mapreduce.map.speculative": "true", "mapreduce.reduce.speculative": "false",
    })  # fmt: skip
    train(data, f"{folder}/model", runner, on_event=watch, **FIELDS)
    assert counters[0]["Launched map tasks"] > 4
    assert counters[0]["Killed map tasks"] >= 1  # Hadoop also counts attempts that never got a container
    assert "Failed map tasks" not in counters[0]
    assert signatures(f"{folder}/model") == signatures(f"{folder}/expected")


@pytest.mark.parametrize("name", RUNNERS)
def test_a_death_inside_of_the_master_is_told_and_the_job_is_done_again(data, folder, archive, tmp_path, name):
    """In uber mode Hadoop tries a task once: the job fails, and goes again in containers."""
    local(data, f"{folder}/expected", **FIELDS)
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/bash\n"
        f"if mkdir {tmp_path}/one 2>/dev/null; then echo out of coffee >&2; kill -9 $$; fi\n"
        f'exec {sys.base_prefix}/bin/python3 "$@"\n'
    )
    python.chmod(0o755)
    events = []
    runner = RUNNERS[name](archive=archive, python=str(python), settings=QUIET)
    train(data, f"{folder}/model", runner, on_event=events.append, **FIELDS)
    (replaced,) = [event.reason for event in events if isinstance(event, Replaced)]
    assert re.search(r"(?s)application_\d+_\d+ failed.*out of coffee.*yarn logs", replaced)
    assert signatures(f"{folder}/model") == signatures(f"{folder}/expected")
