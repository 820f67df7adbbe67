"""Two real Hadoops for all tests of this folder, on loopback.

`cluster` has two DataNodes and two NodeManagers, and asks nobody who they are; this process and what it starts use it.
`secure` has one of each, Kerberos, privacy and encrypted transfer; a process has one realm and one virtual machine, so
tests on it run hdl as commands.

Three users are on the first, as on a company's: HDFS's superuser, as whom the daemons go; an ordinary one, as whom
the tests do; and the one who runs the tests, as whom YARN runs containers, and who may not even look into the others'
folders.
"""

import importlib.util
import os
import re
import shutil
from pathlib import Path

import pytest

from hdl import envpack
from hdl.cluster import kdc, known_as
from hdl.cluster.daemons import Cluster
from tests.ahead import AHEAD, USER
from tests.hadoop.secure import QUICK, Secure, finished

NO_KERBEROS = known_as.why_not() or " and ".join(f"no {tool}" for tool in kdc.TOOLS if not kdc.found(tool))
MISSING = [tool for tool in ("java", "mvn") if not shutil.which(tool)]


def pytest_collection_modifyitems(items):
    here = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in here:  # the first one waits for the cluster, and every job starts a handful of JVMs
        item.add_marker(pytest.mark.timeout(900))
    why = f"no {' and no '.join(MISSING)} on the PATH" if MISSING else ""
    if not importlib.util.find_spec("pydoop"):
        why = why or "no pydoop: ./build.sh hadoop"
    for item in here:
        if why or (NO_KERBEROS and "secure" in item.fixturenames):
            item.add_marker(pytest.mark.skip(reason=why or NO_KERBEROS))


@pytest.fixture(scope="session")
def cluster(pytestconfig):
    """A running cluster; this process and what it starts use it, as an ordinary user."""
    started = Cluster.load(pytestconfig.stash[AHEAD].get("cluster"))
    started.add_user(USER)
    started.own("/tests", USER)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUICK, **started.environment(USER)}.items():
            patch.setenv(name, value)
        yield started


@pytest.fixture(scope="session")
def secure(pytestconfig):
    """A running cluster with Kerberos; nothing of this process uses it, but what is run by `secure.run`."""
    return Secure(Cluster.load(pytestconfig.stash[AHEAD].get("secure")))


@pytest.fixture(scope="session")
def run(cluster):
    """`run("hadoop", "fs", …)`: the finished command; a failing one fails the test with what it said."""

    def run(*command, seconds=600, check=True, **environment):
        return finished(command, cluster.root, os.environ | environment, seconds, check)

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


@pytest.fixture
def data(folder):
    """A CSV on HDFS, of a few samples."""
    from tests.hadoop.runners import put_csv

    return put_csv(f"{folder}/data")


@pytest.fixture(scope="session")
def packed(pytestconfig):
    """The packed environment, here."""
    return pytestconfig.stash[AHEAD].get("packed")


@pytest.fixture(scope="session")
def archive(cluster, packed):
    """The packed environment on HDFS: nodes have nothing else of hdl."""
    return envpack.upload(packed)
