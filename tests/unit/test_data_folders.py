"""Which files of a folder are samples: what is left out is told, and two readings that are equally good are refused."""

import bz2
import gzip
import struct

import numpy as np
import pytest

from hdl import data
from hdl.errors import DataError
from hdl.spec import Spec
from tests.unit.folders import DIGITS, PIXELS, RNG, ROWS, THUMBS, count, fill, npy, parquet, pictures, told


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


MORE = "".join(f"{a:.3f},{b:.3f},{'ab'[i % 2]}\n" for i, (a, b) in enumerate(RNG.normal(size=(12, 2))))
SVM = "1 1:0.5 3:2\n-1 2:1\n1 1:0.25\n"


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_a_packed_copy_beside_its_original_is_left_out(tmp_path, suffix, pack):
    fill(tmp_path, **{"a__csv": ROWS, f"a__csv__{suffix}": pack(ROWS.encode())})
    assert count(tmp_path) == 12
    assert told(tmp_path) == f"a.csv.{suffix}: the packed copy of a.csv"
    assert count(f"{tmp_path}/a*") == 12


def test_idx_files_beside_their_packed_copies(tmp_path):
    files = {"train_images_idx3_ubyte": idx(PIXELS), "train_labels_idx1_ubyte": idx(DIGITS)}
    fill(tmp_path, **files, **{f"{name}__gz": gzip.compress(raw) for name, raw in files.items()})
    assert count(tmp_path) == 12


def test_a_packed_copy_that_holds_other_bytes_is_refused(tmp_path):
    fill(tmp_path, a__csv=ROWS, a__csv__gz=gzip.compress(MORE.encode()))
    with pytest.raises(DataError, match=r"a.csv.gz: other bytes than in a.csv, whose packed copy it should be"):
        data.open_source(str(tmp_path))


@pytest.mark.parametrize("other", [("b__csv", ROWS.encode()), ("b__csv__gz", gzip.compress(ROWS.encode()))])
def test_two_files_of_the_same_bytes_are_refused(tmp_path, other):
    fill(tmp_path, a__csv=ROWS, c__csv=MORE, **{other[0]: other[1]})
    with pytest.raises(DataError, match=r"b.csv(.gz)?: the same bytes as a.csv, so each sample would count twice"):
        data.open_source(str(tmp_path))
    source = data.open_source(f"{tmp_path}/*.csv*")  # named on purpose
    assert source.reading["duplicates"] == [f"{other[0].replace('__', '.')}: the same bytes as a.csv"]
    assert count(f"{tmp_path}/*.csv*") == 36


def test_small_numbered_parts_may_be_the_same(tmp_path):
    """As of an import of few samples to many files, some of which are empty."""
    data.write_shards(data.Arrays([[1.5], [2.5]], ["a", "b"]), str(tmp_path / "out"), shards=5)
    assert count(tmp_path / "out") == 2
    fill(tmp_path / "in", part_0__csv=ROWS, part_1__csv=ROWS)
    assert data.open_source(str(tmp_path / "in")).reading["duplicates"] == ["part-1.csv: the same bytes as part-0.csv"]


def test_labels_may_be_the_same_in_two_files(tmp_path):
    x = RNG.normal(size=(4, 2))
    fill(tmp_path, x0__npy=npy(x), x1__npy=npy(x + 1), y0__npy=npy(np.arange(4)), y1__npy=npy(np.arange(4)))
    assert count(tmp_path) == 8


def test_a_test_part_of_the_same_bytes_is_told(tmp_path):
    fill(tmp_path, train__csv=ROWS, test__csv=ROWS)
    source = data.open_source(str(tmp_path))
    assert source.reading["duplicates"] == ["test.csv: the same bytes as train.csv, of another part"]


def test_one_file_as_features_and_labels_is_refused(tmp_path):
    fill(tmp_path, x__npy=npy(PIXELS))
    with pytest.raises(DataError, match="one file as features and as labels"):
        data.open_source(f"{tmp_path}/x.npy,{tmp_path}/./x.npy")


