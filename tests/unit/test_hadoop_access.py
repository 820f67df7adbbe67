"""hdl doctor on the way to a cluster: what is configured, who answers, what the ticket says."""

import json
import os
import socket
import subprocess
import time

import pytest

from hdl import hadoop_access, kerberos
from hdl.errors import DeadlineError


@pytest.fixture
def site(tmp_path, monkeypatch):
    """`site({name: value})`: a configuration folder with these properties, named by HADOOP_CONF_DIR."""

    def site(properties):
        lines = [
            f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()
        ]
        (tmp_path / "core-site.xml").write_text(f"<configuration>{''.join(lines)}</configuration>")
        monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))

    monkeypatch.setattr(hadoop_access, "_ask", lambda address: [hadoop_access.Step("asked", address)])
    return site


@pytest.fixture
def listening():
    """The port of somebody who listens, and one at which nobody does."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield server.getsockname()[1], taken.getsockname()[1]


def steps():
    return {step.name: step for step in hadoop_access.examine()}


def test_without_a_configuration(site, tmp_path):
    site({})
    assert [step.name for step in steps().values()] == ["configuration"]
    assert "export HADOOP_CONF_DIR=FOLDER" in steps()["configuration"].fix


def test_a_name_node_that_answers_is_asked_and_a_silent_one_is_not(site, listening):
    loud, silent = listening
    site({"fs.defaultFS": f"hdfs://127.0.0.1:{loud}"})
    assert steps()["default file system"].found == f"hdfs://127.0.0.1:{loud} answers"
    assert steps()["authentication"].found == "simple"
    assert "asked" in steps()
    assert "ticket" not in steps()
    site({"fs.defaultFS": f"hdfs://127.0.0.1:{silent}"})
    assert f"nobody listens at 127.0.0.1:{silent}" in steps()["default file system"].fix
    assert "asked" not in steps()


def test_names_of_several_name_nodes(site, listening):
    loud, silent = listening
    pair = {
        "dfs.nameservices": "Pair", "dfs.ha.namenodes.Pair": "a,b",
        "dfs.namenode.rpc-address.Pair.a": f"127.0.0.1:{silent}",
        "dfs.namenode.rpc-address.Pair.b": f"127.0.0.1:{loud}",
        "dfs.client.failover.proxy.provider.Pair": "x",
    }  # fmt: skip
    site({"fs.defaultFS": "hdfs://Pair", **pair})
    found = steps()["default file system"]
    assert found.found == f"hdfs://Pair = 127.0.0.1:{silent} (silent), 127.0.0.1:{loud} answers"
    assert not found.fix
    site({"fs.defaultFS": "hdfs://pair", **pair})
    assert steps()["default file system"].fix == "expected hdfs://Pair, as it is written in dfs.nameservices"


@pytest.mark.parametrize(
    ("left", "cache", "found", "fix"),
    [
        (36000, "FILE:/c", "until 20", ""),
        (1200, "FILE:/c", "until 20", r"it ends in 20 min"),
        (-5, "FILE:/c", "ended at 20", "kinit   (or"),
        (36000, "KCM:0", "until 20", "which Java cannot read: export KRB5CCNAME="),
    ],
)
def test_a_ticket(site, monkeypatch, listening, left, cache, found, fix):
    site({"fs.defaultFS": f"hdfs://127.0.0.1:{listening[1]}", "hadoop.security.authentication": "kerberos"})
    monkeypatch.setenv("KRB5CCNAME", cache.removeprefix("FILE:"))
    ticket = kerberos.Ticket("ada@R", "R", time.time() + left + 0.5, None, cache)
    monkeypatch.setattr(kerberos, "ticket", lambda: ticket)
    monkeypatch.setattr(hadoop_access.shutil, "which", lambda name: name)
    said = steps()
    assert said["principal"].found == "ada@R"
    assert said["realm"].found.startswith("R ")
    assert found in said["ticket"].found
    assert fix in said["ticket"].fix
    assert bool(said["ticket"].fix) == bool(fix)


def test_no_ticket_and_no_klist(site, monkeypatch, listening):
    site({"fs.defaultFS": f"hdfs://127.0.0.1:{listening[1]}", "hadoop.security.authentication": "kerberos"})
    monkeypatch.setenv("KRB5CCNAME", "/nowhere")
    monkeypatch.setattr(hadoop_access.shutil, "which", lambda name: name)
    monkeypatch.setattr(kerberos, "ticket", lambda: None)
    assert steps()["ticket"] == ("ticket", "none in KRB5CCNAME, /nowhere", "kinit   (or --principal and --keytab of "
                                 "hdl's commands)")  # fmt: skip
    monkeypatch.setattr(hadoop_access.shutil, "which", lambda name: None)
    assert "krb5-user" in steps()["ticket"].fix


def asked(monkeypatch, stdout="", error=None):
    def run(command, seconds, late):
        if error:
            raise error
        return subprocess.CompletedProcess(command, 1, stdout, "Traceback\nit broke")

    monkeypatch.setattr(hadoop_access.programs, "run", run)
    return {step.name: step for step in hadoop_access._ask("hdfs://x:1")}


def test_who_we_are_there(monkeypatch):
    said = {"HDFS client": "libhdfs", "hdfs-native": "not used: why", "user": "ada", "home": "hdfs:///user/ada"}
    steps = asked(monkeypatch, "noise\n" + json.dumps(said | {"there": True}))
    assert steps["HDFS client"].found == "libhdfs"
    assert steps["hdfs-native"].found == "not used: why"
    assert steps["user on the cluster"] == ("user on the cluster", "ada, home hdfs:///user/ada", "")
    steps = asked(monkeypatch, json.dumps(said | {"there": False}))
    assert "hdfs:///user/ada is missing" in steps["user on the cluster"].fix
    steps = asked(monkeypatch, json.dumps({"error": "hdfs:///: run `kinit`"}))
    assert steps["user on the cluster"] == ("user on the cluster", "not known", "run `kinit`")
    assert asked(monkeypatch)["user on the cluster"].fix == "Traceback it broke"
    late = asked(monkeypatch, error=DeadlineError("no answer within 60 s"))
    assert late["user on the cluster"].fix == "no answer within 60 s"


def test_what_the_process_prints_is_read(monkeypatch, capsys, tmp_path):
    (tmp_path / "yarn-site.xml").touch()
    monkeypatch.setattr(hadoop_access.hadoop_conf, "folder", lambda: str(tmp_path))
    monkeypatch.setattr(os, "_exit", lambda status: None)
    monkeypatch.setattr(hadoop_access.hdfs_choice, "shown", lambda root: ("libhdfs", "no reason"))
    monkeypatch.setattr(hadoop_access.connection, "shown", lambda: ("YarnClient", "HDL_YARN=java is set"))
    monkeypatch.setattr(hadoop_access.fs, "exists", lambda path: path == "hdfs:///")
    monkeypatch.setattr(hadoop_access.identity, "home", lambda root: "hdfs:///user/eve")
    hadoop_access.reach("hdfs:///")
    said = json.loads(capsys.readouterr().out)
    assert said == {"HDFS client": "libhdfs", "hdfs-native": "not used: no reason", "YARN client": "YarnClient",
                    "YARN without Java": "not used: HDL_YARN=java is set", "home": "hdfs:///user/eve",
                    "user": "eve", "there": False}  # fmt: skip
