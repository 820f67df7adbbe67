"""JSON lines: an object a line is a row; what is none, or of another kind, is a bad record with its line."""

import datetime as dt
import gzip
import json

import numpy as np
import pytest

from hdl import data
from hdl.errors import DataError

N = 400


def row(i):
    return {"id": i, "a": i / 2 if i % 7 else None, "c": "xyz"[i % 3], "n": {"p": i, "q": {"r": "uv"[i % 2]}},
            "seen": f"2024-01-{1 + i % 28:02d}T10:00:00Z", "v": [1, 2.5, i], "b": i % 2 == 0,
            "label": "yn"[i % 2]}  # fmt: skip


def write(path, rows):
    lines = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in rows)
    path.write_bytes(gzip.compress(lines.encode()) if path.suffix == ".gz" else lines.encode())
    return str(path)


def read(path, options=None, limit=0, shards=3):
    """Column by column, labels, numbers of the rows; and the source and the bad ones."""
    source, bad = data.open_source(path, options), data.Bad(limit)
    worker = data.open_source(path, source.settled())
    blocks = [block for part in source.splits(shards) for split in part for block in worker.numbered(split, bad)]
    blocks = [block for block in blocks if len(block)]
    found = {}
    for column in source.columns:
        parts = [block.x[column.name] if not isinstance(block.x, np.ndarray) else
                 block.x[:, source.names.index(column.name)] for block in blocks]  # fmt: skip
        found[column.name] = [value for part in parts for value in part.tolist()]
    return source, found, [str(y) for block in blocks for y in block.y], blocks, bad


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz", "part-0"])
def test_objects_are_rows(tmp_path, name):
    source, found, y, _, _ = read(write(tmp_path / name, map(row, range(N))))
    assert source.format == "json"
    assert [(c.name, c.kind) for c in source.columns] == [
        ("id", "number"), ("a", "number"), ("c", "category"), ("n.p", "number"), ("n.q.r", "category"),
        ("seen", "date"),
        ("v[0]", "number"), ("v[1]", "number"), ("v[2]", "number"), ("b", "category"),
    ]  # fmt: skip
    assert y == ["yn"[i % 2] for i in range(N)]
    assert [None if v != v else v for v in found["a"]] == [row(i)["a"] for i in range(N)]
    assert found["n.q.r"] == ["uv"[i % 2] for i in range(N)]
    assert found["seen"][27] == dt.datetime(2024, 1, 28, 10)
    assert found["v[2]"] == list(range(N))
    assert found["b"][:2] == ["true", "false"]


WRONG = {
    "{broken": "no JSON: Expecting property name enclosed in double quotes at character 2",
    "[1, 2]": "a JSON list; expected an object",
    json.dumps({**row(1), "a": "text"}): "column 'a' is a string here, unlike in most of .* .--ignore a leaves",
    '{"a": "cut': "no JSON: Unterminated string starting at character 7",
    json.dumps({**row(1), "c": {"d": 1}}): "column 'c' is a object here",
    json.dumps({**row(1), "seen": "yesterday"}): "column 'seen': 'yesterday' is no date",
    json.dumps({**row(1), "v": [1]}): "column 'v': a vector of another length; expected 3 numbers",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_line_that_is_no_such_row_is_a_bad_record(tmp_path, text):
    rows = [*map(row, range(100)), "", text, *map(row, range(100, N))]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError, match=rf"a.jsonl:102: {WRONG[text]}"):
        read(path)
    _, found, _, blocks, bad = read(path, limit=1, shards=1)
    assert found["id"] == list(range(N))
    assert bad.count == 1
    rows = [number for block in blocks for number in block.rows.tolist()]
    assert rows == [number for number in range(N + 1) if number != 100]  # a gap where the bad one is
    assert blocks[-1].seen == N + 1


def test_columns_that_cannot_be_read_are_told(tmp_path):
    rows = [{"x": i, "mixed": i if i % 2 else "s", "none": None, "lists": [[1]], "label": i % 2} for i in range(50)]
    source, found, _, _, _ = read(write(tmp_path / "a.jsonl", rows))
    assert [*found] == ["x"]
    told = "; ".join(source.left_out)
    for reason in ("'mixed'): values of several kinds in the first lines (numbers and text)", "'none'): only null in",
                   "'lists'): lists of what are no numbers"):  # fmt: skip
        assert reason in told


def test_columns_of_later_files_and_lines(tmp_path):
    write(tmp_path / "0.jsonl", [{"x": 1, "label": 0}, {"x": 2, "label": 1}])
    write(tmp_path / "1.jsonl", [{"more": "u", "x": 0.5, "label": 1}, {"label": 0}])
    source, found, _, _, _ = read(str(tmp_path))
    assert source.reading["drift"] == ["more: missing in 1 of 2 files"]
    assert found["more"] == [None, None, "u", None]
    assert [None if v != v else v for v in found["x"]] == [1, 2, 0.5, None]


def test_whole_numbers_that_are_kept_or_huge_stay_exact(tmp_path):
    rows = [{"id": i, "big": 2**60 + i, "x": i, "label": i % 2} for i in range(20)]
    _, _, _, blocks, _ = read(write(tmp_path / "a.jsonl", rows), {"keep": "id,big"})
    kept = [each for block in blocks for each in block.kept.to_pylist()]
    assert kept == [{"id": i, "big": 2**60 + i} for i in range(20)]


def test_other_json_is_told(tmp_path):
    path = write(tmp_path / "a.json", ["[", '{"a": 1},', '{"a": 2}', "]"])
    with pytest.raises(DataError, match="JSON, but not an object a line"):
        data.open_source(path)
    write(tmp_path / "b.csv", ["1.5,2,a", "2.5,3,b"])
    write(tmp_path / "about.json", [{"made": "by us"}, {"in": 2024}])
    (tmp_path / "a.json").unlink()
    source = data.open_source(str(tmp_path))
    assert source.format == "csv"
    assert "about.json" in "; ".join(source.left_out)
