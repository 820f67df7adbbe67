"""Which files of a folder are samples: what is left out is told, and two readings that are equally good are refused."""

import bz2
import gzip
import struct
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hdl import data
from hdl.errors import DataError
from hdl.spec import Spec


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 3, 2)).astype(np.uint8)
DIGITS = RNG.integers(0, 3, 12).astype(np.uint8)
ROWS = "".join(f"{a:.3f},{b:.3f},{'ab'[i % 2]}\n" for i, (a, b) in enumerate(RNG.normal(size=(12, 2))))
MORE = "".join(f"{a:.3f},{b:.3f},{'ab'[i % 2]}\n" for i, (a, b) in enumerate(RNG.normal(size=(12, 2))))
SVM = "1 1:0.5 3:2\n-1 2:1\n1 1:0.25\n"
THUMBS = b"\xd0\xcf\x11\xe0 thumbnails"


def fill(folder, **files):
    """Writes files; `__` in a name stands for a dot, `_in_` for a folder."""
    for name, content in files.items():
        path = folder / name.replace("_in_", "/").replace("__", ".").replace("_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


def parquet(rows=12):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": RNG.normal(size=rows), "label": np.arange(rows) % 2}), sink)
    return sink.getvalue().to_pybytes()


def npy(array):
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def count(path, options=None):
    source = data.open_source(str(path), options)
    return sum(len(block) for part in source.splits(1) for block in source.read(part))


def told(path, options=None):
    return "; ".join(data.open_source(str(path), options).left_out)


# Packed copies and files of the same bytes


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


# Foreign files


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


# Parts


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


# Folders of images


def pictures(folder, names=("cat", "dog"), each=2):
    for number, name in enumerate(names):
        for i in range(each):
            png(folder / name / f"{i}.png", PIXELS[number * each + i])
    return folder


@pytest.mark.parametrize(
    "beside",
    [
        {"labels__csv": ROWS},
        {"a__parquet": parquet()},
        {"Thumbs__db": THUMBS},
        {"x__npy": npy(PIXELS)},
        {"a__png": b""},
    ],
)
def test_folders_of_images_win_over_files_beside_them(tmp_path, beside):
    fill(pictures(tmp_path), **beside)
    source = data.open_source(str(tmp_path))
    assert (source.format, count(tmp_path)) == ("images", 4)
    assert next(iter(beside)).replace("__", ".").replace("_", "-") in "; ".join(source.left_out)


def test_the_table_beside_folders_of_images_can_be_asked_for(tmp_path):
    fill(pictures(tmp_path), labels__csv=ROWS)
    assert count(tmp_path, {"format": "csv"}) == 12
    assert told(tmp_path, {"format": "csv"}) == "cat/, dog/: a folder beside files of samples"


def test_classes_are_the_folders_names_as_text(tmp_path):
    pictures(tmp_path, ("01", "1", "10"))
    source = data.open_source(str(tmp_path))
    assert [label for block in source.read(source.splits(1)[0]) for label in block.y] == ["01"] * 2 + ["1"] * 2 + [
        "10"
    ] * 2
    assert (source.reading["label_type"], source.reading["label_by"]) == ("text", "folder")


def test_empty_folders_and_other_files_of_classes_are_told(tmp_path):
    fill(pictures(tmp_path), cat_in_notes__txt="x", dog_in_Thumbs__db=THUMBS, bird_in_readme__txt="x")
    (tmp_path / "cow").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    lines = data.open_source(str(tmp_path)).left_out
    assert "__MACOSX: an operating system's" in lines
    assert "bird/, cow/: 2 folders without images, so no classes" in lines
    assert any("3 files in the classes' folders that are no images" in line for line in lines)


def test_the_low_bytes_of_deep_colours_are_told_as_left_out(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"".join(b"\0" + struct.pack(">6H", 258, 515, 772, 60000, 60001, 60002) for _ in range(2)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0))
    for name in ("a", "b"):
        fill(tmp_path / name, **{"1__png": b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")})
    source = data.open_source(str(tmp_path))
    assert any("the low 8 bits" in line for line in source.left_out)
    assert next(source.read(source.splits(1)[0])).x[0, :3].tolist() == [1, 2, 3]


def test_parts_of_images(tmp_path):
    for part, each in (("train", 3), ("val", 1), ("test", 2)):
        pictures(tmp_path / part, each=each)
    (tmp_path / "labels.csv").write_text(ROWS)
    assert (count(tmp_path), count(f"{tmp_path}:test"), count(f"{tmp_path}:val")) == (6, 4, 2)
    assert "labels.csv: a table beside folders of images" in told(tmp_path)
    assert "test/: the test part" in told(tmp_path)


def test_images_in_no_class_are_refused(tmp_path):
    png(tmp_path / "a.png", PIXELS[0])
    with pytest.raises(DataError, match=r"holds 1 image \(a.png\); expected .*one folder of images for each class"):
        data.open_source(str(tmp_path))


def test_images_need_no_classes_where_no_labels_are_wanted(tmp_path):
    for i in range(3):
        png(tmp_path / "flat" / f"{i}.png", PIXELS[i])
    fill(tmp_path / "flat", notes__txt="some, words\nof it\nand, more, of\n")
    for path, n in ((tmp_path / "flat", 3), (tmp_path / "flat" / "1.png", 1), (f"{tmp_path}/flat/*.png", 3)):
        source = data.open_source(str(path), labels=False)
        blocks = list(source.read(source.splits(1)[0]))
        assert blocks[0].x[-1].tolist() == PIXELS[1 if n == 1 else 2].ravel().tolist()
        assert blocks[0].y is None
        assert count(path, {"labelled": False}) == n
        with pytest.raises(DataError, match="one folder of images for each class"):
            data.open_source(str(path))
    fill(tmp_path / "flat", a__csv=ROWS)
    with pytest.raises(DataError, match=r"samples and images: .*a.csv.*--format"):
        data.open_source(str(tmp_path / "flat"), labels=False)


def test_images_unlike_the_models_are_refused(tmp_path):
    """As many pixels in another shape, or brighter ones, would be answered all the same."""
    train = data.open_source(str(pictures(tmp_path / "train")))
    schema = data.fit(data.summarise(train, train.splits(1)[0]), Spec())
    for name, pixels, message in (
        ("wide", PIXELS[0].T, r"images of 2x3x1; the model was trained on images of 3x2x1"),
        ("deep", PIXELS[0].astype(np.uint16) * 250, r"pixels of up to 65535; .* up to 255"),
    ):
        png(tmp_path / name / "cat" / "1.png", np.ascontiguousarray(pixels))
        with pytest.raises(DataError, match=message):
            data.open_source(str(tmp_path / name), schema=schema)
    np.save(tmp_path / "x.npy", PIXELS.reshape(12, 6))
    assert data.open_source(str(tmp_path / "x.npy"), schema=schema, labels=False).image is None


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


# npz


def npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("name", ["x", "X", "x_train", "train_images", "data", "inputs"])
@pytest.mark.parametrize("label", ["y", "Y", "y_train", "train_labels", "targets"])
def test_usual_names_in_an_archive(tmp_path, name, label):
    path = npz(tmp_path / "a.npz", **{name: PIXELS, label: DIGITS, "ids": np.arange(12), "x_test": PIXELS[:5]})
    source = data.open_source(path)
    (block,) = source.read(source.splits(1)[0])
    np.testing.assert_array_equal(block.x, PIXELS.reshape(12, 6))
    assert block.y.tolist() == DIGITS.tolist()
    assert source.reading["label_by"] == f"array {label}"
    assert source.left_out == ["ids: neither features nor labels", "x_test: the test part of the archive"]


def test_archives_of_medmnist(tmp_path):
    sizes = {"train": 12, "val": 5, "test": 3}
    arrays = {f"{part}_images": PIXELS[:n] for part, n in sizes.items()}
    arrays |= {f"{part}_labels": DIGITS[:n, None] for part, n in sizes.items()}
    path = npz(tmp_path / "pathmnist.npz", **arrays)
    assert [count(f"{path}{part}") for part in ("", ":train", ":val", ":test")] == [12, 12, 5, 3]
    source = data.open_source(f"{path}:val")
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS[:5].tolist()]


def test_arrays_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", PIXELS, DIGITS)
    source = data.open_source(str(tmp_path / "a.npz"))
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS.tolist()]
    np.savez(tmp_path / "b.npz", np.c_[PIXELS.reshape(12, 6), DIGITS])
    source = data.open_source(str(tmp_path / "b.npz"))
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS.tolist()]
    np.savez(tmp_path / "c.npz", PIXELS, DIGITS, PIXELS, DIGITS)
    with pytest.raises(DataError, match=r"the archive holds arr_0.npy, arr_1.npy, arr_2.npy, arr_3.npy; expected x"):
        data.open_source(str(tmp_path / "c.npz"))
    np.savez(tmp_path / "d.npz", DIGITS, PIXELS)
    with pytest.raises(DataError, match=r"arr_0 holds one number a sample and arr_1 several"):
        data.open_source(str(tmp_path / "d.npz"))


def test_archives_with_two_readings_are_refused(tmp_path):
    for arrays in ({"x": PIXELS, "images": PIXELS}, {"x": PIXELS, "x_train": PIXELS}):
        with pytest.raises(DataError, match=r"x and (images|x_train) may each be features"):
            data.open_source(npz(tmp_path / "a.npz", **arrays, y=DIGITS))
    path = npz(tmp_path / "b.npz", data=PIXELS, label=DIGITS, target=DIGITS[::-1])
    with pytest.raises(DataError, match=r"label and target may each be labels \(--label says which\)"):
        data.open_source(path)
    source = data.open_source(path, {"label": "target"})
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS[::-1].tolist()]
    path = npz(tmp_path / "c.npz", data=PIXELS, fine_labels=DIGITS)
    assert data.open_source(path, {"label": "fine_labels"}).reading["label_by"] == "array fine_labels"
    with pytest.raises(DataError, match=r"the archive holds a.npy, b.npy; expected x, x_train"):
        data.open_source(npz(tmp_path / "d.npz", a=PIXELS, b=DIGITS))
    assert count(npz(tmp_path / "e.npz", embeddings=PIXELS, y=DIGITS)) == 12
