"""Shards in memory and on disk, the validation part, and the import as Parquet."""

import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from hdl import data, rng
from hdl.errors import DataError, SpecError
from hdl.runners import work
from hdl.spec import Spec


def write_csv(path, n=1000, width=4, labels=("a", "b", "c")):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, width)).astype(np.float32)
    path.write_text("".join(",".join(map(repr, row.tolist())) + f",{labels[i % 3]}\n" for i, row in enumerate(x)))
    return x


def opened(path, shards=1, options=None, spec=Spec()):  # noqa: B008 (immutable)
    source = data.open_source(str(path), options)
    splits = source.splits(shards)
    summary = data.Summary()
    for part in splits:
        summary = summary.join(data.summarise(source, part))
    return source, splits, data.fit(summary, spec)


def dense(x):
    return x.dense() if isinstance(x, data.Csr) else np.asarray(x)


def test_validation_is_keyed_by_seed_shard_and_index(tmp_path, monkeypatch):
    monkeypatch.setattr("hdl.data.streams.BLOCK_BYTES", 3000)  # several blocks a shard
    x = write_csv(tmp_path / "a.csv")
    source, splits, schema = opened(tmp_path / "a.csv", 3)
    start = 0
    for shard, part in enumerate(splits):
        whole = data.load(source, part, schema, 7, shard)
        split = data.load(source, part, schema, 7, shard, validation=0.2)
        n = len(whole.train)
        np.testing.assert_array_equal(whole.train.x, x[start : start + n])
        held = rng.member(7, shard, n, 0.2)
        np.testing.assert_array_equal(split.validation.x, x[start : start + n][held])
        np.testing.assert_array_equal(split.train.x, x[start : start + n][~held])
        np.testing.assert_array_equal(split.train.y, (np.arange(start, start + n) % 3)[~held])
        assert 0.1 * n < held.sum() < 0.3 * n
        start += n
    assert start == 1000


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("spill", [0, 5000])
def test_what_is_spilled_is_the_same(tmp_path, monkeypatch, kind, spill):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "spill"))
    (tmp_path / "spill").mkdir()
    monkeypatch.setattr("hdl.data.streams.BLOCK_BYTES", 3000)
    if kind == "dense":
        write_csv(tmp_path / "a")
    else:
        (tmp_path / "a").write_text("".join(f"{i % 2} {i % 7 + 1}:{i + 1} 9:{i * 3 + 1}\n" for i in range(1000)))
    source, splits, schema = opened(tmp_path / "a")
    memory = data.load(source, splits[0], schema, validation=0.3)
    disk = data.load(source, splits[0], schema, validation=0.3, spill_bytes=spill)
    for part in ("train", "validation"):
        a, b = getattr(memory, part), getattr(disk, part)
        assert isinstance(b.x.data if kind == "sparse" else b.x, np.memmap)
        np.testing.assert_array_equal(dense(a.x), dense(b.x))
        np.testing.assert_array_equal(a.y, b.y)
        assert (a.scale is None) == (b.scale is None)
    assert os.listdir(tmp_path / "spill") == []  # the file has no name: it cannot be left behind


def test_memory_is_the_containers(tmp_path, monkeypatch):
    limits = tmp_path / "memory.max", tmp_path / "no.such"
    monkeypatch.setattr(work, "_LIMITS", limits)
    whole = work.physical_memory()
    limits[0].write_text("max\n")
    assert work.physical_memory() == whole
    limits[0].write_text("1048576\n")
    assert work.physical_memory() == 1 << 20


def test_targets_are_spilled_too(tmp_path, monkeypatch):
    monkeypatch.setattr("hdl.data.records.BLOCK_BYTES", 1000)
    targets = np.random.default_rng(1).normal(size=(200, 50)).astype(np.float32)
    np.save(tmp_path / "x.npy", targets[:, :2].copy())
    np.save(tmp_path / "y.npy", targets)
    source, splits, schema = opened(tmp_path)
    blocks = list(source.read(splits[0]))
    assert max(block.x.nbytes + block.y.nbytes for block in blocks) < 2000  # wide targets decide how much is read
    for spill in 0, 3000:
        shard = data.load(source, splits[0], schema, validation=0.3, spill_bytes=spill)
        kept = ~rng.member(1, 0, len(targets), 0.3)
        for part, rows in (shard.train, kept), (shard.validation, ~kept):
            assert isinstance(part.y, np.memmap)
            np.testing.assert_array_equal(part.y, schema.encode(targets[rows])[0])
            np.testing.assert_allclose(schema.in_units(part.y), targets[rows], atol=1e-6)


