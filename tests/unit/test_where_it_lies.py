"""Answers to numbers where they lie, whatever their type and order, are those of their copy as rows of float32."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import hdl
from hdl.errors import NonFinite, SpecError
from hdl.estimators import learner
from hdl.ops import Samples
from hdl.ops import rows as laid
from hdl.ops.rows import Numbers

KINDS = [np.float32, np.float64, np.uint8, np.bool_, np.int32, np.int64]
ORDERS = {
    "C": lambda x: x,
    "F": np.asfortranarray,
    "turned over": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "every second": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2],
    "columns": lambda x: [np.ascontiguousarray(column) for column in x.T],
    "columns apart": lambda x: list(np.repeat(x, 3, axis=0)[::3].T),
    "columns of a matrix": lambda x: list(np.asfortranarray(x).T),
    "columns in pairs": lambda x: [np.asfortranarray(x[:, at : at + 2]) for at in range(0, x.shape[1], 2)],
}
SHAPES = [(300, 21), (9, 8), (1, 40), (700, 3), (1300, 1)]


def numbers(shape, kind):
    """Numbers of a type, whole ones of large types with digits that float32 does not hold."""
    rng = np.random.default_rng(0)
    if kind in (np.float32, np.float64):
        return rng.normal(size=shape).astype(kind)
    most = {np.bool_: 2, np.uint8: 256, np.int32: 2**31 - 1, np.int64: 2**62}[kind]
    return (rng.integers(0, most, shape) - (most // 2 if kind in (np.int32, np.int64) else 0)).astype(kind)


def as_rows(x):
    """Round as scikit-learn and hdl do: what float32 does not hold is float64 before."""
    return np.ascontiguousarray((x.astype(np.float64) if x.dtype.itemsize > 4 else x).astype(np.float32))


@pytest.fixture(scope="module")
def nets():
    """Give the net for some number of inputs, of which the answers are near 1/2 for numbers of any size."""
    rng, made = np.random.default_rng(1), {}

    def of(inputs):
        if inputs not in made:
            x = rng.normal(size=(60, inputs)).astype(np.float32)
            made[inputs] = hdl.MLPClassifier((5,), max_iter=1, random_state=1).fit(x, np.arange(60) % 3)
        return made[inputs]

    return of


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_core_takes_numbers_where_they_lie(shape, order, kind, nets):
    x = numbers(shape, kind)
    given, net = ORDERS[order](x), nets(shape[1])
    lying = Numbers(given if isinstance(given, list) else [given])
    assert lying.shape == shape
    scale, shift = (np.random.default_rng(n).normal(1, 0.1, shape[1]).astype(np.float32) / 2**20 for n in (2, 3))
    for isa, threads in (("generic", 1), (None, 1), (None, 3)):
        core = hdl.ops.make(net._fitted, "cpu", threads, isa)
        for more in ((None, None), (scale, shift)):
            expected, _ = core.forward(net._weights.w, Samples(as_rows(x), None, *more))
            found, _ = core.forward(net._weights.w, Samples(lying, None, *more))
            assert found.tobytes() == expected.tobytes()
    out = np.full(shape, np.nan, np.float32)
    assert laid.lay(lying, out)
    assert out.tobytes() == as_rows(x).tobytes()


@pytest.mark.parametrize("compiled", [True, False])
def test_matrices_and_columns_of_all_types_are_laid_side_by_side(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(laid, "_rows", None)
    parts = [numbers((37, 1 + place), kind) for place, kind in enumerate(KINDS)]
    parts += [np.asfortranarray(part) for part in parts] + [part[:, 0] for part in parts]
    out = np.empty((37, 48), np.float32)
    assert laid.lay(Numbers(parts), out)
    assert out.tobytes() == as_rows(np.column_stack([as_rows(part.reshape(37, -1)) for part in parts])).tobytes()
    parts[7] = np.asfortranarray(parts[7])
    parts[7][36, 1] = np.inf
    assert not laid.lay(Numbers(parts))
    assert not laid.lay(Numbers(parts), out)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("place", "wrong"),
    [((0, 0), np.nan), ((299, 20), np.inf), ((150, 16), -np.inf), ((296, 3), 1e39), ((7, 20), np.nan)],
)
def test_what_is_not_finite_is_named(place, order, wrong, nets):
    x = numbers((300, 21), np.float64)
    x[place] = wrong
    given = ORDERS[order](x)
    net = nets(21)
    samples = Samples(Numbers(given if isinstance(given, list) else [given]))
    for threads in (1, 2):
        core = hdl.ops.make(net._fitted, "cpu", threads)
        with pytest.raises(NonFinite, match=rf"x\[{place[0]}, {place[1]}\] is .*, expected a finite number of float32"):
            core.forward(net._weights.w, samples)
        samples_before = Samples(as_rows(x)[: place[0]])
        assert len(core.forward(net._weights.w, samples_before)[0]) == place[0]  # it goes on working
    if not isinstance(given, list):
        said = "NaN" if np.isnan(wrong) else "infinity" if np.isinf(wrong) else "too large for dtype\\('float32'\\)"
        for jobs in (1, 2):
            with pytest.raises(ValueError, match=said):
                net.set_params(n_jobs=jobs).predict(given)
        net.set_params(n_jobs=None)


def test_numbers_of_other_types_or_lengths_are_refused(nets):
    net = nets(3)
    core = hdl.ops.make(net._fitted, "cpu")
    for parts, said in (
        ([np.zeros((2, 3), ">f8")], "expected aligned numbers"),
        ([np.zeros((2, 3), np.uint16)], "expected aligned numbers"),
        ([np.zeros((2, 2)), np.zeros(3)], "expected 2 rows"),
        ([np.zeros((2, 4))], "x has 4 columns, expected 3"),
    ):
        with pytest.raises(SpecError, match=said):
            core.forward(net._weights.w, Samples(Numbers(parts)))
    with pytest.raises(SpecError, match="in their order"):
        core.forward(net._weights.w, Samples(Numbers([np.zeros((2, 3))])), np.array([1, 0]))


FORMS = {
    "float64": lambda x: x.astype(np.float64),
    "float64, Fortran order": lambda x: np.asfortranarray(x, np.float64),
    "int64": lambda x: (x * 9).astype(np.int64),
    "int32, Fortran order": lambda x: np.asfortranarray(x * 9).astype(np.int32, order="K"),
    "bool": lambda x: x > 0,
    "uint8, every second": lambda x: np.abs(x * 99).astype(np.uint8).repeat(2, axis=0)[::2],
    "uint16": lambda x: np.abs(x * 99).astype(np.uint16),
    "DataFrame of float32": pd.DataFrame,
    "DataFrame of int64": lambda x: pd.DataFrame((x * 9).astype(np.int64)),
    "DataFrame of bool": lambda x: pd.DataFrame(x > 0),
    "DataFrame of float32 and float64": lambda x: pd.DataFrame(x).astype({0: np.float64, 3: np.float64}),
    "DataFrame of float32 and bytes": lambda x: pd.DataFrame(np.abs(x)).astype({1: np.uint8, 4: np.uint8}),
    "DataFrame of numbers and bool": lambda x: pd.DataFrame(x).astype({2: np.bool_, 3: np.float64, 5: np.int64}),
    "DataFrame of whole numbers": lambda x: pd.DataFrame((x * 9).astype(np.int64)).astype({0: np.int32, 4: np.int32}),
    "DataFrame with int16": lambda x: pd.DataFrame((x * 9).astype(np.float32)).astype({0: np.int16}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor", "BernoulliRBM"])
@pytest.mark.parametrize("scale", ["none", "standard"])
def test_estimators_answer_as_scikit_learns_checks_would_have_it(form, kind, scale, monkeypatch):
    x, y = FORMS[form](np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)), np.arange(90) % 3
    few = {"n_iter": 1} if kind == "BernoulliRBM" else {"max_iter": 2, "hidden_layer_sizes": (4,)}
    scale = "minmax" if kind == "BernoulliRBM" and scale == "standard" else scale
    answer = {"MLPClassifier": "predict_proba", "BernoulliRBM": "transform"}.get(kind, "predict")

    def outcome():
        net = getattr(hdl, kind)(scale=scale, random_state=1, **few)
        net.fit(x, y)
        out = [getattr(net.set_params(n_jobs=jobs), answer)(x) for jobs in (1, 2)]
        return [out[0].dtype, getattr(net, "_float", None), net.n_features_in_, *map(np.ndarray.tobytes, out)]

    found = outcome()
    monkeypatch.setattr(learner.Learner, "_plain", lambda *given, **named: None)  # each look and copy by scikit-learn
    assert found == outcome()


def test_a_dataframe_of_several_types_is_read_where_it_lies(monkeypatch, nets):
    x = pd.DataFrame(numbers((50, 6), np.float64)).astype({0: np.float32, 3: np.int64})
    y = np.arange(50) % 3
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1)
    with monkeypatch.context() as patch:
        patch.setattr(learner, "check_array", None)  # nothing may call it
        patch.setattr(learner.Learner, "_raw", None)
        net.fit(x, y).predict(x)
    lacking = x.copy()
    lacking.iloc[7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.predict(lacking)


def test_entries_of_sparse_rows_in_any_order_are_those_of_the_matrix():
    rng = np.random.default_rng(0)
    x = rng.random((80, 12)).astype(np.float32) * (rng.random((80, 12)) < 0.4)
    net = hdl.MLPClassifier((4,), max_iter=1, random_state=1).fit(sparse.csr_array(x), np.arange(80) % 3)
    expected = net.predict_proba(sparse.csr_array(x)).tobytes()
    given = sparse.csr_array(x)
    unsorted = sparse.csr_array((given.data[::-1].copy(), given.indices[::-1].copy(), given.indptr), given.shape)
    unsorted = unsorted[::-1]  # entries of each row are turned over, and so are the rows
    assert not unsorted.has_sorted_indices
    assert net.predict_proba(unsorted).tobytes() == net.predict_proba(sparse.csr_array(unsorted.toarray())).tobytes()
    halves = sparse.coo_array(given)
    twice = sparse.csr_array(
        (np.tile(given.data / 2, (2, 1)).T.ravel(), np.repeat(given.indices, 2), given.indptr * 2), given.shape
    )
    assert not twice.has_canonical_format
    assert net.predict_proba(twice).tobytes() == expected
    assert net.predict_proba(halves).tobytes() == expected
    assert len(twice.data) == 2 * len(given.data)  # what was given stays as it was
    given.data[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.predict(given)
