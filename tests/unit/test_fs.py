"""Publishing: whole or not at all, never over another, whoever else tries."""

import os
import threading

import pytest

from hdl import fs
from hdl.errors import Unavailable


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


def test_an_unknown_scheme_is_named():
    with pytest.raises(Unavailable, match="no file system for s3://"):
        fs.open("s3://bucket/key")
