"""Shared by the tests of the Hadoop runners: small datasets on HDFS, runners by name, a training in one call."""

import time

import numpy as np
import pytest

from hdl import driver, fs
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

pytest.importorskip("pydoop", reason="no pydoop: ./build.sh hadoop")
from hdl.runners.mapreduce import MapReduceRunner
from hdl.runners.streaming import StreamingRunner

RUNNERS = {"mapreduce": MapReduceRunner, "streaming": StreamingRunner}
QUIET = {"mapreduce.map.speculative": "false", "mapreduce.reduce.speculative": "false"}
MODES = {
    "gradient": {"sync": {"mode": "gradient"}, "optimizer": "adam", "validation": 0.2},
    "average": {"optimizer": "momentum", "dropout": 0.2, "validation": 0.2, "metric": "auc"},
    "genetic": {"sync": {"mode": "genetic", "genetic": {"fitness_samples": 20}}, "optimizer": "sgd", "validation": 0.2},
    "ensemble": {"members": 2, "optimizer": "adam", "validation": 0.2},
}


def put_csv(folder, n=90, parts=4, bad=None):
    """A folder on HDFS with a CSV file a shard, named by its number; the first one has the columns' names.

    Lines are not equally long, so that the shards are not what an even cut of the bytes would give.
    """
    rng = np.random.default_rng(0)
    lines = [",".join(f"{v:.{1 + i % 5}f}" for v in (*rng.normal(size=3) + i % 2, i % 2)) for i in range(n)]
    if bad is not None:
        lines[bad] = "1,x,3,0"
    fs.mkdir(folder)
    for number in range(parts):
        text = "\n".join(lines[number * n // parts : (number + 1) * n // parts]) + "\n"
        fs.publish(f"{folder}/part-{number:05d}.csv", (("a,b,c,class\n" if not number else "") + text).encode())
    return folder


def all_hosts(path, copies):
    """The hosts of a file's first block, once DataNodes have told of so many copies: a moment after it is there."""
    deadline = time.monotonic() + 300
    while len(hosts := fs.hosts(path, 0, 1)) < copies:
        assert time.monotonic() < deadline, hosts
        time.sleep(0.1)
    return hosts


def train(data, table, runner, resume=False, on_event=None, **fields):
    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, **fields})
    job = Job(data, table, None if resume else spec, resume=resume)
    return driver.train(job, runner, on_event)


def local(data, table, **fields):
    return train(data, table, LocalRunner(1), **fields)


def signatures(table):
    """SHA-256 of the versions' weights."""
    return {number: Table(table).header(number)["signature"] for number in Table(table).numbers()}
