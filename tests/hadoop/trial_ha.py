"""Trials on a cluster of pairs of masters, each in a process of its own, beside pytest's, whose HDFS is another one.

    python -m tests.hadoop.trial_ha CLUSTER TRIAL …

Each kills a master at a point of its own, and prints a line of JSON.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from hdl import fs
from hdl.cluster import ha
from hdl.cluster.daemons import Cluster
from hdl.table import Table
from tests.hadoop.yarn_jobs import HDL, NET, Training, applications

SECONDS = 240.0
KILL_AT = {"yarn": 3, "mapreduce": 1, "streaming": 1}  # version in the table when the master is killed
QUICK = ["--publish-every", "1"]


def train(cluster, runner, kind, data, table, rounds):
    """Train; kill the active master of a kind once some versions are there. `-` kills none, on any cluster."""
    before, took = (ha.active(cluster, kind), 0.0) if kind != "-" else ("", 0.0)
    flags = ["--epochs", rounds]
    if runner == "yarn":
        training = Training(data, table, *flags)
        if before:
            training.reach(KILL_AT[runner])
            took = kill(cluster, before)
        status, out, said = training.end(SECONDS)
    else:
        with started([*HDL, "train", data, "--out", table, "--runner", runner, "--no-report", *NET, *flags]) as client:
            if before:
                until(lambda: client.poll() is not None or in_the_middle(table, KILL_AT[runner]))
                took = kill(cluster, before)
            out, said = client.communicate(timeout=SECONDS)
        status = client.returncode
    assert status == 0, f"{out}\n{said}"
    version = Table(table).read()
    pauses = [after["time"] - row["time"] for row, after in pairwise(version.rows)]
    rows = [{name: value for name, value in row.items() if name not in ("seconds", "time")} for row in version.rows]
    return {
        "signature": version.signature, "rows": rows, "said": said, "killed": before, "takeover": round(took, 1),
        "pause": round(max(pauses, default=0.0), 1), "round": round(sorted(pauses)[len(pauses) // 2], 1),
    }  # fmt: skip


def submit(cluster, data, table, rounds):
    """Submit at the moment when no ResourceManager is active."""
    before = ha.active(cluster, "resourcemanager")
    cluster.kill(before)
    assert not ha.active(cluster, "resourcemanager")
    words = ["train", data, "--out", table, "--runner", "yarn", "--workers", "2", "--worker-memory", "512m",
             "--master-memory", "640m", "--no-report", *QUICK, *NET, "--epochs", rounds]  # fmt: skip
    began = time.monotonic()
    with started([*HDL, *words]) as client:
        out, said = client.communicate(timeout=SECONDS)
    assert client.returncode == 0, f"{out}\n{said}"
    seconds = round(time.monotonic() - began, 1)
    return {"signature": Table(table).read().signature, "killed": before, "seconds": seconds}


def read(cluster, folder):
    """Read one file and publish another while the NameNode is killed that knows of both."""
    content = bytes(range(256)) * 8192
    fs.mkdir(folder)
    fs.publish(f"{folder}/whole", content)
    file = fs.open(f"{folder}/whole")
    half = file.read(len(content) // 2)
    before = ha.active(cluster, "namenode")

    def write(target):
        target.write(content[:1000])
        target.flush()
        cluster.kill(before)
        target.write(content[1000:])

    began = time.monotonic()
    fs.publish(f"{folder}/half", write)
    seconds = time.monotonic() - began
    rest = file.read()
    taken = False
    try:
        fs.publish(f"{folder}/half", b"again")
    except FileExistsError:
        taken = True
    with fs.open(f"{folder}/half") as published:
        same = published.read() == content
    return {"read": half + rest == content, "published": same, "taken": taken, "names": fs.list(folder),
            "killed": before, "active": ha.active(cluster, "namenode"), "seconds": round(seconds, 1)}  # fmt: skip


@contextmanager
def started(command):
    """Start a command; none outlives the trial."""
    environment = {"HDL_NODE_PYTHON": sys.executable, **os.environ}
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=environment, start_new_session=True) as client:
        try:
            yield client
        except BaseException:
            os.killpg(client.pid, signal.SIGKILL)
            raise


def in_the_middle(table, version):
    """Tell whether a round's job runs after the version was published."""
    there = max(Table(table).numbers(), default=-1) >= version
    return there and any(each["state"] == "RUNNING" for each in applications())


def kill(cluster, name):
    """Kill the active master; return the seconds until another one is active."""
    began = time.monotonic()
    cluster.kill(name)
    until(lambda: ha.active(cluster, name.rstrip("12")) not in ("", name), 60)
    return time.monotonic() - began


def until(good, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not good():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[2]](Cluster.load(Path(sys.argv[1])), *sys.argv[3:])))
