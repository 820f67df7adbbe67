"""Readers: every format gives the samples that were written, whatever the packing and the number of shards."""

import bz2
import gzip
import os
import random
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hdl import data
from hdl.data.base import split_evenly
from hdl.data.block import Bad
from hdl.data.streams import Stream, line_blocks
from hdl.errors import DataError

DATA = Path(os.environ.get("HDL_DATA", Path(__file__).parents[3] / "shared/data"))
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"no data in {DATA}: set HDL_DATA")


def read(path, options=None, shards=1, schema=None):
    """x (dense) and y of all shards, in order, and the samples of each."""
    source = data.open_source(str(path), options, schema)
    parts = [list(source.read(splits)) for splits in source.splits(shards)]
    blocks = [block for part in parts for block in part]
    xs = [block.x.dense() if isinstance(block.x, data.Csr) else block.x for block in blocks]
    width = max(x.shape[1] for x in xs)
    x = np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in xs])
    y = None if blocks[0].y is None else np.concatenate([block.y for block in blocks])
    return x, y, [sum(map(len, part)) for part in parts]


@given(
    lines=st.lists(st.text("ab \r", max_size=12), max_size=12),
    mark=st.booleans(),
    last=st.booleans(),
    shards=st.integers(1, 9),
    longest=st.integers(4, 14),
)
@settings(max_examples=150, deadline=None)
def test_each_line_is_read_once(tmp_path_factory, lines, mark, last, shards, longest):
    """Whatever the splits and the size of what is read at a time; lines that are too long are counted once."""
    text = ("\n".join(lines) + "\n" * last).encode()
    path = tmp_path_factory.getbasetemp() / "lines"
    path.write_bytes(b"\xef\xbb\xbf" * mark + text)
    bad, got = Bad(1000), b""
    for part in split_evenly([path.stat().st_size], shards):
        for _, start, length in part:
            for _, block in line_blocks(str(path), start, length, longest, bad):
                got += block
    whole = text.split(b"\n")
    assert [line for line in got.split(b"\n") if line] == [line for line in whole if line and len(line) <= longest]
    assert bad.count == sum(len(line) > longest for line in whole)


@given(st.lists(st.integers(0, 50), max_size=6), st.integers(1, 12))
def test_cuts_are_balanced_and_complete(lengths, shards):
    parts = split_evenly(lengths, shards)
    sizes = [sum(length for *_, length in part) for part in parts]
    assert len(parts) == shards
    assert max(sizes) - min(sizes) <= 1
    where = [(number, i) for part in parts for number, start, length in part for i in range(start, start + length)]
    assert where == [(number, i) for number, n in enumerate(lengths) for i in range(n)]


X = np.array([[1.5, -2, 0], [0, 4e-3, 7], [1e10, 0, -0.0], [3, 1, 2], [5, 5, 5]], np.float32)
Y = ["cat", "dog", "cat", "cow", "dog"]
ROWS = "".join(f"{a!r},{b!r},{c!r},{label}\n" for (a, b, c), label in zip(X.tolist(), Y, strict=True))
PACKED = [(".csv", bytes), (".csv.gz", gzip.compress), (".csv.bz2", bz2.compress),
          (".csv.zst", lambda raw: pa.compress(raw, "zstd", asbytes=True)), ("", bytes)]  # fmt: skip


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
@pytest.mark.parametrize("shards", [1, 2, 5, 40])
def test_csv_in_any_packing(tmp_path, suffix, pack, shards):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pack(ROWS.encode()))
    x, y, sizes = read(path, shards=shards)
    np.testing.assert_array_equal(x, X)
    assert x.dtype == np.float64  # whoever keeps samples rounds
    assert y.tolist() == Y
    assert len(sizes) == shards


