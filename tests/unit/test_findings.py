"""What was found out about the data: told before the first round, in inspect, in the report, from version 0."""

import html
import io
import json
import re

import numpy as np
import pytest

from hdl import cli
from hdl.cli import progress
from hdl.data import findings
from hdl.table import Table

SHORT = ["--epochs", "1", "--no-report"]
MACHINE = ("instruction set", "device")


def table_of(*lines):
    return "\n".join([*lines, ""])


ROWS = [f"{k % 7}.5,{k % 3},{['cat', 'dog'][k % 2]}" for k in range(40)]
PRICES = [f"{k % 7}.5,{k % 3},{250000 + 977.5 * k}" for k in range(40)]
CASES = {  # file: its content, flags, and what is told of it
    "header.csv": (
        table_of("a,b,kind", *ROWS),
        [],
        {
            "format": "CSV, 1 file, 40 samples",
            "columns": "header (told from the first lines), commas between columns",
            "features": "2 dense: a, b",
            "scale": "each to mean 0 and deviation 1",
        },
        r"column kind \(guessed: the (last column|only .* text)\): classification, 2 classes: cat, dog\n.*--label.*",
    ),
    "bare.csv": (
        table_of(*ROWS).replace(",", ";"),
        ["--no-header", "--delimiter", ";", "--label", "2", "--format", "csv"],
        {
            "format": "CSV (as --format says), 1 file, 40 samples",
            "columns": "no header (as --no-header says), semicolons between columns (as --delimiter says)",
            "features": "2 dense",
        },
        r"column 2, as --label says: classification, 2 classes: cat, dog",
    ),
    "prices.csv": (
        table_of("a,b,target", *PRICES),
        [],
        {},
        r"column target, by its name: regression, 269,061 ± 11,284",
    ),
    "codes.csv": (
        table_of("a,label", *[f"{k}.5,0{k % 2}" for k in range(40)]),
        [],
        {},
        r"column label, by its name: classification, 2 classes: '00', '01'",
    ),
    "constant.csv": (
        table_of("a,b,label", *[f"{k}.5,7,{k % 2}" for k in range(40)]),
        [],
        {"scale": "each to mean 0 and deviation 1, 1 not seen, as it never changes"},
        r"column label, by its name: classification, 2 classes: 0, 1",
    ),
    "bad.csv": (
        table_of("a,b,label", *[f"{k}.5,{k % 3},{k % 2}" for k in range(40)], "x,1,1"),
        ["--max-bad-records", "3"],
        {"skipped": re.compile(r"1 bad record\n\S*bad\.csv:42: .*'x' is not a number .*--na-values.*")},
        r"column label, by its name: .*",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_before_the_first_round_and_wherever_the_table_is_shown(tmp_path, capfd, name):
    content, flags, expected, label = CASES[name]
    data, out = tmp_path / name, tmp_path / "t"
    data.write_text(content)
    assert cli.run(["train", str(data), "--out", str(out), "--epochs", "1", "--recipe", "plain", *flags]) == 0
    err = capfd.readouterr().err
    assert err.index("format ") < err.index("round 1/1")
    zero = Table(str(out)).read(0)
    told = dict(findings.lines(zero.about, zero.schema))
    assert told["data"] == str(data)
    assert re.fullmatch(label, told["label"])
    for key, value in expected.items():
        assert value.fullmatch(told[key]) if isinstance(value, re.Pattern) else value == told[key]
    assert progress.aligned([*told.items()]) in err
    assert cli.run(["inspect", str(out), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)["found"]
    joined = {key: "\n".join(value) if isinstance(value, list) else value for key, value in shown.items()}
    assert {key: value for key, value in joined.items() if key not in MACHINE} == told
    assert cli.run(["inspect", str(out), "--version", "0", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["found"] == shown
    assert cli.run(["inspect", str(out)]) == 0
    text = capfd.readouterr().out
    page = html.unescape((out / "report.html").read_text())
    for value in told.values():
        assert all(line in text for line in value.split("\n"))
        assert value in page


def test_quiet_training_tells_nothing(tmp_path, capfd):
    (tmp_path / "d.csv").write_text(CASES["header.csv"][0])
    assert cli.run(["train", str(tmp_path / "d.csv"), "--out", str(tmp_path / "t"), *SHORT, "-q"]) == 0
    assert capfd.readouterr().err == ""


def test_of_a_stack_and_of_a_resumed_training_it_is_told_once(tmp_path, capfd):
    (tmp_path / "d.csv").write_text(CASES["header.csv"][0])
    common = ["train", str(tmp_path / "d.csv"), "--out", str(tmp_path / "t"), "--no-report"]
    assert cli.run([*common, "--model", "stacked", "--net", "2-3-3-2", "--epochs", "1", "--pretrain-epochs", "1"]) == 0
    assert len(re.findall("^format ", capfd.readouterr().err, re.M)) == 1
    assert cli.run([*common, "--resume", "--epochs", "2"]) == 0
    assert len(re.findall("^format ", capfd.readouterr().err, re.M)) == 1


def test_images_arrays_and_what_was_left_out(tmp_path, capfd):
    pil = pytest.importorskip("PIL.Image", reason="hdl-hadoop[images] is not installed")
    rng = np.random.default_rng(0)
    for kind in ("1", "2"):
        (tmp_path / "d" / kind).mkdir(parents=True)
        for k in range(4):
            pil.fromarray(rng.integers(0, 255, (5, 6), np.uint8)).save(tmp_path / "d" / kind / f"{k}.png")
    (tmp_path / "d" / "labels.csv").write_text("a,b\n1,2\n")
    assert cli.run(["train", str(tmp_path / "d"), "--out", str(tmp_path / "t"), *SHORT]) == 0
    told = capfd.readouterr().err
    assert "format    images (a folder a class), 8 files, 8 samples" in told
    assert "the folders' names: classification, 2 classes of text: '1', '2'" in told
    assert "30 dense, stored as uint8, images of 5 × 6 × 1" in told
    assert re.search(r"^left out +labels\.csv: ", told, re.M)


def test_old_tables_tell_what_they_know():
    schema = {
        "format": "csv",
        "samples": 5,
        "inputs": 2,
        "kind": "float32",
        "classes": [0, 1],
        "rule": {"name": "none"},
    }
    about = {
        "data": "d.csv",
        "schema": schema,
        "options": {"format": None},
        "cuts": [[["d.csv", 0, 9]], [["e.csv", 0, 9]]],
    }
    assert findings.lines(about) == [
        ("data", "d.csv"), ("format", "CSV, 2 files, 5 samples"), ("label", "classification, 2 classes: 0, 1"),
        ("features", "2 dense"), ("scale", "as they are"),
    ]  # fmt: skip
    assert findings.lines({}) == []


def test_what_nobody_foresaw_is_told_too_and_long_lists_are_cut():
    reading = {
        "encoding": "latin-1",
        "left_out": [f"f{k}: a text about the data" for k in range(9)],
        "label_by": "array y",
    }
    schema = {"format": "npz", "inputs": 1000, "names": [f"n{k}" for k in range(1000)], "classes": [*range(500)],
              "reading": reading, "label": ["y" * 99]}  # fmt: skip
    told = dict(findings.lines({"schema": schema}))
    assert told["encoding"] == "latin-1"
    assert told["left out"].split("\n")[-1] == "… and 3 more"
    assert told["features"] == "1,000: n0, n1, n2, n3, n4, n5, …"
    assert told["label"] == f"column {'y' * 23}…, array y: classification, 500 classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …"


def test_a_terminal_keeps_the_columns(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress.show(stream) as display:
        display.facts([("label", "word " * 20), ("left out", "[bold]a\nb")])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert lines[0].startswith("label     word word")
    assert all(line.startswith("          word") for line in lines[1:4])
    assert [line.rstrip() for line in lines[-2:]] == ["left out  [bold]a", "          b"]
    assert max(map(len, lines)) <= 40


def test_import_tells_what_it_found_too(tmp_path, capfd):
    (tmp_path / "d.csv").write_text(CASES["header.csv"][0])
    assert cli.run(["import", str(tmp_path / "d.csv"), str(tmp_path / "shards")]) == 0
    told = capfd.readouterr().err
    assert "format   CSV, 1 file\ncolumns  header (told from the first lines), commas between columns\n" in told
    assert re.search(r"^label    column kind \(guessed: the (last column|only column of text)\)$", told, re.M)
