"""Temporary files, caches and what lies beside a table: where they are, and who may read them."""

import os
import subprocess
import sys

import numpy as np
import pytest

from hdl import driver, fs, outputs, scratch
from hdl.data.store import Growing
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, Sync
from hdl.table import Table


def mode(path):
    return oct(os.stat(path).st_mode & 0o777)


@pytest.fixture
def container(tmp_path, monkeypatch):
    """As in a container of YARN: its folder is PWD, and TMPDIR is not set."""
    (tmp_path / "container").mkdir()
    monkeypatch.setenv("CONTAINER_ID", "container_1_0001_01_000002")
    monkeypatch.setenv("PWD", str(tmp_path / "container"))
    monkeypatch.delenv("TMPDIR", raising=False)
    return tmp_path / "container"


def test_a_containers_temporary_files_lie_in_its_own_folder(container, monkeypatch, tmp_path):
    assert scratch.folder() == str(container)
    with scratch.directory("hdl-") as folder:
        assert os.path.dirname(folder) == str(container)
        assert mode(folder) == "0o700"
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert scratch.folder() == str(tmp_path)  # the user's word goes first
    monkeypatch.delenv("CONTAINER_ID")
    assert scratch.folder() == str(tmp_path)


def test_a_container_that_may_not_write_its_folder_uses_the_systems(container, monkeypatch):
    monkeypatch.setenv("PWD", str(container / "none"))
    assert scratch.folder() != str(container / "none")


def test_samples_that_memory_does_not_hold_spill_into_the_containers_folder(container):
    """The file has no name, and /proc says where it is."""
    rows = Growing(np.float32, 3)
    rows.append(np.ones((5, 3), np.float32))
    rows.spill()
    opened = os.readlink(f"/proc/self/fd/{rows.file.fileno()}")
    assert os.path.dirname(opened.removesuffix(" (deleted)")) == str(container)
    assert os.fstat(rows.file.fileno()).st_mode & 0o777 == 0o600
    assert os.listdir(container) == []
    assert rows.array().tolist() == np.ones((5, 3)).tolist()


def test_a_task_of_streaming_copies_its_samples_there(container):
    script = (
        "import io, os; from hdl.streaming import samples, task_config\n"
        "with samples(io.BytesIO(b'1,2\\n'), task_config(['t'])) as (folder, _, _):\n"
        "    print(folder, oct(os.stat(folder).st_mode & 0o777))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=250, check=True)
    folder, rights = done.stdout.split()
    assert os.path.dirname(folder) == str(container)
    assert rights == "0o700"
    assert os.listdir(container) == []


def test_the_users_cache_is_closed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scratch.cache("env")
    assert [mode(tmp_path / name) for name in ("cache", "cache/hdl", "cache/hdl/env")] == ["0o700"] * 3


@pytest.mark.parametrize(("rights", "expected"), [(0o600, "0o600"), (0o644, "0o644")])
def test_a_file_that_is_replaced_is_not_opened_to_others(tmp_path, rights, expected):
    path = tmp_path / "report.html"
    path.write_bytes(b"old")
    path.chmod(rights)
    outputs.put(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == expected


@pytest.mark.parametrize(("rights", "expected"), [(0o600, "0o600"), (0o644, "0o644")])
def test_common_samples_are_no_more_open_than_the_data_they_are_drawn_from(tmp_path, monkeypatch, rights, expected):
    """Genetic mode keeps samples of the dataset beside the versions."""
    data = tmp_path / "digits.csv"
    data.write_text("".join(f"{n % 7},{n % 3},{n % 2}\n" for n in range(40)))
    data.chmod(rights)
    monkeypatch.setattr(fs.Local, "open_to_all", lambda self, path: bool(os.stat(path).st_mode & 0o004))  # /tmp/pytest…
    spec = Spec(net=(2, 3, 2), shards=2, epochs=1, sync=Sync(mode="genetic"))
    with LocalRunner() as runner:
        driver.train(Job(str(data), str(tmp_path / "model"), spec), runner)
    assert mode(Table(str(tmp_path / "model")).common_file) == expected
    assert mode(Table(str(tmp_path / "model")).file(0)) == "0o644"