FOREIGN = {
    "Thumbs__db": THUMBS,
    "desktop__ini": "[.ShellClassInfo]\n",
    "__DS_Store": b"\0\0\0\1Bud1",
    "a__csv__crc": b"crc\0",
    "sha256sums__txt": "00ff  a.csv\n",
    "README__md": "about, this, data\n",
    "plot__png": b"\x89PNG\r\n\x1a\n\0\0",
    "notes__txt": "Some words, about it.\nAnd, more, of, them\nthe end\n",
    "info__json": '{"a": 1,\n "b": 2}\n',
    "classes__txt": "cat\ndog\n",
    "old__xlsx": b"PK\x03\x04 no arrays",
    "model__pkl": b"\x80\x04\x95\x10\0\0",
    "paper__pdf": b"%PDF-1.5\n",
}
SAMPLES = {
    "csv": {"a__csv": ROWS, "b__csv": MORE},
    "libsvm": {"a__svm": SVM},
    "parquet": {"a__parquet": parquet()},
    "npy": {"x__npy": npy(PIXELS), "y__npy": npy(DIGITS)},
    "idx": {"train_images_idx3_ubyte": idx(PIXELS), "train_labels_idx1_ubyte": idx(DIGITS)},
}


@pytest.mark.parametrize("format", SAMPLES)
@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_files_are_left_out_and_told(tmp_path, format, foreign):
    plain = fill(tmp_path / "plain", **SAMPLES[format])
    mixed = fill(tmp_path / "mixed", **SAMPLES[format], **{foreign: FOREIGN[foreign]})
    source = data.open_source(mixed)
    assert source.format == format
    assert count(mixed) == count(plain)
    assert foreign.replace("__", ".").replace("_", "-") in "; ".join(source.left_out)


@pytest.mark.parametrize("name", ["emnist_mapping__txt", "key__txt"])
def test_a_small_table_beside_binary_samples(tmp_path, name):
    fill(tmp_path, **SAMPLES["idx"], **{name: "1 65 97\n2 66 98\n3 67 99\n"})
    assert count(tmp_path) == 12
    assert name.replace("__", ".").replace("_", "-") in told(tmp_path)


def test_two_kinds_of_tables_are_refused_with_the_flag_that_decides(tmp_path):
    fill(tmp_path, a__csv=ROWS, b__parquet=parquet(7))
    with pytest.raises(DataError, match=r"1 parquet \(b.parquet\), 1 csv \(a.csv\).*--format parquet or --format csv"):
        data.open_source(str(tmp_path))
    assert count(tmp_path, {"format": "parquet"}) == 7
    assert told(tmp_path, {"format": "parquet"}) == "a.csv: a CSV table beside parquet files"
    assert count(tmp_path, {"format": "csv"}) == 12
    fill(tmp_path, c__svm=SVM)
    (tmp_path / "b.parquet").unlink()
    with pytest.raises(DataError, match=r"--format csv or --format libsvm"):
        data.open_source(str(tmp_path))


def test_tables_of_other_columns_are_refused(tmp_path):
    fill(tmp_path, a__csv="1,2\n3,4\n", b__csv=ROWS)
    with pytest.raises(DataError, match=r"a.csv with 2 columns parted by ','; b.csv with 3 columns.*glob"):
        data.open_source(str(tmp_path))


def test_a_folder_that_cannot_be_read_says_what_it_holds(tmp_path):
    fill(tmp_path, a__png=b"\x89PNG\r\n\x1a\n\0", b__bin=b"\0\1", c__json="{}", d__bin=b"\0\2")
    with pytest.raises(
        DataError, match=r"holds 1 image \(a.png\), 2 binary \(b.bin, d.bin\), 1 structured \(c.json\); "
    ):
        data.open_source(str(tmp_path))