@pytest.mark.parametrize(
    "text",
    [
        ROWS.replace("\n", "\r\n"),
        "\ufeff" + ROWS,
        ROWS.rstrip("\n"),
        ROWS.replace("\n", "\n\n"),
        "a,b,c,label\n" + ROWS,
        "\ufeffa,b,c,label\r\n" + ROWS,
        '"a","b","c","kind"\n' + ROWS,
        ROWS.replace(",", "\t"),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "  ").replace("\n", " \n"),
        ROWS.replace(",", " , "),
        ROWS.replace("cat", '"cat"').replace("1.5", '"1.5"').replace("7.0", "+7"),
    ],
)
@pytest.mark.parametrize("shards", [1, 3])
def test_csv_as_people_write_it(tmp_path, text, shards):
    (tmp_path / "a.txt").write_bytes(text.encode())
    x, y, _ = read(tmp_path / "a.txt", shards=shards)
    np.testing.assert_array_equal(x, X)
    assert y.tolist() == Y


@pytest.mark.parametrize(
    ("text", "options", "names", "n"),
    [
        ("1,2,0\n3,4,1\n", {}, None, 2),
        ("1,2,a\n3,4,b\n", {}, None, 2),
        ("0,1,label\n3,4,1\n", {}, ["0", "1"], 1),
        ("a,b,c\n3,4,1\n", {}, ["a", "b"], 1),
        ("a,b,c\n3,4,x\n", {}, ["a", "b"], 1),
        ("1,2,3\n3,4,1\n", {"header": True}, ["1", "2"], 1),
        ("y,a,b\n1,4,5\n", {}, ["a", "b"], 1),
        ("a,Class,b\n1,4,5\n", {}, ["a", "b"], 1),
    ],
)
def test_headers(tmp_path, text, options, names, n):
    (tmp_path / "a.csv").write_text(text)
    source = data.open_source(str(tmp_path / "a.csv"), options)
    assert source.names == names
    assert sum(map(len, source.read(source.splits(1)[0]))) == n


def test_a_bad_first_line_is_not_taken_for_a_header_in_silence(tmp_path):
    (tmp_path / "a.csv").write_text("1,x,3,0\n1,2,3,1\n")
    with pytest.raises(DataError, match=r"a.csv:1: .*\('x' stands above numbers, and 1 does too\); --header or --no"):
        data.open_source(str(tmp_path / "a.csv"))
    source = data.open_source(str(tmp_path / "a.csv"), {"header": False})
    with pytest.raises(DataError, match=r"a.csv:1: column 2: 'x' is not a number"):
        list(source.read(source.splits(1)[0]))


@pytest.mark.parametrize(
    ("label", "x", "y"),
    [
        ("b", [[1, 3, 4], [5, 7, 8]], ["2", "6"]),
        ("0", [[2, 3, 4], [6, 7, 8]], ["1", "5"]),
        ("-2", [[1, 2, 4], [5, 6, 8]], ["3", "7"]),
        ("d,a", [[2, 3], [6, 7]], [[4, 1], [8, 5]]),
        ("", [[1, 2, 3], [5, 6, 7]], ["4", "8"]),
    ],
)
def test_label_columns(tmp_path, label, x, y):
    (tmp_path / "a.csv").write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")
    got = read(tmp_path / "a.csv", {"label": label} if label else None)
    assert got[0].tolist() == x
    assert got[1].tolist() == y


def test_floats_are_pythons(tmp_path):
    """Values equal float(text), on the fast path and on the careful one."""
    draw = random.Random(1)
    texts = [repr(struct.unpack("<f", draw.randbytes(4))[0]) for _ in range(3000)]
    texts += [f"{draw.uniform(-1, 1):.{draw.randint(1, 22)}e}" for _ in range(3000)]
    texts += ["1.00000017881393432617187499", "1.00000017881393432617187500", "3.4028235e38", "1e-46", "-0"]
    texts = [text for text in texts if "n" not in text]
    expected = np.array([float(text) for text in texts])
    for tail in ("", "bad,1,0\n"):
        (tmp_path / "a.csv").write_text("".join(f"{text},1,0\n" for text in texts) + tail)
        x, _, _ = read(tmp_path / "a.csv", {"max_bad_records": 1})
        np.testing.assert_array_equal(x[:, 0].copy().view(np.int64), expected.view(np.int64))


