"""Tables of every kind are read as they were written, in CSV, libsvm and Parquet alike, or refused with the flag that
decides: headers, labels, names, indices, order, comments."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hdl import cli, data
from hdl import table as tables
from hdl.data.columns import pick
from hdl.data.names import unique
from hdl.errors import DataError
from hdl.spec import Spec

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 10**6)


def read(path, options=None, schema=None, labels=True, shards=2):
    """The source, x and y of all shards in order; y None without labels."""
    source = data.open_source(str(path), options, schema, labels=labels)
    blocks = [block for splits in source.splits(shards) for block in source.read(splits)]
    x = np.concatenate([block.x.dense() if isinstance(block.x, data.Csr) else block.x for block in blocks])
    y = None if blocks[0].y is None else np.concatenate([block.y for block in blocks])
    return source, x, y


def fitted(path, options=None):
    source = data.open_source(str(path), options)
    return data.fit(data.summarise(source, source.splits(1)[0]), Spec())


def write(folder, kind, names, columns, name="a", header=True):
    """A table as CSV or Parquet; without a header only as CSV."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{kind}"
    if kind == "parquet":
        large = [any(isinstance(value, int) and value >= 2**63 for value in column) for column in columns]
        arrays = [pa.array(column, pa.uint64() if big else None) for column, big in zip(columns, large, strict=True)]
        pq.write_table(pa.table(arrays, names=names), path)
    else:
        rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
        path.write_text("\n".join([",".join(names)] * header + rows) + "\n")
    return path


def numbers(draw, n, k, whole=False):
    x = draw.integers(0, 6, (n, k)) if whole else draw.normal(size=(n, k)).round(4)
    return [column.tolist() for column in x.T]


LABELS = {
    "whole": lambda draw, n: draw.integers(0, 3, n).tolist(),
    "real": lambda draw, n: draw.normal(size=n).round(3).tolist(),
    "text": lambda draw, n: [("cat", "dog", "cow")[i] for i in draw.integers(0, 3, n)],
    "letters": lambda draw, n: [("y", "n")[i] for i in draw.integers(0, 2, n)],
    "padded": lambda draw, n: [("01", "1", "007")[i] for i in draw.integers(0, 3, n)],
    "long": lambda draw, n: [2**63 + 5 * i for i in draw.integers(0, 3, n).tolist()],
}
HEADERS = {
    "none": lambda k: None,
    "words": lambda k: [f"c{i}" for i in range(k)] + ["kind"],
    "label": lambda k: [f"{1990 + i}" for i in range(k)] + ["Target"],
    "range": lambda k: [str(i) for i in range(k + 1)],
    "from 1": lambda k: [str(i + 1) for i in range(k + 1)],
    "named range": lambda k: [str(i) for i in range(k)] + ["kind"],
    "years": lambda k: [str(1999 + i) for i in range(k + 1)],
    "waves": lambda k: [str(400.5 + 2 * i) for i in range(k + 1)],
}


@given(seed=seeds, k=st.integers(2, 8), n=st.integers(8, 30), whole=st.booleans(), label=st.sampled_from([*LABELS]),
       header=st.sampled_from([*HEADERS]))  # fmt: skip
@quick
def test_a_header_is_found_or_the_flag_is_asked_for(tmp_path, seed, k, n, whole, label, header):
    draw, names = np.random.default_rng(seed), HEADERS[header](k)
    columns = [*numbers(draw, n, k, whole), LABELS[label](draw, n)]
    path = write(tmp_path, "csv", names or [""], columns, header=names is not None)
    plain = header == "none" and label in ("whole", "real") and not whole
    for options in ({}, {"header": names is not None}):
        try:
            source, x, y = read(path, options)
        except DataError as error:
            refused = str(error)
            assert not options
            assert not plain, "a table of numbers without a header needs no flag"
            assert "--header or --no-header says which" in refused
            continue
        assert source.reading["header"] == (names is not None)
        assert source.reading["header_by"] == ("flag" if options else "first lines")
        assert x.tolist() == [list(row) for row in zip(*columns[:-1], strict=True)]
        assert y.tolist() == [str(value) for value in columns[-1]]
        assert source.names == (names[:-1] if names else None)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("0,1,2,3,species\n5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.4,0.2,setosa\n", True),
        (",0,1,2,3\n0,.5,.25,1.5,1\n1,.5,.25,1.5,0\n", True),
        ("age,2019,2020,2021\n31,0.5,0.7,1\n32,0.1,0.2,0\n", True),
        ("NA,2,1\n3,4,0\n", False),
        ("1,2,y\n3,4,n\n5,7,y\n", False),
        ("5.1,3.5,setosa\n4.9,3.0,virginica\n", False),
        ("1,2,3,4\n5,6,7,8\n", False),
        ("3,1,2,0\n1,1,0,1\n", False),
        ('"1","2","3"\n4,9,1\n7,8,0\n', True),
        ("x1,x2,grade\n1,2,a\n3,4,b\n5,5,a\n", True),
        ("0,1\n1,0\n1,1\n", None),
        ("2019,2020,2021,2022\n150,203,188,1\n160,213,180,0\n", None),
        ("5.1,3.5,sort\n4.9,3.0,0\n4.8,3.1,1\n", None),
        ("a,b,cat\n1,2,cat\n3,4,dog\n", None),
        ("3,17,42,kind\n0.5,1.5,2.5,u\n0.4,1.3,2.1,v\n0.5,1.5,2.5,u\n0.4,1.3,2.1,v\n0.5,1.5,2.5,u\n", None),
    ],
)
def test_headers(tmp_path, text, header):
    (tmp_path / "a.csv").write_text(text)
    if header is None:
        with pytest.raises(DataError, match=r"a.csv:1: the first line may hold names or a sample \(.*--no-header"):
            data.open_source(str(tmp_path / "a.csv"))
    else:
        assert data.open_source(str(tmp_path / "a.csv")).reading["header"] is header


