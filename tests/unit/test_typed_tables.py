"""Parquet and ORC of every engine: each type of column is read as what it means, or left out with the reason."""

import datetime as dt
import json
import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from hdl import data
from hdl.errors import DataError

N = 6
Y = pa.array([0, 1] * 3)
DAY = dt.datetime(2024, 1, 31, 10, 30)
LISTS = [("indices", pa.list_(pa.int32())), ("values", pa.list_(pa.float64()))]
SPARK = pa.struct([("type", pa.int8()), ("size", pa.int32()), *LISTS])
DENSE = {"type": 1, "size": None, "indices": None, "values": [1.5, 2.5, 3.5]}
SPARSE = {"type": 0, "size": 3, "indices": [2], "values": [9.0]}


def columns(path, options=None, **more):
    """Each feature's values, missing ones as None, by name; and the source."""
    source = data.open_source(str(path), options, **more)
    found = {column.name: [] for column in source.columns}
    for part in source.splits(2):
        for block in source.read(part):
            number = other = 0
            for column in source.columns:
                if column.kind == "number":
                    x = block.x if isinstance(block.x, np.ndarray) else block.x.numbers
                    found[column.name] += [None if value != value else float(value) for value in x[:, number]]
                    number += 1
                else:
                    found[column.name] += block.x.others[other].to_pylist()
                    other += 1
    return source, found


def everything(path):
    source = data.open_source(str(path))
    return [*source.read(source.splits(1)[0])]


def written(path, table, write=pq.write_table, **options):
    write(table, path, **options)
    return path


# type: values as they are stored, and what they are read as
TYPES = {
    "int8": (pa.array([1, None, -3] * 2, pa.int8()), [1, None, -3] * 2),
    "uint64": (pa.array([2**63, 1, 2] * 2, pa.uint64()), [2.0**63, 1, 2] * 2),
    "half": (pa.array(np.float16([0.5, 1, 2] * 2)), [0.5, 1, 2] * 2),
    "double": (pa.array([0.1, None, float("nan")] * 2), [0.1, None, None] * 2),
    "decimal": (pa.array([Decimal("1.25"), None, Decimal("-3.50")] * 2), [1.25, None, -3.5] * 2),
    "time": (pa.array([dt.time(0, 1, 0, 500000), None, dt.time(1)] * 2, pa.time64("us")), [60.5, None, 3600] * 2),
    "duration": (pa.array([dt.timedelta(minutes=1), None, dt.timedelta(days=1)] * 2), [60, None, 86400] * 2),
    "boolean": (pa.array([True, None, False] * 2), ["true", None, "false"] * 2),
    "text": (pa.array(["a", None, "b c"] * 2), ["a", None, "b c"] * 2),
    "large text": (pa.array(["a", None, "b"] * 2, pa.large_string()), ["a", None, "b"] * 2),
    "bytes of text": (pa.array([b"a", None, "ß".encode()] * 2), ["a", None, "ß"] * 2),
    "dictionary": (pa.array(["u", None, "v"] * 2).dictionary_encode(), ["u", None, "v"] * 2),
    "date": (pa.array([dt.date(2024, 1, 31), None, dt.date(1960, 1, 1)] * 2),
             [dt.datetime(2024, 1, 31), None, dt.datetime(1960, 1, 1)] * 2),
    "timestamp": (pa.array([DAY, None, DAY] * 2, pa.timestamp("ms")), [DAY, None, DAY] * 2),
    "zone": (pa.array([DAY, None, DAY] * 2, pa.timestamp("us", "Europe/Berlin")), [DAY, None, DAY] * 2),
    "nanoseconds": (pa.array([DAY, None, DAY] * 2, pa.timestamp("ns", "UTC")), [DAY, None, DAY] * 2),
}  # fmt: skip
LEFT_OUT = {
    "bytes": (pa.array([b"\xff\0", None, b"\x01"] * 2), r"bytes that are no text \(binary\)"),
    "map": (pa.array([[("a", 1)], None, []] * 2, pa.map_(pa.string(), pa.int64())), "nested"),
    "lists": (pa.array([[1], [1, 2], None] * 2), "lists of several lengths"),
    "lists of text": (pa.array([["a"], None, []] * 2), "nested"),
    "lists of structs": (pa.array([[{"a": 1}], None, []] * 2), "nested"),
}
VECTORS = {
    "list": pa.array([[1.5, 2.5, 3.5], None, [1.5, None, 3.5]] * 2),
    "large list": pa.array([[1.5, 2.5, 3.5], None, [1.5, None, 3.5]] * 2, pa.large_list(pa.float32())),
    "fixed list": pa.array([[1.5, 2.5, 3.5], None, [1.5, None, 3.5]] * 2, pa.list_(pa.float64(), 3)),
}


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_read_as_what_it_means(tmp_path, kind):
    stored, expected = TYPES[kind]
    path = written(tmp_path / "a.parquet", pa.table({"v": stored, "other": ["x", "y"] * 3, "label": Y}))
    assert columns(path)[1]["v"] == expected
    if kind not in ("half", "duration", "time", "uint64", "large text", "dictionary"):
        path = written(
            tmp_path / "a.orc", pa.table({"v": stored, "other": ["x", "y"] * 3, "label": Y}), orc.write_table
        )
        assert columns(path)[1]["v"] == expected


