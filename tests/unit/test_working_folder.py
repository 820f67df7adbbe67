"""A driver's working folder: closed to others, gone with its driver, never before."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from hdl import fs, temporary
from hdl.errors import WorkerError
from hdl.runners import working_folder
from hdl.runners.working_folder import LEASE, LEASE_SECONDS, Holder, WorkingFolder, remove_dead

DRIVER = """
import sys, time
from hdl.runners.working_folder import WorkingFolder
print(WorkingFolder(sys.argv[1]).path, flush=True)
time.sleep(600)
"""


@pytest.fixture
def jobs(tmp_path):
    return str(tmp_path / "home/.hdl/jobs")


@pytest.fixture
def driver(jobs):
    """A driver in a process of its own, and its folder."""
    with subprocess.Popen([sys.executable, "-c", DRIVER, jobs], stdout=subprocess.PIPE, text=True) as process:
        yield process, process.stdout.readline().strip()
        process.kill()


def other_machine(jobs, age, pid=1):
    """A folder of a driver on a machine that cannot be seen from here, whose lease was renewed so long ago."""
    path = f"{jobs}/{age:.0f}"
    fs.mkdir(path)
    fields = Holder("another boot", pid, "0", "far.example")._asdict()
    fs.publish(f"{path}/{LEASE}.{time.time() - age:.0f}", json.dumps(fields).encode())
    return path


def test_it_is_its_users_alone_and_ends_with_its_driver(jobs):
    folder = WorkingFolder(jobs)
    assert os.stat(folder.path).st_mode & 0o777 == os.stat(jobs).st_mode & 0o777 == 0o700
    folder.close()
    assert fs.list(jobs) == []


def test_what_a_killed_driver_left_goes_when_the_next_one_starts(jobs, driver):
    process, path = driver
    process.kill()
    process.wait()
    folder = WorkingFolder(jobs)
    assert not fs.exists(path)
    assert fs.exists(folder.path)


def test_a_driver_that_is_killed_and_not_reaped_is_dead(jobs, driver):
    process, path = driver
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie
    assert remove_dead(jobs) == [path]


def test_a_stopped_driver_keeps_its_folder_even_when_its_lease_is_over(jobs, driver, monkeypatch):
    process, path = driver
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
    monkeypatch.setattr(working_folder, "LEASE_SECONDS", -1.0)
    assert remove_dead(jobs) == []
    os.kill(process.pid, signal.SIGCONT)
    assert fs.exists(path)


def test_a_process_with_the_number_of_a_dead_driver_is_not_it(jobs, driver):
    _, path = driver
    (name,) = fs.list(path)
    with fs.open(f"{path}/{name}") as file:
        fields = json.loads(file.read())
    fs.remove(f"{path}/{name}")
    fs.publish(f"{path}/{name}", json.dumps({**fields, "started": "1"}).encode())
    assert remove_dead(jobs) == [path]


def test_of_another_machine_the_lease_decides(jobs):
    over, kept = other_machine(jobs, LEASE_SECONDS + 60), other_machine(jobs, LEASE_SECONDS - 600)
    pid = other_machine(jobs, 5, pid=os.getpid() + 1)
    assert remove_dead(jobs) == [over]
    assert fs.exists(kept)
    assert fs.exists(pid)


def test_a_renewed_lease_counts(jobs, monkeypatch):
    folder = WorkingFolder(jobs)
    later = time.time() + LEASE_SECONDS
    monkeypatch.setattr(working_folder.time, "time", lambda: later)
    folder.renew()
    (name,) = fs.list(folder.path)
    assert name == f"{LEASE}.{later:.0f}" or int(name.rpartition(".")[2]) == int(later)
    monkeypatch.setattr(temporary, "machine", lambda: "another boot")
    assert remove_dead(jobs) == []
    later += LEASE_SECONDS + 2
    assert remove_dead(jobs) == [folder.path]


def test_the_driver_renews_by_itself(jobs, monkeypatch):
    renewed = threading.Event()
    monkeypatch.setattr(working_folder, "RENEW_SECONDS", 0.01)
    before = WorkingFolder.renew
    calls = []

    def renew(self):
        before(self)
        calls.append(self)
        if len(calls) > 2:
            renewed.set()

    monkeypatch.setattr(WorkingFolder, "renew", renew)
    folder = WorkingFolder(jobs)
    assert renewed.wait(60)
    folder.close()
    assert fs.list(jobs) == []


def test_a_folder_without_a_lease_gets_one_and_goes_later(jobs, monkeypatch):
    fs.mkdir(f"{jobs}/old")
    assert remove_dead(jobs) == []
    assert remove_dead(jobs) == []
    now = time.time()
    monkeypatch.setattr(working_folder.time, "time", lambda: now + LEASE_SECONDS + 2)
    assert remove_dead(jobs) == [f"{jobs}/old"]


def test_a_driver_that_wakes_without_its_folder_says_so(jobs):
    folder = WorkingFolder(jobs)
    fs.remove(folder.path)
    with pytest.raises(WorkerError, match=r"removed by another one.*24 h.*--resume"), folder.there():
        fs.publish(f"{folder.path}/weights", b"1")
    with pytest.raises(FileNotFoundError):
        folder.renew()
    assert fs.list(jobs) == []  # nothing is made anew
    folder.close()


def test_another_error_is_told_as_it_is(jobs):
    folder = WorkingFolder(jobs)
    with pytest.raises(FileNotFoundError), folder.there():
        fs.open(f"{folder.path}/nothing")
    folder.close()
