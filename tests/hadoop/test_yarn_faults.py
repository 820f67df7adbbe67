"""The application's fault matrix on a real cluster: the bytes of a run without faults, in seconds, and nothing left.

Each prints a line of JSON with what it cost; the table in docs/yarn.md is made of them.
"""

import json
import os
import re
import signal
import sys
import time
from contextlib import suppress

import psutil
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from tests.hadoop.runners import local, put_csv
from tests.hadoop.yarn_jobs import Training, daemon_of, processes, report

ROUNDS = 15
# Of a rank other than 0, which the others wait for first, where it makes a difference.
WORKERS = {
    "a worker, loading": "loading:0:1:1:KILL",
    "a worker, computing": "computing:3:2:1:KILL",
    "a worker, sending": "sending:3:0:1:KILL",
    "a worker, waiting": "waiting:3:3:1:KILL",
    "a worker, publishing": "publishing:3:0:1:KILL",
    "the same rank twice": "sending:3:1:2:KILL",
    "over its memory once": "computing:3:1:1:MEMORY",
}
MASTERS = {
    "the master, mid-round": "waiting:3:-1:1:KILL",
    "the master, publishing": "publishing:3:-1:1:KILL",
}
CHEAP = ("a worker, computing", "the master, mid-round")
TIMES = 3


def runs(names):
    """Each three times in full; of the cheap ones the first is in every suite."""
    return [
        pytest.param(name, marks=() if name in CHEAP and time == 0 else pytest.mark.full, id=f"{name} {time + 1}")
        for name in names
        for time in range(TIMES)
    ]


def thrice(test):
    return pytest.mark.full(pytest.mark.parametrize("again", range(TIMES))(test))


@pytest.fixture(scope="module")
def data(cluster):
    yield put_csv("hdfs:///tests/yarn-faults/data")
    fs.remove("hdfs:///tests/yarn-faults")


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    """`expected(rounds)`: the local runner's (signature, rows)."""
    known = {}

    def expected(rounds):
        if rounds not in known:
            outcome = local(data, str(tmp_path_factory.mktemp("local") / "model"), epochs=rounds)
            known[rounds] = result(outcome.table)
        return known[rounds]

    return expected


def result(table):
    """Read the last version's signature, and the rows without times."""
    from hdl.table import Table

    version = Table(table).read()
    rows = [{k: v for k, v in row.items() if k not in ("seconds", "time")} for row in version.rows]
    return version.signature, rows


@pytest.fixture
def train(data, folder, expected):
    """`train(fault)` begins a training; `train.ends(name)` sees it end well. None outlives the test."""
    begun = []

    class Train:
        def __call__(self, fault="", *flags, rounds=ROUNDS, **more):
            self.rounds = rounds
            begun.append(Training(data, f"{folder}/model", "--epochs", str(rounds), *flags, fault=fault, **more))
            return begun[-1]

        def ends(self, name):
            """The training ends with the bytes that it should, and nothing is left; what the client said."""
            training = begun[-1]
            status, out, said = training.end()
            assert status == 0, said
            signature, rows = expected(self.rounds)
            assert result(training.table.path) == (signature, rows)
            assert signature in out
            assert training.gone()
            cost = {"fault": name, "seconds": round(training.recovery(), 1), "lost": lost(said)}
            print(json.dumps(cost))
            assert cost["lost"] <= 1
            return said

    yield Train()
    for training in begun:
        training.kill()


def lost(said):
    """Count the finished rounds that had to be done again: those after the version from which training went on.

    Every fault here is met in round 3 (from 0), when three are done.
    """
    versions = re.findall(r"(?:goes|going) on from version (\d+)", said)
    return max((3 - int(version) for version in versions), default=0)


def died(said):
    return re.findall(r"^worker (\d) died", said, re.MULTILINE)


@pytest.mark.parametrize("fault", runs(WORKERS))
def test_a_worker_is_replaced_and_no_byte_changes(train, fault):
    training = train(WORKERS[fault])
    rank = WORKERS[fault].split(":")[2]
    said = train.ends(fault)
    assert died(said) == [rank] * (2 if "twice" in fault else 1), said
    assert report(training.application)["finalStatus"] == "SUCCEEDED"
    assert ("GB of" in said or "memory" in said.lower()) == ("memory" in fault), said


@thrice
def test_all_workers_are_replaced_and_training_goes_on_from_the_last_version(train, again):
    train("sending:3:*:1:KILL")
    said = train.ends("all workers")
    assert sorted(died(said)) == ["0", "1", "2", "3"], said


