"""Who we are to Hadoop, and where our home is: as a connection says, or in a container YARN."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from hdl import envpack, fs, identity, libhdfs
from hdl.errors import SpecError
from hdl.runners.hadoop import HadoopRunner
from hdl.yarn.resource_manager import java


@pytest.fixture
def connection(monkeypatch):
    """A connection whose home folder a test sets; the operating system's user and HADOOP_USER_NAME are others."""
    for name in ("CONTAINER_ID", "HADOOP_PROXY_USER"):
        monkeypatch.delenv(name, raising=False)
    for name in ("USER", "LOGNAME", "HADOOP_USER_NAME"):  # of no account here, and not looked at with Kerberos
        monkeypatch.setenv(name, "somebody")
    monkeypatch.setattr(identity, "_java", lambda: None)
    made = SimpleNamespace(home="hdfs://namenode:8020/user/ada", default="hdfs:///", asked=[])
    monkeypatch.setattr(libhdfs, "home", lambda path: made.asked.append(path) or made.home)
    monkeypatch.setattr(libhdfs, "default", lambda: made.default)
    return made


def test_the_connections_home_names_us(connection):
    assert identity.user() == "ada"
    assert identity.home() == "hdfs:///user/ada"


@pytest.mark.parametrize(
    ("path", "home", "expected"),
    [
        ("hdfs://other:9000/data/x.csv", "hdfs://other:9000/user/ada", "hdfs://other:9000/user/ada"),
        ("hdfs://MyCluster", "hdfs://MyCluster/users/a/ada/", "hdfs://MyCluster/users/a/ada"),
        ("viewfs://company/data", "viewfs://company/home/ada", "viewfs://company/home/ada"),
        ("hdfs:///", "hdfs:/user/ada", "hdfs:///user/ada"),
    ],
)
def test_the_home_is_that_of_the_file_system(connection, path, home, expected):
    connection.home = home
    assert identity.home(path) == expected
    assert connection.asked == [path]


def test_without_a_path_it_is_the_default_file_systems(connection):
    connection.home, connection.default = "viewfs://company/home/ada", "viewfs://company/"
    assert identity.home() == "viewfs://company/home/ada"
    assert identity.user() == "ada"


def test_a_path_without_a_scheme_has_no_home(connection):
    with pytest.raises(SpecError, match=r"/data: expected a path with a scheme, such as hdfs:///data"):
        identity.home("/data")


def test_in_a_container_the_submitter_is_meant(connection, monkeypatch):
    """Without a ticket, and run by another account of its node, its connection names somebody else."""
    connection.home = "hdfs://namenode:8020/user/yarn"
    monkeypatch.setenv("CONTAINER_ID", "container_1_0001_01_000001")
    monkeypatch.setenv("USER", "ada")
    assert identity.user() == "ada"
    assert identity.home() == "hdfs:///user/ada"
    monkeypatch.delenv("USER")
    assert identity.user() == "yarn"


def test_java_that_runs_is_asked_itself(connection, monkeypatch):
    class UserGroupInformation:
        getCurrentUser = staticmethod(lambda: SimpleNamespace(getShortUserName=lambda: "eve"))

    class FileSystem:
        getDefaultUri = staticmethod(lambda conf: conf)

    class HdfsConfiguration:
        getScheme, getAuthority = lambda self: "hdfs", lambda self: "namenode:8020"

    class DFSUtilClient:
        getHomeDirectory = staticmethod(lambda conf, user: f"/home/{user.getShortUserName()}")

    known = {made.__name__: made for made in (UserGroupInformation, FileSystem, HdfsConfiguration, DFSUtilClient)}
    monkeypatch.setattr(identity, "_java", lambda: lambda name: known[name.rpartition(".")[2]])
    assert identity.user() == "eve"
    assert identity.home() == "hdfs:///home/eve"
    assert identity.home("hdfs://MyCluster/data") == "hdfs://MyCluster/home/eve"
    assert connection.asked == []
    assert identity.home("viewfs://company/data") == "viewfs://company/user/ada"  # of it the connection knows


def test_a_jpype_that_another_thread_is_importing_has_started_no_java(monkeypatch):
    monkeypatch.setitem(sys.modules, "jpype", ModuleType("jpype"))
    assert identity._java() is None
    assert java.started() is False


def test_the_environment_is_sent_to_that_home(connection, monkeypatch, tmp_path):
    sent = []
    monkeypatch.setattr(fs, "exists", lambda path: sent.append(path) or True)
    assert envpack.upload(tmp_path / "1.tar.gz") == "hdfs:///user/ada/.hdl/env/1.tar.gz"
    assert envpack.upload(tmp_path / "1.tar.gz", "hdfs:///shared") == "hdfs:///shared/1.tar.gz"
    assert sent == ["hdfs:///user/ada/.hdl/env/1.tar.gz", "hdfs:///shared/1.tar.gz"]


def test_jobs_work_in_that_home(connection, monkeypatch):
    made = []
    monkeypatch.setattr("hdl.runners.hadoop.WorkingFolder", made.append)
    runner = type("Runner", (HadoopRunner,), {"_command": None, "_collect": None, "name": "x"})(archive="hdfs:///a")
    runner.open(SimpleNamespace(data="hdfs:///data"), [[]], lambda event: None)
    assert made == ["hdfs:///user/ada/.hdl/jobs"]
