"""Numbers: what a feature or a target is stored as, its unit and its origin change nothing of importance."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data, driver
from hdl.data.block import Bad, Block, finite
from hdl.data.schema import Schema
from hdl.data.shard import fitting
from hdl.errors import DataError
from hdl.ops.transformed import scaled
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse


def seen(source, **fields):
    """What the net sees of a dataset [n, I]: as one shard, scaled."""
    splits = source.splits(1)[0]
    schema = data.fit(data.summarise(source, splits), Spec(**fields))
    return scaled(data.load(source, splits, schema).train), schema


def opened(folder, kind, x):
    """Features in a format, with classes beside them."""
    y = np.arange(len(x)) % 2
    if kind == "arrays":
        return data.Arrays(x, y)
    if kind == "csv":
        rows = [",".join(repr(value) for value in [*row, int(c)]) for row, c in zip(x.tolist(), y, strict=True)]
        head = ",".join([*(f"f{j}" for j in range(x.shape[1])), "label"])
        (folder / "a.csv").write_text("\n".join([head, *rows]).replace("True", "1").replace("False", "0") + "\n")
        return data.open_source(str(folder / "a.csv"))
    if kind == "npy":
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        return data.open_source(f"{folder}/x.npy,{folder}/y.npy")
    if kind == "parquet":
        columns = {f"f{j}": x[:, j] for j in range(x.shape[1])}
        pq.write_table(pa.table({**columns, "label": y}), folder / "a.parquet")
        return data.open_source(str(folder / "a.parquet"))
    data.write_shards(opened(folder, "npy", x), str(folder / "imported"))
    return data.open_source(str(folder / "imported"))


FORMATS = ("arrays", "csv", "npy", "parquet", "import")
TYPES = (np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64)


@pytest.mark.parametrize("rule", ["auto", "standard", "minmax"])
@given(
    x=st.lists(st.tuples(st.integers(0, 255), st.integers(0, 1), st.integers(100, 110)), min_size=3, max_size=20),
    dtype=st.sampled_from(TYPES),
    kind=st.sampled_from(FORMATS),
)
@settings(deadline=None, max_examples=25)
def test_the_scale_does_not_depend_on_type_or_format(rule, x, dtype, kind, tmp_path_factory):
    x = np.array(x)
    expected, _ = seen(data.Arrays(x.astype(np.float64), np.arange(len(x)) % 2), scale=rule)
    found, _ = seen(opened(tmp_path_factory.mktemp("x"), kind, x.astype(dtype)), scale=rule)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("rule", ["auto", "minmax"])
@given(
    offset=st.sampled_from([1.7e9, -1.7e12, 1e6, 0.0]),
    unit=st.sampled_from([1e-40, 1e-30, 1e-5, 1.0, 1e20, 1e36]),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=8)
def test_origin_and_unit_change_nothing_of_importance(kind, rule, offset, unit, seed, tmp_path_factory):
    """Seconds since 1970, or since a minute ago; metres, or light years: the net sees the same numbers."""
    x = np.random.default_rng(seed).normal(size=(40, 3))
    expected, _ = seen(data.Arrays(x, np.arange(40) % 2), scale=rule)
    moved = x.copy()
    moved[:, 1] += offset
    moved[:, 2] *= unit
    found, schema = seen(opened(tmp_path_factory.mktemp("x"), kind, moved), scale=rule)
    np.testing.assert_allclose(found, expected, atol=1e-3)  # 1.7e12 has steps of 0.0002
    np.testing.assert_allclose(schema.unscaled(found), moved, rtol=1e-4, atol=1e-4 * unit)


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_seconds_are_centred_before_they_are_rounded(dtype):
    x = np.stack([1_700_000_000 + np.arange(600), np.arange(600) % 7], axis=1).astype(dtype)
    source = data.Arrays(x, np.arange(600) < 300)
    found, schema = seen(source)
    assert len(np.unique(found[:, 0])) == 600
    assert schema.rule == {"name": "standard", "centred": 1}
    assert schema.center.tolist() == [x[:, 0].mean(), 0]
    assert schema.scale[0] == 1
    assert schema.shift[0] == 0


def test_what_float32_holds_keeps_its_bytes():
    """Ordinary columns are scaled as ever: by float32 scale and shift alone."""
    x = np.random.default_rng(0).normal(2000, 10, (50, 3))  # years, say
    found, schema = seen(data.Arrays(x, np.arange(50) % 2))
    assert (schema.center, schema.spread) == (None, None)
    np.testing.assert_array_equal(found, x.astype(np.float32) * schema.scale + schema.shift)


def test_rounding_noise_is_no_feature():
    x = np.array([[0.1 + 0.2, 1], [0.3, 2], [0.3, 3], [0.1 + 0.2, 5]])
    found, schema = seen(data.Arrays(x, [0, 1, 0, 1]))
    assert schema.rule == {"name": "standard", "unchanging": 1}
    assert found[:, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("tiny", [1e-40, 1e-44])
def test_sparse_features_of_any_unit(tiny):
    values = np.array([2.0, 4, 3, 1e30, tiny, 2 * tiny])
    csr = data.Csr(values, np.int32([0, 0, 1, 2, 3, 3]), np.int64([0, 1, 3, 5, 6]), 6)
    block = Block(csr, np.array([0, 1, 0, 1]), lambda i: {})
    from hdl.data.summary import of_block

    schema = data.fit(of_block(block), Spec())
    samples = fitting(block, schema, Bad()).x
    assert samples.data.dtype == np.float32
    np.testing.assert_allclose((samples.dense() * schema.scale)[:, :4], [[0.5, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0.5],
                                                                        [0, 0, 0, 1]], rtol=1e-5)  # fmt: skip
    assert schema.rule["unchanging"] == 2


def test_seconds_in_libsvm(tmp_path):
    """A feature that every sample has is centred where it is far from 0; what lacks it later has 0 there."""
    rows = [f"{int(i < 300)} 1:{1.7e9 + i / 10:.1f} 2:7 {'3:1.5' * (i % 3 == 0)}" for i in range(600)]
    (tmp_path / "a.svm").write_text("\n".join(rows) + "\n")
    found, schema = seen(data.open_source(str(tmp_path / "a.svm")))
    assert schema.rule == {"name": "largest", "centred": 1, "unchanging": 1}
    np.testing.assert_allclose(found[:, 0], np.linspace(-1, 1, 600), atol=1e-5)
    assert not found[:, 1].any()
    np.testing.assert_allclose(found[:, 2], np.arange(600) % 3 == 0)
    np.testing.assert_allclose(schema.unscaled(found)[:5, :2], [[1.7e9 + i / 10, 7] for i in range(5)], atol=1e-3)
    later = data.Csr(np.float64([1.7e9, 3.0]), np.int32([0, 2]), np.int64([0, 1, 1, 2]), 3)
    x = fitting(Block(later, None, lambda i: {}), schema, Bad()).x
    dense = (later.dense() - schema.center) / schema.spread
    np.testing.assert_array_equal(x.dense(), dense.astype(np.float32))
    assert x.indices.tolist() == [0, 0, 0, 2]


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6), st.booleans())
@settings(deadline=None, max_examples=50)
def test_sparse_rows_are_centred_as_dense_ones(rows, first):
    x = np.array(rows, np.float64)
    rows, columns = np.nonzero(x)
    indptr = np.searchsorted(rows, np.arange(len(x) + 1)).astype(np.int64)
    csr = data.Csr(x[rows, columns], columns.astype(np.int32), indptr, 5)
    schema = Schema(
        5, 2, "index", (0, 1), center=np.array([2.0 * first, 0, 0, 1, 0]), spread=np.array([1.0, 2, 1, 4, 1])
    )
    found = fitting(Block(csr, None, lambda i: {}), schema, Bad()).x
    np.testing.assert_array_equal(found.dense(), ((x - schema.center) / schema.spread).astype(np.float32))


def test_what_float32_cannot_hold_is_named():
    block = Block(
        np.array([[1.0, 2], [1, 3.5e38], [np.nan, 0], [-np.inf, 1]]), None, lambda i: {"path": "f", "line": i}
    )
    bad = Bad(3)
    assert len(finite(block, bad, ["a", "b"])) == 1
    assert [place.split(": ", 1)[1] for place in bad.places] == [
        "feature 'b' is 3.5e+38; expected a finite float32 number",
        "feature 'a' is nan; expected a finite number",
        "feature 'a' is -inf; expected a finite number",
    ]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=6), st.integers(0, 9), st.booleans())
@settings(deadline=None, max_examples=20)
def test_blocks_decide_nothing_of_a_summary(sizes, seed, text):
    """However a shard's samples are cut into blocks, its summary is the same to the bit: runners cut differently."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(1e9, 3, (sum(sizes), 1000)), rng.normal(1e5, 3, sum(sizes))
    y = np.array([repr(value) for value in y.tolist()], object) if text else y

    class Cut(data.Arrays):
        def _read(self, split, bad):
            edges = np.cumsum([0, *self.sizes])
            for lo, hi in pairwise(edges):
                yield Block(np.asfortranarray(self.x[lo:hi]) if lo % 2 else self.x[lo:hi], y[lo:hi], lambda i: {})

    found = []
    for cut in (sizes, [sum(sizes)], [1] * sum(sizes) if sum(sizes) < 300 else sizes[::-1]):
        source = Cut(x, y)
        source.sizes = cut
        plain, tensors = data.summarise(source, source.splits(1)[0]).to_parts()
        found.append((plain, {name: tensor.tobytes() for name, tensor in tensors.items()}))
    assert all(other == found[0] for other in found[1:])


