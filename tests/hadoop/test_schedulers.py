"""Other schedulers, labels, opportunistic containers and a node without disk, on a cluster of this module's own.

Its daemons are started again with another configuration, so no other test may share it.
"""

import ctypes
import os
import re
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import driver
from hdl.cluster import launch
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.hadoop import own_cluster

pytestmark = pytest.mark.full
SPEC = {"net": "0-5-0", "shards": 4, "epochs": 4, "batch": 8, "seed": 3}
FLAGS = ["--net", "0-5-0", "--shards", "4", "--epochs", "4", "--batch", "8", "--seed", "3", "--recipe", "plain",
         "--worker-memory", "512m", "--master-memory", "640m", "--publish-every", "1", "--no-report"]  # fmt: skip
NODES = "nodemanager1", "nodemanager2"
FAILED = r"transitioned from \w+ to (?:EXITED_WITH_FAILURE|LOCALIZATION_FAILED)"  # of a container, in a node's log
NODE_PYTHON = os.environ.get("HDL_NODE_PYTHON", sys.executable)
RUN = uuid.uuid4().hex[:8]  # the cluster may be one that another run had
ROOT = "yarn.scheduler.capacity.root"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("schedulers") / "cluster"
    with own_cluster.started("HDL_TEST_SCHEDULER_CLUSTER", folder, users=(own_cluster.USER,)) as cluster:
        yield cluster


@pytest.fixture
def configure(cluster):
    """A function that sets properties of a site file and starts daemons again; the test's end takes all of it back."""
    before = {path: path.read_text() for path in cluster.conf.glob("*.xml")}
    touched = set()

    def configure(daemons, site="yarn-site", **properties):
        path = cluster.conf / f"{site}.xml"
        names = {name.replace("__", "-").replace("_", "."): value for name, value in properties.items()}
        added = "".join(f"<property><name>{n}</name><value>{v}</value></property>" for n, v in names.items())
        path.write_text(path.read_text().replace("</configuration>", f"{added}</configuration>"))
        touched.update(daemons)
        for daemon in daemons:
            restart(cluster, daemon)
        cluster.wait_ready(180)

    yield configure
    for path, text in before.items():
        path.write_text(text)
    for daemon in sorted(touched):
        restart(cluster, daemon)
    cluster.wait_ready(180)


def restart(cluster, daemon):
    """Start a daemon again, and wait until a NodeManager has registered: the configuration has been read by then."""
    before = len(log(cluster, daemon))
    cluster.restart(daemon)
    until = time.monotonic() + 120
    while daemon.startswith("node") and "Registered with ResourceManager" not in log(cluster, daemon)[before:]:
        assert time.monotonic() < until, daemon
        time.sleep(0.2)