def test_what_a_model_knows_decides_for_its_data(tmp_path):
    """Names that it was trained with are a header; and where training had none, neither has an unclear file."""
    (tmp_path / "a.csv").write_text("2019,2020,2021,2022\n150,203,188,1\n160,213,180,0\n")
    for header in (True, False):
        schema = fitted(tmp_path / "a.csv", {"header": header})
        source, x, _ = read(tmp_path / "a.csv", schema=schema)
        assert (source.reading["header"], source.reading["header_by"], len(x)) == (header, "model", 3 - header)


@given(seed=seeds, n=st.integers(6, 20), kind=st.sampled_from(["csv", "parquet"]),
       names=st.lists(st.sampled_from(["a", "b", "a.1", "c"]), min_size=3, max_size=7))  # fmt: skip
@quick
def test_names_that_are_there_twice_are_numbered_and_told(tmp_path, seed, n, kind, names):
    draw = np.random.default_rng(seed)
    columns = [*numbers(draw, n, len(names)), draw.integers(0, 2, n).tolist()]
    columns[-1][:2] = [0, 1]
    path = write(tmp_path, kind, [*names, "label"], columns)
    source, x, _ = read(path)
    numbered, twice = unique(names)
    assert source.names == numbered
    assert len(set(numbered)) == len(names)
    assert [numbered[names.index(name)] for name in names] == names  # the first of each keeps its name
    assert bool(source.reading.get("duplicates")) == bool(twice)
    assert x.tolist() == [list(row) for row in zip(*columns[:-1], strict=True)]
    schema = fitted(path)
    assert schema.names == tuple(numbered)
    _, again, y = read(path, schema=schema)
    np.testing.assert_array_equal(again, x)
    assert list(map(int, y)) == columns[-1]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_labels_name_that_is_there_twice(tmp_path, kind):
    path = write(tmp_path, kind, ["label", "a", "label"], [[0, 1, 1], [0.5, 1.5, 2.5], [7, 8, 7]])
    for options in ({}, {"label": "label"}):
        with pytest.raises(DataError, match=r"'label' is the name of several columns \(0 and 2, from 0\); --label NUM"):
            data.open_source(str(path), options)
    _, x, y = read(path, {"label": "2"})
    assert (x.tolist(), list(map(int, y))) == ([[0, 0.5], [1, 1.5], [1, 2.5]], [7, 8, 7])
    schema = fitted(write(tmp_path, kind, ["a", "b", "label"], [[1, 2], [3, 5], [0, 1]], "b"))
    path = write(tmp_path, kind, ["a", "b", "a", "label"], [[1, 2], [3, 5], [8, 9], [0, 1]])
    with pytest.raises(DataError, match=r"2 columns are called 'a'; the model's training data had fewer"):
        data.open_source(str(path), schema=schema)
    path = write(tmp_path, kind, ["a", "label", "b", "label"], [[1, 2], [7, 7], [3, 5], [8, 8]])
    assert read(path, schema=schema, labels=False)[1].tolist() == [
        [1, 3],
        [2, 5],
    ]  # what no one needs may be there twice
    with pytest.raises(DataError, match=r"'label' is the name of several columns \(1 and 3, from 0\); --label NUMBER"):
        data.open_source(str(path), schema=schema)
    assert list(map(int, read(path, {"label": "3"}, schema)[2])) == [8, 8]


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


