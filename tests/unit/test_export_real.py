"""Real tables: the exported graph, `hdl predict` and the estimator say the same of every row.

The graph adds in another order and knows sines of its own, so that probabilities agree within float32's rounding:
1e-5 in absolute terms, and a regression's values within 1e-5 of the targets' deviation. Labels are equal wherever the
two largest probabilities are farther apart than that.
"""

import warnings

import numpy as np
import pyarrow as pa
import pytest

import hdl
from hdl import data, driver, export
from hdl import predict as predicting
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec

pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
pytest.importorskip("hdl._cpu")

CLOSE = 1e-5
# File to train on, label, file to predict, rows of that one, fields of the spec.
TABLES = {
    "adult": ("adult.data.gz", "-1", "adult.test.gz", 16_267, {}),
    "adult, embedded": ("adult.data.gz", "-1", "adult.data.gz", 32_560, {"embedding": "auto"}),
    "titanic": ("titanic.csv", "survived", "titanic.csv", 891, {"preprocessing": {"missing": "median"}}),
    "ames": ("ames.csv.gz", "SalePrice", "ames.csv.gz", 2930, {"loss": "gamma", "scale": {"name": "robust"}}),
    "bikes": ("bike_hour.csv.gz", "cnt", "bike_hour.csv.gz", 17_379, {"loss": "poisson"}),
    "diamonds": ("diamonds.csv.gz", "price", "diamonds.csv.gz", 53_940, {"scale": {"name": "quantile"}}),
    "taxis": ("taxis.csv.gz", "tip", "taxis.csv.gz", 6433, {"preprocessing": {"numeric_embedding": "ple"}}),
    "taxis, periodic": ("taxis.csv.gz", "payment", "taxis.csv.gz", 6433, {
        "preprocessing": {"numeric_embedding": "periodic"}, "scale": {"name": "log"}, "embedding": 3,
    }),
}  # fmt: skip


@pytest.fixture(scope="module", params=TABLES)
def trained(request, datasets, tmp_path_factory):
    """A model of a table, and what `hdl predict` answers to every row of a file, beside the rows themselves."""
    train, label, test, rows, fields = TABLES[request.param]
    folder = datasets("tables")
    table = str(tmp_path_factory.mktemp("real") / "table")
    spec = Spec(epochs=1, **fields)
    driver.train(Job(str(folder / train), table, spec, options=data.Options.make(label=label)), LocalRunner(1))
    model = predicting.Model(table)
    source = data.open_source(str(folder / test), model.reading, model.schema, labels=False)
    answers = list(model.predict(source))
    out = np.concatenate([part.out for part in answers])
    labels = None if answers[0].labels is None else np.concatenate([part.labels for part in answers])
    assert len(out) == rows
    blocks = [block.x for splits in source.splits(1) for block in source.read(splits)]
    return table, model, blocks, out, labels


def cells(blocks, name, kind):
    """A raw column as onnxruntime takes it: see `hdl.export.build`."""
    parts = [block[name] for block in blocks]
    if kind == "tensor(double)":
        return np.concatenate(parts)
    if kind == "tensor(string)":
        return np.array(["" if text is None else text for part in parts for text in part.to_pylist()], object)
    moments = np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts])
    return moments.astype("datetime64[us]").astype(np.int64)


def test_onnx_takes_the_raw_table(trained):
    _, model, blocks, out, labels = trained
    schema = model.schema
    wide = {name: getattr(schema, name) for name in ("target_mean", "target_deviation")}
    graph = export.build(model.spec, model.w, classes=schema.classes or None, encodings=schema.encodings, **wide)
    session = runtime.InferenceSession(export.serialise(graph), providers=["CPUExecutionProvider"])
    columns = [column.name for column in schema.encodings.columns]
    inputs = {item.name: item for item in session.get_inputs()}
    assert set(inputs) <= set(columns)
    assert set(columns) - set(inputs) == set(schema.encodings.reasons or ())
    raw = {name: cells(blocks, name, item.type)[:, None] for name, item in inputs.items()}
    given = dict(zip([item.name for item in session.get_outputs()], session.run(None, raw), strict=True))
    if labels is None:
        deviation = schema.target_deviation if schema.target_deviation is not None else 1
        np.testing.assert_allclose(given["value"] / deviation, out / deviation, rtol=CLOSE, atol=CLOSE)
        return
    np.testing.assert_allclose(given["probabilities"], out, rtol=0, atol=CLOSE)
    top = np.sort(out, axis=1)
    clear = top[:, -1] - top[:, -2] > 2 * CLOSE
    assert clear.mean() > 0.999
    np.testing.assert_array_equal(given["label"][clear], labels[clear])


def test_an_estimator_takes_the_same_rows_as_a_frame(trained):
    table, model, blocks, out, _ = trained
    kind = hdl.MLPClassifier if model.schema.classes else hdl.MLPRegressor
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as scikit-learn's of names
        again = kind.from_table(table)
        names = {column.name for column in blocks[0].columns}  # of columns in use; the others may hold anything
        frame = pa.table({
            name: pa.chunked_array([pa.array(block[name], from_pandas=True) for block in blocks])
            if name in names else pa.nulls(len(out))
            for name in again.feature_names_in_
        })  # fmt: skip
        answers = again.predict_proba(frame) if model.schema.classes else again.predict(frame)[:, None]
    np.testing.assert_array_equal(answers, out)
