"""The application on a real cluster: the local runner's bytes for any number of workers, place, page, words."""

import json
import os
import pty
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from hdl.table import Table
from tests.hadoop.runners import MODES, local, put_csv, signatures
from tests.hadoop.secure import SLOW
from tests.hadoop.yarn_jobs import HDL, Training, get, report

FLAGS = {
    "gradient": ["--sync", "gradient", "--optimizer", "adam", "--validation", "0.2"],
    "gradient-lbfgs": ["--sync", "gradient", "--optimizer", "lbfgs", "--validation", "0.2"],
    "average": ["--optimizer", "momentum", "--dropout", "0.2", "--validation", "0.2", "--metric", "auc"],
    "genetic": ["--sync", "genetic", "--fitness-samples", "20", "--optimizer", "sgd", "--validation", "0.2"],
}
FIELDS = MODES | {"gradient-lbfgs": {"sync": {"mode": "gradient"}, "optimizer": "lbfgs", "validation": 0.2}}
FIELDS = {
    mode: fields | {"holdout": {"stratified": True}} for mode, fields in FIELDS.items()
}  # as the command line has it


@pytest.fixture(scope="module")
def data(cluster):
    yield put_csv("hdfs:///tests/yarn/data")
    fs.remove("hdfs:///tests/yarn")


@pytest.fixture
def train(folder):
    """`train(data, *flags)` begins a training; none outlives the test."""
    begun = []

    def train(data, *flags, **more):
        begun.append(Training(data, f"{folder}/model-{len(begun)}", *flags, **more))
        return begun[-1]

    yield train
    for training in begun:
        training.kill()


def done(training):
    """End a training well, with nothing left over; returns its standard output and error."""
    status, out, said = training.end()
    assert status == 0, said
    assert training.gone()
    return out, said


# --- the same bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.full  # test_every_column.py has two workers among four runners, test_yarn_faults.py four
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("mode", FLAGS)
def test_one_two_and_four_workers_give_the_local_runners_bytes(data, train, tmp_path, mode, workers):
    table = str(tmp_path / "local")
    local(data, table, **FIELDS[mode])
    training = train(data, "--epochs", "3", *FLAGS[mode], workers=workers)
    done(training)
    assert signatures(training.table.path) == signatures(table)
    assert len(signatures(table)) >= 4


@pytest.mark.full
def test_a_training_is_resumed_to_the_bytes_of_one_that_was_not_stopped(data, train, tmp_path):
    table = str(tmp_path / "local")
    local(data, table, epochs=6, optimizer="momentum")
    first = train(data, "--epochs", "3", "--optimizer", "momentum", workers=2)
    done(first)
    resumed = Training(data, first.table.path, "--resume", "--epochs", "6", workers=1)
    _, said = done(resumed)
    assert "6 rounds, from version 3" in said
    assert Table(first.table.path).header(6)["signature"] == Table(table).header(6)["signature"]


# --- asynchronous -----------------------------------------------------------------------------------------------------


@pytest.mark.full  # tests/runner/test_yarn_here.py has it without daemons
@pytest.mark.parametrize("fault", ["", "computing:3:1:1:KILL"], ids=["whole", "one lost"])
def test_async_ends_within_what_average_reaches_and_tells_how_far_workers_were_apart(folder, train, tmp_path, fault):
    # Long enough for a lost worker's place to be filled long before the others are through. Who has lost the others for
    # a while is alone with its samples: as many as it takes to learn what all of them tell.
    data = put_csv(f"{folder}/data", n=12000)
    flags = ["--sync", "async", "--sync-equal", "125", "--optimizer", "momentum", "--lr", "0.001", "--epochs", "1250"]
    training = train(data, *flags, "--validation", "0.2", fault=fault)
    _, said = done(training)
    assert len(re.findall(r"^worker 1 died", said, re.MULTILINE)) == bool(fault)
    rows = [row for row in training.table.read().rows if not row["final"]]
    assert len(rows) == 10
    for row in rows:
        progress = row["async"]
        assert progress["lag"] == max(progress["rounds"]) - min(progress["rounds"])
        assert progress["staleness"] >= 0
    assert rows[-1]["async"]["merged"] > 0
    average = {"optimizer": {"name": "momentum", "lr": 0.001}, "epochs": 25, "validation": 0.2, "sync": {"every": 5}}
    others = [
        local(data, str(tmp_path / f"average-{seed}"), seed=seed, **average).rows[-1]["val_accuracy"]
        for seed in (1, 2, 3)
    ]
    spread = max(others) - min(others) + 0.02  # of two thousand samples
    assert training.table.read().rows[-1]["val_accuracy"] >= min(others) - spread


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.full  # tests/runner has workers' errors with their places, test_yarn_apps.py the way to the log
def test_a_bad_sample_arrives_with_file_line_application_and_the_way_to_the_log(folder, train):
    data = put_csv(f"{folder}/data", bad=50)
    training = train(data, "--epochs", "3", workers=2)
    status, out, said = training.end()
    assert (status, out) == (3, "")
    place = r"part-00002\.csv:6: column 2 \('b'\): 'x' is not a number"
    assert re.search(rf"(?s){place}.*\({training.application}; the full log: yarn logs -applicationId", said), said
    assert training.table.numbers() == []
    assert training.gone()
    assert report(training.application)["finalStatus"] == "FAILED"


