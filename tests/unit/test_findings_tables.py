"""Of a table it is told which columns are what, what is missing, what is left out, and that a label was guessed."""

import csv
import html
import json
import re

import pytest

from hdl import cli
from hdl.data import findings
from hdl.table import Table

SHORT = ["--epochs", "1"]


@pytest.fixture
def people(tmp_path):
    """A table of numbers, categories, dates, missing cells, a name each, and rows without a label."""
    cities = ["Bonn", "", "Köln", "Bonn", "Rom"]
    lines = ["id,age,city,seen,price"]
    for k in range(60):
        age = "NA" if k % 10 == 3 else str(20 + k % 7)
        price = "" if k in (5, 50) else f"{100 + 2.5 * k}"
        lines.append(f"P{k:03d}x,{age},{cities[k % 5]},2024-0{1 + k % 9}-1{k % 10},{price}")
    path = tmp_path / "people.csv"
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def told_of(out):
    zero = Table(str(out)).read(0)
    return dict(findings.lines(zero.about, zero.schema))


def test_before_the_first_round_and_wherever_the_table_is_shown(people, tmp_path, capfd):
    out = tmp_path / "t"
    assert cli.run(["train", str(people), "--out", str(out), *SHORT]) == 0
    err = capfd.readouterr().err
    told = told_of(out)
    assert told["format"] == "CSV, 1 file, 58 samples"
    label, hint = told["label"].split("\n")
    assert label.startswith("column price (guessed: the last column): regression, ")
    assert "--label NAME" in hint
    assert told["rows"] == "58; left out: 2 without a label"
    counted, numbers, categories, dates = told["features"].split("\n")
    assert re.fullmatch(r"1 number, 1 category \(4 levels\), 1 date: \d+ inputs of the net", counted)
    assert (numbers, categories, dates) == ("numbers: age", "categories: city (4)", "dates: seen")
    assert told["missing"].split("\n") == [
        "age 6: the mean of the others, and an input that says so", "city: a level of its own"
    ]  # fmt: skip
    assert re.search(r"^id: .*58 different.*--columns id:category", told["left out"], re.M)
    before = err[: err.index("round 1/1")]
    for value in told.values():
        assert all(line in before for line in value.split("\n"))
    assert cli.run(["inspect", str(out), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)["found"]
    assert shown["missing"] == told["missing"].split("\n")
    page = html.unescape((out / "report.html").read_text())
    assert all(value in page for value in told.values())


@pytest.mark.parametrize(
    ("flags", "line", "expected"),
    [
        (["--label", "city"], "label", "column city, as --label says: classification, 3 classes: Bonn, Köln, Rom"),
        (["--label", "price"], "label", re.compile(r"column price, as --label says: regression, .*")),
        (["--missing", "median"], "missing", re.compile("age 6: the median of the others, and .*\ncity: a level.*")),
        (["--missing", "indicator"], "missing", re.compile("age 6: 0 when scaled, and an input that says so\n.*")),
        (["--ignore", "age,seen"], "features", re.compile(r"1 category \(4 levels\): 4 inputs of the net\ncat.*")),
        (["--columns", "age:category"], "features", re.compile(r"2 categories \(12 levels\), 1 date: .*\n.*\n.*")),
        (["--scale", "robust"], "scale", "each by its median and quartiles, clipped smoothly"),
        (["--loss", "poisson"], "label", re.compile(r"column price .*: regression of values of at least 0, .*\n.*")),
        (["--where", "age > 22"], "where", "age > 22"),
    ],
)  # fmt: skip
def test_flags_change_what_is_told(people, tmp_path, capfd, flags, line, expected):
    out = tmp_path / "t"
    assert cli.run(["train", str(people), "--out", str(out), *SHORT, "--no-report", "-q", *flags]) == 0, (
        capfd.readouterr()
    )
    told = told_of(out)[line]
    assert expected.fullmatch(told) if isinstance(expected, re.Pattern) else told == expected


def test_a_file_of_columns_says_the_same_as_flags(people, tmp_path, capfd):
    file = tmp_path / "columns.json"
    flags = ["--columns", "age:category", "--ignore", "seen", "--label", "price"]
    trained = []
    for said in (
        flags,
        ["--columns", file, {"columns": {"age": "category"}, "ignore": ["seen"], "label": "price"}],
        ["--columns", file, "--label", "price", {"age": "category", "seen": "ignore"}],
        [
            "--columns",
            file,
            "--label",
            "price",
            [{"name": "age", "type": "string"}, {"name": "seen", "kind": "ignore"}],
        ],
    ):
        if isinstance(said[-1], (dict, list)):
            file.write_text(json.dumps(said.pop()))
        out = tmp_path / f"t{len(trained)}"
        assert cli.run(["train", str(people), "--out", str(out), *SHORT, "--no-report", "-q", *map(str, said)]) == 0
        trained.append(Table(str(out)).read().signature)
    assert len(set(trained)) == 1
    for content, said in (("[", "not JSON"), ("[1]", "expected {"), ('{"columns": {}, "keep": "a"}', "'keep'"),
                          ('{"age": 1}', "'age'"), ('{"columns": {"age": "big"}}', "'age:big'")):  # fmt: skip
        file.write_text(content)
        assert cli.run(["train", str(people), "--out", str(tmp_path / "no"), "--columns", str(file)]) == 2
        told = capfd.readouterr().err
        assert said in told
        assert "--columns" in told
    assert cli.run(["train", str(people), "--out", str(tmp_path / "no"), "--columns", "no.json"]) == 2


def test_data_is_inspected_without_a_training(people, tmp_path, capfd):
    assert cli.run(["inspect", str(people)]) == 0
    told = capfd.readouterr().out
    assert "column price (guessed: the last column)" in told
    table = {line.split()[0]: line for line in told.split("\n\n")[1].splitlines()}
    assert list(table) == ["column", "id", "age", "city", "seen"]
    assert "6 (10.3%)" in table["age"]
    assert "20 to 26" in table["age"]
    assert re.search(r"3 different: Bonn 2\d, Köln 1\d, Rom 1\d", table["city"])
    assert re.search(r"2024-01-\d\d to 2024-09-\d\d", table["seen"])
    assert cli.run(["inspect", str(people), "--label", "city", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert found["about"]["schema"]["classes"] == ["Bonn", "Köln", "Rom"]
    assert [column["name"] for column in found["columns"]] == ["id", "age", "seen", "price"]
    assert found["columns"][1]["missing"] == 6
    assert found["refused"] is None
    same = tmp_path / "same.csv"
    same.write_text("a,b,c\n" + "1,x,yes\n2,z,yes\n" * 9)
    assert cli.run(["inspect", str(same)]) == 0
    assert "hdl train would refuse it: every label is 'yes'" in capfd.readouterr().out
    (tmp_path / "empty").mkdir()
    assert cli.run(["inspect", str(tmp_path / "empty")]) == 4
    assert cli.run(["inspect", str(tmp_path / "no.csv")]) == 4
    assert cli.run(["train", str(people), "--out", str(tmp_path / "t"), *SHORT, "--no-report", "-q"]) == 0
    assert cli.run(["inspect", str(tmp_path / "t"), "--label", "city"]) == 2
    assert "--label" in capfd.readouterr().err


def test_answers_keep_their_rows_and_keys_and_need_no_flags(people, tmp_path, capfd):
    """A model remembers how its data was written; a record that cannot be read keeps its line."""
    odd = tmp_path / "odd.csv"
    text = people.read_text(encoding="utf-8").replace("NA", "unknown")
    odd.write_text(text.replace(",", ";").replace(".", ","), encoding="latin-1")
    flags = ["--encoding", "latin-1", "--na-values", "unknown", "--ignore", "seen", "--decimal", ","]
    assert cli.run(["train", str(odd), "--out", str(tmp_path / "t"), *SHORT, "-q", *flags, "--label", "price"]) == 0
    assert told_of(tmp_path / "t")["missing"].startswith("age 6: ")
    capfd.readouterr()
    assert cli.run(["evaluate", str(tmp_path / "t"), str(odd), "--json"]) == 0
    score = json.loads(capfd.readouterr().out)
    assert (score["samples"], score["unlabelled"], score["bad_records"]) == (58, 2, 0)
    assert cli.run(["evaluate", str(tmp_path / "t"), str(odd)]) == 0
    assert re.search("^skipped +2 rows without a label", capfd.readouterr().out, re.M)
    lines = odd.read_text(encoding="latin-1").splitlines()
    lines[11:11] = ["P010x;old;Bonn;2024-01-01;3"]
    lines.append("P060x;21")
    odd.write_text("\n".join(lines), encoding="latin-1")
    out = tmp_path / "o.csv"
    asked = ["predict", str(tmp_path / "t"), str(odd), "--out", str(out), "--keep", "id,city"]
    assert cli.run(asked) == 3
    said = capfd.readouterr().err
    assert "no answer to 2 of 62 records" in said
    assert "odd.csv:12: " in said
    assert "odd.csv:63: " in said
    with open(out, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 62
    assert [row["id"] for row in rows[:11]] == [f"P{k:03d}x" for k in range(11)]
    assert (rows[10]["city"], rows[61]["id"]) == ("Bonn", "")  # the last line is cut short
    assert [number for number, row in enumerate(rows) if not row["value"]] == [10, 61]
    assert rows[13]["city"] == "Köln"
    assert rows[5]["value"]  # without a label, and answered
    assert cli.run([*asked, "--overwrite", "--max-bad-records", "2"]) == 0
    assert cli.run([*asked[:-1], "none", "--overwrite"]) == 3
    assert re.search(r"keep 'none'.*'id', 'age', 'city'", capfd.readouterr().err)
    assert cli.run(["predict", str(tmp_path / "t"), str(odd), "--out", str(tmp_path / "o.npy"), "--keep", "id"]) == 2
    assert "--keep: npy" in capfd.readouterr().err


def test_codes_of_rows_without_a_label(people, tmp_path, capfd):
    import pyarrow.parquet

    assert cli.run(["train", str(people), "--out", str(tmp_path / "t"), *SHORT, "-q", "--label", "city"]) == 0
    out = tmp_path / "c.parquet"
    assert cli.run(["encode", str(tmp_path / "t"), str(people), str(out), "--keep", "id,price"]) == 0
    codes = pyarrow.parquet.read_table(out)
    assert codes.column_names[:4] == ["id", "price", "label", "code:0"]
    assert codes["label"].to_pylist()[:3] == ["Bonn", None, "Köln"]
    assert codes["code:0"].null_count == 0
    assert len(codes) == 60


def test_weights_of_samples_weigh_what_is_measured(tmp_path, capfd):
    rows = [f"{k % 5},{k % 3},{'ab'[k % 2]},{1 + 3 * (k % 2)}" for k in range(40)]
    (tmp_path / "d.csv").write_text("\n".join(["x,z,y,w", *rows, ""]))
    flags = ["--label", "y", "--weights", "w"]
    assert cli.run(["train", str(tmp_path / "d.csv"), "--out", str(tmp_path / "t"), *SHORT, "-q", *flags]) == 0
    assert told_of(tmp_path / "t")["weights"] == "column w"
    assert "w" not in told_of(tmp_path / "t")["features"].partition(":")[2]
    capfd.readouterr()
    assert cli.run(["evaluate", str(tmp_path / "t"), str(tmp_path / "d.csv"), "--json"]) == 0
    score = json.loads(capfd.readouterr().out)
    right = [score["confusion"][0][0], score["confusion"][1][1]]
    assert score["weight"] == 100
    assert score["accuracy"] == pytest.approx((right[0] + 4 * right[1]) / 100)
    assert cli.run(["evaluate", str(tmp_path / "t"), str(tmp_path / "d.csv")]) == 0
    assert re.search("^weight +100 in all", capfd.readouterr().out, re.M)
    assert cli.run(["predict", str(tmp_path / "t"), str(tmp_path / "d.csv"), "--out", str(tmp_path / "o.csv")]) == 0
    capfd.readouterr()
    (tmp_path / "bare.csv").write_text("\n".join(["x,z,y", *(row.rpartition(",")[0] for row in rows), ""]))
    assert cli.run(["evaluate", str(tmp_path / "t"), str(tmp_path / "bare.csv"), "--json"]) == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["weight"] is None
    assert "no column 'w', of weights: each sample counts as one" in told.err


def test_titanic_says_what_it_guessed(datasets, tmp_path, capfd):
    path = datasets("tables") / "titanic.csv"
    assert cli.run(["train", str(path), "--out", str(tmp_path / "t"), *SHORT, "--no-report"]) == 0
    told = capfd.readouterr().err
    assert "column embarked (guessed: the last column): classification" in told
    assert "--label NAME" in told
    assert "2 without a label" in told
    assert cli.run(["predict", str(tmp_path / "t"), str(path), "--out", str(tmp_path / "o.csv"), "--keep", "name"]) == 0
    names = []
    for name in (path, tmp_path / "o.csv"):
        with open(name, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
            names.append([row["name"] for row in rows])
    assert names[0] == names[1]
    assert all(row["label"] for row in rows)


def test_a_regression_with_nothing_to_learn_says_so(tmp_path, capfd):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},2.5\n" for i in range(40)))
    common = ["train", str(tmp_path / "d.csv"), "--label", "y", "--no-report", "--epochs", "1", "--overwrite"]
    assert cli.run([*common, "--out", str(tmp_path / "m")]) == 0
    assert "every label is 2.5: the network learns to answer that, whatever the row" in capfd.readouterr().err
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{2.5 + i}\n" for i in range(40)))
    assert cli.run([*common, "--out", str(tmp_path / "m")]) == 0
    assert "every label" not in capfd.readouterr().err
