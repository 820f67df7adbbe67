"""Where the label of a table stands, and what it is when there are two readings."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hdl import data
from hdl.errors import DataError
from tests.unit.tables import LABELS, fitted, numbers, quick, read, seeds, write


@given(seed=seeds, n=st.integers(8, 20), k=st.integers(2, 5), at=st.integers(0, 5), header=st.booleans(),
       kind=st.sampled_from(["csv", "parquet"]), label=st.sampled_from(["text", "whole", "real"]),
       name=st.sampled_from(["Label", "target", "class", "y", "kind"]))  # fmt: skip
@quick
def test_the_label_may_stand_anywhere(tmp_path, seed, n, k, at, kind, label, name, header):
    """By name, or as the only column of text, or last; elsewhere the flag is needed."""
    draw, at = np.random.default_rng(seed), min(at, k)
    columns, labels = numbers(draw, n, k), LABELS[label](draw, n)
    assume(len({*labels}) > 1)
    names = [f"c{i}" for i in range(k)]
    columns.insert(at, labels)
    names.insert(at, name)
    header = header or kind == "parquet"
    path = write(tmp_path, kind, names, columns, header=header)
    source, x, y = read(path)
    if (header and name != "kind") or label == "text" or at == k:
        place, by = (
            at,
            "name" if header and name != "kind" else "only text column" if label == "text" else "last column",
        )
    else:
        place, by = k, "last column"
    assert source.reading["label_at"] == [place]
    assert source.reading["label_by"] == by
    assert source.reading["label_type"] == (None if kind == "csv" else "text" if label == "text" else "number")
    assert x.tolist() == [list(row) for row in zip(*(columns[:place] + columns[place + 1 :]), strict=True)]
    assert list(map(str, y.tolist())) == list(map(str, columns[place]))
    source, x, y = read(path, {"label": str(at)})
    assert source.reading["label_by"] == "flag"
    assert list(map(str, y.tolist())) == list(map(str, labels))
    schema = fitted(path, {"label": str(at)})
    assert list(map(str, read(path, schema=schema)[2].tolist())) == list(map(str, labels))  # no flag for evaluation


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (["label", "a", "target"], [[0, 1], [2.5, 3.5], [4, 5]], "columns 'label', 'target' have names of labels"),
        (["class", "a", "y"], [[0, 1], [2.5, 3.5], [4, 5]], "columns 'class', 'y' have names of labels"),
        (["x", "y", "z"], [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], "column 'y' is the label, or a coordinate"),
        (["sex", "a", "rings"], [["m", "f"] * 4, [0.5] * 8, [3, 4] * 4], "'sex' is the only one of text.*'rings', may"),
        (["id", "a", "b"], [[*"abcdefgh"], [0.5] * 8, [0.5] * 8], "each of the first rows has another"),
    ],
)
def test_two_readings_of_the_label(tmp_path, kind, names, columns, message):
    path = write(tmp_path, kind, names, columns)
    with pytest.raises(DataError, match=f"a.{kind}: .*{message}.*--label NAME or NUMBER"):
        data.open_source(str(path))
    assert data.open_source(str(path), {"label": names[0]}).label == [names[0]]
    names, columns = ["label", *names[1:]], [[0, 1] * (len(columns[1]) // 2), *columns[1:]]
    if names[2] != "target":  # by far the most usual name
        assert data.open_source(str(write(tmp_path, kind, names, columns))).label == ["label"]


def test_pixels_after_their_label(tmp_path):
    """As MNIST's CSV has it: the last column is a pixel that is always 0, and no label."""
    draw = np.random.default_rng(0)
    rows = np.column_stack(
        [draw.integers(0, 10, 40), np.zeros(40, int), draw.integers(0, 256, (40, 9)), np.zeros(40, int)]
    )
    (tmp_path / "a.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()))
    with pytest.raises(DataError, match=r"a.csv: column 12, the last one, is the same .*--label NAME or NUMBER"):
        data.open_source(str(tmp_path / "a.csv"))
    assert read(tmp_path / "a.csv", {"label": "0"})[2].tolist() == [str(row[0]) for row in rows.tolist()]
    rows[:, [0, -1]] = rows[:, [-1, 0]]  # sorted by class or not, a label at the end needs no flag
    (tmp_path / "a.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows.tolist()))
    assert data.open_source(str(tmp_path / "a.csv")).label == ["11"]


def test_dates_are_no_label(tmp_path):
    (tmp_path / "a.csv").write_text("day,a,count\n" + "2011-01-01,0.5,3\n2011-01-01,0.7,4\n" * 5)
    source = data.open_source(str(tmp_path / "a.csv"))
    assert (source.label, source.reading["label_by"]) == (["count"], "last column")
    assert [(column.name, column.kind) for column in source.columns] == [("day", "date"), ("a", "number")]