def test_int96_of_old_engines(tmp_path):
    moments = pa.array([DAY, None, dt.datetime(1, 1, 1)] * 2, pa.timestamp("us"))  # beyond nanoseconds
    table = pa.table({"v": moments, "other": ["x", "y"] * 3, "label": Y})
    path = written(tmp_path / "a.parquet", table, use_deprecated_int96_timestamps=True)
    assert pq.ParquetFile(path).schema.column(0).physical_type == "INT96"
    assert columns(path)[1]["v"] == [DAY, None, dt.datetime(1, 1, 1)] * 2


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_cannot_be_a_feature_is_left_out_with_the_reason(tmp_path, kind):
    stored, reason = LEFT_OUT[kind]
    path = written(tmp_path / "a.parquet", pa.table({"v": stored, "x": np.arange(6.0), "label": Y}))
    source, found = columns(path)
    assert [*found] == ["x"]
    assert len(source.left_out) == 1
    assert re.fullmatch(rf"column 1 \('v'\): {reason}.*", source.left_out[0])


@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_are_expanded_beside_other_columns(tmp_path, kind):
    path = written(tmp_path / "a.parquet", pa.table({"v": VECTORS[kind], "c": ["x", "y"] * 3, "label": Y}))
    _, found = columns(path)
    assert [*found] == ["v[0]", "v[1]", "v[2]", "c"]
    assert found["v[1]"] == [2.5, None, None] * 2
    assert found["v[2]"] == [3.5, None, 3.5] * 2


def test_sparks_vectors_are_expanded(tmp_path):
    path = written(
        tmp_path / "a.parquet",
        pa.table({"v": pa.array([DENSE, SPARSE, None] * 2, SPARK), "x": np.arange(6.0), "label": Y}),
    )
    _, found = columns(path)
    assert [*found] == ["v[0]", "v[1]", "v[2]", "x"]
    assert found["v[0]"] == [1.5, 0, None] * 2
    assert found["v[2]"] == [3.5, 9, None] * 2
    path = written(tmp_path / "b.parquet", pa.table({"features": pa.array([DENSE, SPARSE] * 3, SPARK), "label": Y}))
    source = data.open_source(str(path))
    (block,) = source.read(source.splits(1)[0])
    assert block.x.tolist() == [[1.5, 2.5, 3.5], [0, 0, 9]] * 3
    assert source.names is None  # as of any one vector
    path = written(
        tmp_path / "c.parquet", pa.table({"features": pa.array([DENSE, None, DENSE] * 2, SPARK), "label": Y})
    )
    with pytest.raises(DataError, match=r"c.parquet record 2: column 'features': null; expected a vector"):
        everything(path)


