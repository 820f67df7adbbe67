"""A record that cannot be read keeps its place among the answers: by every reader, cut and writer."""

import io
import sys

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from hdl import answers, cli, data, prediction_files, versions
from hdl.data import Bad, Block, FileSplit, Options, Source
from hdl.errors import DataError, SpecError
from hdl.predict import Model
from hdl.prediction_files import Lines
from hdl.prediction_writer import Writer
from hdl.spec import Spec
from hdl.table import Table

pytest.importorskip("hdl._cpu")


class Gappy(Source):
    """Records 0, 1, 2, … as text has them: those that are multiples of `worst` are bad, blocks are of any length."""

    format, records = "csv", False

    def __init__(self, total, sizes, bad, seen=True, lines=False):
        super().__init__(["mem"], Options())
        self.total, self.sizes, self.wrong, self.seen, self.lines = total, sizes, bad, seen, lines
        self.kept_schema = pa.schema([("id", pa.int64())])

    def lengths(self):
        return [10 * self.total]

    def _read(self, split, bad):
        at = 0
        for size in self.sizes:
            rows = np.arange(at, min(at + size, self.total))
            good = ~np.isin(rows, self.wrong)
            for row in rows[~good]:
                bad.add(DataError("wrong", "mem", line=int(row) + 1))
            x = rows[good, None].astype(np.float64)
            at = min(at + size, self.total)
            if self.lines:  # bad lines could be taken apart
                kept = pa.record_batch([pa.array(rows)], schema=self.kept_schema)
                yield Block(rows[:, None] + 0.0, None, lambda i: {}, kept=kept, rows=rows, seen=at).keep(good)
                continue
            kept = pa.record_batch([pa.array(rows[good])], schema=self.kept_schema)
            if good.any() or self.seen:
                yield Block(x, None, lambda i: {}, kept=kept, rows=rows[good], seen=at if self.seen else None)


def places(source, rows):
    """The number of each record as the answers have it, -1 where there is none."""
    found = []
    for part in answers.records(source.numbered(FileSplit("mem", 0, 1), Bad(sys.maxsize)), rows):
        assert part.n == 0 or part.n >= len(part.block)
        good = np.ones(len(part.block), bool)
        values = part.spread(part.block.x[:, 0] if len(part.block) else np.empty(0), good)
        kept = part.kept(source.kept_schema)
        assert kept.num_rows == part.n
        numbers = [None if np.isnan(value) else int(value) for value in values]
        if source.lines:
            numbers = list(range(len(found), len(found) + part.n))
        assert kept["id"].to_pylist() == numbers
        found += [-1 if np.isnan(value) else int(value) for value in values]
    return found


@pytest.mark.parametrize("rows", [1, 3, 100])
@pytest.mark.parametrize("bad", [[], [0], [9], [4, 5], [0, 1, 2, 3], [6, 7, 8, 9], [0, 3, 9], list(range(10))])
@pytest.mark.parametrize("sizes", [[10], [4, 6], [1] * 10, [3, 3, 3, 3]])
def test_gaps_are_filled_wherever_they_are(sizes, bad, rows):
    expected = [-1 if number in bad else number for number in range(10)]
    assert places(Gappy(10, sizes, bad), rows) == expected
    assert places(Gappy(10, sizes, bad, lines=True), rows) == expected


def test_a_reader_whose_last_records_are_good_need_not_count():
    assert places(Gappy(10, [4, 6], [2, 3], seen=False), 3) == [0, 1, -1, -1, 4, 5, 6, 7, 8, 9]


def test_many_bad_records_take_no_memory():
    parts = list(answers.records([Block.none(3 * answers.GAP + 1)], 10))
    assert [part.n for part in parts] == [answers.GAP] * 3 + [1]
    empty = parts[0].spread(np.empty((0, 1000), np.float32), np.empty(0, bool))
    assert empty.shape == (answers.GAP, 1000)
    assert empty.strides == (0, 0)
    assert np.isnan(empty[5]).all()


@pytest.fixture
def model(tmp_path):
    """A network of two features and three classes, with data of it, of which some records are bad."""
    x = np.random.default_rng(3).normal(size=(40, 2)).astype(np.float32)
    y = np.array(["a", "b", "c"])[np.arange(40) % 3]
    np.savez(tmp_path / "train.npz", x=x, y=y)
    return trained(tmp_path, tmp_path / "train.npz"), x


def trained(folder, path):
    source = data.open_source(str(path))
    splits = source.splits(1)
    summary = data.summarise(source, splits[0])
    *_, version = versions.first(str(path), Options(), Spec(net="0-5-0"), summary, splits, "", "cpu")
    Table(str(folder / "model")).publish(version)
    return folder / "model"


def bad_rows(x, rows):
    x = x.copy()
    x[rows] = np.nan
    return x


