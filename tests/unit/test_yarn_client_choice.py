"""Which client speaks to YARN, the one without Java or Hadoop's own, and who we are to it."""

# ruff: noqa: F811 (fixtures come by import)

import sys
import types

import pytest

from hdl import identity, libhdfs
from hdl.errors import DeadlineError, SpecError, Unavailable
from hdl.yarn.client import configured, connection, native
from hdl.yarn.client.interface import Unable
from hdl.yarn.resource_manager import java
from tests.unit.resource_manager import conf, server, yarn  # noqa: F401 (fixtures)


@pytest.mark.parametrize(
    ("more", "variables", "why"),
    [
        ({"hadoop_security_authentication": "kerberos"}, {}, "the cluster is secured"),
        ({}, {"HADOOP_PROXY_USER": "bob"}, "HADOOP_PROXY_USER is set"),
        ({"fs_defaultFS": "s3a://x"}, {}, "fs.defaultFS is s3a://x"),
        ({"yarn_federation_enabled": "true"}, {}, "yarn.federation.enabled is set"),
        ({"hadoop_socks_server": "h:1"}, {}, "hadoop.socks.server is set"),
        ({"yarn_resourcemanager_address": None}, {}, "does not say where the ResourceManager is"),
        ({}, {"HADOOP_USER_NAME": "ada/admin@X"}, "'ada/admin@X' may be another name to Hadoop"),
        ({}, {"HDL_YARN": "java"}, "HDL_YARN=java is set"),
    ],
)
def test_hadoops_own_client_where_it_is_needed(conf, server, monkeypatch, more, variables, why):
    conf(server.address, **more)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    name, told = connection.shown()
    assert name == "YarnClient (Hadoop's own, in Java)"
    assert why in told
    assert server.users == []
    assert identity._prefix is None


def test_where_hdfs_needs_java_yarn_is_spoken_to_by_it_too(conf, server):
    served = conf(server.address)
    served.native, served.why = False, "hdfs-native is not installed"
    assert connection.shown()[1] == "HDFS needs Java: hdfs-native is not installed"


def test_a_user_without_a_name_is_hadoops_to_know(conf, server, monkeypatch):
    def nobody(number):
        raise KeyError(number)

    conf(server.address)
    monkeypatch.delenv("HADOOP_USER_NAME")
    monkeypatch.setattr(identity.pwd, "getpwuid", nobody)
    assert connection.shown()[1] == "the operating system has no name for this user"


def test_where_java_runs_already_it_is_used(conf, server, monkeypatch):
    conf(server.address)
    monkeypatch.setattr(java, "started", lambda: True)
    assert connection.shown()[1] == "Java runs in this process"


def test_it_is_forced_or_refused(conf, server, monkeypatch):
    conf(server.address, hadoop_security_authentication="kerberos")
    monkeypatch.setenv("HDL_YARN", "native")
    with pytest.raises(Unavailable, match=r"cannot be spoken to without Java \(the cluster is secured.*unset HDL_YARN"):
        connection.client()
    monkeypatch.setenv("HDL_YARN", "rest")
    with pytest.raises(SpecError, match="HDL_YARN=rest: expected native or java, or unset"):
        connection.client()


def test_nobody_listens(conf, server):
    conf(server.address)
    server.close()
    with pytest.raises(DeadlineError, match=r"YARN's ResourceManager 127.0.0.1:\d+ \(yarn.resourcemanager.address\)"):
        connection.client()


def test_a_step_that_cannot_be_done_goes_to_hadoops_client_and_all_that_follow(yarn, server):
    class Java:
        def located(self, path):
            return {"path": "by java"}

        def offer(self):
            return "by java"

    yarn._java = Java()
    assert yarn.located("viewfs://c/x") == {"path": "by java"}
    assert yarn.why.startswith("viewfs://c/x")
    assert yarn.offer() == "by java"
    assert server.calls == []


@pytest.mark.parametrize("path", ["hdfs://a_b@c/x", "hdfs://[::1]:9/x"])
def test_addresses_that_only_hadoop_knows_how_to_write(path):
    with pytest.raises(Unable):
        native._resource({"path": path, "size": 1, "time": 1, "archive": False, "shared": True})


def test_who_we_are_is_asked_of_nobody(yarn, monkeypatch):
    monkeypatch.setattr(libhdfs, "home", None)
    monkeypatch.setattr(libhdfs, "default", None)
    monkeypatch.delenv("CONTAINER_ID", raising=False)
    assert identity.user() == "ada"
    assert identity.home() == "hdfs:///user/ada"
    assert identity.home("hdfs://other:1/x") == "hdfs://other:1/user/ada"
    assert libhdfs.before_java == [java.start]


def test_java_does_not_run_while_another_thread_imports_its_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, "jpype", types.ModuleType("jpype"))
    assert identity._java() is None
    assert not java.started()


@pytest.mark.parametrize(
    ("given", "place"),
    [({"yarn.resourcemanager.address": "h:1"}, ("h", 1)), ({"yarn.resourcemanager.address": "h"}, ("h", 8032)),
     ({"yarn.resourcemanager.hostname": "r"}, ("r", 8032)), ({}, ("0.0.0.0", 8032)),
     ({"yarn.resourcemanager.address": "[::1]:9"}, ("::1", 9))],
)  # fmt: skip
def test_where_the_resource_manager_is(given, place):
    assert tuple(configured.Conf(given).getSocketAddr("yarn.resourcemanager.address", "", 8032)) == place