@given(seed=seeds, n=st.integers(3, 20), start=st.sampled_from([0, 1]), kind=st.sampled_from(["csv", "level", "named"]))
@quick
def test_an_index_is_neither_label_nor_feature(tmp_path, seed, n, start, kind):
    draw = np.random.default_rng(seed)
    columns, index = [*numbers(draw, n, 2), draw.integers(0, 3, n).tolist()], list(range(start, n + start))
    if kind == "csv":
        path = write(tmp_path, "csv", ["", "a", "b", "outcome"], [index, *columns])
        name = "Unnamed: 0"
    else:
        name = "__index_level_0__" if kind == "level" else "when"
        table = pa.table(dict(zip(["a", "b", "outcome", name], [*columns, draw.permutation(index)], strict=True)))
        about = json.dumps({"index_columns": [name]}) if kind == "named" else "{}"
        path = tmp_path / "a.parquet"
        pq.write_table(table.replace_schema_metadata({"pandas": about}), path)
    source, x, y = read(path)
    assert (source.names, source.label) == (["a", "b"], ["outcome"])
    assert len(source.left_out) == 1
    assert name in source.left_out[0]
    assert x.tolist() == [list(row) for row in zip(*columns[:2], strict=True)]
    assert list(map(int, y)) == columns[2]
    assert data.open_source(str(path), {"label": name}).label == [name]
    no_labels, x, y = read(path, {"labelled": False})
    assert no_labels.names == ["a", "b", "outcome"]
    assert y is None


@given(seed=seeds, files=st.integers(2, 4), kind=st.sampled_from(["csv", "parquet"]), label=st.sampled_from([*LABELS]))
@quick
def test_files_of_one_folder_are_read_by_name(tmp_path_factory, seed, files, kind, label):
    draw, folder = np.random.default_rng(seed), tmp_path_factory.mktemp("parts")
    names, rows, expected, labels = ["a", "b", "c", "label"], 7, [], []
    for number in range(files):
        columns = [*numbers(draw, rows, 3, whole=number == 1), LABELS[label](draw, rows)]
        order = draw.permutation(4) if number else range(4)
        write(folder, kind, [names[i] for i in order], [columns[i] for i in order], f"part-{number}")
        expected += [list(row) for row in zip(*columns[:3], strict=True)]
        labels += [str(value) for value in columns[3]]
    source, x, y = read(folder, shards=3)
    assert source.names == names[:3]
    assert x.tolist() == expected
    assert [str(value) for value in y.tolist()] == labels


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_with_other_columns_is_named(tmp_path, kind):
    for extra, message in [] if kind == "parquet" else [(["c"], r"columns 'b' of .*0.{kind} are missing")]:
        columns = [[0.5, 1.5, 2.5], [1.5, 2.5, 3.5], [0, 1, 0]]
        write(tmp_path, kind, ["a", "b", "label"], columns, "0")
        write(tmp_path, kind, ["a", *extra, "label"], [[0.5, 1.5, 2.5]] * (len(extra) + 1) + [[0, 1, 1]], "1")
        with pytest.raises(DataError, match=rf"1.{kind}: " + message.format(kind=kind)):
            read(tmp_path)
    columns = [[0.5, 1.5, 2.5], [1.5, 2.5, 3.5], [0, 1, 0]]
    write(tmp_path, kind, ["a", "b", "label"], columns, "0")
    schema = fitted(tmp_path / f"0.{kind}")
    write(tmp_path, kind, ["b", "a", "note"], [[0.5, 1.5, 2.5], [0.5, 1.5, 2.5], ["u", "v", "w"]], "1")
    with pytest.raises(DataError, match=rf"1.{kind}: columns 'label' of .*0.{kind} are missing"):
        read(tmp_path, schema=schema)
    columns[2] = ["", "", ""]
    write(tmp_path, kind, ["a", "b", "label"], columns, "0")
    assert len(read(tmp_path, schema=schema, labels=False)[1]) == 6  # what the model does not need may be there


def test_a_header_in_a_later_file_only(tmp_path):
    (tmp_path / "0.csv").write_text("1.5,2.5,0\n3.5,4.5,1\n")
    (tmp_path / "1.csv").write_text("a,b,label\n1.5,2.5,0\n3.5,4.5,1\n")
    with pytest.raises(
        DataError, match=r"1.csv: a header, which .*0.csv has not; expected one in each file or in none"
    ):
        read(tmp_path)


