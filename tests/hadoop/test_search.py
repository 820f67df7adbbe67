"""`hdl search` whose trials train on a real cluster: the local table of results, on whatever a worker dies."""

import os
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import fs
from tests.hadoop.runners import put_csv
from tests.hadoop.yarn_jobs import DEADLINE, HDL, NET, SMALL

# Three trials of one round, the best of which goes on to its end: a trial that pauses where the driver is the master.
ASKED = ["--trials", "3", "--scheduler", "halving", "--param", "lr=log:1e-3,1e-1", "--param", "optimizer=adam,nesterov",
         "--epochs", "3", "--validation", "0.2", "--metric", "auc", "--no-report", *NET]  # fmt: skip


@pytest.fixture(scope="module")
def data(cluster):
    yield put_csv("hdfs:///tests/search/data")
    fs.remove("hdfs:///tests/search")


def search(data, out, *flags, fault=""):
    """Run a search; returns its table of results without times, and what it said."""
    environment = {"HDL_NODE_PYTHON": sys.executable, **os.environ, "HDL_FAULT": fault}
    ended = subprocess.run([*HDL, "search", data, "--out", out, *ASKED, *flags], env=environment, text=True,
                           capture_output=True, timeout=DEADLINE, stdin=subprocess.DEVNULL, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    with fs.open(fs.join(out, "search.parquet")) as file:
        return pq.read_table(file).drop_columns(["seconds"]), ended.stderr


@pytest.fixture(scope="module")
def local(data, tmp_path_factory):
    found, _ = search(data, str(tmp_path_factory.mktemp("local") / "s"), "--workers", "1")
    rows = found.to_pylist()
    assert sorted(row["rounds"] for row in rows) == [1, 1, 3]
    assert [row["state"] for row in rows].count("stopped") == 2
    return found


# tests/runner/test_yarn_session.py has searches by an application's workers, who die; test_session.py has it on YARN.
@pytest.mark.full
@pytest.mark.parametrize("fault", ["", "computing:0:1:1:KILL"], ids=["whole", "a worker killed"])
def test_trials_on_yarn_give_the_local_table(data, local, folder, fault):
    found, said = search(data, f"{folder}/s", "--runner", "yarn", "--workers", "2", *SMALL, fault=fault)
    assert found.equals(local)
    assert ("worker 1 died" in said) == bool(fault)
