"""What a command names is unpacked while it is imported: readers get the same bytes, and what is damaged is told."""

import gzip
import io
import os
import threading
import zlib

import numpy as np
import pytest

from hdl import data, unpacked
from hdl.__main__ import main
from hdl.data.block import Bad
from hdl.data.store import Growing
from hdl.data.streams import open_stream
from hdl.errors import DataError
from tests.unit.bad_input import idx, write_idx

TEXT = np.random.default_rng(0).integers(0, 9, 200_000).astype(np.uint8).tobytes()


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    yield
    unpacked.end()


def begun(*words):
    """Begin, and wait for the thread."""
    unpacked.begin(map(str, words))
    for thread in threading.enumerate():
        if thread.name == "hdl-unpack":
            thread.join(60)


@pytest.mark.parametrize("kind", ["gzip", "deflate"])
@pytest.mark.parametrize("zeros", [0, 1, 2 << 20])
def test_streams_follow_each_other(kind, zeros):
    pack = gzip.compress if kind == "gzip" else zlib.compress
    packed = pack(TEXT) + bytes(zeros) + pack(b"more") + bytes(zeros)
    stream = unpacked.Inflated(io.BytesIO(packed), kind)
    parts = [*iter(lambda: stream.read(70_001), b"")]
    assert max(map(len, parts)) <= 70_001
    assert b"".join(parts) == TEXT + b"more"


@pytest.mark.parametrize("cut", [-1, -9, 20])
def test_a_stream_without_an_end_is_told(cut):
    stream = unpacked.Inflated(io.BytesIO(gzip.compress(TEXT)[:cut]), "gzip")
    with pytest.raises(EOFError):
        [*iter(lambda: stream.read(1 << 20), b"")]


def test_readers_get_what_was_unpacked_until_one_has_read_it(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(TEXT))
    begun(tmp_path)
    for _ in range(2):
        with open_stream(str(path)) as stream:
            assert isinstance(stream.file, unpacked.Kept)
            assert (bytes(stream.view(5)), stream.read(4), stream.skip(7), stream.at) == (TEXT[:5], TEXT[5:9], 7, 16)
    with open_stream(str(path)) as stream:
        assert stream.read(1 << 30) == TEXT
    with open_stream(str(path)) as stream:
        assert isinstance(stream.file, unpacked.Inflated)
        assert stream.read(1 << 30) == TEXT


def test_a_file_that_was_changed_meanwhile_is_read_anew(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(TEXT))
    begun(path)
    path.write_bytes(gzip.compress(b"other"))
    with open_stream(str(path)) as stream:
        assert stream.read(1 << 30) == b"other"


def test_what_is_too_large_is_left_to_its_reader(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked, "MOST", len(TEXT) + 9)
    for name, content in ("large", TEXT + TEXT), ("fits", TEXT), ("rest", b"0123456789"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    begun(tmp_path)
    kinds = []
    for name in "large", "fits", "rest":
        with open_stream(str(tmp_path / f"{name}.gz")) as stream:
            kinds.append(type(stream.file))
    assert kinds == [unpacked.Inflated, unpacked.Kept, unpacked.Inflated]


def test_damage_is_told_by_who_reads_it(tmp_path):
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(packed)
    begun(tmp_path)
    wrong = pytest.raises(DataError, match=r"a.gz: truncated or corrupt gzip")
    with wrong, open_stream(str(tmp_path / "a.gz")) as stream:
        stream.read(1 << 30)


def test_a_shard_of_unpacked_images_is_no_copy(tmp_path, monkeypatch):
    monkeypatch.setattr("hdl.data.records.BLOCK_BYTES", 50_000)
    rng = np.random.default_rng(1)
    images, labels = rng.integers(0, 9, (300, 28, 28)).astype(np.uint8), rng.integers(0, 10, 300).astype(np.uint8)
    write_idx(tmp_path, idx(images), idx(labels), packed=True)
    shards = []
    for ahead in False, True:
        if ahead:
            begun(tmp_path)
        source = data.open_source(str(tmp_path))
        splits = source.splits(1)[0]
        blocks = [*source.read(splits, Bad(0))]
        assert len(blocks) > 1
        x = Growing(np.uint8, 784)
        for block in blocks:
            x.append(block.x)
        shards.append(x.array())
        assert (np.shares_memory(x.array(), blocks[-1].x), x.array().flags.owndata) == (ahead, not ahead)
    np.testing.assert_array_equal(shards[0], images.reshape(-1, 784))
    np.testing.assert_array_equal(shards[1], shards[0])


def test_rows_that_are_no_neighbours_are_copied():
    held = bytes(range(60))
    rows = np.frombuffer(held, np.uint8).reshape(-1, 5)
    for parts in ([rows[:2], rows[3:5]], [rows[:2], rows[2:4], np.ones((3, 5), np.uint8)], [rows[4:], rows[:4]]):
        x = Growing(np.uint8, 5)
        for part in parts:
            x.append(part)
        np.testing.assert_array_equal(x.array(), np.concatenate(parts))
    assert held == bytes(range(60))


def test_a_command_begins_with_the_files_before_its_flags(tmp_path, monkeypatch):
    for name in "a", "b", "out":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.gz").write_bytes(gzip.compress(TEXT))
    a, b, out = (str(tmp_path / name) for name in ("a", "b", "out"))
    begun_with = []
    monkeypatch.setattr(unpacked, "begin", lambda words: begun_with.extend(words))
    monkeypatch.setattr("hdl.quick.begin", lambda: None)
    monkeypatch.setattr("hdl.cli.main", lambda: None)
    monkeypatch.setattr("sys.argv", ["hdl", "evaluate", a, b, "--json", out])
    main()
    assert begun_with == [a, b]
    monkeypatch.setattr("sys.argv", ["hdl", "train", a, "--runner", "yarn", "--dry-run"])
    monkeypatch.setattr("hdl.yarn.client.connection.asked_for", lambda words: False)
    main()
    assert begun_with == [a, b]
