"""A session on a real cluster: one application for several commands, whose bytes and measures are the local ones."""

import json
import os
import re
import shlex
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from hdl.table import Table
from hdl.yarn.client import client
from tests.hadoop.runners import put_csv
from tests.hadoop.yarn_jobs import DEADLINE, HDL, NET, SMALL

SEARCH = ["--trials", "6", "--param", "lr=log:1e-3,1e-1", "--epochs", "200", "--validation", "0.2", "--no-report", *NET]
TRAIN = ["--epochs", "3", "--validation", "0.2", "--shards", "2", "--no-report", *NET]


@pytest.fixture(scope="module")
def data(cluster):
    yield put_csv("hdfs:///tests/session/data")
    fs.remove("hdfs:///tests/session")


@pytest.fixture
def done(cluster, tmp_path):
    """Carry a command out; returns what it printed."""
    environment = {"HDL_NODE_PYTHON": sys.executable, **os.environ, "XDG_STATE_HOME": str(tmp_path)}

    def begin(*words, program=HDL):
        return subprocess.Popen([*program, *map(str, words)], env=environment, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    def run(*words, program=HDL):
        process = begin(*words, program=program)
        out, err = process.communicate(timeout=DEADLINE)
        assert process.returncode == 0, err
        return out

    run.begin = begin

    yield run
    for one in json.loads(run("session", "list", "--json")):
        run("session", "stop", one["name"])


def test_one_application_trains_and_measures_as_without_a_session(done, data, folder, tmp_path):
    done("train", data, "--out", tmp_path / "local", *TRAIN)
    done("session", "start", "--runner", "yarn", "--workers", "2", *SMALL)
    for name in ("a", "b"):
        done("train", data, "--out", f"{folder}/{name}", *TRAIN, "--session", "yarn")
    tables = [Table(str(tmp_path / "local")), Table(f"{folder}/a"), Table(f"{folder}/b")]
    assert len({table.header(table.latest())["signature"] for table in tables}) == 1
    measured = [done("evaluate", f"{folder}/a", data, "--json", *who) for who in ([], ["--session", "yarn"])]
    assert measured[0] == measured[1]
    (session,) = json.loads(done("session", "list", "--json"))
    assert session["done"] == 3
    assert [kept["data"] for kept in session["kept"]] == [data]
    running = {one["application"] for one in json.loads(done("status", "--json"))}
    assert session["application"] in running
    done("session", "stop", "yarn")
    assert json.loads(done("session", "list", "--json")) == []


FITS = """
import sys, joblib
from hdl import MLPClassifier
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_validate
with joblib.parallel_config(*sys.argv[1:2]):
    net = MLPClassifier((5,), max_iter=20, early_stopping=True, random_state=1)
    found = cross_validate(net, *load_iris(return_X_y=True), cv=4, return_estimator=True, error_score="raise")
print([one._weights.w.tobytes().hex() for one in found["estimator"]], found["test_score"].tolist())
"""


def test_workers_that_come_and_go_train_and_fit_to_the_same_bytes(done, data, folder, tmp_path):
    done("train", data, "--out", tmp_path / "local", *TRAIN)
    done("session", "start", "--runner", "yarn", "--workers", "1:2", *SMALL)
    fitted = [done("-W", "ignore", "-c", FITS, *backend, program=[sys.executable]) for backend in (["hdl"], [])]
    assert fitted[0] == fitted[1]
    (session,) = json.loads(done("session", "list", "--json"))
    assert session["done"] == 4
    assert not fs.glob(f"{fs.join(client.staging(session['application']), 'fits-*')}")
    done("train", data, "--out", f"{folder}/a", *TRAIN, "--session", "yarn")
    tables = [Table(str(tmp_path / "local")), Table(f"{folder}/a")]
    assert len({table.header(table.latest())["signature"] for table in tables}) == 1


def results(out):
    """The table of results of a search, without times."""
    with fs.open(fs.join(str(out), "search.parquet")) as file:
        return pq.read_table(file).drop_columns(["seconds"])


@pytest.mark.full  # tests/runner/test_session.py has it of this machine's, test_yarn_session.py there of workers
def test_a_search_goes_on_to_its_table_in_a_session_that_is_started_again(done, data, folder, tmp_path):
    done("search", data, "--out", tmp_path / "local", *SEARCH, "--workers", "1")
    start = ["session", "start", "--runner", "yarn", "--workers", "2", *SMALL]
    done(*start)
    (session,) = json.loads(done("session", "list", "--json"))
    search = done.begin("search", data, "--out", f"{folder}/s", *SEARCH, "--session", "yarn")
    until = time.monotonic() + DEADLINE
    while search.poll() is None and time.monotonic() < until and not fs.exists(f"{folder}/s/trial0001"):
        time.sleep(0.1)
    done("kill", session["application"])  # its master is gone
    _, err = search.communicate(timeout=DEADLINE)
    assert search.returncode == 6, err
    (said,) = re.findall(r"hdl: error: (.*)", err)
    assert f"session 'yarn' has ended: {session['application']} killed" in said
    again, on = re.search(r"Start it again with: (hdl session start .*); then --resume goes on: (.*)", said).groups()
    done(*shlex.split(again)[1:])
    done(*shlex.split(on)[1:])
    assert results(f"{folder}/s").equals(results(tmp_path / "local"))