def test_folders_globs_and_parts(tmp_path):
    for number, name in enumerate(["part-1", "part-0", "_SUCCESS", ".part-0.crc", "README.md", "part-2"]):
        (tmp_path / name).write_text(f"{number},1,0\n" if name != "part-2" else "")
    assert read(tmp_path)[0][:, 0].tolist() == [1, 0]
    assert read(tmp_path / "part-*")[0][:, 0].tolist() == [1, 0]
    both = tmp_path / "both"
    both.mkdir()
    for number, name in enumerate(["train.csv", "test.csv"]):
        (both / name).write_text(f"{number},1,0\n")
    assert read(both)[0].tolist() == [[0, 1]]
    assert read(f"{both}:train")[0].tolist() == [[0, 1]]
    assert read(f"{both}:test")[0].tolist() == [[1, 1]]
    with pytest.raises(DataError, match=r"the folder has no test part; it holds"):
        read(f"{tmp_path}:test")
    with pytest.raises(DataError, match=r"a csv file has no parts"):
        read(f"{both}/train.csv:test")


def test_a_header_in_each_file_or_in_the_first_only(tmp_path):
    (tmp_path / "0.csv").write_text("a,b,y\n1,2,0\n")
    (tmp_path / "1.csv").write_text("a,b,y\n3,4,1\n")
    (tmp_path / "2.csv").write_text("5,6,1\n")
    assert read(tmp_path, shards=4)[0].tolist() == [[1, 2], [3, 4], [5, 6]]


SPARSE = np.array([[0, 1.5, 0, 0, -2], [0, 0, 0, 0, 0], [3, 0, 0, 1e-3, 0], [0, 0, 0, 0, 9]], np.float32)


def libsvm(comment=""):
    rows = [" ".join(f"{j + 1}:{row[j]:.9g}" for j in np.flatnonzero(row)) for row in SPARSE]
    labels = ["+1", "-1", "2.5", "-1"]
    return "".join(f"{label} {row} {comment}\n" for label, row in zip(labels, rows, strict=True))


@pytest.mark.parametrize("text", [libsvm(), libsvm("# note"), libsvm().replace("\n", "\r\n\n"), libsvm().strip()])
@pytest.mark.parametrize("shards", [1, 3])
def test_libsvm(tmp_path, text, shards):
    (tmp_path / "a").write_bytes(text.encode())
    source = data.open_source(str(tmp_path / "a"))
    assert source.format == "libsvm"
    x, y, _ = read(tmp_path / "a", shards=shards)
    np.testing.assert_array_equal(x.astype(np.float32), SPARSE)
    assert y.tolist() == [1, -1, 2.5, -1]


def test_csr_rows():
    dense = (np.arange(60).reshape(10, 6) % 4 == 0) * np.arange(60, dtype=np.float32).reshape(10, 6)
    rows, columns = np.nonzero(dense)
    indptr = np.searchsorted(rows, np.arange(11)).astype(np.int64)
    csr = data.Csr(dense[rows, columns], columns.astype(np.int32), indptr, 6)
    np.testing.assert_array_equal(csr.dense(), dense)
    for take in (slice(2, 7), slice(8, 3), slice(None, None, 3), np.array([5, 0, 0, 9]), dense[:, 0] > 10):
        np.testing.assert_array_equal(csr[take].dense(), dense[take])


def test_npy_and_npz(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), np.array([0, 1, 2, 0, 1, 2, 0])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    for path in (tmp_path, f"{tmp_path}/x.npy,{tmp_path}/y.npy"):
        got = read(path, shards=3)
        np.testing.assert_array_equal(got[0], x)
        assert got[1].tolist() == y.tolist()
        assert got[2] == [2, 2, 3]
    np.save(tmp_path / "xy.npy", np.c_[x, y])
    assert read(tmp_path / "xy.npy")[1].tolist() == y.tolist()
    images = rng.integers(0, 255, (7, 2, 3), np.uint8)
    save = np.savez_compressed
    save(tmp_path / "a.npz", x_train=images, y_train=np.array(Y + Y)[:7], x_test=images[:2], y_test=y[:2])
    got = read(tmp_path / "a.npz", shards=2)
    np.testing.assert_array_equal(got[0], images.reshape(7, 6))
    assert got[0].dtype == np.uint8
    assert got[1].tolist() == (Y + Y)[:7]
    assert len(read(f"{tmp_path}/a.npz:test")[0]) == 2
    assert data.open_source(str(tmp_path / "a.npz")).image == (2, 3, 1)


