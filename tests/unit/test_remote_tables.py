"""Tables lie on any of Hadoop's file systems as they lie here: nothing in their layouts knows of local paths."""

import datetime as dt

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from hdl import data, fs
from hdl.errors import DataError
from hdl.local_files import Local


class Bucket(Local):
    """Another file system's files, which lie in a folder: it serves none but its own paths."""

    def __init__(self, root):
        self.root = str(root)

    def _here(self, path):
        assert path.startswith("s3a://bucket"), path
        return self.root + path.removeprefix("s3a://bucket")

    def glob(self, pattern):
        return ["s3a://bucket" + path.removeprefix(self.root) for path in super().glob(self._here(pattern))]


for name in ("open", "list", "size", "exists", "isdir", "hosts"):
    setattr(Bucket, name, lambda self, path, *rest, name=name: getattr(Local, name)(self, self._here(path), *rest))


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setitem(fs._SCHEMES, "s3a", lambda: Bucket(tmp_path))
    return "s3a://bucket"


def table(n, start=0):
    return pa.table({"x": pa.array(range(start, start + n), pa.int64()), "c": [f"l{i % 3}" for i in range(n)],
                     "day": [dt.date(2024, 1, 1 + i % 4) for i in range(n)],
                     "label": [i % 2 for i in range(n)]})  # fmt: skip


def numbers(path, options=None):
    source = data.open_source(path, options)
    worker = data.open_source(path, source.settled())
    return sorted(v for part in source.splits(3) for block in worker.read(part) for v in block.x["x"].tolist())


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_partitions(tmp_path, bucket, kind):
    ds.write_dataset(table(40), tmp_path / "t", format=kind, partitioning=["day"], partitioning_flavor="hive")
    assert numbers(f"{bucket}/t") == list(range(40))
    assert numbers(f"{bucket}/t", {"where": "day = 2024-01-02 and x > 20"}) == [21, 25, 29, 33, 37]
    assert numbers(f"{bucket}/t/day=2024-01-0[12]/") == [v for v in range(40) if v % 4 < 2]
    assert numbers(f"{bucket}/t/day=2024-01-01") == list(range(0, 40, 4))


def test_delta_and_iceberg(tmp_path, bucket):
    lakes = pytest.importorskip("tests.unit.lakes")
    lakes.write_deltalake(str(tmp_path / "d"), table(30), partition_by=["day"])
    lakes.write_deltalake(str(tmp_path / "d"), table(4, 100), partition_by=["day"], mode="overwrite")
    assert numbers(f"{bucket}/d") == [100, 101, 102, 103]
    assert numbers(f"{bucket}/d", {"where": "x >= 102"}) == [102, 103]
    with pytest.raises(DataError, match=r"s3a://bucket/d/day=2024-01-01/.* not live in the Delta table, version 1"):
        data.open_source(f"{bucket}/d/day=2024-01-01/*.parquet")
    made = lakes.iceberg(tmp_path / "i", table(30))
    made.append(table(30))
    made.overwrite(table(4, 100))
    assert numbers(f"{bucket}/i") == [100, 101, 102, 103]