@pytest.mark.parametrize("rows", [[0], [39], [7, 8, 21], list(range(40))])
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npy"])
def test_predict_writes_a_line_for_each_record(model, tmp_path, capfd, rows, suffix):
    table, x = model
    np.save(tmp_path / "whole.npy", x)
    np.save(tmp_path / "bad.npy", bad_rows(x, rows))
    whole, out = tmp_path / f"all{suffix}", tmp_path / f"out{suffix}"
    assert cli.run(["predict", str(table), str(tmp_path / "whole.npy"), "--out", str(whole)]) == 0
    command = ["predict", str(table), str(tmp_path / "bad.npy"), "--out", str(out)]
    capfd.readouterr()
    assert cli.run(command) == 3
    said = capfd.readouterr().err
    assert f"{len(rows)} of 40 records" in said
    assert "--max-bad-records" in said
    assert f"bad.npy at byte {128 + 8 * rows[0]}: feature 1 is nan" in said
    lost = np.isin(np.arange(40), rows)
    if suffix == ".npy":
        found, full = np.load(out), np.load(whole)
        np.testing.assert_array_equal(found[~lost], full[~lost])
        assert np.isnan(found[lost]).all()
    else:
        read = pyarrow.csv.read_csv if suffix == ".csv" else pyarrow.parquet.read_table
        found, full = (read(str(path)).to_pylist() for path in (out, whole))
        assert [row for row, gone in zip(found, lost, strict=True) if not gone] == [
            row for row, gone in zip(full, lost, strict=True) if not gone
        ]
        empty = ["", None] if suffix == ".csv" else [None]  # Arrow's reader takes an empty text for one
        assert all(value in empty for row, gone in zip(found, lost, strict=True) if gone for value in row.values())
    assert cli.run([*command, "--overwrite", "--max-bad-records", str(len(rows))]) == 0
    assert cli.run([*command, "--overwrite", "--max-bad-records", str(len(rows) - 1)]) == 3


def test_on_standard_output_too_and_with_codes(model, tmp_path, capfd):
    table, x = model
    np.save(tmp_path / "bad.npy", bad_rows(x, [0, 5]))
    capfd.readouterr()
    assert cli.run(["predict", str(table), str(tmp_path / "bad.npy"), "--out", "-"]) == 3
    told = capfd.readouterr()
    lines = told.out.splitlines()
    assert len(lines) == 41
    assert lines[1] == lines[6] == ",,,"
    assert "standard output is whole" in told.err
    for suffix in (".csv", ".npy"):
        out = tmp_path / f"codes{suffix}"
        assert cli.run(["encode", str(table), str(tmp_path / "bad.npy"), str(out)]) == 3
        assert cli.run(["encode", str(table), str(tmp_path / "bad.npy"), str(out), "--overwrite",
                        "--max-bad-records", "2"]) == 0  # fmt: skip
    codes = np.load(tmp_path / "codes.npy")
    assert codes.shape == (40, 5)
    assert np.flatnonzero(np.isnan(codes).any(axis=1)).tolist() == [0, 5]
    assert (tmp_path / "codes.csv").read_text().splitlines()[1] == ",,,,"


def test_a_table_without_rows_has_no_answers(tmp_path, capfd):
    text = "a,b,y\n" + "1,2,u\n3,5,v\n" * 4
    (tmp_path / "t.csv").write_text(text)
    table = trained(tmp_path, tmp_path / "t.csv")
    for rows, answers_ in (("b,a\n", 0), ("b,a\n1,2\n", 1)):
        (tmp_path / "new.csv").write_text(rows)
        out = tmp_path / "out.csv"
        assert cli.run(["predict", str(table), str(tmp_path / "new.csv"), "--out", str(out), "--overwrite"]) == 0
        assert len(out.read_text().splitlines()) == 1 + answers_
    (tmp_path / "new.csv").write_text("b,c\n")
    capfd.readouterr()
    assert cli.run(["predict", str(table), str(tmp_path / "new.csv"), "--out", str(tmp_path / "none.csv")]) == 3
    assert "a header alone ('b', 'c')" in capfd.readouterr().err
    assert not (tmp_path / "none.csv").exists()


def test_an_answer_that_is_not_finite_is_none(model, tmp_path, capfd):
    table, x = model
    x = x.copy()
    x[3] = 3e38
    np.save(tmp_path / "far.npy", x)
    assert cli.run(["predict", str(table), str(tmp_path / "far.npy"), "--out", str(tmp_path / "o.npy")]) == 3
    assert "the network's answer is not finite" in capfd.readouterr().err
    out = np.load(tmp_path / "o.npy")
    assert np.flatnonzero(np.isnan(out).all(axis=1)).tolist() == [3]


