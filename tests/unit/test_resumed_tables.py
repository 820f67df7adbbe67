"""A training of a table that changes meanwhile goes on with the rows that it began with."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from hdl import driver
from hdl.data import Options
from hdl.errors import HdlError
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

lakes = pytest.importorskip("tests.unit.lakes")
pytest.importorskip("hdl._cpu")


def rows(first, count):
    numbers = range(first, first + count)
    return pa.table({"x": [float(i % 7) for i in numbers], "c": ["ab"[i % 2] for i in numbers], "label": [*numbers]})


def train(data, out, epochs, resume=False):
    spec = parse({"net": "0-3-0", "epochs": epochs, "shards": 2, "loss": "squared"})
    options = Options.make(label="label")
    return driver.train(Job(str(data), str(out), spec, options, resume=resume), LocalRunner(1))


def test_a_resumed_training_reads_the_version_that_it_began_with(tmp_path):
    data = tmp_path / "delta"
    lakes.write_deltalake(str(data), rows(0, 40))
    train(data, tmp_path / "whole", 4)
    train(data, tmp_path / "model", 2)
    lakes.write_deltalake(str(data), rows(500, 30), mode="overwrite")
    train(data, tmp_path / "model", 4, resume=True)
    ends = [Table(str(tmp_path / name)).header()["signature"] for name in ("whole", "model")]
    assert ends[0] == ends[1]
    train(data, tmp_path / "new", 4)
    assert Table(str(tmp_path / "new")).header()["signature"] != ends[0]


def test_other_files_are_refused(tmp_path):
    data = tmp_path / "plain"
    data.mkdir()
    pa.parquet.write_table(rows(0, 40), data / "a.parquet")
    train(data, tmp_path / "model", 2)
    pa.parquet.write_table(rows(40, 40), data / "b.parquet")
    with pytest.raises(HdlError, match=r"b\.parquet"):
        train(data, tmp_path / "model", 4, resume=True)