def log(cluster, daemon):
    """Read a daemon's log, to which each of its starts appends."""
    return (cluster.root / "logs" / f"{daemon}.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def data(cluster, tmp_path_factory):
    """A CSV file here and on HDFS, and the local runner's SHA-256."""
    rng = np.random.default_rng(0)
    lines = [",".join(f"{v:.3f}" for v in (*rng.normal(size=3) + i % 2, i % 2)) for i in range(90)]
    here = tmp_path_factory.mktemp("data") / "data.csv"
    here.write_text("\n".join(["a,b,c,class", *lines, ""]))
    there = f"/user/{own_cluster.USER}/data-{RUN}.csv"
    words = "import sys; from hdl import fs; fs.publish(sys.argv[1], open(sys.argv[2], 'rb').read())"
    own_cluster.python(cluster, ["-c", words, f"hdfs://{there}", str(here)])
    outcome = driver.train(Job(str(here), str(here.parent / "model"), parse(SPEC)), LocalRunner(1))
    return f"hdfs://{there}", Table(outcome.table).header()["signature"]


@pytest.fixture
def train(cluster, data, monkeypatch, request):
    """A function that trains with flags to the local runner's SHA-256; returns what was said."""
    monkeypatch.setenv("HDL_NODE_PYTHON", NODE_PYTHON)

    def train(*flags, workers=2, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        path, signature = data
        table = f"hdfs:///user/{own_cluster.USER}/{request.node.name}-{uuid.uuid4().hex[:8]}"
        words = ["-m", "hdl", "train", path, "--out", table, "--runner", "yarn", "--workers", str(workers), *FLAGS]
        done = own_cluster.python(cluster, [*words, *flags])
        assert signature in done.stdout, done.stderr
        print(done.stderr)
        return done.stderr

    return train


def test_the_fair_scheduler(configure, train):
    scheduler = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fair.FairScheduler"
    configure(["resourcemanager"], yarn_resourcemanager_scheduler_class=scheduler)
    train("--queue", "root.default", HDL_FAULT="computing:2:1:1:KILL")


def test_labels_of_the_capacity_scheduler(cluster, configure, train):
    labels = {
        "yarn_node__labels_enabled": "true",
        "yarn_node__labels_fs__store_root__dir": f"file://{cluster.root}/labels",
    }
    properties = {
        f"{ROOT}.accessible-node-labels": "fast", f"{ROOT}.accessible-node-labels.fast.capacity": 100,
        f"{ROOT}.default.accessible-node-labels": "fast", f"{ROOT}.default.accessible-node-labels.fast.capacity": 100,
        f"{ROOT}.default.accessible-node-labels.fast.maximum-capacity": 100,
        f"{ROOT}.accessible-node-labels.fast.maximum-am-resource-percent": 0.8,
        f"{ROOT}.default.accessible-node-labels.fast.maximum-am-resource-percent": 0.8,
    }  # fmt: skip
    path = cluster.conf / "capacity-scheduler.xml"
    added = "".join(f"<property><name>{n}</name><value>{v}</value></property>" for n, v in properties.items())
    path.write_text(path.read_text().replace("</configuration>", f"{added}</configuration>"))
    configure(["resourcemanager"], **labels)
    launch.administer(cluster, "rmadmin", "-addToClusterNodeLabels", "fast")
    launch.administer(cluster, "rmadmin", "-replaceLabelsOnNode", "127.0.0.2=fast")
    said = train("--node-label", "fast", "--worker-memory", "512m", HDL_FAULT="computing:2:@localhost:9:ENOSPC")
    assert "died" not in said  # nobody ran on the other node
    said = train("--node-label", "", HDL_FAULT="computing:2:@127.0.0.2:9:ENOSPC")
    assert "died" not in said


def test_opportunistic_containers(cluster, configure, train):
    configure(
        ["resourcemanager", "nodemanager1", "nodemanager2"],
        yarn_resourcemanager_opportunistic__container__allocation_enabled="true",
        yarn_nodemanager_opportunistic__containers__max__queue__length=10,
    )
    before = [len(log(cluster, node)) for node in NODES]
    train("--opportunistic", HDL_FAULT="computing:2:1:1:KILL")
    logs = "".join(log(cluster, node)[start:] for node, start in zip(NODES, before, strict=True))
    assert len({*re.findall(r"Opportunistic container (container_\w+) will be queued", logs)}) == 3  # one died


def test_variables_of_the_container_runtime_arrive(train, tmp_path):
    """YARN's default executor takes no notice of them; what is seen here is that containers have them."""
    python, seen = tmp_path / "python", tmp_path / "seen"
    python.write_text(
        f'#!/bin/bash\necho "$3 $YARN_CONTAINER_RUNTIME_DOCKER_IMAGE $MINE" >> {seen}\nexec {NODE_PYTHON} "$@"\n'
    )
    python.chmod(0o755)
    tmp_path.chmod(0o755)
    train("--container-env", "MINE=a b", HDL_NODE_PYTHON=str(python), YARN_CONTAINER_RUNTIME_DOCKER_IMAGE="us/image:1")
    assert sorted(seen.read_text().split("\n")[:-1]) == [
        "hdl.yarn.master us/image:1 a b", "hdl.yarn.worker us/image:1 a b", "hdl.yarn.worker us/image:1 a b",
    ]  # fmt: skip


@pytest.fixture
def full_disk(cluster, configure):
    """The second node's folders for containers on a disk of 8 MB, which is full.

    The first node has room for the master and one worker, the second one for a worker alone.
    """
    configure(["nodemanager1"], yarn_nodemanager_resource_memory__mb=1200)
    configure(["nodemanager2", "resourcemanager"], yarn_nodemanager_resource_memory__mb=600)
    folder = cluster.root / "data" / "nodemanager2" / "local"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, b"size=8m,mode=755"):
        pytest.skip("a small disk is a mount, which only root may make")
    try:
        restart(cluster, "nodemanager2")
        with suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
            while rest.write(bytes(1 << 12)):
                pass
        yield folder / "rest"
    finally:
        cluster.kill("nodemanager2")
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)


def test_a_node_whose_disk_is_full_is_avoided_and_tried_again(cluster, train, full_disk):
    """Nobody else has room: once its disk has some again it is tried before its time, and the training ends well."""
    before = len(log(cluster, "nodemanager2"))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(train, "--gather-timeout", "60")
        until = time.monotonic() + 120
        while not (done.done() or re.search(FAILED, log(cluster, "nodemanager2")[before:]) or time.monotonic() > until):
            time.sleep(0.1)
        full_disk.unlink()
        said = done.result(400)
    print(*re.findall(f".*{FAILED}.*", log(cluster, "nodemanager2")[before:]), sep="\n")
    assert len(re.findall(r"node 127\.0\.0\.2 is avoided for 60 s: ", said)) == 1, said
    assert "no other node has given a container for 20 s: 127.0.0.2 is tried before the time" in said
