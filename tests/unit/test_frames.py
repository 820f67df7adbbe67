"""Estimators on DataFrames: categories, dates, missing cells and odd types, from pandas, polars and pyarrow alike."""

import warnings

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler

import hdl
from hdl import data, export, predict
from hdl.data import Arrays
from tests.unit.visits import N, net, table

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def visits():
    x, value = table()
    return x, np.where(value > 1.6, "churned", "stayed")


@pytest.fixture(scope="module")
def fitted(visits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net().fit(*visits)


def test_every_kind_of_column_is_learned(fitted):
    x, value = table(seed=1)
    y = np.where(value > 1.6, "churned", "stayed")
    assert fitted.score(x, y) > 0.85
    assert fitted.feature_names_in_.tolist() == ["age", "colour", "member", "seen", "visits", "shop"]
    assert fitted.n_features_in_ == 6
    for name in ("colour", "member", "seen", "age"):  # each says something that only it says
        shuffled = x.assign(**{name: x[name].sample(frac=1, random_state=0).to_numpy()})
        assert fitted.score(shuffled, y) < fitted.score(x, y), name


class Stream:
    """A table of some other library, of which no more is known than that it gives Arrow's C stream."""

    def __init__(self, held):
        self.held, self.columns, self.shape = held, list(pa.table(held).column_names), held.shape

    def __arrow_c_stream__(self, requested_schema=None):
        return self.held.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("make", [pl.from_pandas, lambda x: pa.Table.from_pandas(x, preserve_index=False)])
def test_polars_and_pyarrow_say_what_pandas_says(fitted, visits, make):
    x, y = visits
    again = net().fit(make(x), y)
    assert again._weights.w.tobytes() == fitted._weights.w.tobytes()
    np.testing.assert_array_equal(fitted.predict_proba(make(x)), fitted.predict_proba(x))
    batch = pa.table(make(x)).combine_chunks().to_batches()[0]
    np.testing.assert_array_equal(again.predict_proba(batch), fitted.predict_proba(x))
    np.testing.assert_array_equal(again.predict_proba(Stream(make(x))), fitted.predict_proba(x))


def test_labels_of_each_library(visits, fitted):
    x, y = visits
    for labels in (pd.Series(y), pl.Series(y), pa.array(y), pd.Series(y, dtype="category")):
        assert net().fit(x, labels)._weights.w.tobytes() == fitted._weights.w.tobytes()
    for labels in (pa.chunked_array([y[:9], y[9:]]), pa.array(y).dictionary_encode(), pa.array(y, pa.large_string())):
        assert net().fit(x, labels)._weights.w.tobytes() == fitted._weights.w.tobytes()


@pytest.mark.parametrize("make", [lambda y: pd.Series(y, dtype=object), pl.Series, pa.array])
def test_labels_that_lack_some_are_refused_alike(visits, make):
    x, y = visits
    with pytest.raises(ValueError, match="Unknown label type"):
        net().fit(x, make([None, *y.tolist()[1:]]))


@pytest.mark.parametrize("labels", [3, 2])
def test_answers_to_a_frame_are_a_files_to_the_bit_and_those_to_an_array_sum_to_1(tmp_path, labels):
    x = np.random.default_rng(0).normal(size=(90, 3))
    model = net(max_iter=3).fit(x, np.arange(90) % labels)
    model.to_table(tmp_path / "table")
    frame = pd.DataFrame(x, columns=["a", "b", "c"])
    again = hdl.MLPClassifier.from_table(tmp_path / "table")
    out = np.concatenate([part.out for part in predict.Model(str(tmp_path / "table")).predict(Arrays(x))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that the fit did not have
        for rows in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
            np.testing.assert_array_equal(again.predict_proba(rows)[:, -out.shape[1] :], out)
    assert model.predict_proba(x).dtype == np.float64
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1, rtol=1e-15)


def test_an_index_is_no_column(visits, fitted):
    x, y = visits
    assert net().fit(x.set_index(np.arange(N)[::-1]), y)._weights.w.tobytes() == fitted._weights.w.tobytes()


def test_columns_are_checked_by_name_and_order(fitted, visits):
    x, _ = visits
    for wrong, message in (
        (x[x.columns[::-1]], "must be in the same order as they were in fit"),
        (x.drop(columns="age"), "Feature names seen at fit time, yet now missing:\n- age"),
        (x.assign(more=1), "Feature names unseen at fit time:\n- more"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.predict(wrong)
        with pytest.raises(ValueError, match=message):
            fitted.predict(pl.from_pandas(wrong))


def test_levels_never_seen_and_columns_all_missing_have_answers(fitted, visits):
    x = visits[0].head(5)
    strange = x.assign(colour="purple", shop="z", member=None, age=np.nan, seen=pd.NaT, visits=10**9)
    assert np.isfinite(fitted.predict_proba(strange)).all()
    with pytest.raises(ValueError, match="infinity"):
        fitted.predict(x.assign(age=np.inf))


def test_a_cell_of_another_kind_is_told(fitted, visits):
    x = visits[0].head(5)
    with pytest.raises(ValueError, match=r"column 'age'.*'old'"):
        fitted.predict(x.assign(age="old"))
    with pytest.raises(ValueError, match=r"column 'seen'.*int64 is no date"):
        fitted.predict(x.assign(seen=5))


def test_missing_cells_in_an_array():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = x[:, 0] > 0
    x[np.arange(300) % 3 == 0, 0] = np.nan  # that it is missing says nothing here,
    x[y & (np.arange(300) % 2 == 0), 1] = np.nan  # and here all
    fitted = net().fit(x, y)
    assert fitted.score(x, y) > 0.85
    assert not hasattr(fitted, "feature_names_in_")
    missing = fitted.predict(np.array([[0.0, np.nan, 0], [np.nan, np.nan, np.nan]]))
    assert missing.all()
    with pytest.raises(ValueError, match="Input X contains NaN"):
        net().fit(np.zeros((9, 2)), np.arange(9) % 3).predict([[np.nan, 0]])


@pytest.mark.parametrize("missing", ["mean", "median", "indicator"])
def test_rules_for_missing_numbers(missing):
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x[:, 0] > 0
    x[::5, 1] = np.nan
    assert net(missing=missing, max_iter=5).fit(x, y)._schema.encodings.missing == missing
    with pytest.raises(ValueError, match="are missing in columns 'x1'"):
        net(missing="error").fit(x, y)


def test_rows_that_lack_a_number_can_be_dropped():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x[:, 0] > 0
    x[::5, 1] = np.nan
    there = ~np.isnan(x[:, 1])
    dropping = net(missing="drop", max_iter=5).fit(x, y)
    assert dropping._weights.w.tobytes() == net(max_iter=5).fit(x[there], y[there])._weights.w.tobytes()
    with pytest.raises(ValueError, match="sample 0 of X lacks 'x1'"):
        dropping.predict(x)


def test_pipelines_clone_grid_search_and_cross_validation(visits):
    x, y = visits
    without = make_pipeline(FunctionTransformer(lambda frame: frame.drop(columns="visits")), net(max_iter=10))
    assert cross_val_score(without, x, y, cv=3).mean() > 0.6
    search = GridSearchCV(net(max_iter=10), {"embedding": [0, 2], "min_count": [1, 30]}, cv=2).fit(x, y)
    assert search.best_estimator_.feature_names_in_.tolist() == x.columns.tolist()
    assert clone(net(categorical_features=["colour"], missing="median")).get_params()["missing"] == "median"
    scaled = make_pipeline(MinMaxScaler().set_output(transform="polars"), net(max_iter=5)).fit(x[["visits"]], y)
    assert scaled[-1].feature_names_in_.tolist() == ["visits"]


def test_regression_and_partial_fit():
    x, value = table()
    model = hdl.MLPRegressor((16,), random_state=1, max_iter=80, learning_rate_init=0.02).fit(x, value)
    assert model.score(*table(seed=2)) > 0.7
    step = hdl.MLPRegressor((16,), random_state=1).partial_fit(x, value)
    step.partial_fit(x.assign(colour="unknown"), value)
    assert np.isfinite(step.predict(x)).all()


def test_a_table_of_weights_keeps_columns_and_parameters(tmp_path, fitted, visits):
    x, _ = visits
    fitted.to_table(tmp_path / "table")
    again = hdl.MLPClassifier.from_table(tmp_path / "table")
    assert again.feature_names_in_.tolist() == x.columns.tolist()
    np.testing.assert_array_equal(again.predict_proba(pl.from_pandas(x)), fitted.predict_proba(x))
    for name in ("missing", "min_count", "embedding", "numeric_embedding", "scale"):
        assert getattr(again, name) == (getattr(fitted, name) if name != "scale" else "auto"), name
    answers = predict.Model(str(tmp_path / "table")).predict(Arrays(x))
    out = np.concatenate([part.out for part in answers])  # of the second class
    np.testing.assert_array_equal(np.hstack([1 - out.astype(float), out]), fitted.predict_proba(x))


@pytest.mark.parametrize("embedding", [3, "auto"])
@pytest.mark.parametrize("numeric_embedding", [None, "ple", "periodic"])
def test_embeddings(tmp_path, visits, embedding, numeric_embedding):
    x, y = visits
    model = net(embedding=embedding, numeric_embedding=numeric_embedding, min_count=2).fit(x, y)
    assert model.score(x, y) > 0.85
    model.to_table(tmp_path / "table")
    again = hdl.MLPClassifier.from_table(tmp_path / "table")
    assert again.numeric_embedding == numeric_embedding
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_onnx_takes_the_frame_and_what_the_documentation_makes_of_it(tmp_path, fitted):
    pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
    x = table(seed=3)[0]
    x.loc[:9, ["age", "colour", "seen"]] = None
    fitted.to_table(tmp_path / "table")
    model = predict.Model(str(tmp_path / "table"))
    graph = export.build(model.spec, model.w, classes=model.schema.classes, encodings=model.schema.encodings)
    session = runtime.InferenceSession(export.serialise(graph), providers=["CPUExecutionProvider"])
    by_hand = {}
    for item in session.get_inputs():
        cells = x[item.name]
        if item.type == "tensor(string)":
            cells = cells.astype("string").fillna("").to_numpy(object)
            cells = np.array([text.lower() for text in cells], object) if item.name == "member" else cells
        elif item.type == "tensor(int64)":
            cells = cells.to_numpy("datetime64[us]").astype("int64")
        else:
            cells = cells.to_numpy(float)
        by_hand[item.name] = cells[:, None]
    for rows in (x, pl.from_pandas(x)):
        feeds = export.feeds(session, rows)
        assert feeds.keys() == by_hand.keys()
        label, probabilities = session.run(None, feeds)
        np.testing.assert_allclose(probabilities, fitted.predict_proba(x), atol=1e-6)
        np.testing.assert_array_equal(label, fitted.predict(x))
        np.testing.assert_array_equal(session.run(None, by_hand)[1], probabilities)
    with pytest.raises(ValueError, match="no column 'age'; the table has colour"):
        export.feeds(session, x.drop(columns="age"))
    with pytest.raises(ValueError, match="column 'age': expected numbers"):
        export.feeds(session, x.assign(age="old"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_weights_answers_files_as_the_estimator_answers_frames(tmp_path, fitted, suffix):
    x, value = table(seed=4)
    fitted.to_table(tmp_path / "table")
    x.loc[:3, ["colour", "shop"]] = None
    rows = x.assign(outcome=value)[["outcome", *x.columns]]
    path = tmp_path / f"rows.{suffix}"
    rows.to_csv(path, index=False) if suffix == "csv" else rows.to_parquet(path, index=False)
    model = predict.Model(str(tmp_path / "table"))
    answers = model.predict(data.open_source(str(path), model.reading, model.schema, labels=False))
    out = np.concatenate([part.out for part in answers])  # of the second class
    np.testing.assert_array_equal(np.hstack([1 - out.astype(float), out]), fitted.predict_proba(x))
