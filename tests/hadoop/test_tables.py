"""Tables on a real HDFS: partitions, a log, packed text, a filter; and a view of them through Hadoop's own client."""

import os
import struct
import subprocess
import sys

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from hdl import data, fs

lakes = pytest.importorskip("tests.unit.lakes")


def table(n, start=0):
    return pa.table({"x": pa.array(range(start, start + n), pa.int64()), "c": [f"l{i % 3}" for i in range(n)],
                     "label": [i % 2 for i in range(n)]})  # fmt: skip


def put(local, folder):
    """Copy a folder to HDFS."""
    for path in sorted(local.rglob("*")):
        there = f"{folder}/{path.relative_to(local)}"
        fs.mkdir(there) if path.is_dir() else fs.publish(there, path.read_bytes())


def numbers(path, options=None):
    source = data.open_source(path, options)
    worker = data.open_source(path, source.settled())
    return sorted(v for part in source.splits(3) for block in worker.read(part) for v in block.x["x"].tolist())


def write(local, kind):
    for day in range(1, 4):
        path = local / f"dt=2024-01-0{day}" / f"part-0.{kind}"
        path.parent.mkdir(parents=True)
        rows = table(10, 100 * day)
        if kind == "csv.snappy":
            text = "x,c,label\n" + "".join(f"{r['x']},{r['c']},{r['label']}\n" for r in rows.to_pylist())
            packed = pa.Codec("snappy").compress(text.encode(), asbytes=True)
            path.write_bytes(struct.pack(">II", len(text), len(packed)) + packed)
        else:
            (pq.write_table if kind == "parquet" else orc.write_table)(rows, path)


@pytest.mark.parametrize("kind", ["parquet", "orc", "csv.snappy"])
def test_partitions_are_read_and_pruned(folder, tmp_path, kind):
    write(tmp_path, kind)
    put(tmp_path, folder)
    assert numbers(folder) == [100 * day + k for day in (1, 2, 3) for k in range(10)]
    assert numbers(folder, {"where": "dt > 2024-01-01 and x < 302 and c = 'l0'"}) == [200, 203, 206, 209, 300]
    source = data.open_source(folder, {"where": "dt = '2024-01-03'"})
    assert [column.kind for column in source.columns] == ["number", "category", "date"]
    assert (source.reading["files"], source.reading["pruned"]) == (1, "2 of 3 files, by their keys")


def test_tables_with_a_log_are_read_by_their_live_files(folder, tmp_path):
    lakes.write_deltalake(str(tmp_path / "d"), table(30))
    lakes.write_deltalake(str(tmp_path / "d"), table(4, 100), mode="overwrite")
    made = lakes.iceberg(tmp_path / "i", table(30))
    made.append(table(30))
    made.overwrite(table(4, 100))
    put(tmp_path, folder)
    for name in "di":
        assert numbers(f"{folder}/{name}") == [100, 101, 102, 103]


def test_a_view_of_partitions_goes_through_hadoops_client(folder, tmp_path, cluster):
    write(tmp_path, "parquet")
    put(tmp_path, folder)
    link = f"fs.viewfs.mounttable.Views.link./mine={cluster.uri}/tests"
    script = (
        "import sys; from hdl import data; source = data.open_source(sys.argv[1], {'where': 'dt = 2024-01-02'})\n"
        "print(sorted(int(v) for part in source.splits(2) for b in source.read(part) for v in b.x['x']))"
    )
    conf = tmp_path / "conf"
    conf.mkdir()
    for path in cluster.conf.iterdir():
        text = path.read_text()
        if path.name == "core-site.xml":
            name, value = link.split("=", 1)
            text = text.replace(
                "</configuration>", f"<property><name>{name}</name><value>{value}</value></property></configuration>"
            )
        (conf / path.name).write_text(text)
    view = folder.replace("hdfs:///tests", "viewfs://Views/mine")
    done = subprocess.run(
        [sys.executable, "-c", script, view], env={**os.environ, "HADOOP_CONF_DIR": str(conf)}, timeout=600,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == str([200 + k for k in range(10)])
