"""Rounds of a runner that does not wait for version 0: what is written then, in which order, and what fails."""

import threading
from dataclasses import replace

import pytest

from hdl import driver, fs
from hdl.driver import Round, Started
from hdl.errors import Fenced, TableError
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table


class Early(LocalRunner):
    """Does not wait for version 0."""

    begins_before_zero = True


@pytest.fixture
def job(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(60)))
    spec = parse({"net": "0-4-0", "shards": 2, "epochs": 3, "batch": 16, "seed": 3})
    return Job(str(path), str(tmp_path / "model"), spec, publish_every=1)


@pytest.fixture
def held(monkeypatch):
    """What a training writes beside its first round is written when `go` is set."""
    publish, go = fs.publish, threading.Event()

    def wait(path, content, private=False):
        if threading.current_thread() is not threading.main_thread():
            assert go.wait(30.0)
        publish(path, content, private=private)

    monkeypatch.setattr(fs, "publish", wait)
    return go


def test_the_first_round_is_over_before_the_table_is_claimed_and_later_versions_follow_version_0(job, held):
    seen = []

    def hear(event):
        if isinstance(event, Started):
            seen.append(Table(job.table).latest())
            held.set()
            seen.append("begun")

    outcome = driver.train(job, Early(1), hear)
    table = Table(job.table)
    assert seen == [None, "begun"]
    assert table.numbers() == [0, 1, 2, 3] == [*range(outcome.version + 1)]
    assert table.read(0).run == table.read(3).run == outcome.run
    assert table.read(1).follows == (0, table.read(0).signature)


def test_the_bytes_are_those_of_a_runner_that_waits(job, tmp_path):
    driver.train(job, Early(1))
    driver.train(replace(job, table=str(tmp_path / "waits")), LocalRunner(1))
    assert Table(job.table).read(3).signature == Table(str(tmp_path / "waits")).read(3).signature


def test_another_run_that_claims_the_table_meanwhile_is_left_alone(job, held):
    def hear(event):
        if isinstance(event, Started):
            Table(job.table).claim()
            held.set()

    with pytest.raises(Fenced):
        driver.train(job, Early(1), hear)
    assert Table(job.table).numbers() == []


def test_what_cannot_be_written_ends_the_training_after_the_first_round_at_the_latest(job, monkeypatch):
    rounds, publish = [], fs.publish

    def full(path, content, private=False):
        if path.rpartition("/")[2].startswith("v00000000"):
            raise OSError(28, "No space left on device", path)
        publish(path, content, private=private)

    monkeypatch.setattr(fs, "publish", full)
    with pytest.raises(TableError, match="No space left on device"):
        driver.train(job, Early(1), lambda event: rounds.append(event) if isinstance(event, Round) else None)
    assert not rounds
    assert Table(job.table).numbers() == []


def test_a_folder_where_nothing_can_be_written_is_told_before_any_round(job, monkeypatch):
    begun, mkdir = [], fs.mkdir

    def refused(path, private=False):
        if path != job.table:
            raise PermissionError(13, "Permission denied", path)
        mkdir(path, private)

    monkeypatch.setattr(fs, "mkdir", refused)
    with pytest.raises(TableError, match="Permission denied"):
        driver.train(job, Early(1), lambda event: begun.append(event) if isinstance(event, Started) else None)
    assert not begun
