"""Bad input: each error names the file and the place, and says what was expected."""

import bz2
import gzip
import re
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from hdl import data
from hdl.errors import DataError, SpecError
from hdl.spec import Spec
from tests.unit.bad_input import IMAGES, LABELS, everything, write_idx

TEXTS = [
    ("short.csv", "1,2,0\n3,4\n5,6,1\n", r"short.csv:2: 2 columns, expected 3"),
    ("long.csv", "1,2,0\n3,4,1,9\n", r"long.csv:2: 4 columns, expected 3"),
    ("word.csv", "1,2,0\n3,x,1\n", r"word.csv:2: column 2: 'x' is not a number"),
    ("named.csv", "a,b,label\n1,2,0\n3,-,1\n", r"named.csv:3: column 2 \('b'\): '-' is not a number .*--na-values"),
    ("inf.csv", "1,-inf,0\n3,4,1\n", r"inf.csv:1: column 2: '-inf'; expected a finite"),
    ("huge.csv", "1,1e39,0\n3,4,1\n", r"huge.csv:1: column 2: '1e39'; expected a finite float32"),
    ("score.csv", "3,4,1\n1,1_0,0\n", r"score.csv:2: column 2: '1_0' is not a number"),
    ("nolabel.csv", "1,2,a\n3,4,\n", r"every label is 'a' \(rows without a label: 1\); expected at"),
    ("inflabel.csv", "1,2,0\n3,4,inf\n", r"inflabel.csv:2: column 3: label 'inf'; expected a name or a finite number"),
    ("quote.csv", '1,2,a\n3,4,"b\n5,6,a\n', r"quote.csv:2: badly quoted"),
    ("one.csv", "1\n2\n", r"one.csv: 1 column\(s\) leave no feature"),
    ("old_mac.csv", "1,2,0\r3,4,1\r", r"old_mac.csv: first line: a carriage return inside a line"),
    ("return.csv", "1,2,0\n3,4,1\r5,6,0\n", r"return.csv:2: a carriage return inside a line"),
    ("utf16.csv", b"\xff\xfe1\x00,\x002\x00", r"utf16.csv at byte 0: .*UTF-16.*expected UTF-8 \(iconv -f UTF-16"),
    ("bare16.csv", "1,2,a\n3,4,b\n".encode("utf-16-le"), r"bare16.csv at byte 0: .*UTF-16; expected UTF-8 \(iconv"),
    ("latin.csv", b"1,2,a\n3,4,\xe9\n", r"latin.csv:2: byte 5 of the line is not UTF-8"),
    ("empty.csv", "", r"empty.csv: the file is empty, expected"),
    ("blank.csv", "\n \n", r"blank.csv: the file is empty"),
    ("classes.csv", "1,2,same\n3,4,same\n", r"every label is 'same'; expected at least 2 classes"),
    (
        "binary.csv",
        b"\x7fELF\0\0",
        r"binary.csv at byte 4: a byte 00, so no text; and the file starts with 7f 45 4c 46",
    ),
    ("zero.svm", "1 0:1\n-1 1:1\n", r"zero.svm:1: '0:1': index 0; expected 1 to"),
    ("twice.svm", "1 1:1\n-1 2:1 2:3\n", r"twice.svm:2: '2:3': index 2 comes twice; expected ascending"),
    ("down.svm", "1 1:1\n-1 3:1 2:3\n", r"down.svm:2: '2:3': index 2 comes after 3; expected ascending"),
    ("pairs.svm", "1 1:1\n-1 3\n", r"pairs.svm:2: '3': expected index:value"),
    ("colons.svm", "1 1:1\n-1 3:4:5\n", r"colons.svm:2: '3:4:5': '4:5' is not a number"),
    ("nothing.svm", "1 1:1\n-1 3:\n", r"nothing.svm:2: '3:': '' is not a number"),
    ("minus.svm", "1 1:1\n-1 1-2:\n", r"minus.svm:2: '1-2:': expected index:value"),
    ("svmnan.svm", "1 1:1\n-1 2:nan\n", r"svmnan.svm:2: '2:nan': expected a finite"),
    ("svmlabel.svm", "1 1:1\ncat 2:1\n", r"svmlabel.svm:2: label 'cat' is not a number"),
    ("zero.svm", "1 0:1\n2 1:1\n", r"zero.svm:1: '0:1': index 0; expected 1 to .*zero_based=False"),
    ("big.svm", "1 1:1\n2 4294967296:1\n", r"big.svm:2: .* index 4294967296; expected 1 to 16777216"),
    ("wide.svm", "1 1:1\n2 2000000000:1\n", r"wide.svm:2: .* index 2000000000; expected 1 to 16777216"),
]


