"""Tables as strangers write them: odd names of columns, odd cells, and what is said of them can be pasted back."""

import json
import re
import shlex
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv as pa_csv

import hdl
from hdl.cli import explain, run
from hdl.cli.flags import _class_weights as take_class_weights
from hdl.data import Options, fit, open_source, summarise
from hdl.data.names import flag_of, split
from hdl.errors import DataError, SpecError
from hdl.spec import Spec, parse


def csv(tmp_path, name, cells, n=40, label="pq"):
    """Write a table of a number, a column of the name with the cells in turn, and a label."""
    path = tmp_path / "t.csv"
    rows = [("n", name, "y"), *((str(i % 17), cells[i % len(cells)], label[i % len(label)]) for i in range(n))]
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    path.write_text("".join(",".join(row) + "\n" for row in quoted), newline="")
    return str(path)


def fitted(path, **options):
    source = open_source(path, Options.make(None, **{"label": "y", **options}))
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


def test_a_first_line_with_a_missing_value_is_a_sample(tmp_path):
    path = tmp_path / "000000_0"
    rows = [(r"\N" if i % 5 == 0 else str(i % 9), "ab"[i % 2], "pq"[i % 3 % 2]) for i in range(60)]
    path.write_text("".join("\x01".join(row) + "\n" for row in rows))
    source = open_source(str(path), Options.make(None, label="-1"))
    assert summarise(source, source.splits(1)[0]).samples == 60


def test_a_condition_that_no_row_meets_is_named(tmp_path):
    with pytest.raises(DataError, match="no samples that meet --where 'n > 1000'"):
        fitted(csv(tmp_path, "a", ["1", "2"]), where="n > 1000")


@pytest.mark.parametrize("loss", ["huber", "absolute", "quantile", "poisson", "gamma", "tweedie"])
def test_losses_of_numbers_take_no_classes(tmp_path, loss):
    path = csv(tmp_path, "a", ["1", "2"])
    source = open_source(path, Options.make(None, label="y"))
    with pytest.raises(SpecError, match=f"loss {loss} is for numbers, but the labels are 2 classes"):
        fit(summarise(source, source.splits(1)[0]), Spec(loss=loss))


def test_a_wrong_value_of_a_union_names_the_field():
    with pytest.raises(SpecError, match=r"^embedding: Input") as caught:
        parse({"embedding": 100_000})
    assert "constrained" not in str(caught.value)


@pytest.mark.parametrize("ends", ["csv", "parquet"])
def test_a_missing_number_where_training_had_none_is_said_to_be_that(tmp_path, ends, capfd):
    rows = pa.table({"a": [0.5 * i for i in range(40)], "b": [i % 7 / 2 for i in range(40)], "y": ["p", "q"] * 20})
    holes = rows.set_column(0, "a", pa.array([None if i == 3 else 1.0 for i in range(40)]))
    paths = [str(tmp_path / f"{name}.{ends}") for name in ("whole", "holes")]
    for path, table in zip(paths, (rows, holes), strict=True):
        (pa_csv.write_csv if ends == "csv" else pq.write_table)(table, path)
    model = str(tmp_path / "m")
    assert run(["train", paths[0], "--out", model, "--epochs", "1", "--recipe", "plain", "--no-report", "-q"]) == 0
    assert run(["evaluate", model, paths[1]]) == 3
    assert "feature 'a' is missing" in capfd.readouterr().err


def test_a_label_of_text_called_y_is_no_coordinate(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,k\n" + "".join(f"{i},{'pq'[i % 2]},{i % 5}\n" for i in range(40)))
    source = open_source(str(tmp_path / "t.csv"))
    assert fit(summarise(source, source.splits(1)[0]), Spec()).classes == ("p", "q")


def test_data_that_is_wrong_is_not_called_no_data(tmp_path, capfd):
    for name, cells in (("a", [1, 2]), ("b", ["x", "y"])):
        pq.write_table(pa.table({"k": cells, "v": [0.5, 1.5], "y": [0, 1]}), str(tmp_path / f"{name}.parquet"))
    assert run(["inspect", str(tmp_path)]) == 3
    said = capfd.readouterr().err
    assert "no type holds both" in said
    assert "no weight table" not in said


def test_frames_of_sparse_columns_and_what_is_left_out():
    frame = pd.DataFrame({
        "s": pd.arrays.SparseArray([0.0, 1.0] * 20),
        "c": [None, "u", "v", "v"] * 10,
        "id": [f"id {i}" for i in range(40)],
    })  # fmt: skip
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1)
    with pytest.warns(UserWarning, match=r"id: text, .*\(categorical_features=\['id'\] takes it all the same\)"):
        net.fit(frame, ["a", "b"] * 20)
    dense = frame.assign(s=[0.0, 1.0] * 20)
    assert (net.predict_proba(dense) == net.predict_proba(frame)).all()