def test_a_file_cut_short_is_told_with_its_byte_before_anything_is_submitted(folder, train):
    """MNIST's four files; the header of the first promises more than there is."""
    for subset, missing in (("train", 7), ("t10k", 0)):
        images = b"\0\0\x08\3" + np.array([100, 4, 4], ">i4").tobytes() + bytes(100 * 16 - missing)
        labels = b"\0\0\x08\1" + np.array([100], ">i4").tobytes() + bytes(100)
        fs.publish(f"{folder}/{subset}-images-idx3-ubyte", images)
        fs.publish(f"{folder}/{subset}-labels-idx1-ubyte", labels)
    training = train(folder, "--epochs", "3", workers=2)
    status, _, said = training.end()
    assert (status, training.application) == (3, "")
    promised = r"the header promises 100x4x4 of uint8 \(1616 bytes\); the file has 1609"
    assert re.search(rf"train-images-idx3-ubyte at byte 1609: {promised}", said), said
    assert training.table.numbers() == []


@pytest.mark.full  # tests/runner/test_yarn_here.py names them too, test_yarn_resources.py what is too much
def test_workers_that_the_cluster_has_no_room_for_are_named_with_what_is_free(data, train):
    flags = ["--epochs", "3", "--worker-memory", "3g", "--gather-timeout", "3"]
    training = train(data, *flags)
    status, _, said = training.end()
    assert status == 7, said
    wanted = r"workers \d(?:, \d)* of 4 have not come within 3 s: each asks for 3072 MiB, 1 vcores; the cluster could "
    assert re.search(wanted + r"still give \d+ MiB and \d+ vcores are free", said), said
    assert training.application in said
    assert training.table.numbers() == []
    assert training.gone()


# --- one that runs ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(cluster, run, ctrl_c):
    """A training that goes on and on, over four files of one replica each; at its end Ctrl-C ends it well."""
    data = put_csv("hdfs:///tests/yarn-running/data")
    run("hadoop", "fs", "-setrep", 1, data)
    deadline = time.monotonic() + 300
    while any(len(fs.hosts(path, 0, 1)) != 1 for path in fs.glob(f"{data}/*")):  # -w would look every 10 s
        assert time.monotonic() < deadline
        time.sleep(0.2)
    flags = ["--epochs", "200000", "--validation", "0.2"]
    training = Training(data, "hdfs:///tests/yarn-running/model", *flags, fault=SLOW)
    try:
        training.reach(5)
        yield training
    finally:
        training.client.send_signal(signal.SIGINT)
        status, _, said = training.end()
        training.kill()
        fs.remove("hdfs:///tests/yarn-running")
    assert status == 130, said
    assert re.search(
        r"interrupted; version \d+ is kept. Go on with: hdl train \S+ --out \S+ --resume --runner ya", said
    )
    assert training.gone()
    assert report(training.application)["state"] == "KILLED"


def status(training):
    return json.loads(get(report(training.application)["trackingUrl"].rstrip("/") + "/status.json"))


def test_workers_run_beside_the_only_replica_of_their_shard(running):
    workers = status(running)["workers"]
    assert [worker["shards"] for worker in workers] == [[0], [1], [2], [3]]
    for worker in workers:
        path = f"hdfs:///tests/yarn-running/data/part-{worker['worker']:05d}.csv"
        (host,) = fs.hosts(path, 0, 1)
        assert worker["host"] == host


def ask(url, method="GET"):
    """Status, headers and body of an answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    body = b"x" if method in ("POST", "PUT", "PATCH") else None
    try:
        with opener.open(urllib.request.Request(url, data=body, method=method), timeout=120) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def test_the_page_is_shown_by_yarns_proxy_and_takes_no_orders(running):
    url = report(running.application)["trackingUrl"].rstrip("/") + "/"
    code, headers, page = ask(url)
    assert code == 200
    assert headers["Content-Type"].startswith("text/html")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert running.application in page
    assert "hdfs:///tests/yarn-running/data" in page
    assert page.count("/node/containerlogs/container_") == 4  # a link to each worker's log
    shown = json.loads(ask(url + "status.json")[2])
    assert shown["state"] == "running"
    assert shown["round"] > 0
    assert shown["facts"]["net"] == "3-5-2"
    for method in ("POST", "PUT", "DELETE"):
        for name in ("", "status.json", "kill"):
            assert ask(url + name, method)[0] in (403, 405), (method, name)
    assert status(running)["state"] == "running"


def test_status_watch_shows_the_same_on_a_terminal_and_goes_on(running):
    terminal, other = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110", "LINES": "40"}
    command = [*HDL, "status", running.application, "--watch"]
    watching = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
    os.close(other)
    shown, until = "", time.monotonic() + 300
    try:
        while len(set(re.findall(r"train: round (\d+) of 200000", shown))) < 3:
            assert time.monotonic() < until, shown[-2000:]
            shown += os.read(terminal, 4096).decode(errors="replace")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) in (0, 130, -signal.SIGINT)
    finally:
        watching.kill()
        os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(rf"{running.application}\s+running", plain)
    assert re.search(r"worker\s+host\s+shards\s+state\s+seconds", plain)
    assert "val. accuracy" in plain
    assert status(running)["state"] == "running"  # who stops watching stops nothing
