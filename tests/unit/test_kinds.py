"""Kinds of columns are found by the first cells or said by flags; of two readings that are as good, a flag decides."""

import json

import pytest

from hdl import data
from hdl.data.tabular.cells import PLAIN, Dialect
from hdl.data.tabular.flags import Wish, expand, parse
from hdl.data.tabular.sniffer import find
from hdl.errors import DataError, SpecError

ALWAYS = ["--columns {}:category", "--ignore {}"]
FOUND = [
    (["1", "2.5", "", "-1e3", "NA"], "number", ()),
    (["1", "2", "3", "4", "x"], "number", ()),
    (["1", "unknown", "2", "unknown"], "number", ()),
    (["1", "A/5", "STON 3", "W.C.", "7"], "category", ()),
    (["a", "1", "b"], "category", ()),
    (["True", "false", ""], "category", ()),
    (["0", "1"], "number", ()),
    (["$5", "7", "$ 6.5", "-$3"], "number", ("$",)),
    (["5 €", "7,5 €"], None, None),
    (["45%", "4.5 %"], "number", ("%",)),
    (["1,234,567", "5"], "number", ("grouped",)),
    (["1,234.5", "5"], "number", ("grouped",)),
    (["1 234", "5"], "number", ("grouped",)),
    (["$1,234.5", "$5"], "number", ("$", "grouped")),
    (["2011-01-02", "2011-01-03 05:06"], "date", ()),
    (["2011-01-02", "2011-01-03", ""] * 5 + ["soon"], "date", ()),
    (["13/1/2020", "2/1/2020"], "date", ("dmy",)),
    (["1/13/2020", "1/2/2020"], "date", ("mdy",)),
    (["1.2.2020", "3.4.2020"], "date", ("dmy",)),
    (["1.13.2020"], "date", ("mdy",)),
    (["13/1/2020", "1/13/2020"], "category", ()),
    (["02-Jan-2020", "3-FEB-2020"], "date", ()),
    (["Jan 2, 2020", "March 3, 2021"], "date", ()),
    (["2010-11", "2011-12"], "category", ()),
    (["10:30", "11:45:02"], "category", ()),
    (["192.168.0.1", "10.0.0.7"], "category", ()),
    (["1.2.3", "1.10.0"], "category", ()),
    (["1.234", "95.5"], "number", ()),
    (["1.234", "1950"], "number", ()),
    (["1.234", "2.500"], "number", ()),
    (["0.123", "5"], "number", ()),
    (["", "NA", "?"], None, ()),
]
OPEN = [
    (["1,5", "2"], "decimal comma", ["--decimal ,"]),
    (["0,123", "5"], "decimal comma", ["--decimal ,"]),
    (["1.234,5", "5"], "decimal comma", ["--decimal ,"]),
    (["1\u202f234,50", "5"], "decimal comma", ["--decimal ,"]),
    (["5 €", "7,5 €"], "decimal comma", ["--decimal ,"]),
    (["1,234", "5"], "may be a thousand and more", ["--decimal .", "--decimal ,"]),
    (["1.234", "950"], "may be a thousand and more", ["--decimal ,", "--decimal ."]),
    (["1.234 €", "950 €"], "may be a thousand and more", ["--decimal ,", "--decimal ."]),
    (["$5", "€5"], "several units", []),
    (["1/2/2020", "3/4/2020"], "may begin with the day", ["--columns {}:date dmy", "--columns {}:date mdy"]),
    (["13/2/20", "3/4/21"], "year of two digits", ["--columns {}:date dmy", "--columns {}:date mdy"]),
]


@pytest.mark.parametrize(("cells", "kind", "details"), FOUND)
def test_what_the_first_cells_tell(cells, kind, details):
    found = find(cells, PLAIN)
    if details is None:
        assert found.problem
        return
    assert (found.kind, found.problem) == (kind, "")
    assert found.dialect.details(found.kind or "") == details
    assert find(reversed(cells), PLAIN).kind == kind
    again = find(cells, Dialect.of(details))
    assert again.dialect.details(again.kind or "") == details


@pytest.mark.parametrize(("cells", "problem", "flags"), OPEN)
def test_two_readings_of_cells(cells, problem, flags):
    found = find(cells, PLAIN)
    assert problem in found.problem
    assert [*found.flags] == [*flags, *ALWAYS]
    assert find(cells, PLAIN, "category").problem == ""