@pytest.mark.parametrize("fault", runs(MASTERS))
def test_a_master_comes_back_to_its_workers(train, fault):
    train(MASTERS[fault])
    said = train.ends(fault)
    assert re.search(r"attempt 2 of the master goes on from version \d+ with 4 of 4 workers that were there", said)
    assert not died(said)


HALF = """
import os, signal, sys
from hdl.yarn.resource_manager import java
java.start()
from hdl.hdfs import Hdfs
take = Hdfs._take
def dying(self, temporary, path):
    if "/v00000003." in path and "_01_" in os.environ["CONTAINER_ID"]:
        os.kill(os.getpid(), signal.SIGKILL)
    take(self, temporary, path)
Hdfs._take = dying
from hdl.yarn.master.master import main
main()
"""


@thrice
def test_a_version_that_is_half_written_when_the_master_dies_is_written_again(train, tmp_path, again):
    """Between the last byte under a temporary name and the rename."""
    half, python = tmp_path / "half.py", tmp_path / "python"
    half.write_text(HALF)
    python.write_text(
        "#!/bin/bash\n"
        f'if [[ $3 == hdl.yarn.master ]]; then exec {node_python()} -P {half} "$4"; fi\nexec {node_python()} "$@"\n'
    )
    for file in (half, python):
        file.chmod(0o755)
    training = train(HDL_NODE_PYTHON=str(python))
    said = train.ends("the master, half a version written")
    assert "attempt 2 of the master goes on from version 2 with 4 of 4 workers" in said
    assert any(name.startswith(".v00000003.safetensors") for name in fs.list(training.table.path))


def node_python():
    return os.environ.get("HDL_NODE_PYTHON", sys.executable)


@thrice
def test_a_worker_that_slept_too_long_ends_when_it_wakes(train, cluster, again):
    """Its NodeManager sleeps too, and so does not end it: it has to see by itself that it was replaced."""
    training = train("computing:3:1:1:STOP", "--worker-timeout", "3")
    sleeper = training.until(lambda: stopped(training.application))
    node = daemon_of(sleeper)
    cluster.kill(node, signal.SIGSTOP)
    try:
        training.reach(5)  # another one has its place
        assert sleeper.status() == psutil.STATUS_STOPPED
        sleeper.send_signal(signal.SIGCONT)
        sleeper.wait(10)
    finally:
        with suppress(psutil.NoSuchProcess):
            sleeper.send_signal(signal.SIGCONT)
        cluster.kill(node, signal.SIGCONT)
    said = train.ends("SIGSTOP past the timeout of 3 s, then SIGCONT")
    assert died(said) == ["1"]
    assert "no sign of life for 3 s" in said


def stopped(application):
    """Find a worker that is stopped; None while there is none."""
    for process in processes(application, "hdl.yarn.worker"):
        with suppress(psutil.NoSuchProcess):
            if process.status() == psutil.STATUS_STOPPED:
                return process
    return None


@thrice
def test_a_worker_killed_for_its_memory_twice_stops_the_run_with_the_figures(train, again):
    training = train("computing:3:1:2:MEMORY")
    status, _, said = training.end()
    assert status == 6, said
    assert re.search(r"worker 1 on \S+ \(shards \[1\]\) was killed for its memory twice, with 512 MiB: .* GB of", said)
    assert "--worker-memory asks for more" in said
    assert f"yarn logs -applicationId {training.application}" in said
    assert training.table.read().number == 3  # what was done before stays
    assert training.gone()


@pytest.mark.full
@pytest.mark.parametrize("again", range(TIMES))
@pytest.mark.parametrize("daemon", ["nodemanager1", "nodemanager2", "resourcemanager"])
def test_a_daemon_of_yarn_restarts_and_nobody_is_replaced(train, cluster, daemon, again):
    training = train(rounds=60)
    training.reach(3)
    before = {process.pid for process in processes(training.application)}
    cluster.restart(daemon)
    after = {process.pid for process in processes(training.application)}
    cluster.wait_ready(120)
    assert after == before
    said = train.ends(f"{daemon} restarts")
    assert not died(said)
    assert report(training.application)["finalStatus"] == "SUCCEEDED"


@thrice
def test_a_datanode_is_killed(train, cluster, again):
    training = train(rounds=60)
    training.reach(3)
    cluster.kill("datanode2")
    try:
        assert not died(train.ends("a DataNode is killed"))
    finally:
        cluster.restart("datanode2")
        cluster.wait_ready(300)


@thrice
def test_safe_mode_is_waited_for(train, admin, again):
    training = train(rounds=60)
    training.reach(3)
    began = time.monotonic()
    admin("safemode", "enter")
    try:
        time.sleep(10)
    finally:
        admin("safemode", "leave")
    train.ends(f"safe mode for {time.monotonic() - began:.0f} s")
