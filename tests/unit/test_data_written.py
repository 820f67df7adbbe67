"""What is read is what was written: arrays of every type, order and packing, images, and folders with foreign files."""

import gzip
import io
import shutil
import struct
from itertools import count as numbers

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from hdl import data
from hdl.errors import DataError

some = settings(max_examples=60, deadline=None)
fresh = numbers()
ENDS = st.sampled_from("<>")
SIZES = {"b": (1,), "u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}
number_types = st.builds(
    lambda kind, size, end: np.dtype(f"{end}{kind}{SIZES[kind][size % len(SIZES[kind])]}"),
    st.sampled_from("buif"), st.integers(0, 3), ENDS,
)  # fmt: skip
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(str.strip)


def folder(tmp_path_factory):
    """A new empty folder for each example."""
    path = tmp_path_factory.getbasetemp() / f"written{next(fresh)}"
    path.mkdir()
    return path


def read(path, options=None, shards=2):
    source = data.open_source(str(path), options)
    blocks = [block for part in source.splits(shards) for block in source.read(part)]
    y = None if blocks[0].y is None else np.concatenate([block.y for block in blocks])
    rows = [block.x.dense() if isinstance(block.x, data.Csr) else block.x for block in blocks]
    return np.concatenate(rows), y, source


def values(dtype):
    if dtype.kind == "f":
        return hnp.from_dtype(dtype, allow_nan=False, allow_infinity=False, min_value=-1e4, max_value=1e4)
    return hnp.from_dtype(dtype)


@st.composite
def tables(draw, dims=(2, 4)):
    """Features of any type and shape [n, …], in C or Fortran order, and labels [n] of any type."""
    dtype = draw(number_types)
    shape = draw(hnp.array_shapes(min_dims=dims[0], max_dims=dims[1], min_side=1, max_side=4))
    x = draw(hnp.arrays(dtype, shape, elements=values(dtype)))
    if draw(st.booleans()):
        x = np.asfortranarray(x)
    kind = draw(st.sampled_from(["number", "U", "S"]))
    if kind == "number":
        y_type = draw(number_types)
        y = draw(hnp.arrays(y_type, draw(st.sampled_from([(len(x),), (len(x), 1)])), elements=values(y_type)))
    else:
        y = np.array(draw(st.lists(words, min_size=len(x), max_size=len(x))))
        y = y if kind == "U" else np.char.encode(y, "utf-8")
    return x, y


def npy(array, packed=False):
    file = io.BytesIO()
    np.save(file, array)
    return gzip.compress(file.getvalue()) if packed else file.getvalue()


def same_labels(read, written, real="f"):
    """Whether labels kept their values, and their kind of type."""
    written = written.reshape(len(written))
    if written.dtype.kind in "SU":
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in written.tolist()]
        assert read.dtype == object
        assert read.tolist() == texts
        return
    assert read.tolist() == written.tolist()
    assert read.dtype.kind in {"b": "b", "i": "i", "u": "iu", "f": real}[written.dtype.kind]


@given(table=tables(), packed=st.booleans(), shards=st.integers(1, 4))
@example((np.asfortranarray(np.arange(12, dtype=">i8").reshape(4, 3)), np.array([2**63 + 5] * 4, ">u8")), True, 3)
@some
def test_npy(tmp_path_factory, table, packed, shards):
    x, y = table
    path = folder(tmp_path_factory)
    for name, array in (("x", x), ("y", y)):
        (path / f"{name}.npy{'.gz' * packed}").write_bytes(npy(array, packed))
    got, labels, source = read(path, shards=shards)
    assert got.tolist() == x.reshape(len(x), -1).astype(np.float64).tolist()
    same_labels(labels, y)
    assert source.reading["label_type"] == {"U": "text", "S": "text", "b": "boolean"}.get(y.dtype.kind, "number")
    if x.ndim > 2:
        assert source.reading.get("depth") == {"u1": 255, "u2": 65535}.get(x.dtype.str[1:])
    shutil.rmtree(path)


