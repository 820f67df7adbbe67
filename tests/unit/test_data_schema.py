"""One pass: summaries of shards join into the whole's; schemas scale, encode and fill in the spec."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.block import Block
from hdl.data.schema import Schema
from hdl.data.summary import Labels, Summary, of_block
from hdl.errors import DataError, SpecError
from hdl.spec import Spec


def block(x, y=None):
    y = np.arange(len(x)) % 2 if y is None else y
    return Block(x, np.asarray(y), lambda i: {"path": "f", "line": i + 1})


def tree(parts, lo, hi):
    """The fixed tree over shards."""
    if hi - lo == 1:
        return parts[lo]
    middle = lo + (1 << (hi - lo - 1).bit_length() - 1)
    return tree(parts, lo, middle).join(tree(parts, middle, hi))


def same(a, b):
    """Equal to the bit."""
    (plain, tensors), (other, others) = a.to_parts(), b.to_parts()
    assert plain == other
    assert {name: tensor.tobytes() for name, tensor in tensors.items()} == {
        name: tensor.tobytes() for name, tensor in others.items()
    }


@given(st.lists(st.integers(1, 20), min_size=1, max_size=9), st.integers(0, 99))
@settings(deadline=None)
def test_uint8_moments_are_exact_in_any_order(sizes, seed):
    x = np.random.default_rng(seed).integers(0, 256, (sum(sizes), 5), np.uint8)
    parts = [of_block(block(part)) for part in np.split(x, np.cumsum(sizes)[:-1])]
    whole = of_block(block(x))
    order = np.random.default_rng(seed + 1).permutation(len(parts))
    shuffled = [parts[i] for i in order]
    for joined in (tree(parts, 0, len(parts)), tree(shuffled, 0, len(parts))):
        for name, moment in whole.moments.items():
            np.testing.assert_array_equal(joined.moments[name], moment)
    mean, m2 = whole.mean_m2()
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(m2 / len(x), x.var(axis=0), rtol=1e-12)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.floats(-1e6, 1e6), st.integers(0, 99))
@settings(deadline=None)
def test_float_moments_join(sizes, offset, seed):
    x = (np.random.default_rng(seed).normal(size=(sum(sizes), 4)) + offset).astype(np.float32)
    parts = [of_block(block(part)) for part in np.split(x, np.cumsum(sizes)[:-1])]
    joined = tree(parts, 0, len(parts))
    mean, m2 = joined.mean_m2()
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(m2 / len(x), wide.var(axis=0), rtol=1e-7, atol=1e-9)
    assert joined.moments["high"].tolist() == wide.max(axis=0).tolist()
    assert joined.samples == len(x)


def test_summaries_of_nothing_and_of_mixtures():
    a, nothing = of_block(block(np.ones((3, 2), np.float32))), Summary(limit=3, bad=1, places=("p",))
    joined = a.join(nothing)
    assert (joined.samples, joined.bad, joined.places) == (3, 1, ("p",))
    assert nothing.join(a).samples == 3
    assert nothing.join(nothing).samples == 0
    mixed = a.join(of_block(block(np.full((1, 2), 5, np.uint8))))
    assert mixed.kind == "float32"
    assert mixed.mean_m2()[0].tolist() == [2, 2]
    with pytest.raises(DataError, match="3 features in one part of the data, 2 in another"):
        a.join(of_block(block(np.ones((3, 3), np.float32))))


def test_sparse_summaries_keep_the_largest_and_grow():
    rows = data.Csr(np.float32([-3, 2]), np.int32([0, 1]), np.int64([0, 1, 2]), 2)
    more = data.Csr(np.float32([7]), np.int32([4]), np.int64([0, 1]), 5)
    joined = of_block(block(rows)).join(of_block(block(more)))
    assert joined.features == 5
    assert joined.moments["largest"].tolist() == [3, 2, 0, 0, 7]
    schema = data.fit(joined, Spec())
    np.testing.assert_allclose(schema.scale, [1 / 3, 1 / 2, 0, 0, 1 / 7], rtol=1e-6)
    assert schema.rule == {"name": "largest", "unchanging": 2}
    assert schema.shift is None
    with pytest.raises(SpecError, match="scale standard would fill the zeros of sparse features"):
        data.fit(joined, Spec(scale="standard"))


def test_summary_travels():
    for x in (np.ones((3, 2), np.float32), np.ones((3, 2), np.uint8)):
        summary = of_block(block(x, np.array(["a", "b", "a"], object)))
        plain, tensors = summary.to_parts()
        same(summary, Summary.from_parts(json.loads(json.dumps(plain)), tensors))
        with pytest.raises(ValueError, match="2 features with other lengths"):
            Summary.from_parts(plain, {name: tensor[:1] for name, tensor in tensors.items()})
    same(Summary(), Summary.from_parts(*Summary().to_parts()))


X = np.array([[0, 10, 5], [2, 30, 5], [4, 20, 5]], np.float32)


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("none", X),
        ("minmax", [[0, 0, 0], [0.5, 1, 0], [1, 0.5, 0]]),
        ("standard", (X - X.mean(axis=0)) / np.where(X.std(axis=0) == 0, 1, X.std(axis=0))),
        ("divide:10", X / 10),
        ("auto", (X - X.mean(axis=0)) / np.where(X.std(axis=0) == 0, 1, X.std(axis=0))),
    ],
)
def test_scaling_rules(rule, seen):
    schema = data.fit(of_block(block(X)), Spec(scale=rule))
    scale = 1 if schema.scale is None else schema.scale
    shift = 0 if schema.shift is None else schema.shift
    np.testing.assert_allclose(X * scale + shift, seen, atol=1e-6)
    assert schema.scale is None or schema.scale.dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int32, np.float32, np.float64])
def test_the_scale_follows_the_values_and_not_their_type(dtype):
    """A table of 0 and 1 is standardised, as bytes, booleans and integers alike."""
    x = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype)
    source = data.Arrays(x, [0, 1, 1])
    schema = data.fit(data.summarise(source, source.splits(1)[0]), Spec())
    assert schema.rule == {"name": "standard", "unchanging": 1}
    seen = x * schema.scale + schema.shift
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(axis=0), [1, 1, 0], atol=1e-6)


def test_images_are_divided_by_the_value_of_white():
    summary = of_block(block((X * 8).astype(np.uint8)))
    schema = data.fit(replace(summary, meta={"image": [1, 3, 1]}), Spec())
    assert schema.rule == {"name": "divide", "constant": 255.0}
    np.testing.assert_allclose(schema.scale, 1 / 255, rtol=1e-7)
    for largest, white in (2, 2), (16, 16), (63, 63), (64, 255), (255, 255), (4095, 4095), (20000, 65535), (2e5, 2e5):
        x = np.array([[0, 1], [largest / 2, largest]])
        for dtype in (np.uint8, np.uint16, np.int32, np.float32):
            if dtype != np.float32 and (largest % 2 or largest > np.iinfo(dtype).max):
                continue
            source = data.Arrays(x.astype(dtype).reshape(2, 1, 2), [0, 1])
            schema = data.fit(data.summarise(source, source.splits(1)[0]), Spec())
            assert schema.rule == {"name": "divide", "constant": white}, dtype


def fitted(y, net=None, loss=None):
    y = np.array(y, object) if isinstance(y[0], str) else np.asarray(y)
    summary = of_block(block(np.arange(2.0 * len(y), dtype=np.float32).reshape(-1, 2), y))
    spec = Spec(net=net, loss=loss)
    schema = data.fit(summary, spec)
    return schema, data.resolve(spec, schema), schema.encode(y)[0]


REAL = [0.5, 1.25, 7.0]
HOT, MULTI = np.float32([[0, 1], [1, 0], [0, 1]]), np.float32([[1, 1], [0, 0], [0, 1]])


def unit(y):
    """Targets as the net sees them."""
    y = np.asarray(y, np.float64)
    return ((y - y.mean(axis=0)) / y.std(axis=0)).tolist()


@pytest.mark.parametrize(
    ("y", "net", "loss", "classes", "chosen", "outputs", "encoded"),
    [
        ([3, 1, 3], None, None, (1, 3), "softmax", 2, [1, 0, 1]),
        ([3.0, 1.0, 3.0], None, None, (1, 3), "softmax", 2, [1, 0, 1]),
        (["3", "1", "+3"], None, None, (1, 3), "softmax", 2, [1, 0, 1]),
        (["3", "01", "+3"], None, None, ("+3", "01", "3"), "softmax", 3, [2, 1, 0]),
        (["1", "2", "10"], None, None, (1, 2, 10), "softmax", 3, [0, 1, 2]),
        ([True, False, True], None, None, (False, True), "softmax", 2, [1, 0, 1]),
        (np.array([3, 2**63 + 5, 3], np.uint64), None, None, (3, 2**63 + 5), "softmax", 2, [0, 1, 0]),
        (["b", "a", "b"], None, None, ("a", "b"), "softmax", 2, [1, 0, 1]),
        (["b", "7", "b"], None, None, ("7", "b"), "softmax", 2, [1, 0, 1]),
        (["b", "a", "c"], "2-3-0", "softmax", ("a", "b", "c"), "softmax", 3, [1, 0, 2]),
        ([3, 1, 3], "2-4-1", "sigmoid", (1, 3), "sigmoid", 1, [[1], [0], [1]]),
        ([3, 1, 3], None, "sigmoid", (1, 3), "sigmoid", 2, [[0, 1], [1, 0], [0, 1]]),
        ([3, 1, 3], "2-4-2", "squared", (1, 3), "squared", 2, [[0, 1], [1, 0], [0, 1]]),
        ([3, 1, 3], None, "squared", (), "squared", 1, unit([[3], [1], [3]])),
        (REAL, None, None, (), "squared", 1, unit([[0.5], [1.25], [7]])),
        (["0.5", "1.25", "7"], None, None, (), "squared", 1, unit([[0.5], [1.25], [7]])),
        (list(range(100)), None, None, (), "squared", 1, unit([[i] for i in range(100)])),
        (HOT, None, None, (0, 1), "softmax", 2, [1, 0, 1]),
        (HOT, None, "sigmoid", (0, 1), "sigmoid", 2, HOT.tolist()),
        (MULTI, None, None, (), "sigmoid", 2, MULTI.tolist()),
        (MULTI * 0.5, None, None, (), "squared", 2, unit(MULTI * 0.5)),
    ],
)
def test_labels(y, net, loss, classes, chosen, outputs, encoded):
    schema, spec, got = fitted(y, net, loss)
    assert schema.classes == classes
    assert (spec.loss, spec.net[-1], schema.outputs) == (chosen, outputs, outputs)
    np.testing.assert_allclose(got, encoded, atol=1e-6)
    assert got.dtype == (np.int32 if got.ndim == 1 else np.float32)


@pytest.mark.parametrize(
    ("y", "net", "loss", "error", "message"),
    [
        ([1, 2, 3], "2-4-2", None, SpecError, "net ends with 2, but the data has 3 classes: 1, 2, 3"),
        ([1, 2, 3], "5-4-3", None, SpecError, "net starts with 5, but the data has 2 features"),
        (HOT, "2-4-3", None, SpecError, "net ends with 3, but the data has 2 target columns"),
        (MULTI, None, "softmax", DataError, "softmax needs targets with one 1 a row"),
        (REAL, "2-3", None, SpecError, "net ends with 3, but the labels are real numbers"),
        (["a", "a"], None, None, DataError, "every label is 'a'; expected at least 2 classes"),
        ([str(i) + "x" for i in range(10001)], None, None, DataError, "more than 10000 different texts"),
    ],
)
def test_labels_that_do_not_fit(y, net, loss, error, message):
    with pytest.raises(error, match=message):
        fitted(y, net, loss)


def test_labels_of_another_dataset():
    schema, _, _ = fitted(["0.5", "1.5", "2"])
    with pytest.raises(DataError, match="f:2: label 'x' is not a number; the model's labels are"):
        schema.encode(np.array(["1", "x"], object), lambda i: {"path": "f", "line": i + 1})
    schema, _, _ = fitted(HOT)
    with pytest.raises(DataError, match=r"targets \[1.0, 1.0\]; expected one 1"):
        schema.encode(MULTI)
    with pytest.raises(DataError, match="3 target columns, expected 2"):
        schema.encode(np.zeros((1, 3), np.float32))
    good = schema.encode(MULTI, bad=data.Bad(2))[1]
    assert good.tolist() == [False, False, True]


def test_many_labels_are_counted_up_to_a_bound():
    labels = Labels.of(np.arange(20000) / 7)
    assert labels.values is None
    assert labels.numeric
    assert not labels.whole
    assert Labels.of(np.arange(9000)).join(Labels.of(np.arange(9000, 18000))).values is None


def test_schema_travels():
    schema, _, _ = fitted(["b", "a", "b"])
    plain, tensors = schema.to_parts()
    back = Schema.from_parts(json.loads(json.dumps(plain)), tensors)
    assert back.to_parts()[0] == plain
    assert back.classes == ("a", "b")
    with pytest.raises(ValueError, match="unknown fields"):
        Schema.from_parts({**plain, "x": 1}, tensors)
    with pytest.raises(ValueError, match="schema scale"):
        Schema.from_parts(plain, {**tensors, "scale": tensors["scale"][:1]})


def test_no_samples_and_no_labels(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,y\n")
    with pytest.raises(DataError, match=r"a.csv: a header alone \('a', 'b', 'y'\); expected lines of samples"):
        data.open_source(str(tmp_path / "a.csv"))
    (tmp_path / "a.svm").write_text("# nothing\n")
    source = data.open_source(str(tmp_path / "a.svm"), {"format": "libsvm"})
    with pytest.raises(DataError, match="the dataset has no samples"):
        data.fit(data.summarise(source, source.splits(1)[0]), Spec())
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    source = data.open_source(str(tmp_path / "a.csv"), {"labelled": False})
    with pytest.raises(DataError, match="the data has no labels, and mlp needs them"):
        data.fit(data.summarise(source, source.splits(1)[0]), Spec())
