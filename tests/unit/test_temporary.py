"""Temporary names say whose they are: what dead writers left goes at the next start, what lives stays."""

import logging
import os
import subprocess
import sys
import time

import pytest

from hdl import fs, outputs, scratch, temporary

# Writers that are killed at the points that are named, one after the other, or stay until standard input ends.
WRITERS = """
import os, signal, sys, tempfile
from hdl import fs, outputs, scratch
folder, end, *points = sys.argv[1:]
tempfile.tempdir = folder

def write(point):
    def stop(at):
        if at == point:
            os.write(1, b"there\\n")  # in one piece: several processes write
            sys.stdin.read() if end == "wait" else os.kill(os.getpid(), signal.SIGKILL)
    def half(file):
        stop("opened")
        file.write(b"x" * 1000)
        file.flush()
        stop("written")
    link = os.link
    def linked(*names):
        stop("before the name")
        link(*names)
        stop("after the name")
    os.link = linked
    if point == "replacing":
        with outputs.replacing(f"{folder}/report.html") as file:
            stop(point)
    elif point == "folder":
        with fs.publish_folder(f"{folder}/imported") as own:
            open(f"{own}/part-0", "wb").write(b"x" * 1000)
            stop(point)
    elif point == "scratch":
        with scratch.directory("hdl-") as own:
            open(f"{own}/part-0", "wb").write(b"x" * 1000)
            stop(point)
    else:
        fs.publish(f"{folder}/{os.getpid()}.bin", half)

children = []
for point in points:
    child = os.fork()
    if not child:
        write(point)
        os._exit(0)
    children.append(child)
    if end != "wait":
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
if end == "wait":
    for child in children:
        os.waitpid(child, 0)
"""
POINTS = ["opened", "written", "before the name", "after the name", "replacing", "folder", "scratch"]


def start(folder, end, *points):
    """Start writers; `end` is "kill", or "wait" for those that live."""
    command = [sys.executable, "-c", WRITERS, str(folder), end, *points]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def hidden(folder):
    return sorted(name for name in os.listdir(folder) if name.startswith("."))


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process that has not written yet."""
    monkeypatch.setattr(temporary, "_swept", set())


def test_of_thirty_killed_writers_nothing_is_left_but_what_lives(tmp_path, caplog):
    points = [POINTS[n % len(POINTS)] for n in range(30)]
    living = start(tmp_path, "wait", "written", "folder")
    try:
        assert [living.stdout.readline() for _ in range(2)] == [b"there\n"] * 2
        kept = hidden(tmp_path)
        assert len(kept) == 2
        killed = start(tmp_path, "kill", *points)
        assert killed.communicate(timeout=250)[0] == b"there\n" * 30
        assert killed.returncode == 0
        assert set(hidden(tmp_path)) > set(kept)  # of the last ones at least: those before were swept already
        with caplog.at_level(logging.WARNING, "hdl"):
            fs.publish(str(tmp_path / "whole.bin"), b"1")
        assert hidden(tmp_path) == kept
        assert "removed what writers that died left there" in caplog.text
        whole = [name for name in os.listdir(tmp_path) if name.endswith(".bin")]
        assert len(whole) == 1 + points.count("after the name")
    finally:
        living.communicate(timeout=250)
    assert hidden(tmp_path) == []
    assert (tmp_path / "imported" / "part-0").stat().st_size == 1000


@pytest.mark.parametrize("write", ["publish", "publish_folder", "replacing", "directory"])
def test_whoever_writes_sweeps(tmp_path, monkeypatch, write):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    start(tmp_path, "kill", "written").communicate(timeout=250)
    assert len(hidden(tmp_path)) == 1
    if write == "publish":
        fs.publish(str(tmp_path / "a"), b"1")
    elif write == "publish_folder":
        with fs.publish_folder(str(tmp_path / "b")):
            assert len(hidden(tmp_path)) == 1  # at the start, and its own is there
    elif write == "replacing":
        with outputs.replacing(tmp_path / "c"):
            pass
    else:
        with scratch.directory("hdl-"):
            pass
    assert hidden(tmp_path) == []


def elsewhere(folder, age, name="a", isdir=False):
    """What a writer on another machine left, last changed `age` seconds ago."""
    path = folder / f".{name}.{'0' * 32}.tmp"
    if isdir:
        path.mkdir()
    else:
        path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_of_another_machine_the_last_change_decides(tmp_path):
    day, week = temporary.FILE_SECONDS, temporary.FOLDER_SECONDS
    old, young = elsewhere(tmp_path, day + 60, "old"), elsewhere(tmp_path, day - 600, "young")
    gone, stays = elsewhere(tmp_path, week + 60, "gone", True), elsewhere(tmp_path, day + 60, "stays", True)
    fs.publish(str(tmp_path / "a"), b"1")
    assert [path.exists() for path in (old, young, gone, stays)] == [False, True, False, True]


def test_it_is_the_file_systems_clock_that_counts(tmp_path, monkeypatch):
    young = elsewhere(tmp_path, 60)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    fs.publish(str(tmp_path / "a"), b"1")
    assert young.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_another_users_file_stays(tmp_path):
    theirs = elsewhere(tmp_path, 10 * temporary.FILE_SECONDS)
    os.chown(theirs, 12345, -1)
    fs.publish(str(tmp_path / "a"), b"1")
    assert theirs.exists()


def test_what_is_no_name_of_ours_stays_whatever_its_age(tmp_path):
    others = [tmp_path / name for name in (".a.tmp", f".a.{'0' * 31}.tmp", f"a.{'0' * 32}.tmp", ".a.swp")]
    for path in others:
        path.write_bytes(b"")
        os.utime(path, (0, 0))
    fs.publish(str(tmp_path / "a"), b"1")
    assert all(path.exists() for path in others)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "data").write_bytes(b"1")
    link = tmp_path / f".a.{'0' * 32}.tmp"
    link.symlink_to(tmp_path / "elsewhere")
    os.utime(link, (0, 0), follow_symlinks=False)
    fs.publish(str(tmp_path / "a"), b"1")
    assert not link.is_symlink()
    assert (tmp_path / "elsewhere" / "data").exists()


def test_a_process_id_that_is_used_again_is_another_writer():
    name = temporary.name("a")
    assert temporary.is_dead(name) is False
    at = name.index(".", 2) + 1 + 16
    assert temporary.is_dead(f"{name[:at]}{(int(name[at : at + 8], 16) + 1) % 16**8:08x}{name[at + 8 :]}") is True


def test_no_two_names_are_the_same():
    assert len({temporary.name("a") for _ in range(1000)}) == 1000


def test_a_sweep_ends_in_time_and_fails_nobody(tmp_path, monkeypatch):
    for number in range(3):
        elsewhere(tmp_path, 10 * temporary.FILE_SECONDS, str(number))
    monkeypatch.setattr(temporary, "SWEEP_SECONDS", -1)
    fs.publish(str(tmp_path / "a"), b"1")
    assert len(hidden(tmp_path)) == 3