def test_parquet_columns(tmp_path):
    n = 1000
    table = pa.table({"a": np.arange(n), "y": [Y[i % 5] for i in range(n)], "b": np.arange(n) / 7})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=130)
    pq.write_table(table.slice(0, 9), tmp_path / "b.parquet")
    x, y, sizes = read(tmp_path, shards=7)
    np.testing.assert_array_equal(x[:n], np.c_[np.arange(n), np.arange(n) / 7])
    assert y[n:].tolist() == [Y[i % 5] for i in range(9)]
    assert max(sizes) - min(sizes) <= 1
    pq.write_table(pa.table({"a": np.uint8([1, 2]), "b": [True, False], "y": [0, 1]}), tmp_path / "c.parquet")
    assert read(tmp_path / "c.parquet")[0].dtype == np.uint8


def test_images_by_class(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (6, 4, 5, 3), np.uint8)
    for i in range(6):
        folder = tmp_path / f"class{i % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels[i]).save(folder / f"{i}.png")
    x, y, sizes = read(tmp_path, shards=4)
    np.testing.assert_array_equal(x, pixels[[0, 2, 4, 1, 3, 5]].reshape(6, 60))
    assert y.tolist() == ["class0"] * 3 + ["class1"] * 3
    assert sizes == [1, 2, 1, 2]
    assert data.open_source(str(tmp_path)).image == (4, 5, 3)


@real
@pytest.mark.parametrize(
    ("name", "shape", "counts"),
    [
        ("mnist:test", (10000, 784), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]),
        ("optdigits", (3823, 64), [376, 389, 380, 389, 387, 376, 377, 387, 380, 382]),
        ("optdigits:test", (1797, 64), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
        ("heart_scale", (270, 13), [150, 120]),
        ("ex4", (5000, 400), [500] * 10),
    ],
)
def test_real_data(name, shape, counts):
    x, y, sizes = read(DATA / name, shards=3)
    assert x.shape == shape
    y = y.argmax(axis=1) if y.ndim == 2 else [int(label) for label in y]
    assert np.unique(y, return_counts=True)[1].tolist() == counts
    assert sum(sizes) == shape[0]
    whole = read(DATA / name)
    np.testing.assert_array_equal(x, whole[0])


def test_a_packed_file_that_goes_on_in_the_next_split_is_unpacked_once(tmp_path, monkeypatch):
    x = np.arange(60, dtype=np.uint8).reshape(20, 3)
    for name, array in (("train-images.idx", x), ("train-labels.idx", np.arange(20, dtype=np.uint8))):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(head + array.tobytes()))
    source = data.open_source(str(tmp_path))
    opened, closed = [], []

    class Counted(Stream):
        def __init__(self, path):
            super().__init__(path)
            opened.append(path)

        def close(self):
            super().close()
            closed.append(self.path)

    monkeypatch.setattr("hdl.data.records.Stream", Counted)
    splits = source.splits(5)

    def rows(numbers):
        return np.concatenate([block.x for number in numbers for block in source.read(splits[number])])

    with source.in_turn():
        assert (rows([1, 2, 4]) == x[[*range(4, 12), *range(16, 20)]]).all()
        assert len(opened) == 2  # features and labels
        assert (rows([3, 0]) == x[[*range(12, 16), *range(4)]]).all()  # what lies before is read from the beginning
        assert len(opened) == 6
        next(iter(source.read(splits[1])))  # of which the end is not asked for
    assert sorted(opened) == sorted(closed)
    opened.clear()
    assert (rows(range(5)) == x).all()
    assert len(opened) == 10


@pytest.mark.parametrize(("suffix", "pack"), PACKED[1:4])
def test_streams_joined_end_to_end(tmp_path, suffix, pack):
    """As `cat a.gz b.gz` and engines write them."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pack(ROWS.encode()) + pack(ROWS.encode()))
    assert read(path, shards=2)[1].tolist() == Y + Y


def test_libsvm_rows_without_features(tmp_path):
    (tmp_path / "a").write_text("1\n-1 2:3\n")
    assert read(tmp_path / "a")[0].tolist() == [[0, 0], [0, 3]]
