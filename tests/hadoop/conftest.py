"""One real Hadoop for all tests of this folder: two DataNodes and two NodeManagers on loopback, purged at the end.

Three users are on it, as on a company's: HDFS's superuser, as whom the daemons go; an ordinary one, as whom the tests
do; and the one who runs the tests, as whom YARN runs containers, and who may not even look into the others' folders.
"""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hdl import envpack
from hdl.cluster.daemons import Cluster

SUPERUSER, USER = "hdfs", "ada"
MISSING = [tool for tool in ("java", "mvn") if not shutil.which(tool)]


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:  # the first one waits for the cluster, and every job starts a handful of JVMs
        item.add_marker(pytest.mark.timeout(900))
    why = f"no {' and no '.join(MISSING)} on the PATH" if MISSING else ""
    if not importlib.util.find_spec("pydoop"):
        why = why or "no pydoop: ./build.sh hadoop"
    if why:
        for item in here:
            item.add_marker(pytest.mark.skip(reason=why))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running cluster; this process and what it starts use it, as an ordinary user."""
    mine = os.environ.get("HDL_TEST_CLUSTER")  # the folder of one that runs, while tests are written
    if mine:
        started = Cluster.load(Path(mine))
    else:
        started = Cluster.start(
            tmp_path_factory.mktemp("cluster"), datanodes=2, nodemanagers=2, superuser=SUPERUSER, seconds=600
        )
    started.add_user(USER)
    started.own("/tests", USER)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**started.environment(), "HADOOP_USER_NAME": USER}.items():
            patch.setenv(name, value)
        yield started
    if not mine:
        started.stop(purge=True)


@pytest.fixture(scope="session")
def run(cluster):
    """`run("hadoop", "fs", …)`: the finished command; a failing one fails the test with what it said."""

    def run(*command, seconds=600, check=True, **environment):
        words = [str(word) for word in command]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # A session of its own: the client behind a script is a JVM, which outlives the script that is killed.
        with subprocess.Popen(
            words, **pipes, env=os.environ | environment, cwd=cluster.root, start_new_session=True
        ) as child:
            try:
                out, err = child.communicate(timeout=seconds)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)
                raise
        done = subprocess.CompletedProcess(words, child.returncode, out, err)
        if check and done.returncode:
            pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
        return done

    return run


@pytest.fixture(scope="session")
def admin(cluster, run):
    """`admin("safemode", "enter")`: a command of `hdfs dfsadmin`, by the superuser."""

    def admin(command, *arguments):
        run("hdfs", "dfsadmin", f"-{command}", *arguments, HADOOP_USER_NAME=cluster.superuser)

    return admin


@pytest.fixture
def folder(cluster, request):
    """A folder of the test's own on HDFS."""
    from hdl import fs

    path = f"hdfs:///tests/{re.sub(r'[^a-z0-9_]+', '-', request.node.name).strip('-')}"
    fs.mkdir(path)
    yield path
    fs.remove(path)


@pytest.fixture(scope="session")
def packed(tmp_path_factory):
    """The packed environment, here."""
    return envpack.pack(tmp_path_factory.mktemp("env"))


@pytest.fixture(scope="session")
def plain_python():
    """A Python of our version outside of our environment, as a node has it."""
    return str(Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info))


@pytest.fixture(scope="session")
def archive(cluster, packed):
    """The packed environment on HDFS: nodes have nothing else of hdl."""
    return envpack.upload(packed)