def test_flags_settle_what_cells_leave_open():
    assert find(["1/2/2020"], Dialect(order="mdy"), "date").dialect.order == "mdy"
    assert find(["1,234"], PLAIN, point=True).dialect.grouped
    assert find(["1,5", "1.234"], Dialect(decimal=",")).dialect.grouped
    assert find(["950", "1.234"], Dialect(decimal=",")).dialect.grouped
    assert find(["1 234,5", "5"], Dialect(decimal=",")).dialect.grouped
    assert "decimal point" in find(["1 234.5", "5"], Dialect(decimal=",")).problem
    assert find(["950", "1.234"], PLAIN, point=True).problem == ""
    assert find(["950", "1.234"], PLAIN, "number", trained=True).problem == ""
    assert "decimal point" in find(["1.5", "2.5"], Dialect(decimal=",")).problem
    assert find(["x", "1"], PLAIN, "number").kind == "number"


def test_entries_of_columns():
    wishes = parse(["a:number", "a:b:category", "t:date dmy", "p:number $ grouped by values", "-1:ignore", "n:int"])
    assert wishes[:3] == [Wish("a", "number"), Wish("a:b", "category"), Wish("t", "date", ("dmy",))]
    assert wishes[3] == Wish("p", "number", ("$", "grouped"), "values", True)
    assert [wish.kind for wish in wishes[4:]] == ["ignore", "number"]
    assert parse(map(str, wishes)) == wishes
    with pytest.raises(SpecError, match=r"columns: 'a', 'b:colour', 'c:date x'; expected NAME:KIND"):
        parse(["a", "b:colour", "c:date x", "d:number"])


@pytest.mark.parametrize(
    "plain",
    [
        {"age": "number", "zip": "category", "seen": "date", "id": "ignore"},
        [{"name": "age", "kind": "number"}, {"name": "zip", "type": "string"}, {"name": "seen", "type": "timestamp"},
         {"name": "id", "kind": "ignore"}],
        {"type": "record", "fields": [
            {"name": "age", "type": ["null", "double"]}, {"name": "zip", "type": "string"},
            {"name": "seen", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "id", "type": "skip"}]},
        {"type": "struct", "fields": [
            {"name": "age", "type": "decimal(9,2)"}, {"name": "zip", "type": "string"},
            {"name": "seen", "type": "date"}, {"name": "id", "type": "skip"}]},
    ],
)  # fmt: skip
def test_a_schema_as_json(tmp_path, plain):
    (tmp_path / "s.json").write_text(json.dumps(plain))
    expected = ("age:number", "zip:category", "seen:date", "id:ignore")
    for entry in (f"@{tmp_path}/s.json", f"{tmp_path}/s.json"):
        assert expand([entry]) == expected
        assert data.Options.make(columns=entry).columns == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": "colour"}', r"s.json: 'a' is 'colour'; expected number"), ("[1]", r'expected \{"name": "kind"'),
     ("{", "expected a file of JSON")],
)  # fmt: skip
def test_json_that_is_no_schema(tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(SpecError, match=message):
        data.Options.make(columns=f"@{tmp_path}/s.json")
    with pytest.raises(SpecError, match=r"no.json: expected a file of JSON"):
        data.Options.make(columns=f"{tmp_path}/no.json")


TABLE = "id,age,zip,seen,empty,y\n7,31,01234,2020-01-02,,a\n8,NA,5.0,2020-01-03,,b\n9,40,77,NA,,a\n"


def columns(tmp_path, text=TABLE, **options):
    (tmp_path / "t.csv").write_text(text)
    source = data.open_source(str(tmp_path / "t.csv"), {"label": "y", **options})
    return {column.name: column.kind for column in source.columns}, source


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {"id": "number", "age": "number", "zip": "number", "seen": "date"}),
        ({"columns": "zip:category,empty:number,0:ignore"},
         {"age": "number", "zip": "category", "seen": "date", "empty": "number"}),
        ({"ignore": "id,*e*"}, {"zip": "number"}),
        ({"ignore": "date"}, {"id": "number", "age": "number", "zip": "number"}),
        ({"features": "age,seen"}, {"age": "number", "seen": "date"}),
        ({"features": "date,age"}, {"age": "number", "seen": "date"}),
        ({"features": "[az]*", "ignore": "zip"}, {"age": "number"}),
        ({"columns": "seen:category", "ignore": "number"}, {"seen": "category"}),
        ({"weights": "age", "offset": "1", "label": "-1"}, None),
        ({"weights": "age"}, {"id": "number", "zip": "number", "seen": "date"}),
    ],
)  # fmt: skip
def test_flags_choose_columns(tmp_path, options, kinds):
    if kinds is None:
        with pytest.raises(DataError, match=r"weights 'age' is weights and offset at once"):
            columns(tmp_path, **options)
        return
    found, source = columns(tmp_path, **options)
    assert found == kinds
    gone = {"id", "age", "zip", "seen", "empty"} - {*kinds} - {options.get("weights")}
    assert len(source.left_out) == len(gone)
    assert all(any(f"{name!r}" in line for line in source.left_out) for name in gone)