def test_a_broken_link_and_an_empty_file_are_told(tmp_path):
    fill(tmp_path, a__csv=ROWS, b__csv="")
    (tmp_path / "c.csv").symlink_to(tmp_path / "nowhere")
    assert count(tmp_path) == 12
    assert told(tmp_path) == "b.csv: empty; c.csv: a broken link"


def test_many_files_of_one_family_are_not_opened_one_by_one(tmp_path, monkeypatch):
    for i in range(50):
        (tmp_path / f"part-{i:05d}.csv").write_text(f"{i}.5,1.25,a\n{i}.5,0.75,b\n")
    looked = []
    look = data.survey.look
    monkeypatch.setattr("hdl.data.survey.look", lambda *given: looked.append(given) or look(*given))
    assert count(tmp_path) == 100
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("train", "test", "val"),
    [
        ("train__csv", "test__csv", "val__csv"),
        ("adult__data", "adult__test", "adult_val"),
        ("a__train__data", "a__test__data", "a__val__data"),
        ("digits__csv", "digits_test__csv", "digits_val__csv"),
        ("train_in_a__csv", "test_in_a__csv", "val_in_a__csv"),
    ],
)
def test_parts(tmp_path, train, test, val):
    fill(tmp_path, **{train: ROWS, test: ROWS * 2, val: ROWS * 3})
    assert (count(tmp_path), count(f"{tmp_path}:train")) == (12, 12)
    assert (count(f"{tmp_path}:test"), count(f"{tmp_path}:val")) == (24, 36)
    assert "the test part" in told(tmp_path)
    assert "the validation part" in told(tmp_path)


@pytest.mark.parametrize("mark", [",", " "])
def test_pairs_of_tables_may_have_headers(tmp_path, mark):
    """As scikit-learn's users keep them: X_train.csv, y_train.csv, X_test.csv, y_test.csv."""
    rows = RNG.normal(size=(9, 2)).round(4)
    for part, lo, hi in (("train", 0, 6), ("test", 6, 9)):
        x = "".join(f"{a}{mark}{b}\n" for a, b in rows[lo:hi])
        y = "".join(f"{i % 2}\n" for i in range(lo, hi))
        fill(tmp_path, **{f"X_{part}.csv": f"width{mark}height\n{x}", f"y_{part}.csv": f"kind\n{y}"})
        (tmp_path / f"X-{part}.csv").rename(tmp_path / f"X_{part}.csv")
        (tmp_path / f"y-{part}.csv").rename(tmp_path / f"y_{part}.csv")
    for path, lo, hi in ((tmp_path, 0, 6), (f"{tmp_path}:test", 6, 9)):
        source = data.open_source(str(path))
        assert (source.format, source.names, source.label) == ("pair", ["width", "height"], ["kind"])
        blocks = [block for part in source.splits(2) for block in source.read(part)]
        assert np.concatenate([block.x for block in blocks]).tolist() == rows[lo:hi].tolist()
        assert np.concatenate([block.y for block in blocks]).tolist() == [i % 2 for i in range(lo, hi)]
    (tmp_path / "y_train.csv").write_text("kind\n0\n1\nx\n1\n0\n1\n")
    source = data.open_source(str(tmp_path))
    with pytest.raises(DataError, match=r"y_train.csv:4: column 1 \('kind'\): 'x' is not a number"):
        list(source.read(source.splits(1)[0]))


def test_a_file_of_no_part_is_refused(tmp_path):
    fill(tmp_path, train__csv=ROWS, test__csv=MORE, submission__csv=ROWS + MORE)
    with pytest.raises(DataError, match=r"nothing says whether submission.csv belongs to the training part"):
        data.open_source(str(tmp_path))
    fill(tmp_path / "b", iris__csv=ROWS, test__csv=MORE)
    with pytest.raises(DataError, match=r"test.csv by name belongs to another part, .* whether iris.csv"):
        data.open_source(str(tmp_path / "b"))


