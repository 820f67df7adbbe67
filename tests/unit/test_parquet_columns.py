"""Columns that no one needs, and the types that Parquet's columns may have."""

import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import cli, data
from hdl import table as tables
from hdl.data.columns import pick
from hdl.data.names import unique
from hdl.errors import DataError
from tests.unit.tables import LABELS, fitted, numbers, quick, read, seeds, write


@given(seed=seeds, kind=st.sampled_from(["csv", "parquet"]), n=st.integers(4, 12), label=st.sampled_from([*LABELS]),
       junk=st.sampled_from(["", "n/a", "-inf", "cat", "1e400"]), named=st.booleans())  # fmt: skip
@quick
def test_what_a_command_does_not_need_is_not_judged(tmp_path, seed, kind, n, label, junk, named):
    draw = np.random.default_rng(seed)
    columns, labels = numbers(draw, n, 2), LABELS[label](draw, n)
    labels[:2] = LABELS[label](draw, 30)[:2] if label == "real" else sorted({*LABELS[label](draw, 30)})[:2]
    schema = fitted(write(tmp_path, kind, ["a", "b", "label"], [*columns, labels]))
    empty = [None] * n if kind == "parquet" else [""] * n
    names, order = ["b", "label", "a", "note"], [columns[1], empty, columns[0], [junk] * n]
    if not named and kind == "csv":
        names, order = ["a", "b", "label"], [*columns, [junk] * n]
    path = write(tmp_path, kind, names, order, "p")
    expected = [list(row) for row in zip(*columns, strict=True)]
    _, x, y = read(path, schema=schema, labels=False)
    assert (x.tolist(), y) == (expected, None)
    _, x, y = read(path, {"labelled": False}, schema)
    assert (x.tolist(), y) == (expected, None)
    if names[1] == "label" and kind == "csv":
        source, bad = data.open_source(str(path), schema=schema), data.Bad()
        assert not [block for part in source.splits(2) for block in source.read(part, bad)]
        assert bad.unlabelled == n
    elif names[1] == "label":
        with pytest.raises(DataError, match=r"label.* (is empty|is null|no label)|a number"):
            read(path, schema=schema)


def test_bytes_that_no_one_needs(tmp_path):
    schema = fitted(write(tmp_path, "csv", ["a", "b", "label"], [[0.5, 1.5], [1, 7], ["u", "v"]]))
    (tmp_path / "p.csv").write_bytes(b"a,b,label,note\n0.5,1,u,ol\xe9\n1.5,x,v,\xe9\n")
    _, x, y = read(tmp_path / "p.csv", {"max_bad_records": 1}, schema)  # also line by line
    assert (x.tolist(), y.tolist()) == ([[0.5, 1]], ["u"])
    (tmp_path / "p.csv").write_bytes(b"a,b,label\n0.5,1,u\n1.5,3,\xe9\n")
    with pytest.raises(DataError, match=r"p.csv:3: byte 7 of the line is not UTF-8"):
        read(tmp_path / "p.csv", schema=schema)
    assert len(read(tmp_path / "p.csv", schema=schema, labels=False)[1]) == 2


def test_places_in_a_file_without_names(tmp_path):
    """A model that was trained with its label first finds it there again, and not in the last column."""
    rows = "".join(f"{i % 3},{i}.5,{i * 7 % 5}.25,{i % 2}\n" for i in range(12))
    (tmp_path / "a.csv").write_text(rows)
    schema = fitted(tmp_path / "a.csv", {"label": "0"})
    source, x, y = read(tmp_path / "a.csv", schema=schema)
    assert source.reading["label_by"] == "model"
    assert (x.shape, y.tolist()) == ((12, 3), [str(i % 3) for i in range(12)])
    (tmp_path / "b.csv").write_text("y,a,b,c\n" + rows)
    named = fitted(tmp_path / "b.csv")
    assert read(tmp_path / "a.csv", schema=named)[2].tolist() == [str(i % 3) for i in range(12)]


TYPED = {
    "text": (pa.array(["01", "1", "10", "1"]), "text", ["01", "1", "10", "1"]),
    "dictionary": (pa.array(["01", "1", "10", "1"]).dictionary_encode(), "text", ["01", "1", "10", "1"]),
    "numbers in a dictionary": (pa.array([7, 5, 7, 5]).dictionary_encode(), "number", [7, 5, 7, 5]),
    "bytes": (pa.array([b"u", b"v", b"u", "ä".encode()]), "text", ["u", "v", "u", "ä"]),
    "boolean": (pa.array([True, False, True, True]), "boolean", [True, False, True, True]),
    "uint64": (pa.array([2**64 - 1, 3, 2**63, 3], pa.uint64()), "number", [2**64 - 1, 3, 2**63, 3]),
    "large text": (pa.array(["u", "v", "u", "v"], pa.large_string()), "text", ["u", "v", "u", "v"]),
}


@pytest.mark.parametrize("name", TYPED)
def test_parquet_labels_keep_what_they_are(tmp_path, name):
    column, kind, values = TYPED[name]
    pq.write_table(pa.table({"a": [1.5, 2.5, 3.5, 4.5], "y": column}), tmp_path / "a.parquet")
    source, _, y = read(tmp_path / "a.parquet")
    assert source.reading["label_type"] == kind
    assert y.tolist() == values
    assert [type(value) for value in y.tolist()] == [type(value) for value in values]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string()])
