"""Estimators on frames: odd types, tables that are refused, and what may be asked for as categories."""

import datetime
import decimal

import numpy as np
import pyarrow as pa
import pytest

import hdl
from tests.unit.visits import net, table

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def visits():
    x, value = table()
    return x, np.where(value > 1.6, "churned", "stayed")


ODD = {
    "nullable integers": pd.Series([1, None, 3, 4] * 10, dtype="Int64"),
    "numbers as categories": pd.Series([10, 20, None, 20] * 10, dtype="category"),
    "a zone": pd.Series(pd.date_range("2024-03-30", periods=40, freq="h", tz="Europe/Berlin")),
    "all missing": pd.Series([None] * 40, dtype=object),
    "nullable booleans": pd.Series([True, None, False, True] * 10, dtype="boolean"),
    "objects that are booleans": pd.Series([True, None, False, True] * 10, dtype=object),
    "decimals": pd.Series([decimal.Decimal("1.50"), None, decimal.Decimal("2.25"), decimal.Decimal("3")] * 10),
    "days": pd.Series([datetime.date(2024, 1, 1), None, datetime.date(2025, 6, 30), datetime.date(2024, 1, 2)] * 10),
    "durations": pd.Series(pd.to_timedelta([1, 2, 3, 5] * 10, unit="h")),
    "texts": pd.Series(["x", None, "y", "x"] * 10),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_types_have_answers(name):
    x = pd.DataFrame({name: ODD[name], "plain": np.arange(40.0) % 7})
    y = np.arange(40) % 2
    model = net(max_iter=3)
    if name == "all missing":
        with pytest.warns(UserWarning, match="left out: all missing: no cell has a value"):
            model.fit(x, y)
    else:
        model.fit(x, y)
    expected = model.predict_proba(x)
    assert np.isfinite(expected).all()
    np.testing.assert_array_equal(model.predict_proba(pa.Table.from_pandas(x, preserve_index=False)), expected)


def test_zones_are_moments_and_whole_levels_are_their_digits():
    moments = pd.date_range("2024-03-30", periods=40, freq="h", tz="Europe/Berlin")
    x = pd.DataFrame({"seen": moments, "code": pd.Series([1.0, 2, 3, 4] * 10, dtype="category")})
    model = net(max_iter=3).fit(x, np.arange(40) % 2)
    same = pd.DataFrame({"seen": moments.tz_convert("UTC").tz_localize(None), "code": ["1", "2", "3", "4"] * 10})
    np.testing.assert_array_equal(model.predict_proba(same), model.predict_proba(x))


def test_tables_that_are_refused():
    y = np.arange(4) % 2
    for wrong, message in (
        (pd.DataFrame(np.ones((4, 2)), columns=["a", "a"]), "columns of the same name: 'a'"),
        (pd.DataFrame({"a": pd.Series([1, "x", 2.5, True], dtype=object)}), "'a' holds texts and other values"),
        (pd.DataFrame({"a": [[1, 2], [3], [4], [5]]}), r"'a' is list<.*no feature"),
        (pl.DataFrame({"a": [{"b": 1}] * 4}), r"'a' is struct<.*no feature"),
        (pd.DataFrame({"a": [b"x", b"y", b"z", b"u"]}), "'a' is binary, which is no feature"),
        (pd.DataFrame({"a": ["x"] * 4}), "no column is left as a feature"),
        (pd.DataFrame({"a": pd.Series([], dtype=str)}), "0 sample"),
    ):
        with pytest.raises(ValueError, match=message):
            net().fit(wrong, y[: len(wrong)])
    mixed = pd.DataFrame({"a": pd.Series([1, "x", 2.5, True], dtype=object)})
    assert net(categorical_features=["a"], max_iter=2).fit(mixed, y).predict(mixed).shape == (4,)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[4, 3\]"):
        net().fit(mixed.assign(a="b"), y[:3])


def test_categorical_features_as_scikit_learn_asks_for_them(visits):
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.integers(0, 6, 400), rng.normal(size=400)])
    y = (x[:, 0] % 2).astype(int)  # a line in the number says nothing of it
    levels = {len(net(categorical_features=asked).fit(x, y)._schema.encodings.levels)
              for asked in ([0], [True, False], np.array([0]))}  # fmt: skip
    assert levels == {1}
    assert net(categorical_features=[0], max_iter=20).fit(x, y).score(x, y) == 1
    named = pd.DataFrame(x, columns=["code", "size"])
    by_name = net(categorical_features=["code"], max_iter=20).fit(named, y)
    np.testing.assert_array_equal(by_name.predict_proba(named.astype({"code": int})), by_name.predict_proba(named))
    for asked, message in (
        (["nothing"], "has an item value 'nothing' which is not a valid feature name"),
        ([2], r"must be in \[0, n_features - 1\]"),
        ([True], "boolean mask must have shape"),
        ([0.5], "array-like of bool, int or str, got: float64"),
        ([None, "code"], "array-like of bool, int or str, got: NoneType, str"),
    ):
        with pytest.raises(ValueError, match=message):
            net(categorical_features=asked).fit(named, y)
    with pytest.raises(ValueError, match="without feature names"):
        net(categorical_features=["code"]).fit(x, y)
    with pytest.raises(ValueError, match=r"'colour' is .*, and not among the categories"):
        net(categorical_features=None).fit(*visits)


def test_arrays_of_objects_and_of_text():
    x = np.array([[1, "a"], [2.5, "b"], [None, "a"], [4, None]] * 10, object)
    y = np.arange(40) % 2
    model = net(max_iter=3).fit(x, y)
    assert (model._schema.encodings.numbers, model._schema.encodings.levels) == (2, (3,))
    np.testing.assert_array_equal(model.predict_proba(x.tolist()), model.predict_proba(x))
    digits = net(max_iter=3).fit(np.array([["1", "2"], ["3", "4.5"]] * 9), np.arange(18) % 2)
    assert digits._schema.encodings is None


@pytest.mark.parametrize("kind", [hdl.SparseAutoencoder, hdl.BernoulliRBM, hdl.StackedAutoencoder])
def test_transformers_refuse_columns_that_are_no_numbers(kind, visits):
    with pytest.raises(ValueError, match=r"'colour' is a category; .* numbers without missing cells"):
        kind().fit(visits[0])
    x = visits[0][["visits", "member"]]
    parameters = {"n_iter": 1} if kind is hdl.BernoulliRBM else {"max_iter": 1}
    codes = kind((4,) if kind is hdl.StackedAutoencoder else 4, **parameters).set_output(transform="pandas").fit(x)
    assert codes.transform(pl.from_pandas(x)).columns[0] == kind.__name__.lower() + "0"
