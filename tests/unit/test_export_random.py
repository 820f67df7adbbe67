"""Tables that nobody chose: every kind of column, scale, rule and loss; four ways of asking a model say the same.

The estimator, the one that its weight table makes, the weight table itself and the exported graph in onnxruntime see
other rows than those of the training, and those of three libraries.
"""

import pickle
import warnings

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hdl
from hdl import export, predict
from hdl.data import Arrays

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
pytest.importorskip("hdl._cpu")

DAY, SECOND = "timedelta64[D]", "timedelta64[s]"
COLUMNS = {
    "number": lambda rng, n: pd.Series(rng.normal(size=n)),
    "huge": lambda rng, n: pd.Series(1e30 * rng.normal(size=n)),
    "outlier": lambda rng, n: pd.Series(np.where(np.arange(n) == 3, 1e18, rng.normal(size=n))),
    "mostly 0": lambda rng, n: pd.Series(np.where(rng.random(n) < 0.7, 0, rng.integers(1, 99, n))),
    "whole": lambda rng, n: pd.Series(rng.integers(-5, 50, n), dtype="Int64"),
    "constant": lambda rng, n: pd.Series(np.full(n, 7)),
    "text": lambda rng, n: pd.Series(rng.choice(["a", "b", "C c", "é"], n), dtype="str"),
    "category": lambda rng, n: pd.Series(rng.choice([f"level {i}" for i in range(12)], n), dtype="category"),
    "codes": lambda rng, n: pd.Series(rng.integers(0, 4, n)).astype("category"),
    "boolean": lambda rng, n: pd.Series(rng.random(n) < 0.5, dtype="boolean"),
    "day": lambda rng, n: pd.Series(np.datetime64("1969-12-30") + rng.integers(0, 9000, n).astype(DAY)),
    "moment": lambda rng, n: pd.Series(
        np.datetime64("2024-02-27T00:00:01") + rng.integers(0, 900_000, n).astype(SECOND)
    ),
    "zone": lambda rng, n: pd.Series(pd.date_range("2020-03-28", periods=n, freq="3h", tz="Europe/Berlin")),
    "nothing": lambda rng, n: pd.Series([None] * n, dtype=object),
}
NAMES = ("label", "value", "value_", "probabilities", "a b", "é", "W1", "whole", "x")
tables = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(sorted(COLUMNS)), st.sampled_from([0, 0.2, 0.9])),
    min_size=1, max_size=6, unique_by=lambda column: column[0],
)  # fmt: skip
LOSSES = (None, None, "squared_error", "huber", "quantile", "poisson", "gamma", "tweedie")
parameters = st.fixed_dictionaries(
    {
        "missing": st.sampled_from(["mean", "median", "indicator"]),
        "scale": st.sampled_from([None, "auto", "none", "standard", "minmax", "robust", "quantile", "log"]),
        "numeric_embedding": st.sampled_from([None, None, "ple", "periodic"]),
        "embedding": st.sampled_from([0, 0, 2, "auto"]),
        "min_count": st.sampled_from([1, 3]),
        "activation": st.sampled_from(["relu", "tanh", "leaky_relu"]),
    }
)


def made(columns, rng):
    n = int(rng.integers(12, 60))
    table = {name: COLUMNS[kind](rng, n) for name, kind, _ in columns}
    return pd.DataFrame({name: table[name].mask(rng.random(n) < share) if share else table[name]
                         for name, _, share in columns})  # fmt: skip


def answers(model, rows):
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)[:, None]


@given(tables, parameters, st.sampled_from(LOSSES), st.integers(0, 2**31 - 1))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_four_ways_of_asking_a_model_of_a_random_table(tmp_path_factory, columns, wished, loss, seed):
    rng = np.random.default_rng(seed)
    if wished["scale"] in (None, "none"):  # no net learns from them as they are
        columns = [column for column in columns if column[1] not in ("huge", "outlier")] or [("x", "number", 0)]
    x = made(columns, rng)
    fixed = {"max_iter": 2, "random_state": seed, **wished}
    if loss is None:
        model, y = hdl.MLPClassifier((5,), **fixed), np.arange(len(x)) % (2 + seed % 2)
    else:
        model, y = hdl.MLPRegressor((5,), loss=loss, **fixed), 0.1 + rng.random(len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns left out, of iterations
        try:
            model.fit(x, y)
        except ValueError as error:
            refusals = ("no column is left", "no feature", "needs the columns of a table", "the data has no categories")
            if not any(refusal in str(error) for refusal in refusals):
                raise
            return
    table = str(tmp_path_factory.mktemp("random") / "table")
    model.to_table(table)
    stored = predict.Model(table)
    new = x.apply(lambda column: column.sample(frac=1, random_state=seed).reset_index(drop=True))
    expected = answers(pickle.loads(pickle.dumps(model)), new)
    for rows in (pl.from_pandas(new), pa.Table.from_pandas(new, preserve_index=False)):
        np.testing.assert_array_equal(answers(model, rows), expected)
    np.testing.assert_array_equal(answers(type(model).from_table(table), new), expected)
    parts = list(stored.predict(Arrays(new, schema=stored.schema)))
    out = np.concatenate([part.out for part in parts])
    np.testing.assert_array_equal(out, expected[:, -out.shape[1] :])  # of two classes it tells the second one's
    schema = stored.schema
    wide = {
        name: getattr(schema, name) for name in ("center", "spread", "target_mean", "target_deviation", "encodings")
    }
    graph = export.build(stored.spec, stored.w, schema.scale, schema.shift, schema.classes or None, **wide)
    session = runtime.InferenceSession(export.serialise(graph), providers=["CPUExecutionProvider"])
    if schema.encodings is None:
        double = session.get_inputs()[0].type == "tensor(double)"
        feeds = {"input": new.to_numpy(np.float64 if double else np.float32)}
    else:
        feeds = export.feeds(session, new)
    unit = 1 if schema.target_deviation is None else schema.target_deviation
    np.testing.assert_allclose(session.run(None, feeds)[-1] / unit, expected / unit, rtol=1e-5, atol=1e-5)
