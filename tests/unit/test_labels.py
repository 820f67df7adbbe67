"""What labels are: numbers, booleans or text; classes; and which class a label of another format means."""

import json
import struct

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.labels import MISSING_LABELS, Meanings, as_array, canonical, classes_of, is_plain_number
from hdl.data.summary import Summary
from hdl.errors import DataError
from hdl.spec import Spec


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-1", -1), ("+1", 1), ("1.0", 1), ("1.", 1), (".5", 0.5), ("1e3", 1000), ("-2.5E-1", -0.25),
        ("9007199254740993.0", 9007199254740993), ("18446744073709551557", 18446744073709551557), ("-0", 0),
    ],
)  # fmt: skip
def test_plain_numbers(text, value):
    assert is_plain_number(text)
    assert canonical(text) == value
    assert type(canonical(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["", "01", "007", "-01", "00", "1_000", "0x1F", "1,5", "1e", "e3", "nan", "inf", "1 ", "٣", "1" * 500, "."]
)
def test_texts_that_are_no_plain_numbers_stay(text):
    assert not is_plain_number(text)
    assert canonical(text) == text


@pytest.mark.parametrize(
    ("values", "typed", "classes"),
    [
        (["1", "2", "10"], False, (1, 2, 10)),
        (["1", "2", "10"], True, ("1", "10", "2")),
        (["1", "01", "10"], False, ("01", "1", "10")),
        (["1.0", "1", "cat"], False, ("1", "1.0", "cat")),
        (["1.0", "1", "2"], False, (1, 2)),
        ([True, False], False, (False, True)),
        ([3, 2**63 + 5], False, (3, 2**63 + 5)),
        (["True", "False"], False, ("False", "True")),
        ([0.5, 1.0], False, (0.5, 1)),
    ],
)
def test_classes(values, typed, classes):
    found = classes_of(values, typed)
    assert found == classes
    assert [type(value) for value in found] == [type(value) for value in classes]


@pytest.mark.parametrize(
    ("classes", "label", "means"),
    [
        ((1, 2, 10), "10", 10), ((1, 2, 10), 10.0, 10), ((1, 2, 10), "1e1", 10), ((1, 2, 10), "010", None),
        (("1", "10", "2"), 10, "10"), (("1", "10", "2"), 10.0, "10"), (("1", "10", "2"), "10.0", "10"),
        (("01", "1"), 1, "1"), (("01", "1"), "01", "01"), (("01", "1"), "001", None),
        (("1", "1.0", "a"), 1, "1"), (("1", "1.0", "a"), "1.00", None),
        ((False, True), "True", True), ((False, True), "true", True), ((False, True), "FALSE", False),
        (("False", "True"), True, "True"), (("FALSE", "TRUE"), False, "FALSE"), (("false", "true"), "True", "true"),
        (("True", "true"), True, "True"), ((0, 1), True, 1), ((0, 1), "false", 0), ((False, True), 1, True),
        ((False, True), 1.0, True), ((False, True), "0", False), ((False, True), 2, None), ((-1, 1), False, None),
        ((3, 2**63 + 5), np.uint64(2**63 + 5), 2**63 + 5), (("yes", "no"), "Yes", None), (("yes", "no"), True, None),
    ],
)  # fmt: skip
def test_a_label_of_another_format_means_a_class(classes, label, means):
    label = label.item() if isinstance(label, np.generic) else label
    code = Meanings(classes).code(label)
    assert (None if code < 0 else classes[code]) == means


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [((1, 2), "int64"), ((1, 2**63), "uint64"), ((-1, 2**63), "object"), ((1, 2**70), "object"), ((0.5, 1), "float64"),
     ((False, True), "bool"), (("a", "bc"), "<U2")],
)  # fmt: skip
def test_classes_as_an_array(classes, dtype):
    assert as_array(classes).dtype == dtype
    assert tuple(as_array(classes).tolist()) == classes


def opened(path):
    source = data.open_source(str(path))
    summary = data.summarise(source, source.splits(1)[0])
    plain, tensors = summary.to_parts()
    summary = Summary.from_parts(json.loads(json.dumps(plain)), tensors)  # as it travels
    return source, data.fit(summary, Spec(loss="softmax"))


def encoded(source, schema):
    return np.concatenate([schema.encode(block.y)[0] for block in source.read(source.splits(1)[0])])


def written(folder, kind, labels):
    """Labels beside a feature, in a format."""
    x = np.arange(len(labels), dtype=np.float64).reshape(-1, 1)
    if kind == "csv":
        (folder / "a.csv").write_text("x,label\n" + "".join(f"{i},{label}\n" for i, label in enumerate(labels)))
        return folder / "a.csv"
    if kind == "npy":
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", np.array(labels))
        return f"{folder}/x.npy,{folder}/y.npy"
    if kind == "parquet":
        pq.write_table(pa.table({"x": x[:, 0], "label": np.array(labels)}), folder / "a.parquet")
        return folder / "a.parquet"
    source = data.open_source(str(written(folder, "parquet", labels)))
    data.write_shards(source, str(folder / "imported"))
    return folder / "imported"


WORDS = st.text("ab01.+-e2 ", min_size=1, max_size=4).map(str.strip).filter(lambda text: text not in MISSING_LABELS)
KINDS = {
    "text": WORDS,
    "padded": st.integers(0, 30).map("{:03d}".format),
    "int": st.integers(-(2**63), 2**63 - 1),
    "uint": st.integers(2**63, 2**64 - 1),
    "small": st.integers(-3, 12),
    "boolean": st.booleans(),
}