def test_a_lazy_frame_is_asked_to_be_collected():
    lazy = pytest.importorskip("polars").DataFrame({"a": [1.0, 2.0]}).lazy()
    with pytest.raises(TypeError, match=r"X\.collect\(\)"):
        hdl.MLPClassifier().fit(lazy, ["a", "b"])


@pytest.mark.parametrize("cell", ["oops", "1/2"])
def test_flags_for_columns_without_names_say_how_they_count(tmp_path, cell):
    lines = [f"{i / 2},{cell if i == 9 or '/' in cell else i},{'ab'[i % 2]}" for i in range(40)]
    lines = [line.replace("1/2", f"{i % 9 + 1}/{i % 7 + 1}/2020") for i, line in enumerate(lines)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"column 2: .*--columns 1:category.*--ignore 1.*flags count from 0"):
        fitted(str(tmp_path / "t.csv"), label="2")


def test_a_european_table_has_decimal_commas_and_dotted_dates(tmp_path):
    lines = [f"{i},5;{i % 28 + 1:02d}.03.2021;10.0.0.{i % 5};{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("n;when;ip;y\n" + "\n".join(lines) + "\n")
    schema = fitted(str(tmp_path / "t.csv"), decimal=",")
    assert [column.kind for column in schema.encodings.columns] == ["number", "date", "category"]


def test_the_line_in_which_excel_names_the_delimiter_is_no_part_of_the_table(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfsep=;\r\na;b;y\r\n" + b"1;u;p\r\n2,5;v;q\r\n" * 20)
    schema = fitted(str(tmp_path / "t.csv"), decimal=",")
    assert (schema.samples, schema.names) == (40, ("a", "b"))


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (lambda i: i + 1, "'k' may number the rows: whole numbers from 1 to 80, none of them twice (--ignore k)"),
        (lambda i: 1 + i + i // 4, "'k' may number the rows: whole numbers from 1 to 99"),
        (lambda i: 2 * i, None),
        (lambda i: i % 79, None),
        (lambda i: i + 0.5, None),
        (lambda i: i if i % 9 else "", None),
        (lambda i: 20190101 + 7 * i, "'k' looks like an identifier: whole numbers up to 20190654"),
    ],
)
def test_a_column_that_numbers_the_rows_is_pointed_out(tmp_path, number, told):
    rows = "".join(f"{number(i)},{'uvw'[i % 3]},{'pq'[i % 2]}\n" for i in range(80))
    (tmp_path / "t.csv").write_text("k,a,y\n" + rows)
    remarks = fitted(str(tmp_path / "t.csv")).reading.get("remarks", [])
    assert [told in remark for remark in remarks] == ([True] if told else [])


def test_quotes_behind_backslashes_are_told(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + '"u\\"x",p\n"u\\"z",q\n' * 20)
    with pytest.raises(DataError, match=r"badly quoted.*not behind a backslash"):
        fitted(str(tmp_path / "t.csv"))


@pytest.mark.parametrize(("text", "said"), [
    ('[{"a":1,"y":"p"},{"a":2,"y":"q"}]', "not an object a line"),
    ('{"a":1,"y":"p"}\n{"a":2,"a":3,"y":"q"}\n', "'a' is there twice"),
])  # fmt: skip
def test_json_that_is_no_table_says_why(tmp_path, text, said):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(DataError, match=said):
        fitted(str(tmp_path / "t.json"))


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0c", "\x1c", "\u00a0"])
def test_other_ends_of_lines_are_text(tmp_path, mark):
    lines = [f'{i},"a\nb",{"uv"[i % 2]}{mark}w,{"pq"[i % 3 % 2]}' for i in range(60)]
    (tmp_path / "t.csv").write_text("n,m,k,y\n" + "\n".join(lines) + "\n")
    schema = fitted(str(tmp_path / "t.csv"))
    assert schema.samples == 60
    assert schema.encodings.columns[-1].name == "k"


def test_an_imported_table_gives_its_weights_and_offset_to_models_of_it(tmp_path, capfd):
    lines = [f"{i / 7:.3f},{'uv'[i % 2]},{i % 3},{i % 5 / 4},{i % 4}" for i in range(60)]
    paths = {name: str(tmp_path / name) for name in ("t.csv", "imported", "a", "b", "a.csv", "b.csv", "r.html")}
    (tmp_path / "t.csv").write_text("n,c,w,e,y\n" + "\n".join(lines) + "\n")
    flags = ["--label", "y", "--weights", "w", "--offset", "e"]
    train = ["--epochs", "1", "--loss", "poisson", "--no-report", "-q"]
    assert run(["import", paths["t.csv"], paths["imported"], *flags]) == 0
    assert run(["train", paths["t.csv"], "--out", paths["a"], *flags, *train]) == 0
    assert run(["train", paths["imported"], "--out", paths["b"], *train]) == 0
    for name in "ab":  # the data has the columns, and nobody says again which they are
        assert run(["predict", paths[name], paths["t.csv"], "--out", paths[f"{name}.csv"]]) == 0
        assert run(["report", paths[name], "--test", paths["t.csv"], "--out", paths["r.html"]]) == 0
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    capfd.readouterr()
    assert run(["inspect", paths["b"]]) == 0
    assert "offset           column e" in capfd.readouterr().out


def test_names_of_classes_may_hold_commas():
    assert take_class_weights('"x, 1"=3,b=2=1') == {"x, 1": 3, "b=2": 1}


def test_flags_for_data_of_a_model_keep_its_kinds(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    for path, form in zip(paths, ("2020-01-{:02d}", "01/{:02d}/2020"), strict=True):
        lines = [f"{form.format(i % 12 + 1)},{i % 7},{'pq'[i % 2]}" for i in range(40)]
        with open(path, "w") as file:
            file.write("t,n,y\n" + "\n".join(lines) + "\n")
    schema = fitted(paths[0])
    with pytest.raises(DataError, match=r"--columns 't:date dmy' or --columns 't:date mdy' decides$"):
        open_source(paths[1], None, schema)


@pytest.mark.parametrize("ends", ["parquet", "jsonl"])
def test_a_field_of_a_struct_and_a_column_of_the_same_name_are_two_columns(tmp_path, ends):
    rows = [{"a.b": i % 7, "a": {"b": i % 3 / 2}, "y": "pq"[i % 2]} for i in range(40)]
    path = tmp_path / f"t.{ends}"
    if ends == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    source = open_source(str(path), Options.make(None, label="y"))
    assert [column.name for column in source.columns] == ["a.b", "a.b.1"]
    x = np.concatenate([block.x for block in source.read(source.splits(1)[0])])
    assert x[:4].tolist() == [[0, 0], [1, 0.5], [2, 1], [3, 0]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_that_were_put_one_behind_another_have_their_line_of_names_once(tmp_path, end, capfd):
    body = ["a,b,y", *(f"u{i % 3},v{i % 7},{'pq'[i % 2]}" for i in range(30))]
    (tmp_path / "t.csv").write_text(end.join([*body, *body, ""]), newline="")
    assert run(["inspect", str(tmp_path / "t.csv")]) == 3
    assert "t.csv:32: the line of names once more" in capfd.readouterr().err
    schema = fitted(str(tmp_path / "t.csv"), max_bad_records=1)
    assert (schema.samples, schema.classes) == (60, ("p", "q"))


def test_a_path_that_is_not_there_is_no_missing_table(tmp_path, capfd):
    assert run(["inspect", str(tmp_path / "typo.csv")]) == 4
    assert "there is no such file or folder" in capfd.readouterr().err


@pytest.mark.parametrize(("cells", "options", "said"), [
    (["2020-01-31 10:00:00"], {}, "always 2020-01-31T10:00:00"),
    ([f"k{i}" for i in range(70_000)], {"columns": "a:category"}, "about .* different texts, none of them often (--h"),
])  # fmt: skip
def test_why_a_column_is_left_out(tmp_path, cells, options, said):
    schema = fitted(csv(tmp_path, "a", cells, n=max(40, len(cells))), **options)
    assert re.match(re.escape(said).replace(r"\.\*", ".*"), schema.encodings.reasons["a"])
    assert not schema.encodings.reasons["a"].endswith("000000")


@pytest.mark.parametrize(("kind", "cells"), [
    (pa.decimal128(9, 2), ["1.50", "2.25", None, "-3.00"]),
    (pa.decimal128(5, 0), ["0", "1", None, "1"]),
])  # fmt: skip
def test_decimals_are_labels(tmp_path, kind, cells):
    y = pa.array([None if cell is None else Decimal(cell) for cell in cells * 10], kind)
    pq.write_table(pa.table({"x": [i / 3 for i in range(40)], "y": y}), tmp_path / "t.parquet")
    source = open_source(str(tmp_path / "t.parquet"), Options.make(None, label="y"))
    blocks = [block.y for block in source.read(source.splits(1)[0])]
    assert np.concatenate(blocks)[:3].tolist() == [float(cell) for cell in cells if cell]
    schema = fitted(str(tmp_path / "t.parquet"))
    assert (schema.samples, schema.outputs) == (30, 1 if "." in cells[0] else 2)


def test_damage_inside_of_an_avro_block_is_told(tmp_path):
    fastavro = pytest.importorskip("fastavro")
    fields = [{"name": "x", "type": "double"}, {"name": "y", "type": "string"}]
    path = tmp_path / "t.avro"
    with open(path, "wb") as file:
        rows = [{"x": i * 0.37, "y": "pq"[i % 2]} for i in range(400)]
        fastavro.writer(file, {"type": "record", "name": "r", "fields": fields}, rows, codec="deflate")
    held = path.read_bytes()
    middle = len(held) // 2
    path.write_bytes(held[:middle] + bytes(40) + held[middle + 40 :])
    with pytest.raises(DataError, match=r"t\.avro: truncated or corrupt Avro"):
        fitted(str(path))