def test_parquet_files_of_other_types(tmp_path):
    y = pa.array([0, 1])
    for number, kind in enumerate((pa.int64(), pa.float64(), pa.uint8())):
        pq.write_table(pa.table({"a": pa.array([1, 2], kind), "b": [0.5, 1.5], "y": y}), tmp_path / f"{number}.parquet")
    assert read(tmp_path)[1].tolist() == [[1, 0.5], [2, 1.5]] * 3
    pq.write_table(pa.table({"a": ["u", "v"], "b": [0.5, 1.5], "y": y}), tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3.parquet: column 'a' is string; in .*0.parquet it is .*--ignore a"):
        read(tmp_path)
    pq.write_table(pa.table({"a": [1, 2], "b": [0.5, 1.5], "y": ["0", "1"]}), tmp_path / "3.parquet")
    with pytest.raises(DataError, match=r"3.parquet: column 'y' is string; in .*0.parquet it is int64, and no type"):
        read(tmp_path)


ROWS = [[0, 1.5, 0], [2.5, 0, 1e-40], [0, 0, 3.25], [1, 1, 1]]


def svm(rows, labels, draw=None):
    lines = []
    for row, label in zip(rows, labels, strict=True):
        pairs = " ".join(f"{i + 1}:{value!r}" for i, value in enumerate(row) if value or i == 2)
        lines.append(f"{label} {pairs}".strip() if label is not None else pairs)
        if draw is not None and draw.random() < 0.4:
            lines[-1] += " # a note"
    return lines


@given(seed=seeds, labelled=st.booleans(), shards=st.integers(1, 4), wanted=st.booleans())
@quick
def test_libsvm_with_comments_and_without_labels(tmp_path, seed, labelled, shards, wanted):
    draw = np.random.default_rng(seed)
    labels = [int(value) for value in draw.integers(0, 2, 4)] if labelled else [None] * 4
    lines = svm(ROWS, labels, draw)
    for at in sorted(draw.integers(0, 5, 3).tolist(), reverse=True):
        lines.insert(at, ["# made by a tool", "  # 1 2:3", ""][at % 3])
    (tmp_path / "a.svm").write_text("\n".join(lines) + "\n")
    source, x, y = read(tmp_path / "a.svm", labels=wanted, shards=shards)
    np.testing.assert_array_equal(x, np.array(ROWS))
    assert (y is not None) == (labelled and wanted)
    if y is not None:
        assert y.tolist() == labels
        assert (source.label, source.reading["label_type"]) == (["0"], "number")
    wrong = 1 + next(i for i, line in enumerate(lines) if line[:1].isdigit())
    lines[wrong - 1] = lines[wrong - 1].replace(":", ":x", 1)
    (tmp_path / "a.svm").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"a.svm:{wrong}: '\d+:x"):
        read(tmp_path / "a.svm", labels=wanted, shards=shards)


def test_many_comments_come_first(tmp_path):
    (tmp_path / "a").write_text("# note\n" * 50 + "\n".join(svm(ROWS, [1, 0, 1, 0])) + "\n")
    assert read(tmp_path / "a")[2].tolist() == [1, 0, 1, 0]


@given(seed=seeds, n=st.integers(2, 30))
@quick
def test_several_labels_a_line_are_refused(tmp_path, seed, n):
    draw = np.random.default_rng(seed)
    labels = [",".join(map(str, draw.permutation(4)[: draw.integers(1, 4)])) for _ in range(n)]
    assume("," in "".join(labels[:20]))
    (tmp_path / "a.svm").write_text("\n".join(svm([ROWS[i % 4] for i in range(n)], labels)) + "\n")
    with pytest.raises(DataError, match=r"several labels in a line \(.*in CSV or Parquet, .*--label A,B"):
        read(tmp_path / "a.svm")
    source, x, y = read(tmp_path / "a.svm", labels=False)
    assert (source.format, y, len(x)) == ("libsvm", None, n)


def test_libsvm_labels_beyond_float64(tmp_path):
    labels = [2**64 - 59, 7, -(2**60) - 1, 2**64 - 60]
    (tmp_path / "a.svm").write_text("\n".join(svm(ROWS, labels)) + "\n")
    assert read(tmp_path / "a.svm")[2].tolist() == labels


def test_some_lines_without_a_label(tmp_path):
    (tmp_path / "a.svm").write_text("\n".join(svm(ROWS, [1, 0, None, 0])) + "\n")
    with pytest.raises(DataError, match=r"a.svm:3: no label, which other lines have; --no-labels passes over those"):
        read(tmp_path / "a.svm")
    assert len(read(tmp_path / "a.svm", {"labelled": False})[1]) == 4


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
