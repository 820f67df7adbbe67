"""What a driver keeps on HDFS while it lives: closed to others, kept while it is stopped, gone after kill -9."""

import os
import signal
import subprocess
import sys

import pytest

from hdl import fs, identity
from hdl.hdfs_java import Java
from hdl.runners.hadoop import JOBS
from hdl.runners.working_folder import WorkingFolder
from tests.hadoop.runners import put_csv

# Opens a runner as a training does: data that is not numbered like the shards is copied. No job is needed for that.
DRIVER = """
import sys
from hdl import data, fs
from hdl.runners.base import Job
from hdl.runners.streaming import StreamingRunner
source = data.open_source(sys.argv[1])
with StreamingRunner(python="python3") as runner:
    runner.open(Job(sys.argv[1], sys.argv[1], None, source.options), source.splits(3), lambda event: None)
    print(runner._work, flush=True)
    for name in sys.stdin:
        print(runner._put(name.strip(), b"1"), flush=True)
"""


@pytest.fixture
def driver(cluster, folder):
    """A driver that has opened a dataset of 700, and its working folder."""
    path = put_csv(f"{folder}/data")
    fs.mkdir(path, private=True)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", DRIVER, path], **pipes) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def test_a_copy_of_the_data_is_closed_and_outlives_its_driver_by_no_start(cluster, run, driver):
    process, work = driver
    parts = [name for name in fs.list(work) if name.startswith("part-")]
    assert parts == ["part-00000", "part-00001", "part-00002"]
    for path in (work, *(fs.join(work, name) for name in fs.list(work))):
        assert not Java().info(path).mode & 0o077, path
    refused = run("hadoop", "fs", "-cat", f"{work}/part-00000", check=False, HADOOP_USER_NAME="bob")
    assert "Permission denied: user=bob" in refused.stderr
    assert not refused.stdout

    def next_driver():
        folder = WorkingFolder(fs.join(identity.home(), JOBS))
        folder.close()

    os.kill(process.pid, signal.SIGSTOP)
    next_driver()
    os.kill(process.pid, signal.SIGCONT)
    process.stdin.write("woken\n")
    process.stdin.flush()
    assert process.stdout.readline().strip() == f"{work}/woken"
    assert fs.exists(f"{work}/part-00002")
    process.kill()
    process.wait()
    assert fs.exists(work)
    next_driver()
    assert not fs.exists(work)
