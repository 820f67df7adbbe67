"""GPUs asked of a real YARN that counts some: the requests that arrive, and what is said where they cannot be met."""

import re
import subprocess
import sys

import numpy as np
import pytest

from hdl.cluster.daemons import Cluster

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")
pytestmark = pytest.mark.full  # a cluster of its own

SUPERUSER, USER = "hdfs", "ada"
DATA = "hdfs:///gpus/data.csv"
SMALL = ["--net", "0-4-0", "--epochs", "1", "--worker-memory", "512m", "--master-memory", "640m", "--no-report"]


@pytest.fixture(scope="module")
def gpus(tmp_path_factory):
    """A cluster of two nodes, each of which says that it has one GPU."""
    started = Cluster.start(
        tmp_path_factory.mktemp("gpus"), nodemanagers=2, memory=3072, gpus=1, superuser=SUPERUSER, seconds=600
    )
    started.add_user(USER)
    started.own("/gpus", USER)
    yield started
    started.stop(purge=True)


@pytest.fixture(scope="module")
def call(gpus):
    """`call(*command)`: the finished command, as a user of the cluster; CUDA finds no GPU, whatever there is."""
    common = {"HDL_NODE_PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "HADOOP_USER_NAME": USER}

    def call(*command, **environment):
        words = [str(word) for word in command]
        return subprocess.run(
            words, env={**gpus.environment(), **common, **environment}, cwd=gpus.root, capture_output=True, text=True
        )

    rng = np.random.default_rng(0)
    np.savetxt(gpus.root / "data.csv", np.c_[rng.normal(size=(40, 3)), np.arange(40) % 2], delimiter=",")
    done = call("hadoop", "fs", "-put", gpus.root / "data.csv", DATA)
    assert done.returncode == 0, done.stderr
    return call


@pytest.fixture
def train(call, request):
    """`train(workers, *flags)`: `hdl train` on YARN, with a table of its own."""

    def train(workers, *flags, **environment):
        table = f"hdfs:///gpus/{request.node.name.replace('[', '-').replace(']', '')}"
        command = [sys.executable, "-m", "hdl", "train", DATA, "--out", table, "--runner", "yarn", *SMALL]
        done = call(*command, "--workers", workers, *flags, **environment)
        there = call("hadoop", "fs", "-test", "-e", table).returncode == 0
        return done, there

    return train


def granted(gpus):
    """The GPUs of each container that the ResourceManager has granted, as its log tells."""
    log = (gpus.root / "logs" / "resourcemanager.log").read_text()
    grants = re.findall(
        r"AM Allocated Container.*CONTAINERID=(\S+)\s+RESOURCE=<memory:512, vCores:1(?:, yarn.io/gpu: (\d+))?>", log
    )
    return {name: int(count or 0) for name, count in grants}


@pytest.mark.parametrize(("flags", "count"), [(["--worker-gpus", "1"], 1), ([], 0)], ids=["one", "none"])
def test_each_worker_gets_what_it_asks_for(gpus, train, flags, count):
    before = granted(gpus)
    done, there = train(2, *flags)
    assert done.returncode == 0, done.stderr
    assert there
    assert [granted(gpus)[name] for name in granted(gpus).keys() - before.keys()] == [count, count]


def test_a_gpu_that_no_worker_can_use_ends_the_run_and_nothing_is_written(gpus, train):
    before = granted(gpus)
    done, there = train(2, "--device", "cuda")
    assert (done.returncode, there) == (8, False), done.stderr
    assert re.search(r"hdl: error: device cuda, on \S+: .+ \(application_\d+_\d+; the full log: yarn logs", done.stderr)
    assert {granted(gpus)[name] for name in granted(gpus).keys() - before.keys()} == {1}


def test_auto_takes_the_cpu_for_all_and_says_so(train):
    done, there = train(2, "--device", "auto", "--worker-gpus", "1")
    assert (done.returncode, there) == (0, True), done.stderr
    assert re.search(r"device auto: the CPU, as there is no GPU to use on worker 0 \(\S+\), worker 1 \(", done.stderr)


def test_too_few_gpus_are_told_with_those_that_are_left(train):
    done, _ = train(3, "--worker-gpus", "1", "--gather-timeout", "10")
    assert done.returncode == 7
    wanted = r"each asks for 512 MiB, 1 vcores, 1 GPUs; the cluster could still give \d+ MiB and \d+ vcores and 0 GPUs"
    assert re.search(wanted, done.stderr), done.stderr


def test_more_gpus_than_a_node_has_are_refused(train):
    done, _ = train(1, "--worker-gpus", "2")
    assert done.returncode == 2
    assert "--worker-gpus: given 2; a container of this cluster has at most 1" in done.stderr


def test_a_configuration_without_gpus_is_told(gpus, train, tmp_path):
    for path in gpus.conf.glob("*"):
        (tmp_path / path.name).write_text(path.read_text().replace("<name>yarn.resource-types<", "<name>unknown<"))
    done, _ = train(1, "--device", "cuda", HADOOP_CONF_DIR=str(tmp_path))
    assert done.returncode == 2
    assert "has no resource type yarn.io/gpu" in done.stderr
