"""`hdl evaluate` on a cluster: every runner's figures are the local ones, to the last digit."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from hdl import fs
from tests.hadoop.runners import put_csv

HDL = [sys.executable, "-m", "hdl"]
FLAGS = {"local": ["--workers", 2], "mapreduce": ["--workers", 2], "streaming": []}
if find_spec("jpype") and find_spec("zmq"):
    FLAGS["yarn"] = ["--workers", 2, "--worker-memory", "512m", "--master-memory", "640m"]


@pytest.fixture(scope="module")
def trained(cluster, run):
    """A network's table and its data, both on HDFS; the data in two parts."""
    data, model = put_csv("hdfs:///tests/measuring/data", 360, parts=2), "hdfs:///tests/measuring/model"
    fields = ["--net", "0-5-0", "--epochs", 30, "--batch", 8, "--lr", 0.01, "--no-report", "--quiet"]
    run(*HDL, "train", data, "--out", model, *fields)
    yield model, data
    fs.remove("hdfs:///tests/measuring")


def evaluate(run, archive, model, data, name, *flags, **more):
    command = [*HDL, "evaluate", model, data, "--runner", name, *FLAGS[name], *flags]
    return run(*command, HDL_NODE_ARCHIVE=archive, seconds=400, **more)


# tests/runner/test_measuring.py has every runner's figures without daemons; on them test_secure_runners.py has a job
# that goes through data, and test_session.py an application that measures.
@pytest.mark.full
@pytest.mark.parametrize(
    ("runners", "explained"),
    [
        pytest.param({*FLAGS} - {"streaming"}, {"local", "yarn"}, id="usual"),
        pytest.param({*FLAGS}, {*FLAGS}, id="all"),
    ],
)
def test_every_runner_measures_the_same_to_the_last_digit(run, archive, trained, runners, explained):
    importance = ["--importance", "--importance-rows", 200, "--repetitions", 2]

    def one(name):
        asked = ["--json", "--curves", *(importance if name in explained else [])]
        return name, json.loads(evaluate(run, archive, *trained, name, *asked).stdout)

    with ThreadPoolExecutor(4) as pool:
        found = dict(pool.map(one, sorted(runners)))
    local = found["local"]
    assert local["samples"] == 360
    assert local["metrics"]["auc"] > 0.7
    assert local["curves"]["roc"]
    assert local["effects"]["rows"] == 200
    assert len(local["effects"]["dependence"]) == 3
    for name in runners:
        expected = {key: value for key, value in local.items() if key != "effects" or name in explained}
        assert found[name] == expected, name


@pytest.mark.parametrize("name", [*(name for name in FLAGS if name != "local")])
@pytest.mark.full
def test_bad_records_of_all_parts_end_it_with_their_places(run, archive, trained, folder, name):
    model, _ = trained
    data = put_csv(f"{folder}/bad", bad=50)
    done = evaluate(run, archive, model, data, name, check=False)
    assert done.returncode == 3
    assert "part-00002.csv:6: column 2 ('b'): 'x' is not a number" in done.stderr
    done = evaluate(run, archive, model, data, name, "--max-bad-records", 1, "--json")
    assert json.loads(done.stdout)["bad_records"] == 1


@pytest.mark.full
def test_a_task_without_our_python_is_told_with_what_it_said(run, trained):
    command = [*HDL, "evaluate", *trained, "--runner", "mapreduce"]
    done = run(*command, HDL_NODE_PYTHON="/no-such-python", check=False, seconds=400)
    assert done.returncode == 6
    assert "no-such-python" in done.stderr
