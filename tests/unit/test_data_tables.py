"""Tables of every kind are read as they were written, in CSV, libsvm and Parquet alike, or refused with the flag that
decides: headers, labels, names, indices, order, comments."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hdl import data
from hdl.data.names import unique
from hdl.errors import DataError
from tests.unit.tables import LABELS, fitted, numbers, quick, read, seeds, write

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
    assume(names not in [[str(value) for value in row] for row in zip(*columns, strict=True)])  # that is refused
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
        ("town,colour,bought\n" + "Rome,red,no\nOslo,blue,yes\nRome,blue,no\n" * 4, True),
        ("Rome,green,maybe\n" + "Rome,red,no\nOslo,blue,yes\nRome,blue,no\n" * 4, False),
        ("said,mood\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(60)), True),
        ("said,mood\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(60)) + "said,c\n", False),
        ("said,mood\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(12)), None),
        ("said,mood\n" + "".join(f"text {i},mood {i}\n" for i in range(12)), False),
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


def test_a_nameless_last_column_without_values_is_no_label(tmp_path):
    for first in ("a,b,grade,", "a,b,grade"):
        (tmp_path / "a.csv").write_text(first + "\n1,2,u,\n3,4,v,\n5,2,u,\n")
        source = data.open_source(str(tmp_path / "a.csv"))
        assert source.label == ["grade"]
        assert "column 4 ('Unnamed: 3'): a nameless last column without values" in source.left_out
    (tmp_path / "a.csv").write_text("a,b,grade,\n1,2,u,x\n3,4,v,z\n5,2,u,x\n")
    assert data.open_source(str(tmp_path / "a.csv")).label == ["Unnamed: 3"]


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
