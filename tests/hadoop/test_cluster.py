"""The cluster: ready when it says so, found again, its failures said, nothing left behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from hdl import fs
from hdl.cluster import assemble, cli, config, folders, launch, process, web
from hdl.cluster.daemons import Cluster
from hdl.errors import DeadlineError, HdlError, SpecError


def command(*arguments):
    return CliRunner().invoke(cli.cluster_, [str(word) for word in arguments])


def test_it_is_ready_and_every_node_is_there(cluster):
    answer = command("status", "--json", "--dir", cluster.root)
    assert answer.exit_code == 0
    status = json.loads(answer.output)
    assert status["ready"]
    assert not status["safe_mode"]
    for kind in ("datanodes", "nodemanagers"):
        assert [name.split(":")[0] for name in status[kind]] == ["127.0.0.2", "localhost"]
    assert len(status["daemons"]) == 7
    assert all(daemon["alive"] for daemon in status["daemons"].values())


def test_its_user_is_an_ordinary_one(cluster):
    """Or the tests would not see what a superuser alone may do."""
    assert os.environ["HADOOP_USER_NAME"] not in (cluster.superuser, folders.this_user())
    with pytest.raises(PermissionError):
        fs.mkdir("hdfs:///nobody-but-the-superuser-makes-this")
    for path in ("/tmp", "/user"):
        assert fs.exists(f"hdfs://{path}")
    script = f"from hdl import fs; fs.list('hdfs:///user/{os.environ['HADOOP_USER_NAME']}')"
    mine = {name: value for name, value in os.environ.items() if name != "HADOOP_USER_NAME"}
    # Nor does the one who runs the containers see what is the user's.
    done = subprocess.run([sys.executable, "-c", script], env=mine, capture_output=True, text=True, check=False)
    assert "PermissionError" in done.stderr


def test_who_starts_one_is_its_superuser_unless_another_is_named(tmp_path):
    made = fake(tmp_path, "pass")
    assert made.superuser == launch.environment(made, "namenode")["HADOOP_USER_NAME"] == folders.this_user()
    made.superuser = "hdfs"
    made.save()
    assert launch.environment(Cluster.load(tmp_path), "namenode")["HADOOP_USER_NAME"] == "hdfs"


def test_nothing_of_it_can_be_read_by_another_user_of_the_machine(cluster):
    """Its ResourceManager keeps the keys of applications there, its DataNodes everybody's data."""
    for path in (cluster.root, *(cluster.root / name for name in ("conf", "data", "logs"))):
        assert path.stat().st_mode & 0o077 == 0, path
    if os.getuid() == 0:
        words = ["cat", cluster.conf / "core-site.xml"]
        done = subprocess.run(
            words, user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert "Permission denied" in done.stderr


def test_who_was_not_named_to_it_may_not_submit(cluster, run):
    """A job would run as the user who started the cluster."""
    refused = run("yarn", "application", "-list", check=False, HADOOP_USER_NAME="mallory")
    assert refused.returncode != 0
    assert "mallory" in refused.stderr
    assert "not authorized for protocol" in refused.stderr
    cluster.add_user("eve")
    run("yarn", "application", "-list", HADOOP_USER_NAME="eve")
    run("yarn", "application", "-list")  # those named before still may
    address = f"{cluster.web()['resourcemanager']}/ws/v1/cluster/apps/new-application"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        web.send(address, "POST")


def test_every_port_is_on_loopback_but_the_shuffles(cluster):
    """Hadoop has no setting for the address of a NodeManager's shuffle; its fetches are signed with the job's key."""
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    listening = {}
    for row in (line.split() for table in tables for line in table):
        if row[3] == "0A":
            listening[f"socket:[{row[9]}]"] = row[1].split(":")[0]
    wide = {}
    for name, daemon in cluster.daemons.items():
        handles = {os.readlink(handle) for handle in Path(f"/proc/{daemon.pid}/fd").iterdir() if handle.is_symlink()}
        addresses = [listening[handle] for handle in handles if handle in listening]
        assert addresses, f"{name} listens nowhere"
        wide[name] = sum(not address.endswith("7F") for address in addresses)  # 127.x.x.x, the last byte first
    assert {name: count for name, count in wide.items() if count} == {"nodemanager1": 1, "nodemanager2": 1}


def test_the_web_pages_answer(cluster):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    pages = {"namenode": "/dfshealth.html", "resourcemanager": "/cluster", "historyserver": "/jobhistory"}
    for name, page in pages.items():
        with opener.open(cluster.web()[name] + page, timeout=120) as answer:
            assert answer.status == 200


def test_the_class_path_begins_with_the_configuration(cluster, run):
    path = run("hadoop", "classpath", "--glob").stdout.strip().split(":")
    assert path[0] == str(cluster.conf)
    jars = [Path(name) for name in path if name.endswith(".jar")]
    assert len(jars) > 100
    assert all(jar.is_file() for jar in jars)
    assert cluster.version in run("hadoop", "version").stdout


def test_a_running_cluster_is_not_started_twice(cluster):
    before = cluster.daemons["namenode"].pid
    with pytest.raises(SpecError, match="runs"):
        Cluster.start(cluster.root)
    assert Cluster.load(cluster.root).daemons["namenode"].pid == before


def test_exports_make_a_shell_use_it(cluster):
    lines = command("env", "--dir", cluster.root).output.splitlines()
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    assert exported["HADOOP_CONF_DIR"] == str(cluster.conf)
    assert exported["PATH"].lstrip("'").startswith(f"{exported['HADOOP_HOME']}/bin:")


def test_a_killed_datanode_is_noticed_and_can_come_back(cluster):
    cluster.kill("datanode2")
    deadline = time.monotonic() + 600
    while cluster.status()["daemons"]["datanode2"]["alive"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not cluster.status()["ready"]
    cluster.restart("datanode2")
    known = set(cluster.status()["datanodes"])
    while set(cluster.status()["datanodes"]) == known:  # it comes back on another port
        assert time.monotonic() < deadline
        time.sleep(0.2)
    cluster.wait_ready(600)


def test_a_folder_without_a_cluster(tmp_path):
    answer = command("status", "--dir", tmp_path)
    assert isinstance(answer.exception, SpecError)
    assert "hdl cluster start" in str(answer.exception)


def fake(root, script):
    """A cluster whose one daemon is a Python script."""
    options = {"datanodes": 1, "nodemanagers": 1, "memory": 1, "vcores": 1}
    made = Cluster(root, assemble.DEFAULT_VERSION, root, config.free_ports(), options)
    made.daemons["namenode"] = process.spawn("namenode", [sys.executable, "-c", script], root / "log", dict(os.environ))
    return made


def test_a_daemon_that_dies_at_start_is_reported_with_its_log(tmp_path):
    with pytest.raises(HdlError, match=r"(?s)namenode ended.*no space on the disk"):
        fake(tmp_path, "raise SystemExit('no space on the disk')").wait_ready(300)


def test_waiting_has_a_deadline_and_stopping_an_end(tmp_path):
    ignores = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(99)"
    )
    made = fake(tmp_path, ignores)
    with pytest.raises(DeadlineError, match="not ready within"):
        made.wait_ready(1)
    process.stop([*made.daemons.values()], seconds=0.5)
    assert not made.daemons["namenode"].alive


def test_a_pid_that_was_given_to_another_is_left_alone():
    stale = process.Daemon("namenode", os.getpid(), started=1, log="")
    assert not stale.alive
    stale.signal(signal.SIGKILL)
    process.stop([stale])


def test_free_ports_differ_and_are_free():
    ports = config.free_ports()
    assert len(set(ports.values())) == len(config.PORTS)
    for port in ports.values():
        with socket.socket() as held:
            held.bind((config.LOOPBACK, port))


def test_a_jar_that_is_not_the_pinned_one_is_named(tmp_path):
    (tmp_path / "good.jar").write_bytes(b"good")
    (tmp_path / "bad.jar").write_bytes(b"bad")
    pins = tmp_path / "pins"
    good = "770e607624d689265ca6c44884d0807d9b054d23c473c106c72be9de08b7376c"
    pins.write_text(f"{good}  good.jar\n{good}  bad.jar\n{good}  gone.jar\n")
    with pytest.raises(HdlError, match=r"bad\.jar, gone\.jar$"):
        assemble.verify(tmp_path, pins)


@pytest.mark.full
@pytest.mark.parametrize("version", [version for version in assemble.VERSIONS if version != assemble.DEFAULT_VERSION])
def test_another_version_beside_it_and_again_over_its_data(cluster, run, tmp_path, version):
    other = Cluster.start(tmp_path / "other", version=version)
    try:
        there = other.environment()
        assert version in run("hadoop", "version", **there).stdout
        (tmp_path / "words").write_text("a b a\n")
        run("hadoop", "fs", "-put", tmp_path / "words", "/words", **there)
        jar = next(other.home.glob("share/hadoop/mapreduce/hadoop-mapreduce-examples-*.jar"))
        run("hadoop", "jar", jar, "wordcount", "/words", "/counts", **there)
        other.stop()
        assert not any(daemon.alive for daemon in other.daemons.values())
        other = Cluster.start(tmp_path / "other", version=version)
        assert run("hadoop", "fs", "-cat", "/counts/part-r-00000", **other.environment()).stdout == "a\t2\nb\t1\n"
        other.stop()
        with pytest.raises(SpecError, match="purge"):
            Cluster.start(tmp_path / "other", version=assemble.DEFAULT_VERSION)
    finally:
        other.stop(purge=True)
    assert not (tmp_path / "other").exists()
    assert cluster.status()["ready"]