def test_a_shard_larger_than_memory_is_read(tmp_path):
    """48 MB of features load in a process that may take 32 MB more than it has."""
    np.save(tmp_path / "x.npy", np.ones((3000, 4000), np.float32))
    np.save(tmp_path / "y.npy", np.arange(3000) % 2)
    code = f"""
import resource, numpy as np
from hdl import data
from hdl.spec import Spec
import pyarrow.csv
source = data.open_source({str(tmp_path)!r})
part = source.splits(1)[0]
schema = data.fit(data.summarise(source, part), Spec(scale="none"))
pages = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (pages + (32 << 20), -1))
shard = data.load(source, part, schema, validation=0.5, spill_bytes=8 << 20)
assert len(shard.train) + len(shard.validation) == 3000
assert shard.train.x.sum(dtype=np.float64) + shard.validation.x.sum(dtype=np.float64) == 3000 * 4000
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_empty_shards_have_the_types_of_full_ones(tmp_path):
    write_csv(tmp_path / "a.csv", 3)
    source, splits, schema = opened(tmp_path / "a.csv", 500)
    shards = [data.load(source, part, schema) for part in splits]
    assert sum(len(shard.train) for shard in shards) == 3
    for shard in shards:
        assert shard.train.x.dtype == np.float32
        assert shard.train.x.shape[1] == 4
        assert shard.train.y.dtype == np.int32


def test_sparse_test_data_of_other_widths(tmp_path):
    (tmp_path / "a").write_text("0 1:1 3:2\n1 2:5\n")
    _, _, schema = opened(tmp_path / "a")
    (tmp_path / "narrow").write_text("0 1:1\n")
    (tmp_path / "wide").write_text("0 1:1\n1 7:1\n")
    source = data.open_source(str(tmp_path / "narrow"), schema=schema)
    assert data.load(source, source.splits(1)[0], schema).train.x.shape == (1, 3)
    source = data.open_source(str(tmp_path / "wide"), schema=schema)
    with pytest.raises(DataError, match=r"wide:2: index 7 is beyond the model's 3 features"):
        data.load(source, source.splits(1)[0], schema)


def test_prediction_needs_no_labels_and_finds_features_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,label\n1,20,x\n3,40,y\n")
    _, _, schema = opened(tmp_path / "a.csv")
    for text in ("b,a\n20,1\n", "id,b,a,label\n9,20,1,x\n", "1,20\n", "1,20,x\n"):
        (tmp_path / "p.csv").write_text(text)
        source = data.open_source(str(tmp_path / "p.csv"), schema=schema)
        shard = data.load(source, source.splits(1)[0], schema, labelled=False)
        assert shard.train.x.tolist() == [[1, 20]]
        assert shard.train.y is None
    (tmp_path / "p.csv").write_text("b,c\n20,1\n")
    with pytest.raises(DataError, match="columns 'a' of the model's training data are missing"):
        data.open_source(str(tmp_path / "p.csv"), schema=schema)
    (tmp_path / "p.csv").write_text("a,b\n20,1\n")
    source = data.open_source(str(tmp_path / "p.csv"), schema=schema)
    with pytest.raises(DataError, match=r"p.csv:2: the data has no labels"):
        data.load(source, source.splits(1)[0], schema)


def test_uint8_followed_by_floats(tmp_path):
    for number, dtype in enumerate((np.uint8, np.float32)):
        folder = tmp_path / f"{number}x.npy"
        np.save(folder, np.full((3, 2), number + 0.5).astype(dtype))
        np.save(tmp_path / f"{number}y.npy", np.arange(3))
    source, splits, schema = opened(tmp_path)
    x = data.load(source, splits[0], schema).train.x
    assert x.dtype == np.float32
    assert x[:, 0].tolist() == [0, 0, 0, 1.5, 1.5, 1.5]


SOURCES = {
    "text labels": lambda folder: write_csv(folder / "a.csv") is None,
    "whole labels": lambda folder: write_csv(folder / "a.csv", labels=("01", "2", "-3")),
    "real labels": lambda folder: write_csv(folder / "a.csv", labels=("0.5", "2", "1e-3")),
    "sparse": lambda folder: (folder / "a").write_text(
        "".join(f"{i % 2} {i % 7 + 1}:{i + 1}.5 9:1\n" for i in range(500)) + "1 \n"
    ),
    "images": lambda folder: (
        np.save(folder / "x.npy", np.arange(90 * 12, dtype=np.uint8).reshape(90, 3, 4)),
        np.save(folder / "y.npy", np.arange(90) % 3),
    ),
    "targets": lambda folder: (
        np.save(folder / "x.npy", np.arange(90 * 2, dtype=np.float32).reshape(90, 2)),
        np.save(folder / "y.npy", (np.arange(180) % 3 / 2).reshape(90, 2)),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_import_keeps_everything(tmp_path, name):
    (tmp_path / "src").mkdir()
    SOURCES[name](tmp_path / "src")
    source, splits, schema = opened(tmp_path / "src")
    written = data.write_shards(source, str(tmp_path / "dst"), rows=70)
    again, parts, other = opened(tmp_path / "dst")
    a, b = data.load(source, splits[0], schema).train, data.load(again, parts[0], other).train
    assert written.samples == len(a)
    assert written.files == -(-len(a) // 70) == len(os.listdir(tmp_path / "dst"))
    assert dense(a.x).dtype == dense(b.x).dtype
    np.testing.assert_array_equal(dense(a.x), dense(b.x))
    np.testing.assert_array_equal(a.y, b.y)
    assert (schema.classes, schema.image, schema.encoding) == (other.classes, other.image, other.encoding)
    if name == "images":
        assert pq.read_schema(tmp_path / "dst/part-00000.parquet").field("x").type.value_type == "uint8"


def test_import_into_as_many_files_as_shards(tmp_path):
    write_csv(tmp_path / "a.csv", 10)
    source = data.open_source(str(tmp_path / "a.csv"))
    data.write_shards(source, str(tmp_path / "dst"), shards=4)
    names = sorted(os.listdir(tmp_path / "dst"))
    assert names == [f"part-{i:05d}.parquet" for i in range(4)]
    again = data.open_source(str(tmp_path / "dst"))
    assert [[os.path.basename(split.path) for split in part] for part in again.splits(4)] == [[n] for n in names]
    assert again.lengths() == [2, 3, 2, 3]


def test_a_files_bytes_are_those_of_what_sparse_rows_hold(tmp_path):
    (tmp_path / "wide").write_text("".join(f"{i % 2} {i + 1}:1 1000000:2\n" for i in range(400)))
    source = data.open_source(tmp_path / "wide")
    assert data.write_shards(source, str(tmp_path / "one")).files == 1
    assert data.write_shards(source, str(tmp_path / "four"), shard_bytes=2500).files == 4  # a row takes 2 x 8 + 8


def test_import_leaves_nothing_half_written(tmp_path):
    x = write_csv(tmp_path / "a.csv", 10)
    with (tmp_path / "a.csv").open("a") as file:
        file.write("1,2,3,bad,a\n")
    source = data.open_source(str(tmp_path / "a.csv"))
    with pytest.raises(DataError, match=r"a.csv:11: column 4: 'bad'"):
        data.write_shards(source, str(tmp_path / "dst"))
    assert os.listdir(tmp_path) == ["a.csv"]
    source = data.open_source(str(tmp_path / "a.csv"), {"max_bad_records": 1})
    written = data.write_shards(source, str(tmp_path / "dst"))
    assert (written.samples, written.skipped) == (10, 1)
    np.testing.assert_array_equal(_all(tmp_path / "dst"), x)
    with pytest.raises(FileExistsError, match="dst exists already"):
        data.write_shards(source, str(tmp_path / "dst"))
    with pytest.raises(SpecError, match="rows: expected at least 1"):
        data.write_shards(source, str(tmp_path / "other"), rows=0)


def _all(path):
    source = data.open_source(str(path))
    return np.concatenate([block.x for block in source.read(source.splits(1)[0])])


def test_arrays_in_memory():
    from scipy import sparse

    x = np.random.default_rng(0).normal(size=(30, 4)) * (np.arange(4) != 2)
    y = np.array(["a", "b", "c"] * 10)
    for given in (x, sparse.csr_matrix(x), sparse.csr_array(x.astype(np.float32))):
        source = data.Arrays(given, y)
        summary = data.summarise(source, source.splits(1)[0])
        schema = data.fit(summary, Spec())
        shards = [data.load(source, part, schema) for part in source.splits(7)]
        np.testing.assert_array_equal(np.concatenate([dense(s.train.x) for s in shards]), x.astype(np.float32))
        assert np.concatenate([s.train.y for s in shards]).tolist() == [0, 1, 2] * 10
        assert schema.classes == ("a", "b", "c")
    assert data.Arrays(np.zeros((5, 2, 3), np.uint8)).image == (2, 3, 1)
    x[3, 1] = np.nan
    for given in (x, sparse.csr_array(x)):
        source = data.Arrays(given, y)
        with pytest.raises(DataError, match="<array> row 3: feature 2 is nan"):
            data.summarise(source, source.splits(1)[0])
    with pytest.raises(DataError, match="29 labels, but 30 samples"):
        data.Arrays(x, y[1:])
    with pytest.raises(DataError, match="unsorted or repeated columns"):
        data.Arrays(sparse.csr_array((np.ones(2), np.array([1, 0]), np.array([0, 2])), shape=(1, 2)), y[:1])


def test_options_travel_as_json():
    import json

    options = data.Options.make({"label": "a,b", "max_bad_records": 3})
    assert options.label == ("a", "b")
    assert data.Options.make(json.loads(options.model_dump_json())) == options
    with pytest.raises(SpecError, match=r"max_bad_records: .*given -1"):
        data.Options.make(max_bad_records=-1)
