"""Publishing: whole or not at all, never over another, whoever else tries."""

import errno
import io
import os
import posixpath
import tempfile
import threading
from pathlib import Path

import pytest

from hdl import fs, hdfs_java
from hdl.errors import OutputError, Unavailable


def test_publish_writes_and_leaves_no_temporary(tmp_path):
    fs.publish(str(tmp_path / "a"), lambda file: file.write(b"12"))
    assert fs.open(str(tmp_path / "a")).read() == b"12"
    assert fs.list(str(tmp_path)) == ["a"]
    assert fs.size(str(tmp_path / "a")) == 2
    assert fs.exists(f"file://{tmp_path}/a")


def test_publish_never_replaces(tmp_path):
    fs.publish(str(tmp_path / "a"), b"first")
    with pytest.raises(FileExistsError):
        fs.publish(str(tmp_path / "a"), b"second")
    assert (tmp_path / "a").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["a"]


def test_a_failing_writer_leaves_nothing(tmp_path):
    def write(file):
        file.write(b"half")
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError):
        fs.publish(str(tmp_path / "a"), write)
    assert os.listdir(tmp_path) == []


def test_of_many_publishers_one_wins(tmp_path):
    won, lost = [], []
    barrier = threading.Barrier(8)

    def race(number):
        barrier.wait()
        try:
            fs.publish(str(tmp_path / "v"), str(number).encode())
            won.append(number)
        except FileExistsError:
            lost.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(won) == 1
    assert len(lost) == 7
    assert (tmp_path / "v").read_text() == str(won[0])


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with fs.publish_folder(str(tmp_path / "out")) as folder:
        fs.publish(fs.join(folder, "part"), b"1")
        assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path / "out") == ["part"]
    with pytest.raises(FileExistsError), fs.publish_folder(str(tmp_path / "out")):
        pass
    with pytest.raises(ZeroDivisionError), fs.publish_folder(str(tmp_path / "other")):
        1 / 0  # noqa: B018
    assert os.listdir(tmp_path) == ["out"]


def test_remove_and_mkdir(tmp_path):
    fs.mkdir(str(tmp_path / "a/b"))
    fs.mkdir(str(tmp_path / "a/b"))
    fs.publish(str(tmp_path / "a/b/c"), b"")
    fs.remove(str(tmp_path / "a/b/c"))
    fs.remove(str(tmp_path / "a"))
    assert fs.list(str(tmp_path)) == []


def test_what_is_private_is_its_users_alone(tmp_path):
    def mode(name):
        return oct((tmp_path / name).stat().st_mode & 0o777)

    old = os.umask(0)
    try:
        fs.mkdir(str(tmp_path / "a/b"), private=True)
        fs.publish(str(tmp_path / "a/b/file"), b"1", private=True)
        fs.mkdir(str(tmp_path / "open"))
        fs.publish(str(tmp_path / "open/file"), b"1")
        assert [mode(name) for name in ("a", "a/b", "a/b/file", "open", "open/file")] == [
            "0o700", "0o700", "0o600", "0o777", "0o666"]  # fmt: skip
        fs.mkdir(str(tmp_path / "open"), private=True)
        assert mode("open") == "0o700"
    finally:
        os.umask(old)


def test_a_private_folder_is_never_anothers(tmp_path, monkeypatch):
    fs.mkdir(str(tmp_path / "a"), private=True)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(OutputError, match="another user's"):
        fs.mkdir(str(tmp_path / "a"), private=True)


def test_what_is_open_to_all_is_so_up_to_the_root():
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed
        folder = Path(name)
        (folder / "a").write_bytes(b"")
        for mode, of_folder, expected in ((0o644, 0o755, True), (0o640, 0o755, False), (0o644, 0o750, False)):
            (folder / "a").chmod(mode)
            folder.chmod(of_folder)
            assert fs.open_to_all(str(folder / "a")) == expected


