"""hdl.fs on a real HDFS: what it promises locally holds there, and failures say what and where."""

import errno
import gzip
import io
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hdl import fs, hdfs
from hdl.data.find import open_source
from hdl.errors import DeadlineError, Unavailable
from hdl.table import Table
from tests.hadoop.runners import all_hosts
from tests.hadoop.webhdfs import WebHdfs

native = pytest.mark.parametrize("client", ["native"], indirect=True)
native_first = pytest.mark.parametrize(
    "client", ["native", pytest.param("libhdfs", marks=pytest.mark.full)], indirect=True
)
libhdfs_alone = pytest.mark.parametrize("client", ["libhdfs"], indirect=True)


@pytest.fixture(params=["native", "libhdfs"], autouse=True)
def client(request, cluster, monkeypatch):
    """Either client of HDFS keeps every promise."""
    monkeypatch.setenv("HDL_HDFS", request.param)


def test_what_is_published_is_read_back(folder):
    content = os.urandom(3_000_001)
    fs.publish(f"{folder}/a", content)
    assert fs.list(folder) == ["a"]
    assert fs.size(f"{folder}/a") == len(content)
    with fs.open(f"{folder}/a") as file:
        assert file.read() == content
        assert file.seek(2_000_000) == 2_000_000
        assert file.read(10) == content[2_000_000:2_000_010]
        assert file.seek(-5, os.SEEK_END) == len(content) - 5
        assert file.read() == content[-5:]
        assert file.seek(len(content) + 9) >= len(content)
        assert file.read(1) == b""


def test_a_url_with_its_namenode_is_the_same_place(cluster, folder):
    fs.publish(f"{folder}/a", b"1")
    assert fs.open(folder.replace("hdfs://", cluster.uri) + "/a").read() == b"1"


def test_lines_of_a_file(folder):
    fs.publish(f"{folder}/a", b"one\ntwo\nthree")
    with fs.open(f"{folder}/a") as file:
        assert list(file) == [b"one\n", b"two\n", b"three"]


def test_folders_patterns_and_removal(folder):
    fs.mkdir(f"{folder}/x/y")
    fs.mkdir(f"{folder}/x/y")
    for name in ("part-1.csv", "part-2.csv", ".hidden.csv", "other"):
        fs.publish(f"{folder}/x/{name}", b"")
    assert fs.isdir(f"{folder}/x/y")
    assert not fs.isdir(f"{folder}/x/other")
    assert fs.glob(f"{folder}/*/part-?.csv") == [f"{folder}/x/part-1.csv", f"{folder}/x/part-2.csv"]
    assert fs.glob(f"{folder}/x/*.csv") == [f"{folder}/x/part-1.csv", f"{folder}/x/part-2.csv"]
    fs.remove(f"{folder}/x")
    assert not fs.exists(f"{folder}/x")


def test_what_is_not_there(folder):
    for call in (fs.open, fs.size, fs.list, fs.remove):
        with pytest.raises(FileNotFoundError, match=f"{folder}/nothing"):
            call(f"{folder}/nothing")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        fs.publish(f"{folder}/nothing/a", b"")
    with pytest.raises(IsADirectoryError):
        fs.open(folder)
    with pytest.raises(FileNotFoundError, match=f"{folder}/nothing"):
        fs.hosts(f"{folder}/nothing", 0, 1)
    with pytest.raises(IsADirectoryError):
        fs.hosts(folder, 0, 1)


def test_below_a_file_is_nothing(folder):
    """A NameNode tells everybody but its superuser that permission is denied there."""
    fs.publish(f"{folder}/a", b"1")
    for path in (f"{folder}/a/x", f"{folder}/a/x/y"):
        assert not fs.exists(path)
        assert not fs.isdir(path)
        with pytest.raises(FileNotFoundError):
            fs.open(path)
        with pytest.raises(FileNotFoundError, match="no such folder"):
            fs.publish(path, b"2")
    assert fs.glob(f"{folder}/*/x") == []


def test_what_another_user_keeps_is_closed(cluster, folder):
    cluster.own("/tests-other", "bob")
    for call in (fs.list, fs.remove, lambda path: fs.open(f"{path}/x"), lambda path: fs.publish(f"{path}/x", b"")):
        with pytest.raises(PermissionError, match="permission denied by HDFS"):
            call("hdfs:///tests-other")


