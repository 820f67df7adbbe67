"""Tables as people write them are read the same whatever cuts and blocks they come in."""

import csv
import gzip
import io
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.tabular.quoted import record_blocks, record_starts
from hdl.errors import DataError

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DATA = os.environ.get("HDL_DATA", os.path.join(os.path.dirname(__file__), "../../../shared/data"))


def rows_of(block):
    """The features of a block, as lists of plain values."""
    if isinstance(block.x, np.ndarray):
        return [[None if np.isnan(value) else value for value in row] for row in block.x.tolist()]
    columns = [block.x[column.name] for column in block.x.columns]
    lists = [column.tolist() if isinstance(column, np.ndarray) else column.to_pylist() for column in columns]
    return [[None if value != value else value for value in row] for row in zip(*lists, strict=True)]


def read(path, options=None, shards=(1,), schema=None, labels=True):
    """Features, labels, lines and numbers of all rows, the counts of bad and unlabelled ones; the same for each cut."""
    found = []
    for count in shards:
        source = data.open_source(str(path), options, schema, labels=labels)
        bad, out, before = data.Bad(source.options.max_bad_records), [], 0
        for part in source.splits(count):
            seen = 0
            for split in part:
                for block in source.numbered(split, bad):
                    labelled = [None] * len(block) if block.y is None else block.y.tolist()
                    lines = [block.where(i)["line"] for i in range(len(block))]
                    out += zip(rows_of(block), labelled, lines, (block.rows + before).tolist(), strict=True)
                    seen = block.seen
                before += seen
        found.append((out, bad.count, bad.unlabelled, before, bad.places))
    assert all(one == found[0] for one in found)
    return source, *found[0]


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def category(text):
    """A category as it is kept: a whole number is the same with a point and without one."""
    return None if text in {"", ".", "?"} else re.sub(r"^(-?(?:0|[1-9][0-9]*))\.0*$", r"\1", text)


cell = st.text("ab1,;\" \n'é.\t", max_size=7)


@given(st.lists(st.tuples(st.integers(-99, 99), cell, st.sampled_from("uv")), min_size=1, max_size=12), st.booleans(),
       st.sampled_from([",", ";", "\t"]), st.integers(2, 9), st.sampled_from(["\n", "\r\n"]))  # fmt: skip
@example([(0, "1.", "u")], False, ",", 2, "\n")
@example([(1, "a\n", "u"), (2, '"\n\n"', "v"), (3, "", "u")], False, ",", 4, "\n")
@quick
def test_quoted_fields_that_span_lines(tmp_path, rows, header, mark, shards, end):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([("n", "text", "y"), *rows] if header else rows)
    path = write(tmp_path / "a.csv", file.getvalue())
    options = {"columns": "1:category", "header": header, "delimiter": mark, "multiline": True, "label": "2"}
    _, found, bad, unlabelled, records, _ = read(path, options, (1, shards, 40))
    assert [row for row, *_ in found] == [[n, category(text.strip())] for n, text, _ in rows]
    assert [label for _, label, *_ in found] == [label for *_, label in rows]
    assert (bad, unlabelled, records) == (0, 0, len(rows))
    assert [number for *_, number in found] == list(range(len(rows)))
    lines = file.getvalue().split("\n")
    assert all(lines[line - 1].startswith(f"{row[0]:g}") for row, _, line, _ in found)


def test_lines_in_quotes_are_seen_at_the_start(tmp_path):
    text = 'a,b,y\n1,"x\nz",0\n2,"y,\n\n""q""",1\n3,w,0\n4,"u\r\nv",1\n5,k,1\n'
    source, found, *_ = read(write(tmp_path / "a.csv", text), {"label": "y"}, range(1, 12))
    assert source.reading["quotes"] == "quoted fields span lines"
    assert [row[1] for row, *_ in found] == ["x\nz", 'y,\n\n"q"', "w", "u\r\nv", "k"]
    assert [line for _, _, line, _ in found] == [2, 4, 7, 8, 10]
    packed = tmp_path / "b.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert read(packed, {"label": "y"}, (1, 5))[1] == found
    with pytest.raises(DataError, match=r"a.csv:2: badly quoted: an odd number of quotes; --multiline"):
        read(tmp_path / "a.csv", {"label": "y", "multiline": False})


