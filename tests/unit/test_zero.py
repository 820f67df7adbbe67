"""Version 0 is there twice: lost or damaged, it costs nothing, is told of, and is made whole by who goes on."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from hdl import driver
from hdl.errors import TableError
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, Sync
from hdl.table import Table, Version, zero
from hdl.wire import Weights

SPEC = Spec(net=(2, 3, 2), epochs=2, sync=Sync(mode="average"))


def lose(path):
    path.unlink()


def flip(path):
    """Another bit in the tensors, which the header knows nothing of."""
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def cut(path):
    os.truncate(path, 100)


def trained(data, folder, resume=False, epochs=2):
    with LocalRunner() as runner:
        outcome = driver.train(Job(str(data), str(folder), SPEC.with_(epochs=epochs), resume=resume), runner)
    return Table(str(folder)).read(outcome.version).signature


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("".join(f"{n % 7},{n % 3},{n % 2}\n" for n in range(40)))
    return path


@pytest.fixture
def folder(data, tmp_path):
    trained(data, tmp_path / "model")
    return tmp_path / "model"


def files(folder):
    (first,) = (Path(folder) / name for name in os.listdir(folder) if name.startswith("v00000000."))
    return first, Path(zero.both(str(first))[1])


@pytest.mark.parametrize("harm", [lose, flip, cut])
@pytest.mark.parametrize("which", [0, 1], ids=["version 0", "its copy"])
def test_either_file_of_version_0_may_be_lost(data, folder, tmp_path, caplog, harm, which):
    first, copy = files(folder)
    assert first.read_bytes() == copy.read_bytes()
    assert not first.samefile(copy)  # a second name would have the same flipped bit
    harm((first, copy)[which])
    with caplog.at_level(logging.WARNING, "hdl"):
        assert Model(str(folder)).spec.net == (2, 3, 2)
        assert Table(str(folder)).header(0)["about"]["data"] == str(data)
        assert 0 in Table(str(folder)).numbers()
        assert Table(str(folder)).read(0).number == 0
    assert ("is read in its place" in caplog.text) == (which == 0)
    again = trained(data, folder, resume=True, epochs=4)
    assert again == trained(data, tmp_path / "other", epochs=4)
    first, copy = files(folder)
    assert first.read_bytes() == copy.read_bytes()
    assert not first.samefile(copy)


def test_a_table_of_before_gets_its_copy_when_a_run_goes_on(data, folder):
    files(folder)[1].unlink()
    trained(data, folder, resume=True, epochs=3)
    first, copy = files(folder)
    assert first.read_bytes() == copy.read_bytes()


def test_both_lost_is_an_error_that_names_the_file(folder):
    for path in files(folder):
        flip(path)
    with pytest.raises(TableError, match="v00000000"):
        Table(str(folder)).read(0)


def test_the_copy_is_told_of_once_and_stays_when_versions_are_thinned(tmp_path, caplog):
    table = Table(str(tmp_path))
    for number in range(6):
        parent = number - 1 if number else None
        table.publish(Version(number, Weights(number, np.float32([1, 2])), {"seed": 1}, "run", parent))
    lose(files(tmp_path)[0])
    table = Table(str(tmp_path))
    with caplog.at_level(logging.WARNING, "hdl"):
        assert [table.read(0).number for _ in range(3)] == [0] * 3
    assert caplog.text.count("is read in its place") == 1
    assert table.thin(1) == [1, 2, 3]
    assert table.numbers() == [0, 4, 5]
