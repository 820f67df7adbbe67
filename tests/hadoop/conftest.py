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
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hdl import envpack
from hdl.cluster import config
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


MINE = os.environ.get("HDL_TEST_CLUSTER")  # the folder of a cluster that runs, while tests are written


class Ahead:
    """The cluster and the packed environment, made by threads while tests that come before, and need neither, run."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="hdl-tests-"))
        self.pool = ThreadPoolExecutor(2)
        self.cluster = None if MINE else self.pool.submit(
            Cluster.start, self.folder / "cluster", datanodes=2, nodemanagers=2, superuser=SUPERUSER, seconds=600
        )  # fmt: skip
        (self.folder / "env").mkdir()
        self.packed = self.pool.submit(envpack.pack, self.folder / "env")

    def end(self):
        self.pool.shutdown(cancel_futures=True)
        if self.cluster and not self.cluster.cancelled() and not self.cluster.exception():
            self.cluster.result().stop(purge=True)
        shutil.rmtree(self.folder, ignore_errors=True)


AHEAD = pytest.StashKey[Ahead]()


@pytest.hookimpl(trylast=True)  # when it is known which tests are run
def pytest_collection_finish(session):
    skipped = [item for item in session.items if item.get_closest_marker("skip")]
    here = {item for item in session.items if "cluster" in item.fixturenames} - {*skipped}
    if here and not session.config.option.collectonly:
        session.config.stash[AHEAD] = Ahead()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    if ahead := session.config.stash.get(AHEAD, None):
        ahead.end()


@pytest.fixture(scope="session")
def cluster(pytestconfig):
    """A running cluster; this process and what it starts use it, as an ordinary user."""
    started = Cluster.load(Path(MINE)) if MINE else pytestconfig.stash[AHEAD].cluster.result()
    started.add_user(USER)
    started.own("/tests", USER)
    quick = {name: " ".join(config.QUICK_JAVA) for name in ("HADOOP_CLIENT_OPTS", "LIBHDFS_OPTS")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**started.environment(), **quick, "HADOOP_USER_NAME": USER}.items():
            patch.setenv(name, value)
        yield started


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
def packed(cluster, pytestconfig):
    """The packed environment, here."""
    return pytestconfig.stash[AHEAD].packed.result()


@pytest.fixture(scope="session")
def plain_python():
    """A Python of our version outside of our environment, as a node has it."""
    return str(Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info))


@pytest.fixture(scope="session")
def archive(cluster, packed):
    """The packed environment on HDFS: nodes have nothing else of hdl."""
    return envpack.upload(packed)