def test_a_taken_name_is_never_replaced(folder):
    fs.publish(f"{folder}/a", b"first")
    fs.mkdir(f"{folder}/b")
    for name in ("a", "b"):  # onto a folder, HDFS would rename into it
        with pytest.raises(FileExistsError):
            fs.publish(f"{folder}/{name}", b"second")
    assert fs.open(f"{folder}/a").read() == b"first"
    assert fs.list(folder) == ["a", "b"]
    assert fs.list(f"{folder}/b") == []


def test_of_many_who_publish_one_name_one_wins(folder):
    start = threading.Barrier(8)

    def publish(number):
        start.wait()
        try:
            fs.publish(f"{folder}/v", b"%d" % number)
        except FileExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(publish, range(8)) if number is not None]
    assert len(winners) == 1
    assert fs.open(f"{folder}/v").read() == b"%d" % winners[0]
    assert fs.list(folder) == ["v"]


def test_a_failing_writer_leaves_nothing(folder):
    def write(file):
        file.write(b"half")
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        fs.publish(f"{folder}/a", write)
    assert fs.list(folder) == []


def test_what_is_published_at_the_root(cluster, folder):
    name = f"hdfs:///{folder.rsplit('/', 1)[1]}-root"
    cluster.own("/", os.environ["HADOOP_USER_NAME"])
    try:
        with fs.publish_folder(f"{name}-folder") as local:
            Path(local, "part").write_bytes(b"x")
        fs.publish(name, b"y")
        assert fs.list(f"{name}-folder") == ["part"]
        with fs.open(name) as file:
            assert file.read() == b"y"
        with pytest.raises(FileNotFoundError, match="no such folder"):
            fs.publish(f"{name}-none/file", b"z")
    finally:
        for path in (name, f"{name}-folder"):
            if fs.exists(path):
                fs.remove(path)
        cluster.own("/", cluster.superuser)
    assert not [each for each in fs.list("hdfs:///") if each.startswith(".")]


def test_a_folder_is_published_whole(folder):
    with fs.publish_folder(f"{folder}/model") as local:
        os.mkdir(f"{local}/sub")
        for name in ("one", "sub/two"):
            with open(f"{local}/{name}", "w") as file:
                file.write(name)
    assert fs.list(f"{folder}/model") == ["one", "sub"]
    assert fs.open(f"{folder}/model/sub/two").read() == b"sub/two"
    with pytest.raises(FileExistsError), fs.publish_folder(f"{folder}/model"):
        pass
    assert fs.list(folder) == ["model"]


