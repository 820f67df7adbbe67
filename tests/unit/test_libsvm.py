"""Text in libsvm's format: comments, lines without a label, several labels a line."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hdl import data
from hdl.errors import DataError
from tests.unit.tables import quick, read, seeds

ROWS = [[0, 1.5, 0], [2.5, 0, 1e-40], [0, 0, 3.25], [1, 1, 1]]


def svm(rows, labels, draw=None):
    lines = []
    for row, label in zip(rows, labels, strict=True):
        pairs = " ".join(f"{i + 1}:{value!r}" for i, value in enumerate(row) if value or i == 2)
        lines.append(f"{label} {pairs}".strip() if label is not None else pairs)
        if draw is not None and draw.random() < 0.4:
            lines[-1] += " # a note"
    return lines


@given(seed=seeds, labelled=st.booleans(), shards=st.integers(1, 4), wanted=st.booleans())
@quick
def test_libsvm_with_comments_and_without_labels(tmp_path, seed, labelled, shards, wanted):
    draw = np.random.default_rng(seed)
    labels = [int(value) for value in draw.integers(0, 2, 4)] if labelled else [None] * 4
    lines = svm(ROWS, labels, draw)
    for at in sorted(draw.integers(0, 5, 3).tolist(), reverse=True):
        lines.insert(at, ["# made by a tool", "  # 1 2:3", ""][at % 3])
    (tmp_path / "a.svm").write_text("\n".join(lines) + "\n")
    source, x, y = read(tmp_path / "a.svm", labels=wanted, shards=shards)
    np.testing.assert_array_equal(x, np.array(ROWS))
    assert (y is not None) == (labelled and wanted)
    if y is not None:
        assert y.tolist() == labels
        assert (source.label, source.reading["label_type"]) == (["0"], "number")
    wrong = 1 + next(i for i, line in enumerate(lines) if line[:1].isdigit())
    lines[wrong - 1] = lines[wrong - 1].replace(":", ":x", 1)
    (tmp_path / "a.svm").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"a.svm:{wrong}: '\d+:x"):
        read(tmp_path / "a.svm", labels=wanted, shards=shards)


def test_many_comments_come_first(tmp_path):
    (tmp_path / "a").write_text("# note\n" * 50 + "\n".join(svm(ROWS, [1, 0, 1, 0])) + "\n")
    assert read(tmp_path / "a")[2].tolist() == [1, 0, 1, 0]


@given(seed=seeds, n=st.integers(2, 30))
@quick
def test_several_labels_a_line_are_refused(tmp_path, seed, n):
    draw = np.random.default_rng(seed)
    labels = [",".join(map(str, draw.permutation(4)[: draw.integers(1, 4)])) for _ in range(n)]
    assume("," in "".join(labels[:20]))
    (tmp_path / "a.svm").write_text("\n".join(svm([ROWS[i % 4] for i in range(n)], labels)) + "\n")
    with pytest.raises(DataError, match=r"several labels in a line \(.*in CSV or Parquet, .*--label A,B"):
        read(tmp_path / "a.svm")
    source, x, y = read(tmp_path / "a.svm", labels=False)
    assert (source.format, y, len(x)) == ("libsvm", None, n)


def test_libsvm_labels_beyond_float64(tmp_path):
    labels = [2**64 - 59, 7, -(2**60) - 1, 2**64 - 60]
    (tmp_path / "a.svm").write_text("\n".join(svm(ROWS, labels)) + "\n")
    assert read(tmp_path / "a.svm")[2].tolist() == labels


def test_some_lines_without_a_label(tmp_path):
    (tmp_path / "a.svm").write_text("\n".join(svm(ROWS, [1, 0, None, 0])) + "\n")
    with pytest.raises(DataError, match=r"a.svm:3: no label, which other lines have; --no-labels passes over those"):
        read(tmp_path / "a.svm")
    assert len(read(tmp_path / "a.svm", {"labelled": False})[1]) == 4


def blocks(path, fast):
    """What the reader makes of a file: labels and rows, or its refusal."""
    source = data.open_source(str(path))
    if not fast:
        source.fast = lambda *given: None
    try:
        found = [block for own in source.splits(1) for block in source.read(own)]
    except DataError as error:
        return str(error)
    return [(b.x.dense().tobytes(), None if b.y is None else [*map(float, b.y)]) for b in found]


@pytest.mark.parametrize("labelled", [True, False])
def test_a_changed_byte_is_read_as_line_by_line(tmp_path, labelled):
    draw, path = np.random.default_rng(7), tmp_path / "a.svm"
    lines = svm(np.round(draw.normal(size=(12, 3)), 4).tolist(), [1, -1, 2.5] * 4 if labelled else [None] * 12)
    text = "\n".join([*lines[:5], "", "  \t", *lines[5:]]).encode() + b" \r\n"
    path.write_bytes(text)
    assert blocks(path, True) == blocks(path, False)
    taken = 0
    for _ in range(300):
        changed = bytearray(text)
        changed[int(draw.integers(len(lines[0]), len(text)))] = draw.choice(list(b"0123456789.:eE+- \t\r\n#x"))
        path.write_bytes(changed)
        fast = blocks(path, True)
        assert fast == blocks(path, False)
        taken += not isinstance(fast, str)
    assert taken > 100