def test_a_vector_of_another_length_is_a_bad_record(tmp_path):
    rows = [[1.0, 2.0]] * 1500 + [[1.0]]
    path = written(tmp_path / "a.parquet", pa.table({"v": rows, "x": np.arange(1501.0), "label": np.arange(1501) % 2}))
    with pytest.raises(DataError, match=r"a.parquet record 1501: column 'v': a vector of another length; expected 2"):
        columns(path)
    source, bad = data.open_source(str(path), {"max_bad_records": 1}), data.Bad(1)
    assert sum(len(block) for block in source.read(source.splits(1)[0], bad)) == 1500
    assert bad.count == 1


def test_structs_are_flattened_and_only_what_is_needed_is_read(tmp_path):
    inner = pa.array([{"a": 1.5, "b": {"c": "x", "d": None}}, None, {"a": None, "b": None}] * 2,
                     pa.struct([("a", pa.float64()),
                                ("b", pa.struct([("c", pa.string()), ("d", pa.int64())]))]))  # fmt: skip
    path = written(tmp_path / "a.parquet", pa.table({"s": inner, "x": np.arange(6.0), "label": Y}))
    source, found = columns(path)
    assert source.names == ["s.a", "s.b.c", "s.b.d", "x"]
    assert found["s.a"] == [1.5, None, None] * 2
    assert found["s.b.c"] == ["x", None, None] * 2
    _, found = columns(path, {"features": "s.b.c,x"})
    assert [*found] == ["s.b.c", "x"]


def test_columns_that_nobody_needs_are_not_read(tmp_path):
    """A damaged column is no harm to those that are read without it."""
    n = 5000
    table = pa.table({"big": np.random.default_rng(0).normal(size=n), "x": np.arange(n), "label": np.arange(n) % 2})
    path = written(tmp_path / "a.parquet", table, compression="none", use_dictionary=False)
    place = pq.ParquetFile(path).metadata.row_group(0).column(0)
    raw = bytearray(path.read_bytes())
    raw[place.data_page_offset : place.data_page_offset + place.total_compressed_size] = bytes(
        place.total_compressed_size
    )
    path.write_bytes(raw)
    with pytest.raises(DataError, match="truncated or corrupt Parquet"):
        columns(path)
    assert columns(path, {"ignore": "big"})[1]["x"] == list(range(n))


def test_labels_that_are_missing_are_dropped_and_counted(tmp_path):
    for labels, there in ((["a", None, "NA", "b", "", "a"], 3), ([1.0, None, float("nan"), 2.0, 1.0, 2.0], 4)):
        path = written(tmp_path / "a.parquet", pa.table({"x": np.arange(6.0), "label": labels}))
        source, bad = data.open_source(str(path)), data.Bad()
        blocks = list(source.numbered(source.splits(1)[0][0], bad))
        assert (sum(map(len, blocks)), bad.unlabelled, bad.count) == (there, 6 - there, 0)
        assert blocks[-1].seen == 6
        assert len(columns(path, labels=False)[1]["x"]) == 6


def test_weights_offset_and_kept_columns(tmp_path):
    table = pa.table({"id": [f"r{i}" for i in range(6)], "x": np.arange(6.0), "w": np.arange(6) / 2, "o": np.arange(6),
                      "label": pa.array([0, 1, None, 1, 0, 1])})  # fmt: skip
    path = written(tmp_path / "a.parquet", table)
    source = data.open_source(str(path), {"weights": "w", "offset": "o", "keep": "id,w", "ignore": "id"})
    assert source.names == ["x"]
    (block,) = source.read(source.splits(1)[0])
    assert block.weight.tolist() == [0, 0.5, 1.5, 2, 2.5]
    assert block.offset.tolist() == [0, 1, 3, 4, 5]
    assert block.kept.to_pylist()[2] == {"id": "r3", "w": 1.5}
    assert source.kept_schema == pa.schema([("id", pa.string()), ("w", pa.float64())])
    for flag, value in (("keep", "none"), ("weights", "none"), ("label", "none")):
        with pytest.raises(DataError, match=r"none.* column"):
            data.open_source(str(path), {flag: value})


