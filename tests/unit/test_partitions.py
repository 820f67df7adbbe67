"""Folders of folders: keys are columns, whatever the format; what an engine left there is none; filters prune files."""

import datetime as dt
import json

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from hdl import data, fs
from hdl.errors import DataError, SpecError

NONE = "__HIVE_DEFAULT_PARTITION__"
DAYS, COUNTRIES = ("2024-01-01", "2024-01-02", "2024-01-03"), ("DE", "F%2FR", NONE)
FORMATS = ("csv", "jsonl", "parquet", "orc", "avro")
AVRO = {"type": "record", "name": "r", "fields": [
    {"name": "a", "type": "long"}, {"name": "b", "type": "string"}, {"name": "label", "type": "long"}
]}  # fmt: skip


def write(path, rows):
    """Write rows of a, b, label in the format that the path's suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix[1:]
    if kind == "csv":
        path.write_text("a,b,label\n" + "".join(f"{a},{b},{label}\n" for a, b, label in rows))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(("a", "b", "label"), row, strict=True))) + "\n" for row in rows))
    elif kind == "avro":
        with path.open("wb") as file:
            fastavro.writer(file, AVRO, [dict(zip(("a", "b", "label"), row, strict=True)) for row in rows])
    else:
        table = pa.table(dict(zip(("a", "b", "label"), map(list, zip(*rows, strict=True)), strict=True)))
        (pq.write_table if kind == "parquet" else orc.write_table)(table, path)


def fill(folder, kind):
    """Nine files of four rows, which know their place: a is 100·day + 10·country + row."""
    for i, day in enumerate(DAYS):
        for j, country in enumerate(COUNTRIES):
            rows = [(100 * i + 10 * j + k, "uv"[k % 2], k % 2) for k in range(4)]
            write(folder / f"dt={day}" / f"country={country}" / f"part-0.{kind}", rows)
        (folder / f"dt={day}" / "_SUCCESS").touch()
    (folder / "_temporary" / "0").mkdir(parents=True)
    (folder / "_temporary" / "0" / "part-0.csv").write_text("1,2,3,4,5\n")
    (folder / ".hidden=1").mkdir()
    (folder / ".hidden=1" / "part-0.csv").write_text("1,2\n")
    return str(folder)


def rows_of(path, options=None, labels=True, shards=3, settled=False):
    """Each row as a dict of its columns, with y and what is kept; and the source."""
    source = data.open_source(path, options, labels=labels)
    if settled:
        source = data.open_source(path, source.settled(), labels=labels)
    found = []
    for split in (split for part in source.splits(shards) for split in part):
        for block in source.numbered(split, data.Bad()):
            for i in range(len(block)):
                row = {}
                number = other = 0
                for column in source.columns:
                    if column.kind == "number":
                        values = block.x if isinstance(block.x, np.ndarray) else block.x.numbers
                        row[column.name], number = float(values[i, number]), number + 1
                    else:
                        row[column.name], other = block.x.others[other][i].as_py(), other + 1
                row["y"] = None if block.y is None else str(block.y[i]).removesuffix(".0")
                row["number"] = int(block.rows[i])
                found.append(row | (block.kept.slice(i, 1).to_pylist()[0] if block.kept is not None else {}))
    return source, found


@pytest.mark.parametrize("settled", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_keys_are_columns_in_every_format(tmp_path, kind, settled):
    source, rows = rows_of(fill(tmp_path, kind), settled=settled)
    assert [(c.name, c.kind) for c in source.columns] == [
        ("a", "number"), ("b", "category"), ("dt", "date"), ("country", "category"),
    ]  # fmt: skip
    expected = [
        {"a": 100 * i + 10 * j + k, "b": "uv"[k % 2], "dt": dt.datetime(2024, 1, 1 + i), "country": country,
         "y": str(k % 2)}
        for i in range(3) for j, country in enumerate(("DE", "F/R", None)) for k in range(4)
    ]  # fmt: skip
    assert sorted([{k: v for k, v in row.items() if k != "number"} for row in rows], key=lambda r: r["a"]) == expected
    assert source.reading["partitions"] == ["dt: date", "country: category"]
    assert source.reading["files"] == 9
    told = "; ".join(source.left_out)
    assert "_SUCCESS" in told
    assert "_temporary" in told
    assert ".hidden=1" in told


@pytest.mark.parametrize("kind", FORMATS)
def test_files_that_no_row_can_be_in_are_never_opened(tmp_path, kind, monkeypatch):
    folder, opened = fill(tmp_path, kind), set()
    real = fs.open
    monkeypatch.setattr(fs, "open", lambda path: opened.add(path) or real(path))
    options = {"where": "dt >= 2024-01-02 and country = 'DE' and a >= 101"}
    source, rows = rows_of(folder, options)
    monkeypatch.undo()
    assert [row["a"] for row in rows] == [101, 102, 103, 200, 201, 202, 203]
    assert opened == {f"{folder}/dt={day}/country=DE/part-0.{kind}" for day in DAYS[1:]}
    assert (source.reading["files"], source.reading["pruned"]) == (2, "7 of 9 files, by their keys")
    assert rows_of(folder, options, settled=True)[1] == rows


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_that_a_filter_leaves_out_are_no_records(tmp_path, kind):
    _, rows = rows_of(
        fill(tmp_path, kind), {"where": "a < 100 and b = 'v' or country is null", "keep": "dt,b"}, shards=1
    )
    assert [row["a"] for row in rows] == [1, 3, 11, 13, 20, 21, 22, 23, 120, 121, 122, 123, 220, 221, 222, 223]
    assert [row["number"] for row in rows] == [0, 1, 0, 1, *[0, 1, 2, 3] * 3]
    assert {str(row["dt"]) for row in rows} == set(DAYS)  # as it is kept


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_filters_that_say_nothing_are_refused(tmp_path, kind):
    folder = fill(tmp_path, kind)
    for text, error, message in (
        (
            "dt > 2025-01-01",
            DataError,
            "none of 9 files meets --where .*; there is dt 2024-01-01, 2024-01-02, 2024-01-03",
        ),
        ("country = 5", SpecError, "column 'country' holds text; 5 is none"),
        ("z = 5", SpecError, "there is no column 'z'; there are 'a', 'b', 'label', 'dt', 'country', at character 1"),
        ("dt >", SpecError, "expected a value, at character 5"),
    ):
        with pytest.raises(error, match=message):
            data.open_source(folder, {"where": text})
    np.save(tmp_path / "x.npy", np.ones((3, 2)))
    with pytest.raises(DataError, match="--where picks rows of tables, and npy samples are none"):
        data.open_source(str(tmp_path / "x.npy"), {"where": "a > 1"})


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_flags_reach_keys(tmp_path, kind):
    folder = fill(tmp_path, kind)
    source, rows = rows_of(folder, {"ignore": "dt", "columns": "country:category"})
    assert source.names == ["a", "b", "country"]
    assert "dt" in "; ".join(source.left_out)
    source, rows = rows_of(folder, {"label": "country", "ignore": "label"})
    assert (source.label, source.names, len(rows)) == (["country"], ["a", "b", "dt"], 24)  # a third has no label
    assert {row["y"] for row in rows} == {"DE", "F/R"}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_partition_by_itself_and_those_of_a_glob_keep_their_keys(tmp_path, kind):
    folder = fill(tmp_path, kind)
    for path, count, days in (
        (f"{folder}/dt=2024-01-02", 12, {2}), (f"{folder}/dt=2024-01-02/country=DE", 4, {2}),
        (f"{folder}/dt=*/country=DE", 12, {1, 2, 3}), (f"{folder}/dt=2024-01-0[13]/*/*.{kind}", 24, {1, 3}),
    ):  # fmt: skip
        source, rows = rows_of(path)
        assert len(rows) == count
        assert {row["dt"].day for row in rows} == days
        assert source.names == ["a", "b", "dt", "country"]


KINDS = {
    "number": ["1", "-20", NONE], "number 2.5": ["1.5", "2"], "number 07": ["01", "12"],
    "category 01234": ["01234", "99999"],
    "date 20240131": ["20240131", "20240201"], "date moment": ["2024-01-31 10%3A00%3A00", "2024-02-01 00%3A00%3A00"],
    "category words": ["a", "1"], "category 20249999": None,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_keys_are_told_by_all_their_values(tmp_path, kind):
    for value in KINDS[kind] or ["2024-13-01", "x"]:
        write(tmp_path / f"k={value}" / "part-0.csv", [(1, "u", 0), (2, "v", 1)])
    assert {c.name: c.kind for c in data.open_source(str(tmp_path)).columns}["k"] == kind.split()[0]


def test_folders_without_keys_are_read_recursively(tmp_path):
    for name in ("2023/01", "2023/12", "2024/01"):
        write(tmp_path / name / "part-0.parquet", [(int(name[:4]), "u", 0), (int(name[5:]), "v", 1)])
    source, rows = rows_of(str(tmp_path))
    assert (len(rows), source.names) == (6, ["a", "b"])


def test_what_is_not_clear_is_refused(tmp_path):
    write(tmp_path / "a" / "dt=1" / "x.csv", [(1, "u", 0)])
    write(tmp_path / "a" / "x.csv", [(1, "u", 0)])
    with pytest.raises(DataError, match=r"files \('x.csv'\) beside folders of partitions \('dt=1'\); name one kind"):
        data.open_source(str(tmp_path / "a"))
    write(tmp_path / "b" / "dt=1" / "x.csv", [(1, "u", 0)])
    write(tmp_path / "b" / "dt=2" / "c=1" / "x.csv", [(1, "u", 0)])
    with pytest.raises(DataError, match=r"the folders' keys are 'dt', 'c'; of .*dt=1/x.csv they are 'dt'"):
        data.open_source(str(tmp_path / "b"))
    write(tmp_path / "c" / "dt=1" / "dt=2" / "x.csv", [(1, "u", 0)])
    with pytest.raises(DataError, match="the key 'dt' is there twice"):
        data.open_source(str(tmp_path / "c"))
    write(tmp_path / "d" / "dt=1" / "x.csv", [(1, "u", 0)])
    with pytest.raises(DataError, match="folders of partitions have no test part; --where picks"):
        data.open_source(f"{tmp_path / 'd'}:test")


def test_keys_that_arrays_have_no_column_for_are_told(tmp_path):
    for k in (1, 2):
        (tmp_path / f"k={k}").mkdir()
        np.save(tmp_path / f"k={k}" / "x.npy", np.arange(6.0).reshape(3, 2) + k)
    source = data.open_source(str(tmp_path))
    assert "k: a key of folders, which npy samples have no column for" in source.left_out


def test_a_dataset_that_arrow_wrote_is_read_as_arrow_reads_it(tmp_path):
    n = 500
    table = pa.table({"x": np.arange(n) / 7, "c": [f"l{i % 11}" for i in range(n)], "label": np.arange(n) % 2,
                      "month": [1 + i % 12 for i in range(n)]})  # fmt: skip
    part = ds.partitioning(pa.schema([("month", pa.int64())]), flavor="hive")
    ds.write_dataset(table, tmp_path, format="parquet", partitioning=part)
    _, rows = rows_of(str(tmp_path), {"where": "month > 6 and x < 40"})
    picked = ds.dataset(tmp_path, partitioning=part).to_table(filter=(ds.field("month") > 6) & (ds.field("x") < 40))
    assert sorted(row["x"] for row in rows) == sorted(picked["x"].to_pylist())
    assert sorted(row["month"] for row in rows) == sorted(picked["month"].to_pylist())