@given(
    table=tables(),
    names=st.sampled_from([("x", "y"), ("x_train", "y_train"), ("train_images", "train_labels"), ("arr_0", "arr_1"),
                           ("X", "Y"), ("data", "target"), ("embeddings", "y")]),
    pack=st.sampled_from([np.savez, np.savez_compressed]),
    more=st.sampled_from(["ids", "x_test", "test_images", "val_labels", "mean"]),
)  # fmt: skip
@some
def test_npz(tmp_path_factory, table, names, pack, more):
    x, y = table
    path = folder(tmp_path_factory)
    other = {} if names[0] == "arr_0" else {more: np.arange(len(x) + 1)}
    pack(path / "a.npz", **dict(zip(names, table, strict=True)), **other)
    got, labels, source = read(path / "a.npz")
    assert got.tolist() == x.reshape(len(x), -1).astype(np.float64).tolist()
    same_labels(labels, y)
    assert all(more in line for line in source.left_out)
    assert bool(source.left_out) == bool(other)
    shutil.rmtree(path)


@given(
    x=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4)),
    label_type=st.sampled_from([(8, ">u1"), (9, ">i1"), (11, ">i2"), (12, ">i4")]),
    packed=st.sampled_from(["no", "yes", "both"]),
    draw=st.data(),
)
@some
def test_idx(tmp_path_factory, x, label_type, packed, draw):
    code, dtype = label_type
    y = draw.draw(hnp.arrays(np.dtype(dtype), len(x)))
    path = folder(tmp_path_factory)
    for name, array, kind in (("images", x, 8), ("labels", y, code)):
        raw = struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()
        for suffix in {"no": [""], "yes": [".gz"], "both": ["", ".gz"]}[packed]:
            file = path / f"train-{name}-idx{array.ndim}-ubyte{suffix}"
            file.write_bytes(gzip.compress(raw) if suffix else raw)
    got, labels, _ = read(path)
    assert got.tolist() == x.reshape(len(x), -1).tolist()
    assert labels.tolist() == y.tolist()
    shutil.rmtree(path)


names = st.one_of(
    st.integers(0, 300).map(str),
    st.integers(0, 99).map("{:03d}".format),
    st.sampled_from(["True", "1.0", "1e3", "nan", "licence plate", "mapping", "x", "labels", "ä ö", "data,csv"]),
)


@given(
    classes=st.lists(names, min_size=2, max_size=4, unique=True),
    kind=st.sampled_from(["grey", "colour", "deep"]),
    suffix=st.sampled_from(["png", "tiff", "PNG"]),
    draw=st.data(),
)
@some
def test_images(tmp_path_factory, classes, kind, suffix, draw):
    shape = (2 * len(classes), *draw.draw(st.sampled_from([(2, 3), (4, 4)])), *((3,) if kind == "colour" else ()))
    pixels = draw.draw(hnp.arrays(np.uint16 if kind == "deep" else np.uint8, shape))
    path = folder(tmp_path_factory)
    written = {}
    for number, name in enumerate(classes):
        (path / name).mkdir()
        for i in range(2):
            Image.fromarray(pixels[2 * number + i]).save(path / name / f"{i}.{suffix}")
            written[name, i] = pixels[2 * number + i].ravel().tolist()
    (path / "labels.csv").write_text("file,label\n0.5,1\n0.25,0\n")
    got, labels, source = read(path)
    order = sorted(written)
    assert labels.tolist() == [name for name, _ in order]
    assert got.tolist() == [written[key] for key in order]
    assert source.reading["label_type"] == "text"
    assert source.reading.get("depth") == (65535 if kind == "deep" else 255)
    assert source.left_out == ["labels.csv: a table beside folders of images"]
    shutil.rmtree(path)


@given(orientation=st.integers(1, 8), suffix=st.sampled_from(["png", "jpg", "webp", "tiff"]))
@settings(max_examples=32, deadline=None)
def test_images_are_turned_as_their_exif_says(tmp_path_factory, orientation, suffix):
    """A picture with one light corner, stored turned, comes out with it at the upper left."""
    upright = np.zeros((16, 32), np.uint8)
    upright[:8, :8] = 255
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
            6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1)}  # fmt: skip
    path = folder(tmp_path_factory)
    for name, turn in (("a", 1), ("b", orientation)):
        (path / name).mkdir()
        image = Image.fromarray(np.ascontiguousarray(undo[turn](upright)))
        exif = image.getexif()
        exif[0x0112] = turn
        image.save(path / name / f"1.{suffix}", exif=exif)
    x, _, source = read(path)
    channels = source.image[2]
    assert source.image[:2] == (16, 32)
    for row in x.reshape(2, 16, 32, channels)[..., 0]:
        np.testing.assert_allclose(row[1:7, 1:7], 255, atol=20)
        np.testing.assert_allclose(row[9:], 0, atol=20)
    shutil.rmtree(path)


