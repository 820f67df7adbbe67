"""Answers as files: what is read back is what was written, whatever the classes are."""

import csv
import io

import numpy as np
import pyarrow.parquet
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.data.labels import as_array
from hdl.prediction_writer import Writer, label_array

TEXT = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), min_size=1, max_size=8)
CLASSES = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6, unique=True),
    st.lists(st.integers(-(10**40), 10**40), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=6, unique=True),
    st.just([False, True]),
    st.lists(TEXT, min_size=1, max_size=6, unique=True),
    st.lists(st.from_regex(r"0{0,2}[0-9]{1,3}", fullmatch=True), min_size=1, max_size=6, unique=True),
)


@settings(max_examples=150, deadline=None)
@given(CLASSES, st.data())
def test_labels_come_back_as_they_were(classes, data):
    picked = data.draw(st.lists(st.integers(0, len(classes) - 1), max_size=12))
    labels = [classes[k] for k in picked]
    array = as_array(classes)[np.array(picked, int)]
    out = np.arange(len(labels) * 2, dtype=np.float32).reshape(-1, 2)
    files = {}
    for suffix, only in ((".csv", False), (".parquet", False), (".npy", True)):
        files[suffix] = io.BytesIO()
        writer = Writer(files[suffix], suffix, ["a", "b"], classes, only)
        for lo in (0, 5):
            writer.write(out[lo : lo + 5] if not lo else out[lo:], array[lo : lo + 5] if not lo else array[lo:])
        writer.close()
        files[suffix].seek(0)
    kept = label_array(classes).dtype.kind
    expected = [str(label) for label in labels] if kept == "U" else labels
    assert pyarrow.parquet.read_table(files[".parquet"])["label"].to_pylist() == expected
    assert np.load(files[".npy"]).tolist() == expected
    rows = list(csv.reader(io.StringIO(files[".csv"].read().decode(), newline="")))[1:]
    read = {"b": lambda text: text == "true", "f": float, "i": int, "u": int, "U": str}[kept]
    assert [read(row[0]) for row in rows] == expected


@given(CLASSES)
def test_a_type_holds_every_class_as_it_is_or_they_are_text(classes):
    array = label_array(classes)
    assert array.tolist() == (classes if array.dtype.kind != "U" else [str(value) for value in classes])
    assert len(set(array.tolist())) == len(classes)
    if all(isinstance(value, int) and -(2**63) <= value < 2**63 for value in classes):
        assert array.dtype.kind in "bi"
