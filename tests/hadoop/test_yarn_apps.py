"""Applications from the command line: trained, detached, looked at, attached to, killed, interrupted."""

import csv
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from hdl.table import Table
from tests.hadoop.secure import SLOW
from tests.hadoop.yarn_jobs import HDL, SMALL, get, report

YARN = ["--runner", "yarn", "--workers", "2", "--shards", "4", "--net", "0-5-0", "--batch", "8", "--seed", "3"]
LONG = ["--epochs", "200000"]


@pytest.fixture(autouse=True)
def python(monkeypatch):
    """This Python is on all nodes; that the packed one does is shown by the tests of the training."""
    monkeypatch.setenv("HDL_NODE_PYTHON", sys.executable)


@pytest.fixture
def side():
    """Commands that do not wait for each other, side by side."""
    with ThreadPoolExecutor(2) as pool:
        yield pool


def look(run, application):
    return json.loads(run(*HDL, "status", application, "--json").stdout)


def until(run, application, number, seconds=600):
    """Look at an application once its page shows a round beyond a number; a command that looks takes seconds."""
    deadline, shown = time.monotonic() + seconds, -1
    while shown <= number:
        assert time.monotonic() < deadline, look(run, application)
        time.sleep(0.3)
        with suppress(OSError, ValueError, KeyError):
            shown = json.loads(get(report(application)["trackingUrl"].rstrip("/") + "/status.json"))["round"]
    return look(run, application)


@pytest.mark.full  # so does who attaches to one, below
def test_a_training_ends_when_its_report_is_written(run, data, folder):
    """The report reads Parquet by threads that libhdfs attaches to Java, which would wait for them at the end."""
    shards = f"{folder}/shards"
    run(*HDL, "import", data, shards, "--shards", "4")
    done = run(*HDL, "train", shards, "--out", f"{folder}/model", *YARN, *SMALL, "--epochs", "2")
    assert f"{folder}/model/report.html" in done.stdout
    assert fs.exists(f"{folder}/model/report.html")


def test_a_log_is_written_by_who_follows(run, data, folder, tmp_path):
    log = ["--log", f"csv:{tmp_path}/log.csv"]
    ended = run(*HDL, "train", data, "--out", f"{folder}/m", *YARN, "--detach", *log, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--log: is written by who follows the training" in ended.stderr


@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.full) for turn in (1, 2))])
def test_what_is_wrong_before_java_has_connected_is_one_line_and_no_crash(run, folder, turn):
    """The connection to YARN is begun while the data is looked at, and nobody waits for it then."""
    ended = run(*HDL, "train", "/no/such/data", "--out", f"{folder}/model", *YARN, check=False)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr == "hdl: error: /no/such/data: there is no such file or folder\n"


def test_a_training_that_is_detached_looked_at_and_attached_to(run, data, folder, side, tmp_path):
    table, shards = f"{folder}/model", f"{folder}/shards"
    # The report reads Parquet by threads that libhdfs attaches to Java, which would wait for them at the end.
    run(*HDL, "import", data, shards, "--shards", "4")
    local = [*HDL, "train", shards, "--out", f"{folder}/expected", *YARN[4:], "--epochs", "40", "--no-report", "-q"]
    expected = side.submit(run, *local)
    application = run(*HDL, "train", shards, "--out", table, *YARN, *SMALL, "--epochs", "40", "--detach").stdout.strip()
    assert re.fullmatch(r"application_\d+_\d+", application)
    assert application in run(*HDL, "status").stdout
    done = run(*HDL, "attach", application, "--log", f"csv:{tmp_path}/log.csv")
    with open(tmp_path / "log.csv", newline="") as file:  # rounds that passed before are in it too, each once
        logged = [(int(line["round"]), float(line["cost"])) for line in csv.DictReader(file)]
    assert logged == [(row["round"] + 1, row["cost"]) for row in Table(table).rows() if not row["final"]]
    assert len(logged) == 40
    assert "3-5-2, 90 samples, 4 shards on 2 workers" in done.stderr
    label = re.search(r"^label +as hdl import wrote it: classification, 2 classes: ", done.stderr, re.M)
    assert label, done.stderr
    assert label.end() < done.stderr.index("round ")
    assert "round 40/40" in done.stderr
    assert f"{table}/report.html" in done.stdout
    assert fs.exists(f"{table}/report.html")
    expected.result()
    assert Table(f"{folder}/expected").header(40)["signature"] in done.stdout
    looking = side.submit(look, run, application)
    again = run(*HDL, "attach", application, check=False)
    assert "its end was told before" in again.stderr
    state = looking.result()
    assert (state["report"]["final"], state["page"]) == ("SUCCEEDED", None)
    assert state["report"]["name"] == f"hdl: {table}"


