"""hdfs-native beside Hadoop's own client: both make the same, either takes over, and which one it is is told."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hdl import fs, hdfs_choice
from hdl.cluster import config
from hdl.cluster.daemons import Cluster
from hdl.hdfs_java import Java
from hdl.table import Table, Version
from hdl.wire import Weights
from tests.hadoop import fake_namenode
from tests.hadoop.runners import all_hosts, local, put_csv, signatures
from tests.hadoop.webhdfs import WebHdfs

ROOT = Path(__file__).parents[2]
CLIENTS = ("native", "libhdfs")
# Prints the client that serves hdfs:///, why it is not hdfs-native, and whether Java runs once a file was written.
SHOW = """
import json, sys
from hdl import fs, hdfs_choice
from hdl.cluster import config
from hdl.cluster.daemons import Cluster
folder = sys.argv[1]
try:
    fs.publish(f"{folder}/shown", b"1")
    assert fs.open(f"{folder}/shown").read() == b"1"
    fs.remove(f"{folder}/shown")
    error = ""
except Exception as caught:
    error = f"{type(caught).__name__}: {caught}"
print(json.dumps([*hdfs_choice.shown(), "/libjvm.so" in open("/proc/self/maps").read(), error]))
"""


@pytest.fixture
def by(monkeypatch):
    """`by("native")`: from here on that client serves all paths."""
    return lambda client: monkeypatch.setenv("HDL_HDFS", client)


def show(run, folder, **environment):
    return json.loads(run(sys.executable, "-c", SHOW, folder, PYTHONPATH=str(ROOT), **environment).stdout)


def promises(run, folder, **environment):
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", "--rootdir", ROOT, "-c",
        ROOT / "pyproject.toml", ROOT / "tests/hadoop/trial_hdfs.py",
        HDL_HDFS="native", HDL_TRIAL_FOLDER=folder, PYTHONPATH=str(ROOT), **environment)  # fmt: skip


def test_a_process_without_java_stays_one(run, folder, monkeypatch):
    monkeypatch.delenv("HDL_HDFS", raising=False)
    name, why, java, error = show(run, folder)
    assert name.startswith("hdfs-native")
    assert (why, java, error) == ("", False, "")


def test_neither_hadoop_nor_java_has_to_be_here(run, folder):
    nothing = {"HADOOP_HOME": "", "JAVA_HOME": "", "PATH": "/usr/bin:/bin", "HDL_HDFS": ""}
    assert show(run, folder, **nothing)[0].startswith("hdfs-native")


@pytest.mark.full
def test_either_client_can_be_forced_and_nothing_else(run, folder):
    name, why, java, _ = show(run, folder, HDL_HDFS="libhdfs")
    assert name.startswith("libhdfs")
    assert (why, java) == ("HDL_HDFS=libhdfs is set", True)
    assert "HDL_HDFS=java: expected native or libhdfs" in show(run, folder, HDL_HDFS="java")[3]


def test_that_java_runs_already_changes_nothing(folder, by):
    by("libhdfs")
    assert fs.list(folder) == []
    by("")
    name, why = hdfs_choice.shown()
    assert name.startswith("hdfs-native")
    assert not why
    assert fs.list(folder) == []


def test_what_one_writes_the_other_reads(folder, by):
    """Tables and files of any length; rights, replicas and blocks are alike."""
    weights = {client: np.arange(3, dtype=np.float32) + len(client) for client in CLIENTS}
    for client in CLIENTS:
        by(client)
        Table(f"{folder}/{client}").publish(Version(0, Weights(0, weights[client]), {}, "run"))
        fs.publish(f"{folder}/{client}/long", bytes(range(256)) * 9000)
        fs.publish(f"{folder}/{client}/none", b"")
        fs.publish(f"{folder}/{client}/closed", b"", private=True)
        fs.mkdir(f"{folder}/{client}/sub/folder")
    for client, other in zip(CLIENTS, reversed(CLIENTS), strict=True):
        by(other)
        assert np.array_equal(Table(f"{folder}/{client}").read().weights.w, weights[client])
        with fs.open(f"{folder}/{client}/long") as file:
            assert file.read() == bytes(range(256)) * 9000
            assert file.seek(1_000_000) == 1_000_000
            assert file.read(3) == bytes((64, 65, 66))
        assert fs.open(f"{folder}/{client}/none").read() == b""
    by("libhdfs")
    system = hdfs_choice.client(folder)._java
    assert isinstance(system, Java)
    names = ("long", "none", "closed", "sub", "sub/folder", "v00000000.safetensors")
    seen = [[described(f"{folder}/{client}/{name}") for name in names] for client in CLIENTS]
    assert seen[0] == seen[1]
    for client in CLIENTS:
        by(client)
        infos = [hdfs_choice.client(folder).info(f"{folder}/{one}/{name}") for one in CLIENTS for name in names]
        assert [info.mode for info in infos] == [0o644, 0o644, 0o600, 0o755, 0o755, 0o644] * 2
        assert {info.owner for info in infos} == {hdfs_choice.client(folder).user(folder)}


def described(path):
    from hdl.libhdfs import resolve

    system, name = resolve(path)
    info = system.get_path_info(name)
    return {key: info[key] for key in ("kind", "permissions", "owner", "group", "replication", "block_size", "size")}


def test_a_training_gives_the_same_weights_by_either(folder, by):
    by("native")
    data = put_csv(f"{folder}/data")
    for client in CLIENTS:
        by(client)
        local(data, f"{folder}/{client}")
    assert signatures(f"{folder}/native") == signatures(f"{folder}/libhdfs")
    assert len(signatures(f"{folder}/native")) > 1


def test_where_blocks_are_is_asked_of_hadoops_client(folder, by):
    by("native")
    fs.publish(f"{folder}/a", b"1")
    assert sorted(all_hosts(f"{folder}/a", 2)) == ["127.0.0.2", "localhost"]
    name, why = hdfs_choice.shown()
    assert name.startswith("hdfs-native")  # for all the rest
    assert not why


def test_an_erasure_coded_file_is_written_by_hadoops_client(cluster, folder, by):
    """hdfs-native would write the parity of another code than this folder's."""
    by("native")
    admin = WebHdfs(cluster, cluster.superuser)
    admin._ask("PUT", "ENABLEECPOLICY", "/", ecpolicy="XOR-2-1-1024k")
    admin._ask("PUT", "SETECPOLICY", folder.removeprefix("hdfs://"), ecpolicy="XOR-2-1-1024k")
    content = os.urandom(3_000_000)
    fs.publish(f"{folder}/a", content)
    assert fs.list(folder) == ["a"]
    assert "erasure" in hdfs_choice.client("hdfs:///").why
    assert fs.open(f"{folder}/a").read() == content
    by("libhdfs")
    assert fs.open(f"{folder}/a").read() == content


