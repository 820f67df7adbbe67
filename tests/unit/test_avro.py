"""Avro: every type and codec, records as splits, and damage."""

import datetime as dt
import io
from decimal import Decimal

import fastavro
import numpy as np
import pyarrow as pa
import pytest

from hdl import data
from hdl.data import avro
from hdl.errors import DataError, Unavailable

N = 500
SCHEMA = {"type": "record", "name": "r", "namespace": "n", "fields": [
    {"name": "a", "type": ["null", "int"]}, {"name": "c", "type": ["string", "null"]},
    {"name": "d", "type": {"type": "int", "logicalType": "date"}},
    {"name": "t", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
    {"name": "x", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["u", "v"]}},
    {"name": "s", "type": {"type": "record", "name": "S", "fields": [
        {"name": "p", "type": "float"}, {"name": "q", "type": ["null", "E"]}]}},
    {"name": "v", "type": {"type": "array", "items": "double"}},
    {"name": "m", "type": {"type": "map", "values": "int"}},
    {"name": "n", "type": ["int", "double"]}, {"name": "odd", "type": ["string", "int"]},
    {"name": "b", "type": "boolean"}, {"name": "label", "type": "long"},
]}  # fmt: skip


def row(i):
    return {"a": None if i % 5 == 0 else i, "c": "xyz"[i % 3], "d": dt.date(2024, 1, 1 + i % 20),
            "t": dt.datetime(2024, 1, 1, i % 24, tzinfo=dt.UTC), "x": Decimal("1.25"), "e": "uv"[i % 2],
            "s": {"p": 0.5 * i, "q": None}, "v": [1.0, i], "m": {}, "n": i / 2 if i % 2 else i, "odd": i,
            "b": i % 2 == 0, "label": i % 2}  # fmt: skip


def write(path, codec="null", rows=N):
    """A file of many blocks; zstandard is packed here, as fastavro would ask for a package of its own."""
    file = io.BytesIO()
    plain = "null" if codec == "zstandard" else codec
    fastavro.writer(file, SCHEMA, map(row, range(rows)), codec=plain, sync_interval=1000)
    raw = file.getvalue()
    if codec == "zstandard":
        blocks = [*avro._blocks(io.BytesIO(raw))]
        out = raw[: blocks[0][1]].replace(b"avro.codec\x08null", b"avro.codec\x12zstandard")
        for number, (count, at) in enumerate(blocks):
            body = io.BytesIO(raw[at : blocks[number + 1][1] if number + 1 < len(blocks) else len(raw)])
            avro._long(body)
            packed = pa.compress(body.read(avro._long(body)), "zstd", asbytes=True)
            out += avro._written(count) + avro._written(len(packed)) + packed + raw[-16:]
        raw = out
    path.write_bytes(raw)
    return str(path)


@pytest.mark.parametrize("codec", ["null", "deflate", "snappy", "zstandard", "bzip2", "xz"])
def test_records_are_rows_whatever_packs_them(tmp_path, codec, monkeypatch):
    path = write(tmp_path / "a.avro", codec)
    monkeypatch.setitem(__import__("sys").modules, "cramjam", None)  # no node has it
    source = data.open_source(path)
    assert [(c.name, c.kind) for c in source.columns] == [
        ("a", "number"), ("c", "category"), ("d", "date"), ("t", "date"), ("x", "number"), ("e", "category"),
        ("s.p", "number"), ("s.q", "category"), ("v[0]", "number"), ("v[1]", "number"), ("n", "number"),
        ("b", "category"),
    ]  # fmt: skip
    told = "; ".join(source.left_out)
    assert "'m'): nested" in told
    parts = [[block for block in source.read(part)] for part in source.splits(7)]
    blocks = [block for part in parts for block in part]
    found = {c.name: [v for b in blocks for v in b.x[c.name].tolist()] for c in source.columns}
    assert [None if v != v else v for v in found["a"]] == [row(i)["a"] for i in range(N)]
    assert found["c"] == [row(i)["c"] for i in range(N)]
    assert found["t"][23] == dt.datetime(2024, 1, 1, 23)
    assert found["s.p"][-1] == 0.5 * (N - 1)
    assert found["n"] == [i / 2 if i % 2 else i for i in range(N)]
    assert [sum(map(len, part)) for part in parts] == [len(part) for part in np.array_split(range(N), 7)] or {
        sum(map(len, part)) for part in parts
    } == {N // 7, N // 7 + 1}


def test_a_filter_and_a_projection(tmp_path):
    source = data.open_source(
        write(tmp_path / "a.avro"), {"where": "t >= 2024-01-01 22:00 and e = 'v'", "features": "s.p,c"}
    )
    assert source.names == ["c", "s.p"]
    found = [v for part in source.splits(3) for block in source.read(part) for v in block.x["s.p"].tolist()]
    assert found == [0.5 * i for i in range(N) if i % 24 >= 22 and i % 2]


def test_damage_is_told(tmp_path):
    path = tmp_path / "a.avro"
    write(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-30])
    with pytest.raises(DataError, match=r"a.avro: truncated or corrupt Avro"):
        data.open_source(str(path))
    path.write_bytes(raw[:-8] + bytes(8))
    with pytest.raises(DataError, match=r"truncated or corrupt Avro \(no block ends at"):
        data.open_source(str(path))
    path.write_bytes(raw.replace(b"avro.codec\x08null", b"avro.codec\x06lz9"))
    with pytest.raises(DataError, match=r"truncated or corrupt Avro|Avro packed by lz9, which is not read"):
        data.open_source(str(path))


def test_what_is_no_table_or_cannot_be_read_here(tmp_path, monkeypatch):
    path = tmp_path / "a.avro"
    with path.open("wb") as file:
        fastavro.writer(file, "int", [1, 2, 3])
    with pytest.raises(DataError, match="Avro whose records are no records of fields"):
        data.open_source(str(path))
    monkeypatch.setitem(__import__("sys").modules, "fastavro", None)
    with pytest.raises(Unavailable, match="Avro files need fastavro, which is not installed: pip install 'hdl-hadoop"):
        data.open_source(str(path))