def test_images_that_are_damaged_keep_their_places(tmp_path, capfd):
    pil = pytest.importorskip("PIL.Image", reason="hdl-hadoop[images] is not installed")
    for kind in ("cat", "dog"):
        (tmp_path / "d" / kind).mkdir(parents=True)
        for k in range(4):
            pixels = np.random.default_rng(k).integers(0, 255, (5, 6), np.uint8)
            pil.fromarray(pixels).save(tmp_path / "d" / kind / f"{k}.png")
    table = trained(tmp_path, tmp_path / "d")
    (tmp_path / "d" / "cat" / "2.png").write_bytes(b"no image")
    (tmp_path / "d" / "dog" / "3.png").write_bytes(b"no image")
    out = tmp_path / "o.parquet"
    assert cli.run(["predict", str(table), str(tmp_path / "d"), "--out", str(out), "--max-bad-records", "2"]) == 0
    labels = pyarrow.parquet.read_table(out)["label"].to_pylist()
    assert [number for number, label in enumerate(labels) if label is None] == [2, 7]
    coded = tmp_path / "c.parquet"
    assert cli.run(["encode", str(table), str(tmp_path / "d"), str(coded), "--max-bad-records", "2"]) == 0
    labels = pyarrow.parquet.read_table(coded)["label"].to_pylist()
    assert labels == ["cat", "cat", None, "cat", "dog", "dog", "dog", None]


def test_models_give_the_same_in_python(model):
    table, x = model
    net = Model(str(table))
    source = data.Arrays(bad_rows(x, [4]), options=Options(max_bad_records=1))
    (found,) = net.predict(source)
    assert found.good.tolist() == [k != 4 for k in range(40)]
    assert np.isnan(found.out[4]).all()
    (coded,) = net.encode(source)
    assert np.isnan(coded.codes[4]).all()
    with pytest.raises(DataError, match="feature 1 is nan"):
        list(net.predict(data.Arrays(bad_rows(x, [4]))))


@pytest.mark.parametrize(
    ("classes", "empty"), [([0.5, 1.5], None), (["a", "b"], ""), ([1, 2], DataError), ([False, True], DataError)]
)
def test_labels_alone_as_npy_have_a_value_for_none_or_are_refused(classes, empty):
    file = io.BytesIO()
    writer = Writer(file, ".npy", ["x"], classes, labels_only=True)
    labels, out = [classes[1], classes[0], classes[1]], np.zeros((3, 2), np.float32)
    good = np.array([True, False, True])
    if empty is DataError:
        with pytest.raises(DataError, match=r"record 2 has no answer.*\.csv or \.parquet"):
            writer.write(out, labels, good)
        return
    writer.write(out, labels, good)
    writer.close()
    file.seek(0)
    found = np.load(file).tolist()
    assert [found[0], found[2]] == [classes[1]] * 2
    assert found[1] == empty if empty is not None else np.isnan(found[1])


def test_columns_are_kept_before_the_answers_and_keep_apart_from_them():
    kept = pa.schema([("id", pa.string()), ("label", pa.int64()), ("day", pa.timestamp("us"))])
    rows = pa.record_batch([["007", None, "x,y"], [1, 2, 3], pa.array([0, 1, None], pa.timestamp("us"))], schema=kept)
    good = np.array([True, False, True])
    files = {suffix: io.BytesIO() for suffix in (".csv", ".parquet")}
    for suffix, file in files.items():
        writer = Writer(file, suffix, ["a"], ["u", "v"], kept=kept)
        writer.write(np.float32([[1], [2], [3]]), ["u", "u", "v"], good, rows)
        writer.write(np.full((1, 1), np.nan, np.float32), ["u"], np.array([False]), None)
        writer.close()
        file.seek(0)
    table = pyarrow.parquet.read_table(files[".parquet"])
    assert table.column_names == ["id", "kept:label", "day", "label", "a"]
    assert table["id"].to_pylist() == ["007", None, "x,y", None]
    assert table["label"].to_pylist() == ["u", None, "v", None]
    assert table["a"].to_pylist() == [1, None, 3, None]
    lines = files[".csv"].read().decode().splitlines()
    assert lines[0] == '"id","kept:label","day","label","a"'
    assert lines[1:] == ['"007",1,1970-01-01 00:00:00.000000,"u",1', ",2,1970-01-01 00:00:00.000001,,",
                         '"x,y",3,,"v",3', ",,,,"]  # fmt: skip
    with pytest.raises(SpecError, match="--keep"):
        Writer(io.BytesIO(), ".npy", ["a"], kept=kept)
    for kind in (pa.list_(pa.int64()), pa.binary(), pa.struct([("a", pa.int64())])):
        with pytest.raises(SpecError, match=r"--keep x: .* has no place in CSV; write \.parquet"):
            Writer(io.BytesIO(), ".csv", ["a"], kept=pa.schema([("x", kind)]))
        Writer(io.BytesIO(), ".parquet", ["a"], kept=pa.schema([("x", kind)])).close()


def test_codes_of_data_whose_first_records_are_bad_have_labels_all_the_same():
    none = answers.Coded(np.full((2, 3), np.nan, np.float32), None, np.zeros(2, bool))
    some = answers.Coded(np.ones((2, 3), np.float32), np.array(["p", None], object), np.array([True, False]))
    file = io.BytesIO()
    assert prediction_files.write_codes(file, ".parquet", [none, some], 3) == Lines(4, 3)
    table = pyarrow.parquet.read_table(file)
    assert table["label"].to_pylist() == [None, None, "p", None]
    assert table["code:1"].to_pylist() == [None, None, 1, None]