def test_a_running_application_is_shown_its_log_read_and_it_is_killed(run, data, folder, side):
    command = [*HDL, "train", data, "--out", f"{folder}/m", *YARN, *SMALL, *LONG, "--detach"]
    application = run(*command, HDL_FAULT=SLOW).stdout.strip()
    try:
        page = until(run, application, 3)["page"]
        assert page["application"] == application
        assert [worker["worker"] for worker in page["workers"]] == [0, 1]
        assert {worker["host"] for worker in page["workers"]} <= {"localhost", "127.0.0.2"}
        shows = side.submit(run, *HDL, "status", application)
        others = side.submit(run, *HDL, "logs", application, "--worker", "7", check=False)
        logs = run(*HDL, "logs", application, "--worker", "1", check=False)
        assert logs.returncode in (0, 1)
        assert "Traceback" not in logs.stderr
        assert "--worker: expected one of 0, 1" in others.result().stderr
        shown = shows.result().stdout
        assert re.search(r"train: round \d+ of 200000", shown)
        watching = subprocess.Popen([*HDL, "status", application, "--watch"], stdout=subprocess.PIPE, text=True)
    finally:
        assert run(*HDL, "kill", application).stdout == f"killed {application}\n"
    assert application in watching.communicate(timeout=600)[0]
    looking = side.submit(look, run, application)
    assert "was over: killed" in run(*HDL, "kill", application).stdout
    assert looking.result()["report"]["state"] == "KILLED"


@pytest.mark.full  # so ends the training at which test_yarn.py looks
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_application_and_says_how_to_go_on(run, data, folder):
    table = f"{folder}/m"
    command = [*HDL, "train", data, "--out", table, *YARN, *SMALL, *LONG, "--publish-every", "1", "--no-report"]
    client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 600
        # By their names alone: while one is looked into, a training this quick may have thinned it away.
        while max(Table(table).numbers(), default=0) < 2 and client.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        client.send_signal(signal.SIGINT)
        said = client.communicate(timeout=600)[1]
    finally:
        client.kill()
    assert client.returncode == 130, said
    assert re.search(
        r"interrupted; version \d+ is kept. Go on with: hdl train \S+ --out \S+ --resume --runner yarn", said
    )
    reports = json.loads(run(*HDL, "status", "--json").stdout)
    assert next(one for one in reports if one["name"] == f"hdl: {table}")["state"] == "KILLED"


def test_a_master_that_cannot_start_is_told_with_what_it_said(run, data, folder, monkeypatch, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho out of coffee >&2\nexit 9\n")
    python.chmod(0o755)
    monkeypatch.setenv("HDL_NODE_PYTHON", str(python))
    done = run(*HDL, "train", data, "--out", f"{folder}/m", *YARN, *SMALL, check=False)
    assert done.returncode == 6, done.stderr
    assert "out of coffee" in done.stderr
    assert re.search(r"The full log: yarn logs -applicationId application_\d+_\d+", done.stderr)


@pytest.mark.full
def test_yarns_daemons_come_back_and_nothing_is_lost(cluster, run, data, folder):
    """A ResourceManager that restarts, and a NodeManager that is killed: the same master, the same containers."""
    application = run(*HDL, "train", data, "--out", f"{folder}/m", *YARN, *SMALL, *LONG, "--detach").stdout.strip()
    try:
        before = until(run, application, 3)["page"]
        for daemon in ("resourcemanager", "nodemanager1", "nodemanager2"):
            cluster.restart(daemon)
            cluster.wait_ready(120)
            state = until(run, application, before["round"] + 100)
            assert state["report"]["attempt"] == 1
            assert state["page"]["workers"] == [
                {**now, "container": then["container"]}
                for now, then in zip(state["page"]["workers"], before["workers"], strict=True)
            ]
            before = state["page"]
    finally:
        run(*HDL, "kill", application)
