"""Folders of images: classes by folders' names, parts, and what else stands in them."""

import struct
import zlib

import numpy as np
import pytest

from hdl import data
from hdl.errors import DataError
from hdl.spec import Spec
from tests.unit.folders import PIXELS, ROWS, THUMBS, count, fill, npy, parquet, pictures, png, told


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