def test_an_empty_column_is_left_out_with_the_flag_that_keeps_it(tmp_path):
    (left,) = columns(tmp_path)[1].left_out
    assert (
        left
        == "column 5 ('empty'): empty in the first rows (--columns empty:number or --columns empty:category reads it)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "nope:number", "ignore": "gone,no*,id", "features": "age,zzz"},
         r"'--columns nope:number', '--features zzz', '--ignore gone', '--ignore no\*': no such column; the table has "
         r"columns 'id', 'age', 'zip', 'seen', 'empty', 'y'"),
        ({"ignore": "id,age,zip,seen,empty"}, r"no column is left that could be a feature\n  column 1 \('id'\)"),
        ({"weights": "w"}, r"weights 'w' is not a column; the file has columns 'id'"),
        ({"keep": "w"}, r"keep 'w' is not a column; the file has columns 'id'"),
        ({"weights": "y"}, r"weights 'y' is the label"),
    ],
)  # fmt: skip
def test_flags_that_fit_no_column(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        columns(tmp_path, **options)


def test_all_columns_that_need_a_flag_are_named_at_once(tmp_path):
    text = "a;when;b c;y\n1,5;1/2/2020;$5;0\n2,5;3/4/2020;€6;1\n"
    with pytest.raises(DataError) as caught:
        columns(tmp_path, text)
    said = str(caught.value)
    assert "3 columns cannot be read without a flag" in said
    for part in ("--decimal ,", "--columns 'when:date dmy'", "--columns 'b c:category'", "--ignore a"):
        assert part in said
    found, _ = columns(tmp_path, text, decimal=",", columns="when:date dmy", ignore="b c")
    assert found == {"a": "number", "when": "date"}


def test_what_was_found_is_said_again(tmp_path):
    """Whoever opens the files with the settled options finds the same, even in a part that tells something else."""
    text = "id,price,when,name,y\n" + "".join(f"{i},$5,13/1/2020,n{i},{i % 2}\n" for i in range(9))
    _, source = columns(tmp_path, text, ignore="id")
    settled = source.settled()
    (tmp_path / "part.csv").write_text("id,price,when,name,y\n1,2,1/2/2020,7,0\nx,$3,3/4/2020,8,1\n")
    part = data.open_source(str(tmp_path / "part.csv"), data.Options.make(settled.model_dump(mode="json")))
    assert part.columns == source.columns
    (block,) = [block for splits in part.splits(1) for block in part.read(splits)]
    assert block.x.numbers.tolist() == [[2], [3]]
    assert [str(moment)[:10] for moment in block.x["when"].to_pylist()] == ["2020-02-01", "2020-04-03"]
    assert block.x["name"].to_pylist() == ["7", "8"]
    assert part.settled() == settled


def test_what_is_settled_is_not_looked_for_again(tmp_path):
    """A cell of a part that has two readings is a bad record there, and no reason to refuse the part."""
    _, source = columns(tmp_path, "a;b;y\n1;u;0\n2;v;1\n")
    (tmp_path / "part.csv").write_text("a;b;y\n1,5;u;0\n2;v;1\n")
    with pytest.raises(DataError, match="--decimal , "):
        data.open_source(str(tmp_path / "part.csv"), {"label": "y"})
    part, bad = data.open_source(str(tmp_path / "part.csv"), source.settled()), data.Bad(1)
    assert [len(block) for splits in part.splits(1) for block in part.read(splits, bad)] == [1]
    assert "'1,5' is not a number" in bad.places[0]