def trained(folder, path, **fields):
    spec = parse(
        {
            "net": "0-8-0",
            "shards": 2,
            "epochs": 20,
            "batch": 16,
            "seed": 3,
            "optimizer": {"name": "adam", "lr": 0.03},
            **fields,
        }
    )
    driver.train(Job(str(path), str(folder / "table"), spec), LocalRunner(1))
    return Model(str(folder / "table"))


def table(path, x, y):
    rows = [",".join(map(repr, [*row, target])) for row, target in zip(x.tolist(), y.tolist(), strict=True)]
    path.write_text("\n".join([",".join([*(f"f{j}" for j in range(x.shape[1])), "label"]), *rows]) + "\n")
    return path


@pytest.mark.parametrize(("unit", "origin"), [(95_000.0, 250_000.0), (1e-30, 0.0), (30.0, 1.7e9), (1e60, -1e61)])
def test_a_regression_does_not_depend_on_the_unit_of_its_targets(tmp_path, unit, origin):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3)).round(3)
    y = x @ [0.8, -0.4, 0.2] + 0.1 * rng.normal(size=300)
    found = []
    for name, target in ("plain", y), ("moved", y * unit + origin):
        folder = tmp_path / name
        folder.mkdir()
        path = table(folder / "a.csv", x, target)
        model = trained(folder, path)
        score = model.evaluate(data.open_source(str(path), None, model.schema))
        answers = np.concatenate([a.out for a in model.predict(data.open_source(str(path), None, model.schema))])
        assert score.r2 > 0.9
        assert score.rmse == pytest.approx(np.sqrt(np.square(answers[:, 0] - target).mean()), rel=1e-4)
        found.append((score.cost, answers))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    np.testing.assert_allclose((found[1][1] - origin) / unit, found[0][1], atol=1e-2)