def test_parquet_labels_that_are_no_text(tmp_path, kind):
    column = pa.array([b"u", b"\xff\xfe", b"v", None])
    column = column.view(kind) if kind == pa.string() else column.cast(kind)
    pq.write_table(pa.table({"a": [1.5, 2.5, 3.5, None], "y": column}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet record 2: label column 'y' holds bytes that are not UTF-8"):
        read(tmp_path / "a.parquet", {"max_bad_records": 0}, shards=4)
    _, x, y = read(tmp_path / "a.parquet", {"max_bad_records": 2})
    assert (x.tolist(), y.tolist()) == ([[1.5], [3.5]], ["u", "v"])


def test_parquet_labels_of_other_types_are_refused(tmp_path):
    pq.write_table(pa.table({"a": [1.5, 2.5], "when": pa.array([0, 1], pa.timestamp("s"))}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet: label column 'when' is timestamp\[ms\]; expected .*--label"):
        data.open_source(str(tmp_path / "a.parquet"))


def test_an_import_with_its_columns_in_another_order(tmp_path):
    path = write(tmp_path, "csv", ["a", "b", "label"], [[0.5, 1.5], [3.5, 5.5], ["u", "v"]])
    other = write(tmp_path, "csv", ["b", "label", "a"], [[3.5, 5.5], ["u", "v"], [0.5, 1.5]], "b")
    data.write_shards(data.open_source(str(other)), str(tmp_path / "imported"))
    source, x, _ = read(tmp_path / "imported", schema=fitted(path))
    assert (source.names, x.tolist()) == (["a", "b"], [[0.5, 3.5], [1.5, 5.5]])


@pytest.mark.parametrize(
    ("text", "x"),
    [
        ("1;2,5;0\n3;4,5;1\n", None),
        ("1,5;2,5;0\n3,5;4,5;1\n", None),
        ("a|b;c|y\n1|2|0\n", [[1, 2]]),
        ("1,2,a;b\n", [[1, 2]]),
    ],
)
def test_what_parts_the_fields(tmp_path, text, x):
    (tmp_path / "a.csv").write_text(text)
    if x is None:
        with pytest.raises(DataError, match=r"decimal comma; --decimal ,|--delimiter says which"):
            read(tmp_path / "a.csv")
    else:
        assert read(tmp_path / "a.csv")[1].tolist() == x


def test_opening_is_linear_in_columns():
    n = 40_000
    names = [f"c{i}" for i in range(n)] + ["label"]
    schema = SimpleNamespace(names=tuple(names[:-1]), label=("label",), inputs=n)
    start = time.process_time()
    assert pick(names, n + 1, data.Options(), "x.csv", schema).labels == [n]
    assert unique(["a"] * n)[0][-1] == f"a.{n - 1}"
    assert time.process_time() - start < 2


def test_a_model_that_needs_no_labels_is_trained_and_measured_without_them(tmp_path):
    rows = [f"{i % 7}.5,{i % 5}.25" for i in range(30)]
    (tmp_path / "a.csv").write_text("a,b,label\n" + "".join(f"{row},{i % 2}\n" for i, row in enumerate(rows)))
    (tmp_path / "b.csv").write_text("a,b,label\n" + "".join(f"{row},\n" for row in rows))
    table = str(tmp_path / "table")
    arguments = ["--model", "autoencoder", "--net", "0-2-0", "--epochs", "1", "--no-report", "-q"]
    assert cli.run(["train", str(tmp_path / "a.csv"), "--out", table, *arguments]) == 0
    assert cli.run(["evaluate", table, str(tmp_path / "b.csv")]) == 0
    assert cli.run(["train", str(tmp_path / "b.csv"), "--out", str(tmp_path / "other"), *arguments]) == 0
    assert (
        cli.run(["train", str(tmp_path / "b.csv"), "--out", str(tmp_path / "other"), "--resume", *arguments[4:]]) == 0
    )
    zero = tables.Table(str(tmp_path / "other")).read(0).about
    assert (zero["schema"]["names"], zero["schema"]["label"]) == (["a", "b"], ["label"])


def test_nested_columns_that_no_one_needs(tmp_path):
    x = {"a": [1.5, 2.5], "b": [3.5, 4.5], "label": ["u", "v"]}
    pq.write_table(pa.table(x), tmp_path / "a.parquet")
    schema = fitted(tmp_path / "a.parquet")
    nested = {"s": [{"p": 1, "q": [2, 3]}, {"p": 4, "q": []}], "b": x["b"], "l": [[1], [2, 3]], "label": x["label"]}
    pq.write_table(pa.table({**nested, "m": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), "a": x["a"]}),
                   tmp_path / "p.parquet")  # fmt: skip
    _, features, y = read(tmp_path / "p.parquet", schema=schema)
    assert (features.tolist(), y.tolist()) == ([[1.5, 3.5], [2.5, 4.5]], ["u", "v"])
