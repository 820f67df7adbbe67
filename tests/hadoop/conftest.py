"""Two real Hadoops for all tests of this folder, of two DataNodes and two NodeManagers on loopback each.

`cluster` asks nobody who they are; this process and what it starts use it. `secure` has Kerberos, privacy and encrypted
transfer; a process has one realm and one virtual machine, so tests on it run hdl as commands.

Three users are on the first, as on a company's: HDFS's superuser, as whom the daemons go; an ordinary one, as whom
the tests do; and the one who runs the tests, as whom YARN runs containers, and who may not even look into the others'
folders.
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
from hdl.cluster import config, kdc, known_as
from hdl.cluster.config import kerberos
from hdl.cluster.daemons import Cluster
from tests.ahead import AHEAD, USER

SECURE_USERS = ("ada", "bob", kerberos.GATEWAY)
QUICK = {name: " ".join(config.QUICK_JAVA) for name in ("HADOOP_CLIENT_OPTS", "LIBHDFS_OPTS")}
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


def finished(command, folder, environment, seconds, check):
    """Run a command to its end; a failing one fails the test with what it said."""
    words = [str(word) for word in command]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A session of its own: the client behind a script is a JVM, which outlives the script that is killed.
    with subprocess.Popen(words, **pipes, env=environment, cwd=folder, start_new_session=True) as child:
        try:
            out, err = child.communicate(timeout=seconds)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
    done = subprocess.CompletedProcess(words, child.returncode, out, err)
    if check and done.returncode:
        pytest.fail(f"{command} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}")
    return done


class Secure:
    """A running cluster with Kerberos, seen by one of its ordinary users at a time."""

    def __init__(self, cluster):
        self.cluster, self.realm = cluster, kerberos.REALM
        for user in SECURE_USERS:
            cluster.add_user(user)

    def environment(self, user="ada"):
        """Return the whole environment of a command of that user's, who has a new ticket; None: of nobody's."""
        names = {*QUICK, "HADOOP_USER_NAME", "KRB5CCNAME"}
        outer = {name: value for name, value in os.environ.items() if name not in names}
        made = self.cluster.environment(user)
        quick = {**QUICK, "LIBHDFS_OPTS": f"{made['LIBHDFS_OPTS']} {QUICK['LIBHDFS_OPTS']}"}
        nobody = {} if user else {"KRB5CCNAME": f"FILE:{self.cluster.root}/kdc/tickets/.nobody"}
        return outer | made | quick | nobody

    def keytab(self, user):
        """Return the path of a user's keytab."""
        return self.cluster.keytab(user)

    def run(self, *command, user="ada", check=True, seconds=600, **environment):
        """Run a command as a user to its end; a failing one fails the test with what it said."""
        return finished(command, self.cluster.root, self.environment(user) | environment, seconds, check)


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


@pytest.fixture(scope="session")
def packed(pytestconfig):
    """The packed environment, here."""
    return pytestconfig.stash[AHEAD].get("packed")


@pytest.fixture(scope="session")
def plain_python():
    """A Python of our version outside of our environment, as a node has it."""
    return str(Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info))


@pytest.fixture(scope="session")
def archive(cluster, packed):
    """The packed environment on HDFS: nodes have nothing else of hdl."""
    return envpack.upload(packed)