def test_several_targets_are_standardised_each(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    y = np.stack([x[:, 0] * 1e5 + 1e6, x[:, 1] * 1e-3], axis=1)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    model = trained(tmp_path, f"{tmp_path}/x.npy,{tmp_path}/y.npy", epochs=40)
    score = model.evaluate(data.open_source(f"{tmp_path}/x.npy,{tmp_path}/y.npy", None, model.schema))
    assert score.r2 > 0.9
    assert 0 < score.rmse[0] < 0.3e5
    assert 0 < score.rmse[1] < 0.3e-3


@pytest.mark.parametrize("targets", [[7.5] * 40, [0.0] * 40])
def test_targets_that_never_change_are_answered(tmp_path, targets):
    path = table(tmp_path / "a.csv", np.random.default_rng(0).normal(size=(40, 2)), np.array(targets))
    model = trained(tmp_path, path, loss="squared", epochs=60)
    answers = next(model.predict(data.open_source(str(path), None, model.schema))).out
    np.testing.assert_allclose(answers, targets[0], atol=0.3 * max(1, targets[0]))


def test_diabetes_by_the_defaults(tmp_path):
    """Real data whose targets are 152 ± 77: the defaults are far better than the mean."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    train, test = table(tmp_path / "train.csv", x[:300], y[:300]), table(tmp_path / "test.csv", x[300:], y[300:])
    driver.train(Job(str(train), str(tmp_path / "table"), Spec()), LocalRunner(1))
    model = Model(str(tmp_path / "table"))
    score = model.evaluate(data.open_source(str(test), None, model.schema))
    assert score.r2 > 0.35
    assert 40 < score.rmse < 62


def test_a_column_that_never_changed_may_change_later(tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 3))
    x[:, 1] = 7
    path = table(tmp_path / "a.csv", x, (x[:, 0] > 0).astype(int))
    model = trained(tmp_path, path)
    expected = np.concatenate([a.out for a in model.predict(data.open_source(str(path), None, model.schema))])
    x[:, 1] = np.linspace(-1e6, 1e6, 200)
    path = table(tmp_path / "b.csv", x, (x[:, 0] > 0).astype(int))
    found = np.concatenate([a.out for a in model.predict(data.open_source(str(path), None, model.schema))])
    np.testing.assert_array_equal(found, expected)


def test_an_answer_that_is_not_finite_is_told_and_never_a_class(tmp_path):
    x = np.random.default_rng(0).normal(size=(100, 3))
    model = trained(tmp_path, table(tmp_path / "a.csv", x, (x[:, 2] > 0).astype(int)), scale="none", epochs=3)
    wild = table(tmp_path / "b.csv", np.array([[1.0, 2, 3], [3e38, -3e38, 3e38], [0, 0, 1]]), np.array([1, 0, 1]))
    message = r"b\.csv:3: the network's answer is not finite"
    for ask in (lambda source: list(model.predict(source)), model.evaluate, lambda source: list(model.encode(source))):
        with pytest.raises(DataError, match=message):
            ask(data.open_source(str(wild), None, model.schema))
    bad = Bad(1)
    (answers,) = model.predict(data.open_source(str(wild), None, model.schema), bad)
    assert bad.count == 1
    assert answers.good.tolist() == [True, False, True]
    assert answers.labels.tolist()[1] is None
    assert np.isnan(answers.out[1]).all()
    score = model.evaluate(data.open_source(str(wild), {"max_bad_records": 1}, model.schema))
    assert (score.samples, score.bad, score.confusion.sum()) == (2, 1, 2)
    assert np.isfinite(score.cost)