@pytest.mark.parametrize(("name", "text", "message"), TEXTS, ids=[name for name, *_ in TEXTS])
@pytest.mark.parametrize("packed", [None, "gz"])
def test_text(tmp_path, name, text, message, packed):
    raw = text if isinstance(text, bytes) else text.encode()
    path = tmp_path / name
    if packed:
        path, raw = tmp_path / f"{name}.gz", gzip.compress(raw)
        message = message.replace(name, f"{name}.gz")
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        everything(path)


def test_the_place_is_right_in_a_later_shard(tmp_path):
    lines = [f"{i},{i % 3},{i % 2}" for i in range(1000)]
    lines[777] = "1,oops,0"
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    source = data.open_source(str(tmp_path / "a.csv"))
    wrong = []
    for part in source.splits(7):
        try:
            data.summarise(source, part)
        except DataError as error:
            wrong.append(str(error))
    assert len(wrong) == 1
    assert "a.csv:778: column 2: 'oops'" in wrong[0]


COMPRESSIONS = [("gz", gzip.compress, "gzip"), ("bz2", bz2.compress, "bzip2"),
                ("zst", lambda raw: pa.compress(raw, "zstd", asbytes=True), "zstd")]  # fmt: skip


@pytest.mark.parametrize(("suffix", "compress", "name"), COMPRESSIONS)
@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_damaged_compression(tmp_path, suffix, compress, name, damage):
    rows = np.random.default_rng(0).normal(size=(4000, 3))
    raw = bytearray(compress("".join(f"{a},{b},{c > 0:d}\n" for a, b, c in rows).encode()))
    if damage == "truncated":
        del raw[-40:]
    else:
        at = 8 if name == "zstd" else len(raw) // 2  # Arrow writes zstd without a checksum
        raw[at : at + 99] = b"\xff" * 99
    path = tmp_path / f"a.csv.{suffix}"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=rf"a.csv.{suffix}: truncated or corrupt {name} .* after \d+ decoded bytes"):
        everything(path)


def test_a_name_that_promises_gzip(tmp_path):
    (tmp_path / "a.csv.gz").write_text("1,2,0\n")
    with pytest.raises(DataError, match=r"a.csv.gz at byte 0: the file starts with 31 2c 32 2c, expected .* gzip"):
        everything(tmp_path / "a.csv.gz")


