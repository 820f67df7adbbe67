"""hdfs-native's place beside Hadoop's client, with a NameNode that is made up: what fails, and who takes over."""

import errno
import gc
import io
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from hdl import fs, hdfs_answers, hdfs_choice, hdfs_native, hdfs_native_files
from hdl.errors import DeadlineError, SpecError
from hdl.hdfs_client import Info, Unable
from tests.unit.test_hdfs_answers import said

CONF = {"fs.defaultFS": "hdfs://127.0.0.1:1"}


CHANGED = {"modification_time": 1_700_000_000_000}  # milliseconds


class Raw:
    """As hdfs-native's Client; `fails` has the errors that each step raises, one a call."""

    def __init__(self, *_):
        self.held, self.fails, self.asked, self.complete = {}, {}, [], lambda: 0  # bytes of blocks that are complete

    def step(self, name):
        self.asked.append(name)
        if errors := self.fails.get(name):
            raise errors.pop(0)

    def get_file_info(self, name):
        self.step("info")
        if name in ("/", "/data"):
            return SimpleNamespace(
                isdir=True, length=0, permission=0o755, owner="a", group="g", replication=0, **CHANGED
            )
        if name not in self.held:
            raise FileNotFoundError(name)
        length = len(self.held[name])
        return SimpleNamespace(
            isdir=False, length=length, permission=0o644, owner="a", group="g", replication=3, **CHANGED
        )

    def list_status(self, name):
        return [SimpleNamespace(path=held) for held in self.held if held.startswith(name)]

    def create(self, name, options):
        self.step("create")
        self.held[name] = b""
        return Written(self, name)

    def write(self, name, content):
        self.step("write")
        self.held[name] += content

    def read(self, name):
        self.step("read")
        return SimpleNamespace(read_range=lambda at, most: self.range(name, at, most), size=self.complete())

    def range(self, name, at, most):
        self.step("range")
        return self.held[name][at : at + most]

    def rename(self, source, target, overwrite):
        self.step("rename")
        self.held[target] = self.held.pop(source)

    def delete(self, name, recursive):
        self.held.pop(name, None)


class Written(io.RawIOBase):
    """As hdfs-native's: Python takes it for open until it is told."""

    def __init__(self, raw, name):
        self.raw, self.name = raw, name

    def write(self, content):
        self.raw.write(self.name, content)

    def close(self):
        self.raw.step("close")


class Other:
    """Hadoop's client of the same HDFS."""

    def __init__(self, raw):
        self.raw, self.steps = raw, []

    def info(self, path):
        self.steps.append("info")
        found = self.raw.get_file_info(hdfs_native._name(path))
        return Info(found.isdir, found.length)

    def entries(self, path):
        return [each.path.rpartition("/")[2] for each in self.raw.list_status(hdfs_native._name(path))]

    def open(self, path, size):
        self.steps.append("open")
        return io.FileIO(self.local(self.raw.held[hdfs_native._name(path)]))

    def create(self, path):
        self.steps.append("create")
        held, name = self.raw.held, hdfs_native._name(path)
        held[name] = b""

        class File(io.RawIOBase):
            def writable(self):
                return True

            def write(self, content):
                held[name] += bytes(content)
                return len(content)

        return File()

    def chmod(self, path, mode):
        self.steps.append(f"chmod {mode:o}")

    def rename(self, source, target):
        self.steps.append("rename")
        self.raw.held[hdfs_native._name(target)] = self.raw.held.pop(hdfs_native._name(source))

    def delete(self, path):
        self.steps.append("delete")
        self.raw.held.pop(hdfs_native._name(path), None)