def test_kinds_that_flags_say(tmp_path):
    table = pa.table(
        {
            "zip": [10115, 80331, None] * 2,
            "n": ["1", "2.5", None] * 2,
            "d": ["2024-01-31", None, "2024-02-01"] * 2,
            "label": Y,
        }
    )
    path = written(tmp_path / "a.parquet", table)
    _, found = columns(path, {"columns": "zip:category,n:number,d:date"})
    assert found["zip"] == ["10115", "80331", None] * 2
    assert found["n"] == [1, 2.5, None] * 2
    assert found["d"][0] == dt.datetime(2024, 1, 31)
    path = written(tmp_path / "b.parquet", table.set_column(1, "n", pa.array(["1", "x", "3"] * 2)))
    with pytest.raises(DataError, match=r"b.parquet record 2: column 'n': 'x' is no number \(--columns n:category"):
        columns(path, {"columns": "n:number"})


def test_row_groups_that_no_filter_meets_are_not_read(tmp_path, monkeypatch):
    n = 1000
    table = pa.table({"x": np.arange(n), "c": [f"{i // 100}" for i in range(n)],
                      "d": pa.array([dt.date(2024, 1, 1 + i // 100) for i in range(n)]),
                      "f": np.where(np.arange(n) % 100 == 7, np.nan, np.arange(n)),
                      "label": np.arange(n) % 2})  # fmt: skip
    path = written(tmp_path / "a.parquet", table, row_group_size=100)
    from hdl.data.layouts import parquet_table

    read, real = [], parquet_table._group
    monkeypatch.setattr(
        parquet_table, "_group", lambda parquet, number, *rest: read.append(number) or real(parquet, number, *rest)
    )
    for text, rows, groups in (
        ("x >= 250 and x < 320", range(250, 320), {2, 3}), ("c = '5'", range(500, 600), {5}),
        ("d > 2024-01-09", range(900, 1000), {9}), ("not x > 50", range(51), {0}),
        ("f is null and x < 100", [7], {0}), ("f != 7 and x < 10", [0, 1, 2, 3, 4, 5, 6, 8, 9], {0}),
    ):  # fmt: skip
        source = data.open_source(str(path), {"where": text})
        read.clear()
        blocks = list(source.read(source.splits(1)[0]))
        assert [int(v) for block in blocks for v in block.x.numbers[:, 0]] == list(rows), text
        assert set(read) == groups, text


def test_a_damaged_orc_file_is_told(tmp_path):
    path = written(tmp_path / "a.orc", pa.table({"x": np.arange(6.0), "label": Y}), orc.write_table)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"a.orc: truncated or corrupt ORC"):
        columns(path)


def test_stripes_of_orc_are_read_as_rows(tmp_path):
    n = 200_000
    table = pa.table({"x": np.arange(n), "t": [f"{i}" for i in range(n)], "label": np.arange(n) % 2})
    path = written(tmp_path / "a.orc", table, orc.write_table, stripe_size=100_000)
    assert orc.ORCFile(path).nstripes > 1
    source = data.open_source(str(path), {"ignore": "t"})
    parts = [[int(v) for block in source.read(part) for v in block.x[:, 0]] for part in source.splits(7)]
    assert {len(part) for part in parts} == {n // 7, n // 7 + 1}
    assert [v for part in parts for v in part] == list(range(n))


def test_what_a_worker_is_told_is_what_the_driver_found(tmp_path):
    path = written(tmp_path / "a.parquet", pa.table({"v": VECTORS["list"], "b": [b"a", b"b"] * 3, "label": Y}))
    source = data.open_source(str(path))
    settled = source.settled()
    assert json.loads(settled.found)["widths"] == {"v": 3}
    again = data.open_source(str(path), settled)
    assert (again.columns, again.left_out, again.label) == (source.columns, source.left_out, source.label)
