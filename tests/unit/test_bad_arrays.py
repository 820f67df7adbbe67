"""Damaged idx, npy, npz, Parquet and image files are refused with the place and what was expected."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hdl.errors import DataError
from tests.unit.bad_input import IMAGES, LABELS, everything, idx, write_idx

IDX = [
    ("magic", b"\0\1" + IMAGES[2:], LABELS, r"at byte 0: the file starts with 00 01 08 03; expected an idx magic"),
    ("type", IMAGES[:2] + b"\7" + IMAGES[3:], LABELS, r"starts with 00 00 07 03; expected an idx magic"),
    ("header", IMAGES[:9], LABELS, r"images-idx3-ubyte(.gz)? at byte 9: the file ends in its header"),
    ("short", IMAGES[:-5], LABELS, None),
    ("promise", IMAGES[:4] + struct.pack(">3I", 2**32 - 1, 2**16, 2**16) + IMAGES[16:], LABELS, None),
    ("width", IMAGES[:4] + struct.pack(">3I", 4, 2**31, 2**31) + IMAGES[16:], LABELS, None),
    ("none", IMAGES[:4] + struct.pack(">3I", 4, 0, 3), LABELS, r"dimensions \(4, 0, 3\); expected none of 0"),
    ("more", IMAGES + b"1", LABELS, None),
    ("count", IMAGES, idx(np.uint8([0, 1, 0])), r"labels-idx1-ubyte(.gz)? at byte 0: 3 labels, but 4 samples"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "images", "labels", "message"), IDX, ids=[name for name, *_ in IDX])
@pytest.mark.parametrize("packed", [False, True])
def test_idx(tmp_path, name, images, labels, message, packed):
    if name in ("promise", "width") and packed:
        labels = LABELS[:4] + images[4:8] + LABELS[8:]  # as many labels are promised
    write_idx(tmp_path, images, labels, packed)
    if message is None:
        unpacked, compressed = (
            r"the header promises \S+ of uint8 \(\d+ bytes\); the file has",
            r"file ends in record|goes on after the 4 rec",
        )
        message = compressed if packed else unpacked
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        everything(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 30 << 20  # what is promised is not allocated
    tracemalloc.stop()


def npy(array, **kwargs):
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def header(descr, shape, order=False):
    text = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


NPY = [
    ("object", npy(np.array([{}, 1], object), allow_pickle=True), r"x.npy at byte 0: .*which hdl never unpickles"),
    ("promise", header("<f4", (2**40, 2**20)) + b"\0" * 64, r"the header promises 1099511627776x1048576 of float32"),
    ("fortran", npy(np.asfortranarray([[1, 2, 0], [np.nan, 4, 1]])), r"x.npy record 2: feature 1 is nan; expected a"),
    ("scalar", npy(np.float32(3)), r"a single number; expected an array of samples"),
    ("complex", npy(np.ones((3, 2), complex)), r"an array of complex128; expected numbers"),
    ("text", npy(np.array([["a", "b"]])), r"features of type <U1, expected numbers"),
    ("header", b"\x93NUMPY\1\0\xff\x00{'descr'", r"not a .npy header"),
    ("nan", npy(np.array([[1, 2, 0], [np.nan, 4, 1]])), r"x.npy at byte 152: feature 1 is nan; expected a finite"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "raw", "message"), NPY, ids=[name for name, *_ in NPY])
def test_npy(tmp_path, name, raw, message):
    (tmp_path / "x.npy").write_bytes(raw)
    with pytest.raises(DataError, match=message):
        everything(tmp_path / "x.npy")


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(3))
    with pytest.raises(DataError, match=r"a.npz: the archive holds a.npy; expected x, x_train"):
        everything(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header("<f4", (1000, 1000)) + b"\0" * 400)
    with pytest.raises(DataError, match=r"x.npy: the header promises 1000x1000 of float32"):
        everything(path)
    np.savez(path, x=np.random.default_rng(0).normal(size=(500, 4)), y=np.arange(500) % 2)
    raw = bytearray(path.read_bytes())
    raw[3000] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"a.npz: x.npy: corrupt .*CRC"):
        everything(path)
    path.write_bytes(raw[:2000])
    with pytest.raises(DataError, match=r"a.npz: truncated or corrupt zip"):
        everything(path)


PARQUET = [
    ({"a": [[1, 2], [3], []], "y": [0, 1, 0]}, r"no column is left .*\n.*'a'.*: lists of several lengths"),
    ({"a": [{"u": []}] * 3, "y": [0, 1, 0]}, r"no column is left .*\n.*'a.u'.*: nested"),
    ({"a": [1.0, float("inf"), 3.0], "y": [0, 1, 0]}, r"record 2: feature 'a' is inf; expected a finite"),
]


@pytest.mark.parametrize(("columns", "message"), PARQUET)
def test_parquet(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet.*" + message):
        everything(tmp_path / "a.parquet")


def test_parquet_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=9999), "y": np.arange(9999) % 2}), path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1000])
    with pytest.raises(DataError, match=r"a.parquet: truncated or corrupt Parquet"):
        everything(path)


def picture(path, size=(4, 3), mode="L"):
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, 7).save(path)


def test_images(tmp_path):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        picture(tmp_path / name)
    assert everything(tmp_path)[0].samples == 3
    picture(tmp_path / "dog/2.png", (5, 3))
    with pytest.raises(DataError, match=r"dog/2.png: an image of 3x5 in grey; expected 3x4 in grey"):
        everything(tmp_path)
    Image.new("RGB", (4, 3)).save(tmp_path / "dog/2.png")
    with pytest.raises(DataError, match=r"dog/2.png: an image of 3x4 in colour; expected 3x4 in grey"):
        everything(tmp_path)
    (tmp_path / "dog/2.png").write_bytes((tmp_path / "cat/1.png").read_bytes()[:50])
    with pytest.raises(DataError, match=r"dog/2.png: not an image, or a damaged one"):
        everything(tmp_path)
    summary, _ = everything(tmp_path, {"max_bad_records": 1})
    assert summary.samples == 3
    assert "dog/2.png" in summary.places[0]


def test_image_bombs_are_not_decoded(tmp_path):
    picture(tmp_path / "a/1.png", (9000, 7500))
    picture(tmp_path / "b/1.png")
    with pytest.raises(DataError, match=r"a/1.png: an image of 7500x9000 in grey; expected at most"):
        everything(tmp_path)
