"""Trainings on nodes without any Python: the packed environment brings it, and says so where a node cannot run it."""

import sys

import pytest

from hdl import fs
from hdl.table import Table
from tests.hadoop import no_python

HDL = [sys.executable, "-m", "hdl"]
SHARDS = 2
FLAGS = ["--label", "odd", "--net", "2-5-2", "--recipe", "plain", "--epochs", 2, "--seed", 3, "--no-report"]

pytestmark = pytest.mark.skipif(not no_python.possible(), reason="no mount namespaces: unshare --mount")


@pytest.fixture
def numbers(folder):
    """Files of numbers on HDFS that every runner reads as they are, a shard each."""
    fs.mkdir(f"{folder}/data")
    for shard in range(SHARDS):
        rows = [f"{n % 7},{n % 5},{'yes' if n % 2 else 'no'}" for n in range(shard * 50, shard * 50 + 60)]
        fs.publish(f"{folder}/data/part-{shard:05d}.csv", "\n".join(["a,b,odd", *rows, ""]).encode())
    return folder


def train(run, folder, runner, name, *flags, **options):
    shards = ["--workers", SHARDS] if runner == "yarn" else []
    command = [
        *HDL,
        "train",
        f"{folder}/data",
        "--out",
        f"{folder}/{name}",
        *FLAGS,
        "--shards",
        SHARDS,
        *shards,
        *flags,
    ]
    return run(*command, "--runner", runner, seconds=400, **options)


@pytest.mark.parametrize("runner", ["yarn", pytest.param("streaming", marks=pytest.mark.full),
                                    pytest.param("mapreduce", marks=pytest.mark.full)])  # fmt: skip
def test_a_node_needs_no_python(run, numbers, archive, tmp_path, runner):
    began = tmp_path / "began"
    hidden = no_python.script(tmp_path / "python", f"echo >>{began}\n")
    train(run, numbers, "local", "here")
    train(run, numbers, runner, "there", HDL_NODE_PYTHON=str(hidden), HDL_NODE_ARCHIVE=archive)
    assert Table(f"{numbers}/there").read().signature == Table(f"{numbers}/here").read().signature
    assert len(began.read_text()) >= SHARDS  # all of the containers' Python was that one


@pytest.mark.full
@pytest.mark.parametrize("runner", ["yarn", "streaming"])
def test_a_node_that_cannot_run_it_is_one_sentence(run, numbers, archive, tmp_path, runner):
    (tmp_path / "getconf").write_text("#!/bin/sh\necho glibc 2.17\n")
    (tmp_path / "getconf").chmod(0o755)
    old = no_python.script(tmp_path / "python", f"PATH={tmp_path}:$PATH\n")
    done = train(run, numbers, runner, "never", check=False, HDL_NODE_PYTHON=str(old), HDL_NODE_ARCHIVE=archive)
    assert done.returncode == 6
    assert "cannot run the packed environment: its glibc is 2.17, and what was packed asks for" in done.stderr
    assert "--python names one that is on the nodes" in done.stderr
    assert "Traceback" not in done.stderr
    assert "exitCode" not in done.stderr
    assert not Table(f"{numbers}/never").numbers()