@pytest.mark.parametrize("every", [1, 3])
def test_a_quote_inside_of_a_field_is_a_sign(tmp_path, every):
    things = ['5" disk', 'the "Rock"', "plain", '3,5" and more']
    rows = [(i, things[i // every % 4 if i % every == 0 else 2], "uv"[i % 2]) for i in range(60)]
    text = "n;thing;y\n" + "".join(f"{n};{thing};{y}\n" for n, thing, y in rows)
    source, found, bad, *_ = read(write(tmp_path / "a.csv", text), {"label": "y"}, (1, 3, 7))
    assert (bad, source.reading.get("quotes")) == (0, None)
    assert [(int(row[0]), row[1], label) for row, label, *_ in found] == rows
    with pytest.raises(DataError, match=r"b.csv:2: badly quoted"):
        read(write(tmp_path / "b.csv", text.replace('0;5" disk', '0;"5 disk', 1)), {"label": "y"})


def test_a_quote_that_is_never_closed_spoils_one_line(tmp_path):
    text = "a,b,y\n" + "1,x,0\n2,y,1\n" * 5 + '3,"z,1\n4,w,0\n'
    path = write(tmp_path / "a.csv", text)
    with pytest.raises(DataError, match=r"a.csv:12: badly quoted: an odd number of quotes"):
        read(path, {"label": "y"})
    _, found, bad, _, records, _ = read(path, {"label": "y", "max_bad_records": 1}, (1, 4))
    assert (len(found), bad, records) == (11, 1, 12)
    assert found[-1][3] == 11


@given(st.lists(st.sampled_from(["a", '"', "\n", ",", '""', "bc"]), max_size=40).map("".join), st.integers(4, 9))
@quick
def test_cuts_at_records(tmp_path, text, longest):
    path = str(write(tmp_path / "a", text))
    size = len(text)
    ends = [i + 1 for i, byte in enumerate(text) if byte == "\n" and text.count('"', 0, i) % 2 == 0]
    starts = record_starts(path, list(range(1, size + 1)))
    assert starts == [min([end for end in ends if end >= offset], default=size) for offset in range(1, size + 1)]
    for lo in [0, *ends]:
        for hi in [end for end in (*ends, size) if end >= lo]:
            bad = data.Bad(99)
            blocks = list(record_blocks(path, lo, hi - lo, 1 << 20, bad))
            assert b"".join(part for _, part in blocks).decode() == text[lo:hi]
    records = [text[lo:hi] for lo, hi in zip([0, *ends], [*ends, size], strict=True) if lo < hi]
    bad = data.Bad(99)
    held = b"".join(part for _, part in record_blocks(path, 0, size, longest, bad)).decode()
    assert bad.count == sum(len(record) > longest + 1 for record in records) or len(held) <= size


@given(seed=st.integers(0, 10**6), shards=st.integers(2, 7), longest=st.sampled_from([24, 40, 1 << 20]))
@quick
def test_blocks_and_cuts_change_nothing(tmp_path, seed, shards, longest):
    """Odd cells lead a block to the careful path; its neighbours take the fast one."""
    draw = np.random.default_rng(seed)
    lines = [
        f"{draw.integers(99)},{'uvw'[draw.integers(3)]},2020-01-{draw.integers(1, 28):02d},{draw.integers(2)}"
        for _ in range(40)
    ]
    odd = [
        "x,u,2020-01-01,1", "1,u,soon,0", "1,u", '1,"u,2020-01-01,1', "5,,,NA", " 7 , TRUE , 2020-01-05 ,1", "",
        "1e39,u,2020-01-01,0", "12345678901234567890123456789012345,u,2020-01-01,1", "3,true,2020-01-01T05:00Z,",
    ]  # fmt: skip
    for line in odd:
        lines.insert(int(draw.integers(10, len(lines))), line)
    path = write(tmp_path / "a.csv", "\n".join(["n,k,t,y", *lines]) + "\n")
    options = {"label": "y", "max_bad_records": 9, "columns": "n:number,t:date", "max_line": longest}
    _, found, bad, unlabelled, records, places = read(path, options, (1, shards))
    whole = read(path, {**options, "max_line": 1 << 20})
    good = [row for row in whole[1] if len(lines[row[2] - 2]) <= longest]
    assert (found, records) == (good, 49)
    assert bad + unlabelled + len(found) == records
    assert len(places) == bad > 3
    assert [number for *_, number in found] == sorted({number for *_, number in found})


def test_a_line_that_is_too_long_is_a_gap(tmp_path):
    path = write(tmp_path / "a.csv", "n,y\n1,0\n2,1\n" + "9" * 99 + ",0\n4,0\nx,1\n6,1\n" + "8" * 99 + ",1\n")
    options = {"label": "y", "max_line": 40, "max_bad_records": 3, "columns": "n:number"}
    _, found, bad, _, records, _ = read(path, options, (1, 2, 5))
    assert ([number for *_, number in found], bad, records) == ([0, 1, 3, 5], 3, 7)


def test_charsets(tmp_path):
    text = "a;b;y\n1;café;0\n2;Zürich;1\n3;x;0\n"
    path = write(tmp_path / "a.csv", text.encode("latin-1"))
    with pytest.raises(DataError, match=r"a.csv:2: byte 6 of the line is not UTF-8; --encoding latin-1 or cp1252"):
        read(path, {"label": "y"})
    for name in ("latin-1", "cp1252", "ISO-8859-15"):
        assert [row[1] for row, *_ in read(path, {"label": "y", "encoding": name}, (1, 3))[1]] == [
            "café",
            "Zürich",
            "x",
        ]
    _, found, bad, *_ = read(
        write(path, b"a,b,y\n1,u,0\n2,\x81,1\n3,v,0\n"), {"label": "y", "encoding": "cp1252", "max_bad_records": 1}
    )
    assert ([row[1] for row, *_ in found], bad) == (["u", "v"], 1)
    with pytest.raises(DataError, match="--encoding utf-16: its line ends are no bytes 0a"):
        read(path, {"label": "y", "encoding": "utf-16"})


@pytest.mark.parametrize(
    ("text", "options", "lines"),
    [
        ("# made by a tool\n# on a day\na,b,y\n1,u,0\n2,v,1\n", {}, [4, 5]),
        ("|1x3 Cross validator\n1, u, 0\n2, v, 1\n", {}, [2, 3]),
        ("\n% x\n\n1,u,0\n2,v,1\n", {}, [4, 5]),
        ("#a,b,y\n1,u,0\n2,v,1\n", {}, [2, 3]),
        ("a,b,y\n1,u,0\n// 3,w,0\n2,v,1\n//\n", {"comment": "//"}, [2, 4]),
        ("Sales of 2020\na,b,y\n1,u,0\n2,v,1\n", {"comment": "Sales"}, [3, 4]),
        ("\ufeffa,b,y\n1,u,0\n2,v,1\n", {}, [2, 3]),
    ],
)  # fmt: skip
def test_what_is_no_part_of_the_table(tmp_path, text, options, lines):
    _, found, _, _, records, _ = read(write(tmp_path / "a.csv", text), {"label": "-1", **options}, (1, 2, 5))
    assert [(row, label) for row, label, *_ in found] == [([1, "u"], "0"), ([2, "v"], "1")]
    assert ([line for *_, line, _ in found], records) == (lines, 2)


def test_lines_with_one_field_more_than_there_are_names(tmp_path):
    path = write(tmp_path / "a.txt", '"a" "b" "y"\n"1" 1 2 "u"\n"2" 3 4 "v"\n"3" 5 6 "u"\n')
    source, found, *_ = read(path, {}, (1, 2))
    assert (source.names, source.label, len(source.left_out)) == (["a", "b"], ["y"], 1)
    assert [(row, label) for row, label, *_ in found] == [([1, 2], "u"), ([3, 4], "v"), ([5, 6], "u")]
    source, found, *_ = read(write(tmp_path / "a.csv", "a,b,y\n1,2,u,\n3,4,v,\n"), {"label": "y"}, (1, 2))
    assert [(row, label) for row, label, *_ in found] == [([1, 2], "u"), ([3, 4], "v")]


def test_a_title_is_not_guessed(tmp_path):
    path = write(tmp_path / "a.csv", "Sales of 2020\na,b,y\n1,u,0\n2,v,1\n")
    with pytest.raises(DataError, match=r"a.csv:1: the first line \('Sales of 2020'\) has 1 column, .* --comment TEXT"):
        read(path, {"label": "-1"})


def test_rows_without_a_label_are_no_class(tmp_path):
    tokens = ["", "NA", "null", r"\N", "?", "n/a", "NaN", "-x-"]
    text = "a,y\n" + "".join(f"{i},{label}\n" for i, label in enumerate(["u", *tokens, "v", "None", "u"]))
    source, found, bad, unlabelled, records, _ = read(write(tmp_path / "a.csv", text), {"na_values": "-x-"}, (1, 3))
    assert [label for _, label, *_ in found] == ["u", "v", "None", "u"]
    assert (bad, unlabelled, records) == (0, len(tokens), len(tokens) + 4)
    summary = data.summarise(source, source.splits(1)[0])
    assert summary.labels.values == ("None", "u", "v")
    write(tmp_path / "b.csv", "a,p,q\n1,2,3\n4,,6\n7,8,NA\n7,8,9\n")
    _, found, _, unlabelled, *_ = read(tmp_path / "b.csv", {"label": "p,q"})
    assert ([label for _, label, *_ in found], unlabelled) == ([[2, 3], [8, 9]], 2)


def test_labels_as_people_write_them(tmp_path):
    path = write(tmp_path / "a.csv", 'a,price\n1,"$1,234.50"\n2,$7\n3,\n')
    source, found, _, unlabelled, *_ = read(path, {"label": "price"})
    assert ([label for _, label, *_ in found], unlabelled) == (["1234.50", "7"], 1)
    assert any("'$'" in note for note in source.reading["cells"])
    part = write(tmp_path / "b.csv", "a,price\n1,5\n")
    assert [label for _, label, *_ in read(part, source.settled())[1]] == ["5"]
    path = write(tmp_path / "a.csv", "a;price\n1;2,5\n2;7\n")
    with pytest.raises(DataError, match=r"label column 2 \('price'\): '2,5' looks like .*; --decimal , decides"):
        read(path, {"label": "price"})
    assert [label for _, label, *_ in read(path, {"label": "price", "decimal": ","})[1]] == ["2.5", "7"]
    source = read(path, {"label": "price", "columns": "price:category"})[0]
    assert source.reading["label_type"] == "text"
    assert data.open_source(str(path), source.settled()).reading["label_type"] == "text"


@pytest.mark.parametrize(
    ("classes", "labels", "read_as"),
    [
        (("<=50K", ">50K"), ["<=50K.", ">50K."], ["<=50K", ">50K"]),
        (("a.", "b."), ["a.", "b."], ["a.", "b."]),
        (("a", "b"), ["a.", "b"], ["a.", "b"]),
        (("a", "a.", "b", "b."), ["a.", "b."], ["a.", "b."]),
        (("a", "b"), ["a.", "c."], ["a.", "c."]),
    ],
)
def test_labels_that_end_with_a_dot(tmp_path, classes, labels, read_as):
    schema = SimpleNamespace(classes=classes, names=None, label=("2",), inputs=2, columns=None, reading={}, image=None)
    text = "".join(f"{i},{i}.5,{label}\n" for i, label in enumerate(labels * 3))
    source, found, *_ = read(write(tmp_path / "a.csv", text), {}, (1, 2), schema)
    assert [label for _, label, *_ in found] == read_as * 3
    assert bool(source.reading.get("cells")) == (labels != read_as)


def test_weights_offsets_and_kept_columns(tmp_path):
    text = (
        "id,w,o,a,k,y\n" + "".join(f"n{i},{i}.5,{-i},{i},{'uv'[i % 2]},{i % 2}\n" for i in range(5)) + "NA,,x,9,u,1\n"
    )
    path = write(tmp_path / "a.csv", text)
    options = {"label": "y", "weights": "w", "offset": "o", "keep": "id,y,0", "ignore": "id", "max_bad_records": 1}
    source = data.open_source(str(path), options, labels=False)
    assert source.kept_schema.names == ["id", "y"]
    assert [column.name for column in source.columns] == ["a", "k"]
    bad = data.Bad(1)
    blocks = [block for part in source.splits(3) for block in source.read(part, bad)]
    assert np.concatenate([block.weight for block in blocks]).tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert np.concatenate([block.offset for block in blocks]).tolist() == [0, -1, -2, -3, -4]
    kept = [row for block in blocks for row in block.kept.to_pylist()]
    assert kept == [{"id": f"n{i}", "y": str(i % 2)} for i in range(5)]
    assert "column 3 ('o'): 'x' is not a number" in bad.places[0]


def test_one_message_names_every_column_of_a_block(tmp_path):
    path = write(tmp_path / "a.csv", "a,b,c,y\n" + "1,2,2020-01-01,0\n" * 30 + "x,2,2020-01-01,1\n1,y z,soon,1\n")
    with pytest.raises(DataError) as caught:
        read(path, {"label": "y"})
    said = str(caught.value)
    assert "a.csv:32: column 1 ('a'): 'x' is not a number (--columns a:category" in said
    assert "line 33, column 2 ('b'): 'y z' is not a number" in said
    assert "--na-values 'y z'" in said
    assert "line 33, column 3 ('c'): 'soon' is not a date" in said


KINDS = {
    "adult.data.gz": ("-1", 32560, "ncncncccccnnnc"),
    "adult.test.gz": ("-1", 16267, "ncncncccccnnnc"),
    "titanic.csv": ("survived", 891, "nccnnncncc"),
    "ames.csv.gz": (
        "SalePrice",
        2930,
        "nnncnnccccccccccccnnnncccccncccccccncnnnccccnnnnnnnnnncncnccncnncccnnnnnncccnnncc",
    ),
    "bike_hour.csv.gz": ("cnt", 17379, "ndnnnnnnnnnnnnnncc"),
    "diamonds.csv.gz": ("price", 53940, "ncccnnnnn"),
    "taxis.csv.gz": ("total", 6433, "ddnnnnncccccc"),
}


@pytest.mark.parametrize("name", KINDS)
def test_shared_tables_need_nothing_but_their_label(name):
    path = os.path.join(DATA, "tables", name)
    if not os.path.exists(path):
        pytest.skip(f"no data in {DATA}: set HDL_DATA")
    label, rows, kinds = KINDS[name]
    source, found, bad, unlabelled, records, _ = read(path, {"label": label}, (1, 5))
    assert "".join(column.kind[0] for column in source.columns) == kinds
    assert (len(found), records, bad, unlabelled, source.left_out) == (rows, rows, 0, 0, [])
