"""Text that Hadoop's codecs packed is read as it was, and damage in it is told."""

import struct
import zlib

import numpy as np
import pyarrow as pa
import pytest

from hdl import data
from hdl.data.streams import open_stream
from hdl.errors import DataError, Unavailable

cramjam = pytest.importorskip("cramjam")
ROWS = "".join(
    f"{a:.4f},{i % 7},{'ab'[i % 2]}\n" for i, a in enumerate(np.random.default_rng(0).random(20_000))
).encode()


def snappy(data):
    return pa.Codec("snappy").compress(data, asbytes=True)


def lz4(data):
    return bytes(cramjam.lz4.compress_block(data, store_size=False))


def hadoop(codec, block=65536, chunk=None):
    """As BlockCompressorStream writes it: length of a block, then its chunks behind their lengths."""
    out = b""
    for lo in range(0, len(ROWS), block):
        part = ROWS[lo : lo + block]
        out += struct.pack(">I", len(part))
        for at in range(0, len(part), chunk or block):
            packed = codec(part[at : at + (chunk or block)])
            out += struct.pack(">I", len(packed)) + packed
    return out


FILES = {
    "a.csv.snappy": lambda: hadoop(snappy), "chunks.csv.snappy": lambda: hadoop(snappy, 65536, 20000),
    "large.csv.snappy": lambda: hadoop(snappy, 1 << 20, 1 << 18),
    "framed.csv.snappy": lambda: bytes(cramjam.snappy.compress(ROWS)),
    "a.csv.lz4": lambda: hadoop(lz4), "chunks.csv.lz4": lambda: hadoop(lz4, 65536, 20000),
    "frame.csv.lz4": lambda: bytes(cramjam.lz4.compress(ROWS)), "a.csv.deflate": lambda: zlib.compress(ROWS),
    "two.csv.deflate": lambda: zlib.compress(ROWS[:400]) + zlib.compress(ROWS[400:]),
    "a.csv.zst": lambda: bytes(cramjam.zstd.compress(ROWS)),
}  # fmt: skip


def everything(path):
    source = data.open_source(path)
    return [*source.read(source.splits(1)[0])]


@pytest.mark.parametrize("name", FILES)
def test_packed_text_is_read_as_it_was(tmp_path, name):
    packed = FILES[name]()
    (tmp_path / name).write_bytes(packed)
    with open_stream(str(tmp_path / name)) as stream:
        assert stream.read(1 << 30) == ROWS
    (tmp_path / "plain.csv").write_bytes(ROWS)
    sources = [data.open_source(str(tmp_path / each)) for each in (name, "plain.csv")]
    assert sources[0].lengths() == sources[1].lengths() == [len(ROWS)]
    read = [np.concatenate([block.x for part in source.splits(3) for block in source.read(part)]) for source in sources]
    np.testing.assert_array_equal(read[0], read[1])
    (tmp_path / name).write_bytes(packed[: -len(packed) // 3])
    with pytest.raises(DataError, match=rf"{name}: truncated or corrupt (snappy|lz4|lz4 frame|deflate|zstd) "):
        everything(str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["snappy", "lz4", "deflate"])
def test_a_name_that_promises_what_is_not_there_is_told(tmp_path, suffix):
    (tmp_path / f"a.csv.{suffix}").write_bytes(ROWS)
    with pytest.raises(
        DataError, match=rf"a.csv.{suffix} at byte 0: the file starts with .*, expected the start of {suffix}"
    ):
        data.open_source(str(tmp_path / f"a.csv.{suffix}"))


def test_lengths_that_no_block_has_are_told(tmp_path):
    packed = hadoop(snappy)
    (tmp_path / "a.csv.snappy").write_bytes(packed + struct.pack(">II", 100, 1 << 30))
    with (
        pytest.raises(DataError, match="truncated or corrupt snappy"),
        open_stream(str(tmp_path / "a.csv.snappy")) as stream,
    ):
        stream.read(1 << 30)


def test_what_is_not_read_says_so(tmp_path, monkeypatch):
    (tmp_path / "a.csv.xz").write_bytes(b"\xfd7zXZ\0" + bytes(40))
    with pytest.raises(
        DataError,
        match=r"a.csv.xz at byte 0: packed by xz, which hdl does not read; gzip, bzip2, zstd, deflate, snappy",
    ):
        data.open_source(str(tmp_path / "a.csv.xz"))
    (tmp_path / "a.csv.lz4").write_bytes(hadoop(lz4))
    monkeypatch.setitem(__import__("sys").modules, "cramjam", None)
    with pytest.raises(
        Unavailable, match="Hadoop's LZ4 needs cramjam, which is not installed: pip install 'hdl-hadoop"
    ):
        data.open_source(str(tmp_path / "a.csv.lz4"))
    (tmp_path / "a.csv.snappy").write_bytes(hadoop(snappy))
    assert data.open_source(str(tmp_path / "a.csv.snappy")).lengths() == [len(ROWS)]


def test_hives_text(tmp_path):
    r"""Fields apart by \x01, missing ones as \N, no header: as Hive's default SerDe writes tables."""
    lines = "".join(f"{i}\x01{'uv'[i % 2] if i % 5 else chr(92) + 'N'}\x01{i % 2}\n" for i in range(50))
    (tmp_path / "000000_0").write_text(lines)
    source = data.open_source(str(tmp_path / "000000_0"), {"label": "-1"})
    assert source.reading["delimiter"] == "\x01"
    (block,) = source.read(source.splits(1)[0])
    assert block.x.others[0].to_pylist()[:6] == [None, "v", "u", "v", "u", None]
