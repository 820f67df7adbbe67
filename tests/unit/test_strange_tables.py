"""Tables as strangers write them: odd names of columns, odd cells, and what is said of them can be pasted back."""

import shlex

import pytest

from hdl.cli import explain, run
from hdl.data import Options, fit, open_source, summarise
from hdl.data.names import flag_of, split
from hdl.errors import DataError
from hdl.spec import Spec


def csv(tmp_path, name, cells, n=40, label="pq"):
    """Write a table of a number, a column of the name with the cells in turn, and a label."""
    path = tmp_path / "t.csv"
    rows = [("n", name, "y"), *((str(i % 17), cells[i % len(cells)], label[i % len(label)]) for i in range(n))]
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    path.write_text("".join(",".join(row) + "\n" for row in quoted), newline="")
    return str(path)


def fitted(path, **options):
    source = open_source(path, Options.make(None, label="y", **options))
    return fit(summarise(source, source.splits(1)[0]), Spec())


@pytest.mark.parametrize("name", ["a", "a b", "a,b", "a:b", "it's", '"q"', "x*", "%d{}", "é", "--flag", "<b>", 'a",b'])
@pytest.mark.parametrize("cell", ["abc", "x, y", "($5)", 'say "no"', "it's", "{}"])
def test_flags_of_a_message_can_be_pasted(tmp_path, name, cell):
    path = csv(tmp_path, name, ["1", "2", "3", "4", cell])
    with pytest.raises(DataError) as caught:
        fitted(path)
    flags = str(caught.value).split(" (")[-1] if "($5)" not in cell else str(caught.value).partition(" (--")[2]
    flags = flags if flags.startswith("--") else "--" + flags
    given = [words.rsplit(" takes", 1)[0].rsplit(" leaves", 1)[0] for words in flags.rstrip(")").split(" or --")]
    assert len(given) == 3
    for words in given:
        flag, value = shlex.split("--" + words.removeprefix("--"))
        assert fitted(path, **{flag.removeprefix("--").replace("-", "_"): value}).samples == 40


@pytest.mark.parametrize("cell", ["1e300", "inf", "-Infinity", "1e39"])
def test_a_number_beyond_float32_names_the_flags(tmp_path, cell):
    path = csv(tmp_path, "amount", ["1", "2", cell])
    with pytest.raises(DataError, match=r"finite float32 number.*--na-values.*--ignore amount"):
        fitted(path)
    assert fitted(path, na_values=cell).samples == 40


def test_a_cell_that_is_no_word_of_a_command_line_is_not_suggested(tmp_path):
    with pytest.raises(DataError) as caught:
        fitted(csv(tmp_path, "a", ["1", "2", "3", "4", "long " * 1000]))
    assert "--na-values" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("text", "names"), [
    ("a,b", ["a", "b"]), ("a, b", ["a", "b"]), ('"a,b",c', ["a,b", "c"]), ('"a', ['"a']), ("", [""]), (" a", [" a"]),
    ('5" pipe,b', ['5" pipe', "b"]), ('"a ""b""":date dmy', ['a "b":date dmy']),
])  # fmt: skip
def test_lists_of_names(text, names):
    assert split(text) == names


def test_orders_of_dates_are_one_word():
    assert shlex.split(flag_of("--columns {}:date dmy", "a b")) == ["--columns", "a b:date dmy"]
    assert flag_of("--columns {}:category", "zip") == "--columns zip:category"


def test_rows_that_all_lack_a_label(tmp_path):
    with pytest.raises(DataError, match=r"none of 40 rows has a label; --label"):
        fitted(csv(tmp_path, "a", ["1", "2"], label=["", "NA"]))


def test_an_error_that_lists_things_is_one_sentence():
    assert explain(DataError("2 columns:\n  a: x\n  b: y"))[0] == "2 columns: a: x; b: y"
    assert explain(DataError("nothing is left\n  a: x"))[0] == "nothing is left: a: x"
    assert run(["inspect", "/nothing/here"]) != 0