def test_arrays_that_do_not_pair_up_are_refused(tmp_path):
    fill(tmp_path, x__npy=npy(PIXELS), y__npy=npy(DIGITS), ids__npy=npy(np.arange(12)))
    with pytest.raises(DataError, match=r"features \(x.npy\), labels \(y.npy\) and ids.npy: .* name them as X,Y"):
        data.open_source(str(tmp_path))
    fill(tmp_path / "b", x_a__npy=npy(PIXELS), x_b__npy=npy(PIXELS + 1), y_b__npy=npy(DIGITS), y_c__npy=npy(DIGITS))
    with pytest.raises(DataError, match=r"nothing says which belong together"):
        data.open_source(str(tmp_path / "b"))


def test_labels_in_files_of_other_formats_are_refused(tmp_path):
    fill(tmp_path, x__npy=npy(PIXELS), y__csv="1\n2\n", x__csv="1.5,2\n3,4\n", y__npy=npy(DIGITS))
    for pair in ("x.npy,{}/y.csv", "x.csv,{}/y.npy"):
        with pytest.raises(DataError, match=r"/y.(csv|npy): labels in .*, and features in .* \(x.(npy|csv)\)"):
            data.open_source(f"{tmp_path}/{pair}".format(tmp_path))
    with pytest.raises(DataError, match=r"label 'y', but the labels have a file of their own"):
        data.open_source(f"{tmp_path}/x.npy,{tmp_path}/y.npy", {"label": "y"})


def test_labels_beside_lone_arrays_are_not_passed_over(tmp_path):
    fill(tmp_path, x__npy=npy(RNG.normal(size=(4, 3))), labels__txt="cat\ndog\ncat\ndog\n")
    with pytest.raises(DataError, match=r"labels.txt may hold the labels of x.npy, but is no npy file"):
        data.open_source(str(tmp_path))


def test_labels_that_are_not_wanted_are_not_judged(tmp_path):
    x = RNG.normal(size=(4, 3))
    fill(tmp_path / "a", x__npy=npy(x), labels__txt="cat\ndog\ncat\ndog\n")
    fill(tmp_path / "b", x__npy=npy(x), y__npy=npy(np.array([b"\xff", b"b"])))
    np.savez(tmp_path / "c.npz", x=x, y=DIGITS, target=np.array([{}, 1], object))
    train = data.Arrays(x, ["a", "b", "a", "b"])
    schema = data.fit(data.summarise(train, train.splits(1)[0]), Spec())
    for path in ("a", "b", "c.npz"):
        source = data.open_source(str(tmp_path / path), schema=schema, labels=False)
        (block,) = source.read(source.splits(1)[0])
        assert block.x.tolist() == x.tolist()
        assert block.y is None


def test_json_is_refused_as_such(tmp_path):
    fill(tmp_path, a__json='{"a": 1}', b__csv="<=50K,1.5,2\n>50K,2,3.5\n")
    with pytest.raises(DataError, match=r"a.json: JSON, but not an object a line .*--format json"):
        data.open_source(f"{tmp_path}/a.json")
    assert count(f"{tmp_path}/b.csv", {"label": "0"}) == 2


def test_folders_below_are_read_or_named(tmp_path):
    pictures(tmp_path / "deep" / "data")
    with pytest.raises(DataError, match=r"data holds folders of images: name it"):
        data.open_source(str(tmp_path / "deep"))
    fill(tmp_path / "years", a_in_1__csv=ROWS, b_in_1__csv=MORE)
    assert count(tmp_path / "years") == count(f"{tmp_path}/years/*/*.csv") == 24
    (tmp_path / "none" / "below").mkdir(parents=True)
    with pytest.raises(DataError, match=r"folders \(below\) that hold no images.*name one of them, or their files"):
        data.open_source(str(tmp_path / "none"))


def test_idx_files_are_paired_by_their_dimensions(tmp_path):
    fill(tmp_path, a=idx(PIXELS), b=idx(DIGITS))
    assert count(tmp_path) == 12
    assert data.open_source(str(tmp_path)).reading["label_by"] == "own file"
