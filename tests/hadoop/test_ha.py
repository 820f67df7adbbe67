"""A pair of NameNodes and of ResourceManagers, of which the active one is killed with SIGKILL, as an ordinary user.

The trials run in processes of their own (`trial_ha`), as pytest's Java knows the other cluster. Each prints what it
cost; the table in docs/yarn.md is made of that.
"""

import json
import os
from pathlib import Path

import pytest

from tests.hadoop import own_cluster

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

KINDS = ("namenode", "resourcemanager")
DATA = "hdfs://HdlPair/tests/data"
ROUNDS = {"yarn": 60, "mapreduce": 3, "streaming": 3}
PUT = f"""
from hdl import fs
from tests.hadoop.runners import put_csv
if not fs.exists({DATA!r}):
    put_csv({DATA!r})
"""
pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of pairs, with a user who is nobody on it."""
    with own_cluster.started("HDL_TEST_HA_CLUSTER", tmp_path_factory.mktemp("ha") / "cluster", ha=True) as it:
        it.own("/tests", own_cluster.USER)
        yield it


@pytest.fixture(scope="module")
def run(cluster):
    """`run(*words)`: Python with those words, as the user, on the cluster, when it has ended."""
    return lambda *words, check=True: own_cluster.python(cluster, words, check)


@pytest.fixture
def trial(cluster, run):
    """`trial(name, …)`: what a trial of `trial_ha` says; who was killed runs again afterwards."""
    ended = [name for name, daemon in cluster.daemons.items() if not daemon.alive]
    for name in ended:
        cluster.restart(name)
    cluster.wait_ready(300)

    def trial(*words):
        out = run("-m", "tests.hadoop.trial_ha", str(cluster.root), *map(str, words)).stdout
        answer = json.loads(out.splitlines()[-1])
        print(words[:3], {key: answer[key] for key in answer if key not in ("rows", "said", "signature")})
        return answer

    return trial


@pytest.fixture(scope="module")
def expected(run, cluster, tmp_path_factory):
    """`expected(rounds)`: what the local runner makes of the same data."""
    known = {}
    run("-c", PUT)

    def expected(rounds):
        if rounds not in known:
            table = tmp_path_factory.mktemp("local") / "model"
            out = run(
                "-m", "tests.hadoop.trial_ha", str(cluster.root), "train", "local", "-", DATA, str(table), str(rounds)
            )
            known[rounds] = json.loads(out.stdout.splitlines()[-1])
        return known[rounds]

    return expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("runner", ROUNDS)
def test_the_active_master_is_killed_in_the_middle_of_a_training(trial, expected, runner, kind):
    rounds = ROUNDS[runner]
    wanted = expected(rounds)
    got = trial("train", runner, kind, DATA, f"hdfs:///tests/{runner}-{kind}-{os.getpid()}", rounds)
    assert got["signature"] == wanted["signature"]
    assert got["rows"] == wanted["rows"]
    assert got["killed"].startswith(kind)
    for word in ("died", "goes on from", "going on from", "Traceback"):  # nobody is replaced, no round is done again
        assert word not in got["said"], got["said"]


@pytest.mark.parametrize("client", ["native", "libhdfs"])
def test_a_file_is_read_and_another_published_while_the_namenode_is_killed(trial, monkeypatch, client):
    if client == "native":
        pytest.importorskip("hdfs_native")
    monkeypatch.setenv("HDL_HDFS", client)
    got = trial("read", f"hdfs:///tests/read-{client}-{os.getpid()}")
    assert got["read"]
    assert got["published"]
    assert got["taken"]
    assert got["names"] == ["half", "whole"]
    assert got["active"] not in ("", got["killed"])


def test_all_promises_are_kept_by_hdfs_native(run, monkeypatch):
    pytest.importorskip("hdfs_native")
    here = Path(__file__).parents[2]
    monkeypatch.setenv("HDL_HDFS", "native")
    monkeypatch.setenv("HDL_TRIAL_FOLDER", f"hdfs://HdlPair/tests/promises-{os.getpid()}")
    run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "--rootdir", str(here), "-c",
        str(here / "pyproject.toml"), str(here / "tests/hadoop/trial_hdfs.py"))  # fmt: skip


def test_a_training_is_submitted_while_no_resource_manager_is_active(trial, expected):
    got = trial("submit", DATA, f"hdfs:///tests/submitted-{os.getpid()}", 3)
    assert got["signature"] == expected(3)["signature"]


def test_names_are_hadoops(cluster, run, trial):
    look = "import sys; from hdl import fs; print(fs.list(sys.argv[1]))"
    assert "part-00000.csv" in run("-c", look, DATA).stdout
    assert "part-00000.csv" in run("-c", look, DATA.replace("HdlPair", "")).stdout
    assert "part-00000.csv" in run("-c", look, DATA.replace("hdfs:", "webhdfs:")).stdout
    for wrong, right in (("hdlpair", "expected hdfs://HdlPair"), ("HdlPair:8020", "takes no port")):
        done = run("-m", "hdl", "inspect", f"hdfs://{wrong}/model", check=False)
        assert done.returncode != 0
        assert right in done.stderr
        assert "at org.apache" not in done.stderr
