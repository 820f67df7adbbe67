"""The client of YARN without Java beside Hadoop's own: the same weights, refusals and ends; only one starts Java."""

import json
import re
import sys

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")
pytest.importorskip("hdfs_native", reason="no hdfs-native: pip install hdfs-native")

from hdl.table import Table
from tests.hadoop.runners import put_csv
from tests.hadoop.test_yarn_resources import HAS_NOT, REFUSED

CLIENTS = ("native", "java")
HDL = [sys.executable, "-m", "hdl"]
# `hdl`, which says as it ends whether Java has been in its process.
WATCHED = """
import sys
from hdl import quick
leave = quick.leave
def told(status):
    print("Java:", "/libjvm.so" in open("/proc/self/maps").read(), file=sys.stderr)
    leave(status)
quick.leave = told
from hdl.__main__ import main
main()
"""
KILL = """
import sys
from hdl.yarn.client import client
client.kill(sys.argv[1])
print(client.report(sys.argv[1]).state, "/libjvm.so" in open("/proc/self/maps").read())
"""
FLAGS = ["--runner", "yarn", "--workers", "2", "--shards", "4", "--net", "0-5-0", "--batch", "8", "--seed", "3",
         "--worker-memory", "512m", "--master-memory", "640m", "--no-report"]  # fmt: skip


@pytest.fixture
def train(run, folder, monkeypatch):
    """`train(client, *flags)`: a finished training whose client is one of `CLIENTS`, and whether it has had Java."""
    monkeypatch.setenv("HDL_NODE_PYTHON", sys.executable)
    data = put_csv(f"{folder}/data")

    def train(client, *flags, **environment):
        command = [sys.executable, "-P", "-c", WATCHED, "train", data, "--out", f"{folder}/{client}", *FLAGS, *flags]
        done = run(*command, check=False, HDL_YARN=client, **environment)
        (had,) = re.findall(r"^Java: (True|False)$", done.stderr, re.M)
        return done, had == "True"

    return train


def test_both_train_to_the_same_bytes_and_one_of_them_without_java(folder, train):
    signatures = set()
    for client in CLIENTS:
        done, had = train(client, "--epochs", "3")
        assert done.returncode == 0, done.stderr
        assert had is (client == "java")
        assert "round 3/3" in done.stderr
        assert "no live progress" not in done.stderr  # the page was read
        signatures.add(Table(f"{folder}/{client}").header(3)["signature"])
    assert len(signatures) == 1


def test_one_that_runs_is_killed_without_java(run, train):
    done, had = train("native", "--epochs", "200000", "--detach")
    assert (done.returncode, had) == (0, False), done.stderr
    said = run(sys.executable, "-c", KILL, done.stdout.strip(), HDL_YARN="native").stdout
    assert said == "KILLED False\n"


@pytest.mark.parametrize("user", ["", "mallory"])
def test_both_are_refused_in_the_same_words(run, cluster, user):
    """Settings that no cluster has, and a user whom this one does not let submit."""
    asked = json.dumps([fields for fields, _ in HAS_NOT] if not user else [{}])
    more = {"HADOOP_USER_NAME": user} if user else {}
    said = [json.loads(run(sys.executable, "-c", REFUSED, asked, HDL_YARN=client, **more).stdout) for client in CLIENTS]
    assert said[0] == said[1]
    assert "submitted" not in said[0]
