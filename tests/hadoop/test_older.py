"""The older Hadoop that we support: a training by each runner, with the local runner's bytes."""

import os
import re
import sys

import numpy as np
import pytest

from hdl.cluster import assemble
from hdl.cluster.daemons import Cluster

pytestmark = pytest.mark.full
OLDER = [version for version in assemble.VERSIONS if version != assemble.DEFAULT_VERSION]
HDL = [sys.executable, "-m", "hdl"]


@pytest.fixture(scope="module", params=OLDER)
def older(cluster, request, tmp_path_factory):
    """The environment of a cluster of that version, for commands: this process holds on to its own cluster."""
    started = Cluster.start(
        tmp_path_factory.mktemp("older") / "c", version=request.param, datanodes=2, nodemanagers=2,
        superuser=cluster.superuser, seconds=600,
    )  # fmt: skip
    started.own("/older", os.environ["HADOOP_USER_NAME"])
    yield started.environment()
    started.stop(purge=True)


def test_both_runners_train_on_it_to_the_local_runners_bytes(run, older, tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / "data").mkdir()
    for number in range(3):
        x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
        lines = [",".join(map(str, (*row, label))) + "\n" for row, label in zip(x.round(4), y, strict=True)]
        (tmp_path / f"data/part-{number:05d}.csv").write_text("".join(lines))
    run("hadoop", "fs", "-put", tmp_path / "data", "/older/data", **older)
    archive = run(*HDL, "env", "pack", "--upload", **older).stdout.strip()
    signatures = {}
    for runner in "local", "mapreduce", "streaming":
        said = run(*HDL, "train", "hdfs:///older/data", "--out", f"hdfs:///older/{runner}", "--runner", runner,
                   "--shards", 3, "--net", "3-8-2", "--epochs", 2, "--validation", 0.2, "--no-report", "--quiet",
                   HDL_NODE_ARCHIVE=archive, **older).stdout  # fmt: skip
        signatures[runner] = re.search(r"sha256\s+(\w{64})", said)[1]
    assert signatures["mapreduce"] == signatures["streaming"] == signatures["local"]
