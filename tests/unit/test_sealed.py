"""Encrypted temporary data: what is written comes back, nothing of it is on the disk, and no change goes unseen."""

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import scratch, sealed
from hdl.errors import HdlError


def on_disk(file):
    return os.pread(file.fileno(), 1 << 30, 0)


@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 3), st.sampled_from(["u1", "f4", "i8"]), st.data())
def test_rows_come_back_however_they_are_asked_for(sizes, width, dtype, data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "SEGMENT", 48)
        expected = np.arange(sum(sizes) * width).reshape(-1, width).astype(dtype)
        rows, at = sealed.Rows(scratch.file("t"), dtype, (width,)), 0
        for size in sizes:
            rows.append(expected[at : at + size])
            at += size
        assert (len(rows), rows.shape, rows.nbytes) == (at, expected.shape, expected.nbytes)
        np.testing.assert_array_equal(np.asarray(rows), expected)
        low, high = data.draw(st.integers(0, at)), data.draw(st.integers(0, at))
        np.testing.assert_array_equal(rows[low:high], expected[low:high])
        if at:
            numbers = np.array(data.draw(st.lists(st.integers(0, at - 1), max_size=20)), np.int64)
            np.testing.assert_array_equal(rows[numbers], expected[numbers])
            np.testing.assert_array_equal(rows[expected[:, 0] % 2 == 0], expected[expected[:, 0] % 2 == 0])


def test_nothing_that_is_written_can_be_read_on_the_disk():
    secret = b"the patient's name and number " * 10_000
    with scratch.file("t") as file, scratch.file("t") as other:
        rows = sealed.Rows(file, np.uint8)
        rows.append(np.frombuffer(secret, np.uint8))
        rows.finish()
        stream = sealed.Stream(other)
        stream.write(secret)
        stream.seek(0)
        assert stream.read(100) == secret[:100]
        for content in (on_disk(file), on_disk(other)):
            assert len(content) > len(secret) - sealed.SEGMENT
            assert b"patient" not in content
        assert on_disk(file)[:1000] != on_disk(other)[:1000]


def damaged(content, how):
    step = 48 + sealed.TAG
    return {
        "a flipped bit": content[:70] + bytes([content[70] ^ 1]) + content[71:],
        "two segments exchanged": content[step : 2 * step] + content[:step] + content[2 * step :],
        "cut at a segment's end": content[: -(len(content) % step or step)],
        "cut within one": content[:-1],
        "one twice": content[:step] + content[:step] + content[2 * step :],
    }[how]


@pytest.mark.parametrize(
    "how", ["a flipped bit", "two segments exchanged", "cut at a segment's end", "cut within one", "one twice"]
)
def test_what_was_changed_on_the_disk_is_refused(monkeypatch, how):
    monkeypatch.setattr(sealed, "SEGMENT", 48)
    with scratch.file("t") as file:
        rows = sealed.Rows(file, np.uint8)
        rows.append(np.arange(200, dtype=np.uint8))
        rows.finish()
        content = damaged(on_disk(file), how)
        os.ftruncate(file.fileno(), 0)
        os.pwrite(file.fileno(), content, 0)
        with pytest.raises(HdlError, match="was changed on disk"):
            rows[:]


def test_no_nonce_is_used_twice_and_each_file_has_a_key(monkeypatch):
    from cryptography.hazmat.primitives.ciphers import aead

    used, keys, own = [], [], aead.AESGCM

    class Watched:
        generate_key = own.generate_key

        def __init__(self, key):
            keys.append(key)
            self.key, self.cipher = key, own(key)

        def encrypt(self, nonce, plain, more):
            used.append((self.key, nonce))
            return self.cipher.encrypt(nonce, plain, more)

        def decrypt(self, *arguments):
            return self.cipher.decrypt(*arguments)

    monkeypatch.setattr(aead, "AESGCM", Watched)
    monkeypatch.setattr(sealed, "SEGMENT", 16)
    for _ in range(3):
        rows = sealed.Rows(scratch.file("t"), np.uint8)
        for _ in range(20):
            rows.append(np.zeros(13, np.uint8))
        stream = sealed.Stream(scratch.file("t"))
        for _ in range(20):
            stream.write(bytes(13))
        assert (rows[:].sum(), stream.seek(0), stream.read(1)) == (0, 0, b"\0")
    assert len(keys) == len(set(keys)) == 6
    assert len(used) == len(set(used)) > 80


@pytest.mark.parametrize("size", [0, 1, 47, 48, 49, 96, 1000])
def test_a_stream_comes_back_with_its_beginning_written_over(monkeypatch, size):
    monkeypatch.setattr(sealed, "SEGMENT", 48)
    expected = bytearray(os.urandom(size))
    stream = sealed.Stream(scratch.file("t"))
    for low in range(0, size, 7):
        stream.write(expected[low : low + 7])
    if size > 20:
        stream.seek(0)
        stream.write(b"head")
        expected[:4] = b"head"
        stream.seek(0, os.SEEK_END)
        stream.write(b"end")
        expected += b"end"
    assert stream.tell() == len(expected)
    stream.seek(0)
    assert io.BufferedReader(stream).read() == expected


def test_a_row_that_is_not_there_is_an_error():
    rows = sealed.Rows(scratch.file("t"), np.uint8)
    rows.append(np.zeros(3, np.uint8))
    with pytest.raises(IndexError):
        rows[np.array([3])]