def test_a_scheme_is_left_to_hadoop_which_may_be_missing(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("HADOOP_HOME", raising=False)
    with pytest.raises(Unavailable, match="s3:// needs a Hadoop: set HADOOP_HOME"):
        fs.open("s3://bucket/key")


class NameNode:
    """As libhdfs shows a NameNode to an ordinary user, who is told below a file that permission is denied."""

    def __init__(self):
        self.held = {"/": None, "/data": None, "/closed": None}  # a folder's content is None

    def get_path_info(self, path):
        path = path.rstrip("/") or "/"
        for above in self._above(path):
            if above == "/closed" or self.held.get(above) is not None:
                raise PermissionError(errno.EACCES, "permission denied")
        if path not in self.held:
            raise FileNotFoundError(errno.ENOENT, "no such file")
        content = self.held[path]
        kind = "directory" if content is None else "file"
        return {"kind": kind, "name": path, "size": len(content or b"")}

    def get_working_directory(self):
        return "hdfs://namenode/user/ada"

    def create_directory(self, path):
        self.held |= dict.fromkeys([*self._above(path), path])

    def open_file(self, path, mode):
        if mode == "r":
            return io.BytesIO(self.held[path])
        file = io.BytesIO()
        write = file.write

        def keep(content):
            self.held[path] = file.getvalue() + bytes(content)
            return write(content)

        self.held[path], file.write = b"", keep
        return file

    def get_hosts(self, path, start, length):
        if self.held.get(path) is None or start >= len(self.held[path]):
            raise RuntimeError(0)  # pydoop's error, whatever it was
        return [["a", "b"], ["b", "c"]]

    def rename(self, old, new):
        if self.held.get(new, b"?") is None:  # into the folder, as HDFS does
            new = posixpath.join(new, posixpath.basename(old))
        if new in self.held:
            raise OSError(errno.EIO, "not renamed")
        for path in [path for path in self.held if path == old or path.startswith(f"{old}/")]:
            self.held[new + path[len(old) :]] = self.held.pop(path)

    def delete(self, path, recursive):
        for below in [each for each in self.held if each == path or each.startswith(f"{path}/")]:
            del self.held[below]

    def list_directory(self, path):
        return [{"name": each} for each in self.held if each != "/" and posixpath.dirname(each) == path.rstrip("/")]

    @staticmethod
    def _above(path):
        while path != "/":
            path = posixpath.dirname(path)
            yield path


@pytest.fixture
def namenode(monkeypatch):
    made = NameNode()
    monkeypatch.setenv("HDL_HDFS", "libhdfs")
    monkeypatch.setattr(hdfs_java, "resolve", lambda path: (made, path.removeprefix("hdfs://") or "/"))
    return made


def test_an_ordinary_user_publishes_on_hdfs(namenode):
    fs.publish("hdfs:///data/a", b"1")
    with fs.publish_folder("hdfs:///data/b") as folder, open(f"{folder}/part", "wb") as file:
        file.write(b"2")
    fs.publish("hdfs:///root", b"3")
    expected = {"/data/a": b"1", "/data/b/part": b"2", "/root": b"3"}
    assert {path: content for path, content in namenode.held.items() if content is not None} == expected
    for name in ("a", "b"):  # into the folder HDFS would rename
        with pytest.raises(FileExistsError):
            fs.publish(f"hdfs:///data/{name}", b"4")
    assert {path: content for path, content in namenode.held.items() if content is not None} == expected


def test_below_a_file_on_hdfs_is_nothing_and_a_closed_folder_is_said(namenode):
    fs.publish("hdfs:///data/a", b"1")
    for path in ("hdfs:///data/a/x", "hdfs:///data/a/x/y"):
        assert not fs.exists(path)
        assert not fs.isdir(path)
        for call in (fs.open, fs.size, fs.list, fs.remove):
            with pytest.raises(FileNotFoundError, match=path):
                call(path)
        with pytest.raises(FileNotFoundError, match="no such folder"):
            fs.publish(path, b"2")
    assert fs.glob("hdfs:///*/a/x") == []
    for call in (fs.exists, fs.isdir, fs.open, fs.size, fs.list, fs.remove):
        for path in ("hdfs:///closed/x", "hdfs:///closed/x/y"):
            with pytest.raises(
                PermissionError, match=f"HDFS as user ada: no right to enter the folder hdfs:///closed .*: '{path}'"
            ):
                call(path)


def test_in_a_container_the_submitter_is_named_whose_tokens_it_has(namenode, monkeypatch):
    monkeypatch.setenv("CONTAINER_ID", "container_1_0001_01_000002")
    monkeypatch.setenv("USER", "eve")  # as YARN sets it
    with pytest.raises(PermissionError, match="permission denied by HDFS as user eve: no right to enter"):
        fs.open("hdfs:///closed/x")


def test_hosts_of_what_is_no_file_on_hdfs_are_an_error_that_says_so(namenode):
    fs.publish("hdfs:///data/a", b"1")
    assert fs.hosts("hdfs:///data/a", 0, 1) == ["b", "a", "c"]
    with pytest.raises(FileNotFoundError, match=r"No such file.*hdfs:///data/none"):
        fs.hosts("hdfs:///data/none", 0, 1)
    with pytest.raises(FileNotFoundError, match="hdfs:///data/a/x"):
        fs.hosts("hdfs:///data/a/x", 0, 1)
    with pytest.raises(IsADirectoryError, match=r"is a folder.*hdfs:///data"):
        fs.hosts("hdfs:///data", 0, 1)
    with pytest.raises(
        PermissionError, match=r"as user ada: no right to enter the folder hdfs:///closed .*'hdfs:///closed/x'"
    ):
        fs.hosts("hdfs:///closed/x", 0, 1)
    with pytest.raises(OSError, match=r"does not say where the file's blocks are.*hdfs:///data/a"):
        fs.hosts("hdfs:///data/a", 9, 1)