@pytest.mark.parametrize("packed", [False, True])
def test_an_endless_line_is_never_held(tmp_path, packed):
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        file.write(b"1,2,0\n")
        for _ in range(64):
            file.write(b"9" * (1 << 20))
        file.write(b"\n3,4,1\n")
    tracemalloc.start()
    with pytest.raises(DataError, match=rf"{path.name}:2: the line is longer than 1048576 bytes"):
        everything(path, {"max_line": 1 << 20})
    summary, shards = everything(path, {"max_line": 1 << 20, "max_bad_records": 1}, shards=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.samples == 2
    assert summary.bad == 1
    assert ":2: the line is longer" in summary.places[0]
    assert sum(len(shard.train) for shard in shards) == 2
    assert peak < 24 << 20


def test_pairs_of_text(tmp_path):
    x, y = tmp_path / "in.txt", tmp_path / "out.txt"
    x.write_text("1 2 \n3 4 \n5 6 \n")
    y.write_text("1 0\n0 1\n")
    with pytest.raises(DataError, match=r"out.txt: 2 lines of targets, but 3 lines of features in .*in.txt"):
        everything(f"{x},{y}")
    y.write_text("1 0\n0 z\n0 1\n")
    with pytest.raises(DataError, match=r"out.txt:2: column 2: 'z' is not a number"):
        everything(f"{x},{y}")
    summary, (shard,) = everything(f"{x},{y}", {"max_bad_records": 1})
    assert summary.samples == 2
    assert shard.train.y.tolist() == [0, 1]
    assert shard.train.x.tolist() == [[1, 2], [5, 6]]
    x.write_text("1 2 \n3 4 \n\n5 6 \n")
    y.write_text("1 0\n0 1\n0 1\n1 0\n\n")
    with pytest.raises(DataError, match=r"in.txt:3: 0 columns, expected 2"):
        everything(f"{x},{y}")


def test_bad_records_are_skipped_up_to_a_number(tmp_path):
    lines = [f"{i},{i},{i % 2}" for i in range(100)]
    for i in (3, 50, 51, 99):
        lines[i] = f"{i},bad,0"
    (tmp_path / "a.csv").write_text("\n".join(lines))
    summary, shards = everything(tmp_path / "a.csv", {"max_bad_records": 4}, shards=3)
    assert summary.samples == 96
    assert summary.bad == 4
    assert [int(re.search(r"a.csv:(\d+):", place)[1]) for place in summary.places] == [4, 51, 52, 100]
    assert sorted(x for shard in shards for x in shard.train.x[:, 0].tolist()) == [
        i for i in range(100) if i not in (3, 50, 51, 99)
    ]
    # no shard has more than three of them: only the joined summary can tell
    with pytest.raises(DataError, match=r"4 bad records, expected at most 3 \(max_bad_records\):\n.*a.csv:4:"):
        everything(tmp_path / "a.csv", {"max_bad_records": 3}, shards=3)


def test_labels_outside_the_classes(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,cat\n3,4,dog\n")
    (tmp_path / "b.csv").write_text("\n1,2,cat\n3,4,cow\n")
    train = data.open_source(str(tmp_path / "a.csv"))
    schema = data.fit(data.summarise(train, train.splits(1)[0]), Spec())
    test = data.open_source(str(tmp_path / "b.csv"), schema=schema)
    with pytest.raises(DataError, match=r"b.csv:3: label 'cow' is not one of the 2 classes 'cat', 'dog'"):
        data.load(test, test.splits(1)[0], schema)
    test = data.open_source(str(tmp_path / "b.csv"), {"max_bad_records": 1}, schema)
    shard = data.load(test, test.splits(1)[0], schema)
    assert shard.train.y.tolist() == [0]
    assert shard.bad.count == 1


def test_features_unlike_the_models(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,3,0\n3,4,5,1\n")
    (tmp_path / "b.csv").write_text("1,0\n3,1\n")
    train = data.open_source(str(tmp_path / "a.csv"))
    schema = data.fit(data.summarise(train, train.splits(1)[0]), Spec())
    test = data.open_source(str(tmp_path / "b.csv"), schema=schema)
    with pytest.raises(DataError, match=r"b.csv:1: 1 features, expected 3"):
        data.load(test, test.splits(1)[0], schema)


def test_missing_things_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: there is no such file or folder"):
        data.open_source(str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"no file matches"):
        data.open_source(str(tmp_path / "*.csv"))
    (tmp_path / "README.md").write_text("hello")
    with pytest.raises(DataError, match=r"the folder holds nothing; expected files of samples"):
        data.open_source(str(tmp_path))
    (tmp_path / "a.csv").write_text("1,2,0\n")
    with pytest.raises(DataError, match=r"label 'z' is not a column; the file has 3 columns without names"):
        data.open_source(str(tmp_path / "a.csv"), {"label": "z"})
    with pytest.raises(DataError, match=r"a.csv: a file; expected a folder with one folder of images"):
        data.open_source(str(tmp_path / "a.csv"), {"format": "images"})
    with pytest.raises(SpecError, match=r"format.*given 'xls'"):
        data.open_source(str(tmp_path / "a.csv"), {"format": "xls"})


def test_damage_is_not_taken_for_a_bad_sample(tmp_path, monkeypatch):
    """gzip's checksum comes last: a flipped bit first shows as a strange number."""
    monkeypatch.setattr("hdl.data.streams.BLOCK_BYTES", 1000)
    text = "".join(f"{i},{i * 7 % 13},{i % 2}\n" for i in range(20000)).encode()
    raw = bytearray(gzip.compress(text, 0))  # stored, so that one byte of damage is one byte of text
    raw[raw.find(b"\n9500,") + 1] = ord("x")
    (tmp_path / "a.csv.gz").write_bytes(raw)
    with pytest.raises(DataError, match=r"a.csv.gz: truncated or corrupt gzip \(.*incorrect data check"):
        data.summarise(source := data.open_source(str(tmp_path / "a.csv.gz")), [(source.paths[0], 0, 200000)])
    images = bytearray(gzip.compress(IMAGES, 0))
    images[-12] ^= 1
    write_idx(tmp_path, IMAGES, LABELS, packed=True)
    (tmp_path / "a.csv.gz").unlink()
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(images)
    with pytest.raises(DataError, match=r"ubyte.gz: truncated or corrupt gzip \(.*incorrect data check"):
        everything(tmp_path)