@pytest.mark.parametrize("kind", KINDS)
@given(drawn=st.data())
@settings(deadline=None, max_examples=15)
def test_labels_keep_their_identity_over_formats(kind, tmp_path_factory, drawn):
    """Typed labels are classes of their own type and never merge; a model of one format knows those of the others."""
    distinct = drawn.draw(st.lists(KINDS[kind], min_size=2, max_size=6, unique=True))
    labels = distinct + drawn.draw(st.lists(st.sampled_from(distinct), max_size=10))
    folder = tmp_path_factory.mktemp("labels")
    sources = {name: opened(written(folder, name, labels)) for name in ("npy", "parquet", "import")}
    expected = tuple(sorted(distinct))
    for name, (_, schema) in sources.items():
        assert schema.classes == expected, name
        assert [type(value) for value in schema.classes] == [type(value) for value in expected], name
        for other, _ in sources.values():
            assert encoded(other, schema).tolist() == [expected.index(label) for label in labels]


@given(
    st.lists(st.one_of(KINDS["padded"], KINDS["small"].map(str), KINDS["boolean"].map(str)), min_size=2, unique=True)
)
@settings(deadline=None, max_examples=25)
def test_different_texts_of_a_csv_are_one_class_only_if_all_are_numbers(tmp_path_factory, labels):
    folder = tmp_path_factory.mktemp("labels")
    source, schema = opened(written(folder, "csv", labels))
    if all(map(is_plain_number, labels)):
        assert schema.classes == tuple(sorted({int(label) for label in labels}))
    else:
        assert schema.classes == tuple(sorted(labels))
        assert encoded(source, schema).tolist() == [sorted(labels).index(label) for label in labels]
    typed, other = opened(written(folder, "parquet", labels))
    assert other.classes == tuple(sorted(labels))
    meant = [canonical(label) if isinstance(schema.classes[0], int) else label for label in labels]
    assert [schema.classes[code] for code in encoded(typed, schema)] == meant


def written_otherwise(folder, kind, labels):
    """Small whole numbers as labels, in the formats that have no others or no numbers at all."""
    if kind == "libsvm":
        (folder / "a.svm").write_text("".join(f"{label} 1:{i}\n" for i, label in enumerate(labels)))
        return folder / "a.svm"
    if kind == "idx":
        for name, shape, values in (
            ("images-idx3", (len(labels), 2, 2), [7] * 4 * len(labels)),
            ("labels-idx1", (len(labels),), labels),
        ):
            head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            (folder / f"train-{name}-ubyte").write_bytes(head + bytes(values))
        return folder
    image = pytest.importorskip("PIL.Image")
    for i, label in enumerate(labels):
        (folder / str(label)).mkdir(exist_ok=True)
        image.fromarray(np.full((2, 2), i, np.uint8)).save(folder / str(label) / f"{i}.png")
    return folder


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [9, 10, 2, 9, 10], [1, 5, 255, 5]])
def test_classes_are_the_same_by_their_meaning_in_every_format(tmp_path, labels):
    names = ("csv", "npy", "parquet", "import", "libsvm", "idx", "images")
    sources = {}
    for name in names:
        (tmp_path / name).mkdir()
        write = written if name in names[:4] else written_otherwise
        sources[name] = opened(write(tmp_path / name, name, labels))
    for name, (_, schema) in sources.items():
        expected = sorted({*map(str, labels)}) if name == "images" else sorted({*labels})
        assert [*schema.classes] == expected, name
        for other, (source, _) in sources.items():
            order = sorted(labels, key=str) if other == "images" else labels  # samples come folder by folder
            assert [str(schema.classes[code]) for code in encoded(source, schema)] == [*map(str, order)], (name, other)


def test_a_regression_with_a_label_that_is_no_number_is_no_thousand_classes(tmp_path):
    numbers = [f"{i / 7:.3f}" for i in range(60)]
    for labels, refused in ([*numbers, "unknown"], True), (numbers, False), ([f"{i:03d}" for i in range(200)], False):
        rows = [f"{i},{i % 3},{label}" for i, label in enumerate(labels)]
        (tmp_path / "a.csv").write_text("a,b,label\n" + "\n".join(rows) + "\n")
        source = data.open_source(str(tmp_path / "a.csv"))
        summary = data.summarise(source, source.splits(1)[0])
        if refused:
            with pytest.raises(
                DataError, match=r"most of the 61 different labels are numbers, but .unknown. is none.*--loss"
            ):
                data.fit(summary, Spec())
            assert len(data.fit(summary, Spec(loss="softmax")).classes) == 61
        else:
            assert len(data.fit(summary, Spec()).classes) == (0 if labels is numbers else 200)


def test_numbers_as_text_are_never_measured():
    """Forty folders or texts called 1 to 40 are forty classes; forty numbers may be a regression."""
    labels = np.array([str(i) for i in range(40)])
    for y, classes in (labels, 40), (labels.astype(object), 40), (labels.astype(int), 0):
        source = data.Arrays(np.arange(40.0).reshape(-1, 1), y)
        schema = data.fit(data.summarise(source, source.splits(1)[0]), Spec())
        assert len(schema.classes) == classes
