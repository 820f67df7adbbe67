"""Typed bytes: what is written for Streaming is what a mapper reads, and a cut stream is refused."""

import io
import struct

import numpy as np
import pyarrow as pa
import pytest

from hdl.data import Block, Csr, FileSplit, Options
from hdl.data.tabular.frame import Column, Frame
from hdl.errors import DataError
from hdl.runners import typed
from hdl.wire import blocks

BLOCKS = {
    "uint8": (np.arange(12, dtype=np.uint8).reshape(4, 3), np.arange(4)),
    "targets": (np.ones((2, 3), np.float32), np.eye(2, dtype=np.float32)),
    "sparse": (Csr(np.float32([5, 6]), np.int32([0, 2]), np.int64([0, 1, 2]), 3), np.float64([0.5, 1])),
    "text": (np.zeros((2, 1), np.float32), np.array(["cat", "höhle"], object)),
    "seconds": (np.array([[1.7e9 + 0.1], [1e-40]]), np.array([True, False])),
    "large labels": (np.zeros((2, 1)), np.array([3, 2**63 + 5], np.uint64)),
    "no labels": (np.zeros((2, 1), np.float32), None),
}


def stdin(*messages):
    """What Streaming hands to a mapper: key and value as typed bytes."""
    return b"".join(struct.pack(">bi", 0, 0) + struct.pack(">bi", 0, len(m)) + m for m in messages)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_comes_back_as_it_was(name):
    x, y = BLOCKS[name]
    block = Block(x, y, lambda i: {})
    (message,) = typed.read_values(io.BytesIO(stdin(blocks.pack_block(block))), "here")
    found = blocks.unpack_block(message, block.where)
    for a, b in ((x, found.x), (y, found.y)):
        if isinstance(a, Csr):
            np.testing.assert_array_equal(a.dense(), b.dense())
        elif a is None:
            assert b is None
        else:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def test_a_block_of_a_table_comes_back_with_its_columns(tmp_path):
    columns = [Column("age"), Column("colour", "category", "flag"), Column("seen", "date", "values")]
    colours = pa.array(["é", None, "red", "red"]).dictionary_encode()
    many = pa.DictionaryArray.from_arrays(colours.indices, pa.array(["é", "red", *map(str, range(9_000))]))
    seen = pa.array([0, None, 10**15, -5], pa.int64()).cast(pa.timestamp("us"))
    numbers = np.array([[1.5], [np.nan], [-0.0], [1e300]])
    frame = Frame(numbers, [many, seen], columns)
    weight, offset = np.array([1.0, 0.5, 2, 3]), np.arange(4.0)
    block = Block(frame, np.arange(4), lambda i: {}, weight, offset)
    path = tmp_path / "stdin"
    path.write_bytes(stdin(blocks.pack_block(block, columns), blocks.pack_block(block.slice(1, 3), columns)))
    assert path.stat().st_size < 10_000  # what rows do not need of a dictionary stays behind
    source = typed.TypedBytes([str(path)], Options())
    assert source.columns == columns
    whole, part = source._read(FileSplit(str(path), 0, 1), None)
    assert whole.x.numbers.tobytes() == numbers.tobytes()
    assert [whole.x["colour"].to_pylist(), part.x["colour"].to_pylist()] == [["é", None, "red", "red"], [None, "red"]]
    assert whole.x["seen"].equals(seen)
    assert (whole.weight.tolist(), part.offset.tolist()) == (weight.tolist(), [1, 2])
    assert whole.x.columns == columns


def test_a_matrix_of_a_table_tells_its_columns_and_an_empty_shard_has_none(tmp_path):
    path = tmp_path / "stdin"
    block = Block(np.array([[1.0, np.nan]]), None, lambda i: {})
    path.write_bytes(stdin(blocks.pack_block(block, [Column("a"), Column("b")])))
    source = typed.TypedBytes([str(path)], Options())
    assert source.columns == [Column("a"), Column("b")]
    assert [len(block) for block in source.read(source.splits(1)[0])] == [1]  # NaN is a missing value, no bad record
    path.write_bytes(b"")
    assert typed.TypedBytes([str(path)], Options()).columns is None


@pytest.mark.parametrize("cut", [3, 7, 12])
def test_a_stream_that_is_cut_is_refused_with_its_record(cut):
    with pytest.raises(DataError, match="here: record 1"):
        list(typed.read_values(io.BytesIO(stdin(b"12345", b"67890")[: 15 + cut]), "here"))


def test_a_sequence_file_is_hadoops():
    file = io.BytesIO()
    typed.write_sequence(file, [b"abc", b"x" * 100_000, b"def"])
    data = file.getvalue()
    assert data.startswith(b"SEQ\x06")
    assert data.count(b"org.apache.hadoop.typedbytes.TypedBytesWritable") == 2
    mark = data[4 + 2 * (1 + data[4]) + 2 + 4 :][:16]
    assert data.count(struct.pack(">i", -1) + mark) == 1  # after the large record