FOREIGN = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    ".DS_Store": b"\0\1",
    "desktop.ini": b"[x]\na=b\n",
    "mapping.txt": b"0 48\n1 49\n",
    "zzz.txt": b"cat\ndog\n",
    "notes": b"Words of some length, and others.\nMore\nof, them, here, and, there\n",
    "a.json": b'{"x": [1, 2]}',
    "plot.png": b"\x89PNG\0",
    "a.crc": b"\0\0",
    "0.bin": bytes(range(256)),
    "_SUCCESS": b"",
    "empty": b"",
}


@st.composite
def folders(draw):
    """Samples of a format as files by name, how many there are, and some foreign files."""
    n, rng = draw(st.integers(3, 9)), np.random.default_rng(draw(st.integers(0, 99)))
    x, y = rng.normal(size=(n, 3)), np.arange(n) % 2
    format = draw(st.sampled_from(["csv", "libsvm", "npy", "npz", "parquet", "idx"]))
    if format in ("csv", "libsvm"):
        join = {"csv": "{1:.4f},{2:.4f},{3:.4f},{0}\n", "libsvm": "{0} 1:{1:.4f} 2:{2:.4f} 3:{3:.4f}\n"}[format]
        files = {
            f"part-0{draw(st.sampled_from(['', '.csv', '.dat']))}": "".join(
                join.format(c, *r) for r, c in zip(x, y, strict=True)
            ).encode()
        }
    elif format == "npy":
        files = {"x.npy": npy(x), "y.npy": npy(y)}
    elif format == "npz":
        file = io.BytesIO()
        np.savez(file, x=x, y=y)
        files = {"a.npz": file.getvalue()}
    elif format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"a": x[:, 0], "b": x[:, 1], "label": y}), sink)
        files = {"a.parquet": sink.getvalue().to_pybytes()}
    else:
        parts = (("images", np.uint8(x)[:, :, None]), ("labels", np.uint8(y)))
        files = {
            f"{name}-idx{a.ndim}-ubyte": struct.pack(f">4B{a.ndim}I", 0, 0, 8, a.ndim, *a.shape) + a.tobytes()
            for name, a in parts
        }
    return format, files, n, draw(st.lists(st.sampled_from(sorted(FOREIGN)), unique=True, max_size=5))


@given(case=folders())
@settings(max_examples=150, deadline=None)
def test_folders_with_foreign_files(tmp_path_factory, case):
    """The samples are read, each once, and every foreign file is told; or the refusal names what is in the way."""
    format, files, n, foreign = case
    path = folder(tmp_path_factory)
    for name, content in {**files, **{name: FOREIGN[name] for name in foreign}}.items():
        (path / name).write_bytes(content)
    try:
        x, y, source = read(path)
    except DataError as error:
        assert any(name in str(error) for name in foreign)  # noqa: PT017
        assert "name" in str(error) or "--format" in str(error)  # noqa: PT017
    else:
        assert source.format == format
        assert (len(x), len(y)) == (n, n)
        for name in foreign:
            assert name in "; ".join(source.left_out)
    shutil.rmtree(path)


@given(table=tables(), draw=st.data())
@some
def test_import_keeps_types(tmp_path_factory, table, draw):
    """What `hdl import` writes has the labels' type, the pixels' depth, and values that float32 rounds no further."""
    x, y = table
    path = folder(tmp_path_factory)
    for name, array in (("x", x), ("y", y)):
        (path / f"{name}.npy").write_bytes(npy(array))
    source = data.open_source(str(path))
    data.write_shards(source, str(path / "out"), shards=draw.draw(st.integers(1, 3)))
    got, labels, imported = read(path / "out")
    assert got.astype(np.float32).tolist() == x.reshape(len(x), -1).astype(np.float64).astype(np.float32).tolist()
    same_labels(labels, y, real="fi")  # whole numbers are written as such
    assert imported.reading["label_type"] == source.reading["label_type"]
    assert imported.reading.get("depth") == source.reading.get("depth")
    assert imported.image == source.image
    shutil.rmtree(path)