def test_a_namenode_that_asks_for_no_proof_is_believed_by_hdfs_native_alone(tmp_path):
    """Hadoop's client insists on Kerberos where the configuration does; so it stays the default there."""
    pytest.importorskip("hdfs_native")
    command = [sys.executable, "-c", "from hdl import fs; fs.exists('hdfs:///secret')"]
    with fake_namenode.serving() as (port, asked):
        (tmp_path / "core-site.xml").write_text(fake_namenode.configuration(port))
        environment = os.environ | {"HADOOP_CONF_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "HDL_HDFS": ""}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode != 0
        assert not asked, f"Hadoop's client asked without proof: {asked}"
        with subprocess.Popen(command, env=environment | {"HDL_HDFS": "native"}, stderr=subprocess.DEVNULL) as child:
            deadline = time.monotonic() + 300
            while child.poll() is None and not asked and time.monotonic() < deadline:
                time.sleep(0.05)
            child.kill()
        assert any(b"getFileInfo" in message or b"ClientProtocol" in message for message in asked), "it insists now"


@pytest.mark.parametrize("by_what", ["a ticket", pytest.param("a token", marks=pytest.mark.full)])
def test_kerberos_privacy_and_encrypted_transfer(secure, tmp_path, by_what):
    """All that hdl promises of HDFS, by hdfs-native on the cluster that asks for everything."""
    environment = {}
    if by_what == "a token":
        environment = {"HADOOP_TOKEN_FILE_LOCATION": str(tmp_path / "tokens"), "KRB5CCNAME": f"FILE:{tmp_path}/none"}
        fetcher = "org.apache.hadoop.hdfs.tools.DelegationTokenFetcher"
        secure.run("hadoop", fetcher, "--renewer", "yarn", environment["HADOOP_TOKEN_FILE_LOCATION"])
    promises(secure.run, "hdfs:///user/ada/promises", **environment)


def test_a_secured_cluster_is_served_by_hadoops_client_unless_it_is_said_otherwise(secure):
    name, why, java, error = show(secure.run, "hdfs:///user/ada", HDL_HDFS="")
    assert (name[:7], java, error) == ("libhdfs", True, "")
    assert "the cluster is secured" in why
    name, why, java, error = show(secure.run, "hdfs:///user/ada", HDL_HDFS="native")
    assert (name[:11], why, java, error) == ("hdfs-native", "", False, "")


@pytest.mark.full
def test_without_a_ticket_one_sentence_says_so(secure):
    def refused(**environment):
        return show(lambda *command, **given: secure.run(*command, user=None, **given), "hdfs:///tmp", **environment)

    for client in ("", "native"):
        assert re.search(r"Kerberos ticket.*kinit", refused(HDL_HDFS=client)[3])


@pytest.fixture
def zone(tmp_path, monkeypatch):
    """A cluster with the encryption zone /zone, whose keys are in a file; gives the cluster."""

    def vary(sites, layout):
        sites["core"]["hadoop.security.key.provider.path"] = f"jceks://file{tmp_path}/keys.jceks"

    monkeypatch.setattr(config, "VARIATIONS", (*config.VARIATIONS, vary))
    started = Cluster.start(tmp_path / "cluster", datanodes=1, nodemanagers=1, superuser="hdfs", seconds=600)
    try:
        admin = os.environ | started.environment("hdfs")

        def tool(name, *words):
            subprocess.run(["hadoop", name, *words], env=admin, check=True, capture_output=True, timeout=120)

        tool("org.apache.hadoop.crypto.key.KeyShell", "create", "key", "-size", "128")
        started.kill("namenode")
        started.restart("namenode")  # it reads the keys when it starts
        started.wait_ready(120)
        WebHdfs(started, started.superuser).mkdir("/zone", "777")
        tool("org.apache.hadoop.hdfs.tools.CryptoAdmin", "-createZone", "-keyName", "key", "-path", "/zone")
        yield started
    finally:
        started.stop(purge=True)


ZONE = """
import json
from hdl import fs, hdfs_choice
from hdl.cluster import config
from hdl.cluster.daemons import Cluster
content = bytes(range(250)) * 4000
fs.publish("hdfs:///zone/a", content)
written = hdfs_choice.client("hdfs:///").why
with fs.open("hdfs:///zone/a") as file:
    same = file.read() == content
names = [name for name in fs.list("hdfs:///zone") if name != ".Trash"]
print(json.dumps([written, same, hdfs_choice.shown()[0], names]))
"""


@pytest.mark.full
def test_files_of_an_encryption_zone_are_hadoops_clients(zone):
    environment = os.environ | zone.environment("ada") | {"HDL_HDFS": "native", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", ZONE], env=environment, check=True, capture_output=True, text=True, timeout=300
    )
    written, same, client, names = json.loads(done.stdout)
    assert "encryption zone" in written
    assert (same, names) == (True, ["a"])
    assert client.startswith("hdfs-native")  # for what is in no zone
    stored = WebHdfs(zone, zone.superuser).read("/.reserved/raw/zone/a")
    assert len(stored) == 1_000_000
    assert stored[:250] != bytes(range(250))


@pytest.mark.full
def test_a_datanode_dies_while_a_file_is_read_and_another_is_written(cluster, folder, by):
    """Reading goes on at the other replica; what hdfs-native cannot place any more Hadoop's client writes."""
    by("native")
    content = os.urandom(20_000_000)
    fs.publish(f"{folder}/a", content)
    name = next(name for name in cluster.daemons if name.startswith("datanode"))
    try:
        with fs.open(f"{folder}/a") as file:
            first = file.read(1_000_000)
            cluster.kill(name)
            assert first + file.read() == content
        fs.publish(f"{folder}/b", lambda file: file.write(content[:3_000_000]))
        assert fs.open(f"{folder}/b").read() == content[:3_000_000]
        assert fs.list(folder) == ["a", "b"]
    finally:
        cluster.restart(name)
        cluster.wait_ready(120)