@native
def test_data_that_is_imported_and_brought_back_is_the_same(run, folder, tmp_path):
    """`hdl import` from here to HDFS and back: every sample, label, type and the order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez(tmp_path / "digits.npz", x=digits.data.astype(np.uint8), y=digits.target)
    hdl = [sys.executable, "-m", "hdl"]
    run(*hdl, "import", tmp_path / "digits.npz", f"{folder}/there", "--shards", 3)
    assert fs.list(f"{folder}/there") == [f"part-0000{k}.parquet" for k in range(3)]
    run(*hdl, "import", f"{folder}/there", tmp_path / "back", "--shards", 2)
    read = {}
    for path in (str(tmp_path / "digits.npz"), f"{folder}/there", str(tmp_path / "back")):
        source = open_source(path)
        blocks = [block for splits in source.splits(2) for block in source.read(splits)]
        read[path] = np.concatenate([block.x for block in blocks]), np.concatenate([block.y for block in blocks])
    for x, y in read.values():
        assert x.dtype == np.uint8
        assert np.array_equal(x, digits.data)
        assert np.array_equal(y, digits.target)


@native
def test_a_folder_is_sorted_out_as_one_here(folder, tmp_path):
    """Fortran order, packed copies, foreign files and folders of images, on HDFS."""
    from PIL import Image

    x, y = np.asfortranarray(np.random.default_rng(0).normal(size=(9, 4))), np.arange(9) % 2
    for name, array in (("x", x), ("y", y)):
        file = io.BytesIO()
        np.save(file, array)
        fs.publish(f"{folder}/{name}.npy", file.getvalue())
    fs.publish(f"{folder}/x.npy.gz", gzip.compress(fs.open(f"{folder}/x.npy").read()))
    fs.publish(f"{folder}/mapping.txt", b"0 48\n1 49\n")
    source = open_source(folder)
    blocks = [block for splits in source.splits(2) for block in source.read(splits)]
    assert np.array_equal(np.concatenate([block.x for block in blocks]), x)
    assert source.left_out == ["mapping.txt: a text about the data", "x.npy.gz: the packed copy of x.npy"]
    for name in ("01", "1"):
        fs.mkdir(f"{folder}/images/{name}")
        file = io.BytesIO()
        Image.fromarray(np.full((2, 3), 40000, np.uint16)).save(file, "PNG")
        fs.publish(f"{folder}/images/{name}/a.png", file.getvalue())
    fs.publish(f"{folder}/images/labels.csv", b"a,b\n1,2\n")
    source = open_source(f"{folder}/images")
    (block,) = source.read(source.splits(1)[0])
    assert block.y.tolist() == ["01", "1"]
    assert block.x.max() == 40000
    assert source.left_out == ["labels.csv: a table beside folders of images"]


@native_first
def test_hosts_are_those_of_the_blocks(folder, run, tmp_path):
    (tmp_path / "blocks").write_bytes(bytes(64 * 1024))
    put = ("hadoop", "fs", "-D", "dfs.blocksize=8192", "-D", "dfs.replication=1", "-put", tmp_path / "blocks")
    run(*put, folder.removeprefix("hdfs://") + "/a")
    each = [fs.hosts(f"{folder}/a", start, 8192) for start in range(0, 65536, 8192)]
    assert all(len(hosts) == 1 for hosts in each)
    names = {host for hosts in each for host in hosts}
    assert names <= {"localhost", "127.0.0.2"}
    assert set(fs.hosts(f"{folder}/a", 0, 65536)) == names
    fs.publish(f"{folder}/both", b"1")
    assert sorted(all_hosts(f"{folder}/both", 2)) == ["127.0.0.2", "localhost"]


def test_a_quota_is_said_and_the_name_stays_free(cluster, folder):
    path = folder.removeprefix("hdfs://")
    admin = WebHdfs(cluster, cluster.superuser)
    admin.quota(path, names=-1, space=2**20)
    with pytest.raises(OSError, match="quota") as caught:
        fs.publish(f"{folder}/a", bytes(3_000_000))
    assert caught.value.errno == errno.EDQUOT
    assert caught.value.filename == f"{folder}/a"
    assert fs.list(folder) == []
    admin.quota(path, names=-1, space=-1)


@native_first
def test_safe_mode_is_waited_for_or_said(folder, admin, monkeypatch):
    admin("safemode", "enter")
    monkeypatch.setattr(hdfs, "SAFE_MODE_SECONDS", 0.0)
    try:
        with pytest.raises(OSError, match="safe mode") as caught:
            fs.mkdir(f"{folder}/a")
        assert caught.value.errno == errno.EROFS
        monkeypatch.setattr(hdfs, "SAFE_MODE_SECONDS", 600.0)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(fs.publish, f"{folder}/b", b"1")
            time.sleep(1)
            assert not waiting.done()
            admin("safemode", "leave")
            waiting.result(timeout=600)
    finally:
        admin("safemode", "leave")
    assert fs.list(folder) == ["b"]


def test_a_namenode_that_is_not_there_has_a_deadline():
    with pytest.raises(DeadlineError, match=r"127\.0\.0\.1:9 "):
        fs.list("hdfs://127.0.0.1:9/")


@libhdfs_alone
@pytest.mark.parametrize("what", ["no configuration", "no hadoop"])
def test_never_the_local_file_system_instead(cluster, tmp_path, what):
    """Without a configuration libhdfs opens the local file system under an hdfs:// name."""
    environment = os.environ | {"HADOOP_CONF_DIR": str(tmp_path)}
    if what == "no hadoop":
        environment = {name: value for name, value in environment.items() if name != "HADOOP_HOME"} | {
            "PATH": "/usr/bin"
        }
    script = (
        "import sys; from hdl import fs\ntry: print(fs.list('hdfs:///'))\nexcept Exception as e: sys.exit(f'{e!r}')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 1, done.stdout
    assert done.stderr.startswith(Unavailable.__name__)
    assert ("HADOOP_CONF_DIR" if what == "no configuration" else "hdl cluster start") in done.stderr


@native
def test_features_and_labels_apart(folder, run, tmp_path):
    fs.publish(f"{folder}/x.txt", b"1,2\n3,4\n5,6\n7,8\n")
    fs.publish(f"{folder}/y.txt", b"0\n1\n0\n1\n")
    command = [sys.executable, "-m", "hdl", "train", f"{folder}/x.txt,{folder}/y.txt", "--epochs", "1", "-q"]
    run(*command, "--out", tmp_path / "model", "--no-report")
    assert Table(str(tmp_path / "model")).latest() == 1
