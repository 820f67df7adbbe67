"""Pairs of text on every kind of worker here: counted by the workers or by the driver, the same bytes come of them."""

import numpy as np
import pytest

from hdl import data, driver
from hdl.data import line_count
from hdl.data.streams import Stream
from hdl.errors import DataError
from hdl.runners import counting
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.yarn_here import YarnHere

FILES = {1: 70, 2: 33, 3: 110}  # lines
SPEC = parse({"net": "0-4-0", "shards": 4, "batch": 16, "epochs": 2, "optimizer": "sgd"})


@pytest.fixture
def texts(tmp_path):
    """A folder with three pairs, whose lines are of different lengths, so that bytes and lines are cut elsewhere."""
    rng, folder = np.random.default_rng(3), tmp_path / "batch"
    folder.mkdir()
    for number, lines in FILES.items():
        x = rng.normal(size=(lines, 5)) * 10.0 ** rng.integers(-6, 6, (lines, 1))
        np.savetxt(folder / f"set_data_{number}.X", x, "%.7g", newline=" \n")
        np.savetxt(folder / f"set_data_{number}.Y", np.eye(3)[rng.integers(0, 3, lines)], "%.8f", newline=" \n")
    return folder


@pytest.fixture
def small(monkeypatch):
    """Pieces of some lines; workers are asked whatever they are worth."""
    monkeypatch.setattr(line_count, "PIECE_BYTES", 700)
    monkeypatch.setattr(counting, "WORTH_BYTES", 0)


def trained(runner, texts, table, **changed):
    job = Job(str(texts), str(table), SPEC, **changed)
    if isinstance(runner, YarnHere):
        runner.train(job)
    else:
        driver.train(job, runner)
    stored = Table(str(table))
    return stored.read(stored.latest()).signature, stored.read(0).about["cuts"]


@pytest.fixture
def alone(texts, tmp_path):
    return trained(LocalRunner(1, 1), texts, tmp_path / "alone")


def test_workers_count_and_give_the_local_runners_bytes(texts, tmp_path, alone, small, monkeypatch):
    def refuse(*_):
        raise AssertionError("the master counts")

    monkeypatch.setattr(line_count, "count", refuse)
    monkeypatch.setattr("hdl.data.pair.count", refuse)
    assert trained(YarnHere(2), texts, tmp_path / "yarn") == alone
    (tmp_path / "yarn2").mkdir()
    assert trained(YarnHere(3, publish_every=0), texts, tmp_path / "yarn2" / "table") == alone


@pytest.mark.full  # test_every_column.py loses all of them in the same pass
def test_a_worker_lost_while_counting_changes_no_byte(texts, tmp_path, alone, small, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "loading:0:1:1:KILL")
    assert trained(YarnHere(2), texts, tmp_path / "yarn") == alone


def test_processes_here_begin_at_the_marks(texts, tmp_path, alone, small):
    assert trained(LocalRunner(2, 1), texts, tmp_path / "two") == alone


def test_a_training_on_workers_is_resumed(texts, tmp_path, small):
    whole = trained(YarnHere(2), texts, tmp_path / "whole")
    runner, table = YarnHere(2), tmp_path / "parts"
    runner.train(Job(str(texts), str(table), SPEC.model_copy(update={"epochs": 1})))
    runner = YarnHere(2)
    runner.train(Job(str(texts), str(table), SPEC, resume=True))
    assert Table(str(table)).read(Table(str(table)).latest()).signature == whole[0]


def test_what_is_wrong_with_the_counts_is_told_by_both_names(texts, tmp_path, small):
    (texts / "set_data_2.Y").write_text("0 1 0\n" * 5)
    with pytest.raises(
        DataError, match=r"set_data_2.Y: 5 lines of targets, but 33 lines of features in .*set_data_2.X"
    ):
        YarnHere(2).train(Job(str(texts), str(tmp_path / "table"), SPEC))
    assert not (tmp_path / "table").exists()


def test_marks_spare_reading_what_lies_before(texts, monkeypatch):
    """A reader of the last lines passes over the first pieces without reading them."""
    monkeypatch.setattr(line_count, "PIECE_BYTES", 200)
    source = data.open_source(f"{texts}/set_data_3.X,{texts}/set_data_3.Y")
    last = source.splits(8)[-1]
    monkeypatch.setattr("hdl.data.pair.BLOCK_BYTES", 64)
    read, real = [], Stream.read

    def counted(self, count, /):
        found = real(self, count)
        if self.path.endswith(".X"):
            read.append(len(found))
        return found

    monkeypatch.setattr(Stream, "read", counted)
    assert sum(len(block) for block in source.read(last)) == 14
    size = (texts / "set_data_3.X").stat().st_size
    assert sum(read) < size / 2