@pytest.fixture
def hadoop(monkeypatch, tmp_path):
    """Both clients of one HDFS; the configuration is `CONF`, or what a test makes of it."""
    for name in hdfs_choice.IDENTITY:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HADOOP_CONF_DIR", "/conf")
    made = SimpleNamespace(raw=Raw(), settings=dict(CONF))
    made.other = Other(made.raw)

    def local(content):
        (tmp_path / "content").write_bytes(content)
        return tmp_path / "content"

    made.other.local = local
    module = SimpleNamespace(Client=lambda *_: made.raw, WriteOptions=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "hdfs_native", module)
    monkeypatch.setattr(hdfs_choice.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(hdfs_choice, "Java", lambda: made.other)
    monkeypatch.setattr(hdfs_choice.hadoop_conf, "read", lambda folder: made.settings)
    monkeypatch.setattr(hdfs_choice, "knock", lambda *_: None)
    monkeypatch.setattr(hdfs_choice, "_chosen", {})
    monkeypatch.setattr(hdfs_native, "ABSENT_SECONDS", 0.5)
    return made


def test_while_a_dataset_is_looked_at_each_path_is_asked_for_once(hadoop):
    hadoop.raw.held["/data/x"] = b"123"
    fs.exists("hdfs:///")
    hadoop.raw.asked.clear()
    with fs.once():
        assert fs.size("hdfs:///data/x") == 3
        assert not fs.isdir("hdfs:///data/x")
        assert fs.open("hdfs:///data/x").read() == b"123"
        assert hadoop.raw.asked.count("info") == 1
        assert not fs.exists("hdfs:///data/y")
        hadoop.raw.held["/data/y"] = b"12"
        assert fs.size("hdfs:///data/y") == 2  # that nothing is there is not remembered
    hadoop.raw.held["/data/x"] = b"1234"
    assert fs.size("hdfs:///data/x") == 4


def test_a_namenode_that_comes_back_is_waited_for_and_one_that_stays_away_is_told(hadoop):
    assert not fs.exists("hdfs:///none")
    hadoop.raw.fails["info"] = [OSError("Connection refused"), said("org.apache.hadoop.ipc.StandbyException")]
    assert fs.isdir("hdfs:///data")
    hadoop.raw.fails["info"] = [OSError("Connection refused") for _ in range(99)]
    with pytest.raises(DeadlineError, match=r"hdfs:///data: the NameNode does not answer \(Connection refused\)"):
        fs.isdir("hdfs:///data")
    assert hadoop.other.steps == []


def test_reading_goes_on_at_the_same_place_by_another_try_and_then_by_the_other_client(hadoop):
    hadoop.raw.held["/data/a"] = content = bytes(range(250)) * 20000
    with fs.open("hdfs:///data/a") as file:
        assert file.read(5) == content[:5]
        hadoop.raw.fails["range"] = [RuntimeError("DataTransferError(x)")]
        file.seek(3_000_000)
        assert file.read(1_500_000) == content[3_000_000:4_500_000]
        assert hadoop.other.steps == []
        assert hadoop.raw.asked.count("read") == 2
        hadoop.raw.fails["range"] = [RuntimeError("DataTransferError(x)") for _ in range(9)]
        assert file.read() == content[4_500_000:]
        assert file.seek(1) == 1
        assert file.read(2) == content[1:3]
    assert hadoop.other.steps == ["open"]
    assert hdfs_choice.shown()[0].startswith("libhdfs")
    assert "could not read hdfs:///data/a: DataTransferError(x)" in hdfs_choice.shown()[1]


@pytest.mark.parametrize(("fails", "times"), [("", 1), ("write", 0), ("close", 1)])
def test_a_file_is_closed_once_whoever_lets_go_of_it_last(hadoop, fails, times):
    hadoop.raw.fails[fails] = [OSError("Connection refused")]
    fs.publish("hdfs:///data/a", b"1")
    assert hdfs_answers.settle(30)
    gc.collect()
    assert hadoop.raw.asked.count("close") == times


def test_a_file_that_is_whole_is_not_waited_for_until_hdfs_native_asks_again(hadoop, monkeypatch):
    """Its last block was not complete when hdfs-native asked, and is some time after."""
    pauses, sizes = threading.Event(), [0, 1, 2]
    monkeypatch.setattr(hadoop.raw, "complete", lambda: sizes.pop(0))
    monkeypatch.setattr(hadoop.raw, "step", lambda name: name == "close" and pauses.wait(60))
    fs.publish("hdfs:///data/a", b"12")
    assert hadoop.raw.held == {"/data/a": b"12"}
    assert not sizes
    assert not hdfs_answers.settle(0.05)  # it is closed still
    pauses.set()
    assert hdfs_answers.settle(30)


@pytest.mark.parametrize("step", ["write", "close"])
def test_a_file_that_is_not_taken_is_begun_anew_by_the_other_client(hadoop, step):
    """Also one that is written by a function, which cannot be asked again; and with its rights."""
    hadoop.raw.fails[step] = [OSError("Connection refused")]
    fs.publish("hdfs:///data/a", lambda file: (file.write(b"1" * 1_500_000), file.write(b"2" * 1_500_000)))
    assert hadoop.raw.held == {"/data/a": b"1" * 1_500_000 + b"2" * 1_500_000}
    assert hadoop.other.steps[:2] == ["create", "chmod 644"]
    assert hdfs_choice.shown()[1].startswith("hdfs-native could not write")


def test_a_long_file_that_is_not_taken_is_told_or_published_again(hadoop, monkeypatch):
    monkeypatch.setattr(hdfs_native_files, "HELD", 1_000_000)
    hadoop.raw.fails["close"] = [OSError("Connection refused")]
    with pytest.raises(OSError, match="HDFS took not all of it: Connection refused") as caught:
        fs.publish("hdfs:///data/a", lambda file: file.write(b"1" * 1_500_000))
    assert caught.value.filename == "hdfs:///data/a"
    assert hadoop.raw.held == {}
    hdfs_choice._chosen.clear()
    hadoop.raw.fails["close"] = [OSError("Connection refused")]
    fs.publish("hdfs:///data/a", b"1" * 1_500_000)
    assert hadoop.raw.held == {"/data/a": b"1" * 1_500_000}


def test_a_quota_in_the_middle_of_a_file_is_the_users_matter(hadoop):
    hadoop.raw.fails["write"] = [said("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException")]
    with pytest.raises(OSError, match="quota") as caught:
        fs.publish("hdfs:///data/a", b"12")
    assert (caught.value.errno, caught.value.filename) == (errno.EDQUOT, "hdfs:///data/a")
    assert (hadoop.raw.held, hadoop.other.steps) == ({}, [])


def test_a_file_in_an_encryption_zone_is_the_other_clients(hadoop):
    hadoop.raw.fails["create"] = [NotImplementedError("File encryption")]
    fs.publish("hdfs:///data/a", b"12")
    assert hadoop.raw.held == {"/data/a": b"12"}
    assert hadoop.other.steps == ["create"]
    hadoop.raw.fails["read"] = [NotImplementedError("File encryption")]
    with fs.open("hdfs:///data/a") as file:
        assert file.read() == b"12"
    assert hadoop.other.steps == ["create", "open"]
    assert hdfs_choice.shown()[0].startswith("hdfs-native")


def test_a_rename_whose_answer_was_lost_has_been_done(hadoop):
    rename = hadoop.raw.rename

    def lost(source, target, overwrite):
        if source not in hadoop.raw.held:
            raise FileNotFoundError(source)
        rename(source, target, overwrite)
        raise OSError("RPC listener disconnected")

    hadoop.raw.rename = lost
    fs.publish("hdfs:///data/a", b"12")
    assert hadoop.raw.held == {"/data/a": b"12"}


@pytest.mark.parametrize(("settings", "environment", "why"), [
    ({"hadoop.security.authentication": "kerberos"}, {}, "the cluster is secured"),
    ({"hadoop.socks.server": "proxy:1"}, {}, "hadoop.socks.server is set"),
    ({"fs.permissions.umask-mode": "u=rwx,g=,o="}, {}, "fs.permissions.umask-mode is u=rwx,g=,o="),
    ({"fs.defaultFS": "viewfs://x"}, {}, "fs.defaultFS is viewfs://x"),
    ({}, {"HADOOP_PROXY_USER": "bob"}, "HADOOP_PROXY_USER is set"),
    ({}, {"HDL_HDFS": "libhdfs"}, "HDL_HDFS=libhdfs is set"),
])  # fmt: skip
def test_where_hadoops_client_is_used_it_is_said_why(hadoop, monkeypatch, settings, environment, why):
    hadoop.settings.update(settings)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    name, said_why = hdfs_choice.shown()
    assert name.startswith("libhdfs")
    assert why in said_why
    assert fs.isdir("hdfs:///data")
    assert hadoop.other.steps == ["info"]


def test_a_client_is_another_one_with_other_tokens(hadoop, monkeypatch):
    first = hdfs_choice.client("hdfs:///a")
    assert hdfs_choice.client("hdfs:///b") is first
    monkeypatch.setenv("HADOOP_TOKEN_FILE_LOCATION", "/fresh")
    assert hdfs_choice.client("hdfs:///a") is not first


def test_what_is_forced_has_a_name(hadoop, monkeypatch):
    monkeypatch.setenv("HDL_HDFS", "rust")
    with pytest.raises(SpecError, match="HDL_HDFS=rust: expected native or libhdfs"):
        fs.exists("hdfs:///a")


def test_namenodes_are_found_by_the_names_that_tokens_have():
    pair = {
        "dfs.client.failover.proxy.provider.MyCluster": "x",
        "dfs.nameservices": " MyCluster ,",
        "dfs.ha.namenodes.MyCluster": "n1, n2",
        "dfs.namenode.rpc-address.MyCluster.n1": "one:1",
        "dfs.namenode.rpc-address.MyCluster.n2": "two",
    }
    url, known = hdfs_native._target("MyCluster", pair)
    assert url == "hdfs://MyCluster"
    members = known["dfs.ha.namenodes.MyCluster"].split(",")
    assert [known[f"dfs.namenode.rpc-address.MyCluster.{one}"] for one in members] == ["one:1", "two:8020"]
    assert hdfs_native._target("localhost", {})[0] == "hdfs://127.0.0.1:8020"
    assert (
        hdfs_native._target("localhost:9", {"hadoop.security.token.service.use_ip": "false"})[0] == "hdfs://localhost:9"
    )


def test_names_and_numbers():
    assert [hdfs_native._name(path) for path in ("hdfs:///", "hdfs://a:1/b//c/", "hdfs:///a?b#c")] == [
        "/", "/b/c", "/a?b#c"]  # fmt: skip
    assert [hdfs_native._number(text) for text in ("3", "128m", "1K")] == [3, 128 << 20, 1024]
    with pytest.raises(Unable, match="no number"):
        hdfs_native._number("many")


def test_who_hands_a_file_on_waits_until_hdfs_has_closed_it(hadoop, monkeypatch):
    closed = []
    monkeypatch.setattr(hdfs_native.Native, "whole", lambda *_: True)
    slow = hadoop.raw.create

    def create(name, options):
        file = slow(name, options)
        return SimpleNamespace(write=file.write, close=lambda: (time.sleep(0.4), closed.append(name)))

    monkeypatch.setattr(hadoop.raw, "create", create)
    fs.publish("hdfs:///data/archive", b"123")
    assert not closed  # the file has its name, and is still open
    fs.publish("hdfs:///data/for-yarn", b"123", closed=True)
    assert len(closed) == 2
