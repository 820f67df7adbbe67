"""A session on a real cluster: one application for several commands, whose bytes and measures are the local ones."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from hdl.table import Table
from tests.hadoop.runners import put_csv
from tests.hadoop.yarn_jobs import DEADLINE, HDL, NET, SMALL

TRAIN = ["--epochs", "3", "--validation", "0.2", "--shards", "2", "--no-report", *NET]


@pytest.fixture(scope="module")
def data(cluster):
    yield put_csv("hdfs:///tests/session/data")
    fs.remove("hdfs:///tests/session")


@pytest.fixture
def done(cluster, tmp_path):
    """Carry a command out; returns what it printed."""
    environment = {"HDL_NODE_PYTHON": sys.executable, **os.environ, "XDG_STATE_HOME": str(tmp_path)}

    def run(*words):
        ended = subprocess.run([*HDL, *map(str, words)], env=environment, text=True, capture_output=True,
                               timeout=DEADLINE, stdin=subprocess.DEVNULL, check=False)  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

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
