"""Ensembles from end to end: sync modes, resume, answers, codes, ONNX, estimators."""

import numpy as np
import pytest

import hdl
from hdl import driver, export
from hdl.data import Options, open_source
from hdl.ops import layout
from hdl.ops.members import spec_of
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.unit.test_driver import data, train  # noqa: F401  (fixtures)

MODES = [
    {"sync": {"mode": "average"}},
    {"sync": {"mode": "average", "every": 3, "unit": "batches"}},
    {"sync": {"mode": "gradient"}},
    {"sync": {"mode": "genetic", "genetic": {"fitness_samples": 50}}},
]


@pytest.mark.parametrize("mode", MODES, ids=["average", "batches", "gradient", "genetic"])
def test_every_mode_trains_one_and_goes_on_to_the_same_bytes(train, mode):  # noqa: F811
    fields = {"members": 3, "epochs": 4, "validation": 0.2, "dropout": 0.1, **mode}
    whole = Table(train("whole", **fields).table).read()
    train("part", **{**fields, "epochs": 2})
    again = Table(train("part", resume=True, **fields).table).read()
    assert whole.signature == again.signature
    nets = layout.of(parse(whole.spec)).members(whole.weights.w)
    assert len({net.tobytes() for net in nets}) == 3
    assert whole.rows[-1]["val_cost"] < whole.rows[0]["val_cost"]


def test_a_table_of_one_shard_holds_the_single_net_first(train):  # noqa: F811
    fields = {"shards": 1, "dropout": 0.2}
    one, three = Table(train("one", **fields).table).read(), Table(train("three", members=3, **fields).table).read()
    first, *_, last = layout.of(parse(three.spec)).members(three.weights.w)
    assert first.tobytes() == one.weights.w.tobytes()
    start = Table(train("other", epochs=1, **fields, seed=spec_of(parse(three.spec), 2).seed).table).read(0)
    assert (
        layout.of(parse(three.spec))
        .members(Table(train("again", members=3, **fields).table).read(0).weights.w)[2]
        .tobytes()
        == start.weights.w.tobytes()
    )
    assert last.tobytes() != start.weights.w.tobytes()


def test_answers_codes_and_measures_are_the_ensembles(train, data):  # noqa: F811
    outcome = train("model", members=3, validation=0.2)
    model, source = Model(outcome.table), open_source(data)
    out = np.concatenate([part.out for part in model.predict(source)])
    score = model.evaluate(source)
    assert score.samples == 120
    assert out.shape == (120, 2)
    np.testing.assert_allclose(out.sum(axis=1), 1, atol=1e-6)
    coded = np.concatenate([part.codes for part in model.encode(source)])
    assert coded.shape == (120, 15)
    assert model.encoder().product().shape == (3, 15)


def check_onnx(model, x, **options):
    runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")
    proto = export.build(model.spec, model.w, **options)
    session = runtime.InferenceSession(export.serialise(proto))
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, x(session)), strict=True))


@pytest.mark.parametrize(
    ("loss", "outputs"),
    [("softmax", 3), ("sigmoid", 1), ("sigmoid", 2), ("squared", 2), ("poisson", 1), ("huber", 1)],
)
def test_one_graph_of_onnx_answers_as_the_ensemble_does(loss, outputs):
    pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
    from hdl import models, ops
    from hdl.ops import Samples

    spec = parse({"net": [4, 5, outputs], "loss": loss, "members": 3})
    x, w = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32), models.initial(spec)
    classes = ["a", "b", "c"][: max(2, outputs)] if loss == "softmax" or (loss, outputs) == ("sigmoid", 1) else None
    model = type("Made", (), {"spec": spec, "w": w})
    found = check_onnx(model, lambda session: {"input": x}, classes=classes)
    out = ops.make(spec).forward(w, Samples(x))[0]
    if (loss, outputs) == ("sigmoid", 1):
        out = np.hstack([1 - out, out])
    name = "value" if spec.regression else "probabilities"
    np.testing.assert_allclose(found[name], out, atol=1e-5)
    if classes:
        assert found["label"].tolist() == [classes[i] for i in out.argmax(axis=1)]


@pytest.mark.parametrize("embedding", [0, 2])
def test_the_graph_of_a_table_takes_raw_rows(tmp_path, embedding):
    pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
    pd = pytest.importorskip("pandas")
    draw = np.random.default_rng(2)
    rows = pd.DataFrame({"a": draw.normal(size=90), "b": draw.choice(["u", "v", "w"], 90), "c": draw.normal(size=90)})
    rows["y"] = rows.a * 2 + (rows.b == "v") + draw.normal(size=90) / 10
    rows.to_csv(tmp_path / "t.csv", index=False)
    spec = parse({"net": "0-6-0", "members": 2, "epochs": 3, "embedding": embedding, "loss": "squared"})
    outcome = driver.train(
        Job(str(tmp_path / "t.csv"), str(tmp_path / "m"), spec, options=Options(label=("y",))), LocalRunner(1)
    )
    model = Model(outcome.table)
    schema = model.schema
    units = {"target_mean": schema.target_mean, "target_deviation": schema.target_deviation}
    found = check_onnx(model, lambda s: export.feeds(s, rows), encodings=schema.encodings, **units)
    out = np.concatenate([part.out for part in model.predict(open_source(str(tmp_path / "t.csv"), {"label": "y"}))])
    np.testing.assert_allclose(found["value"], out, atol=1e-4)
    net = hdl.MLPRegressor.from_table(outcome.table)
    assert net.get_params()["members"] == 2
    np.testing.assert_array_equal(net.predict(rows[["a", "b", "c"]]), out.ravel())


@pytest.mark.filterwarnings("ignore:.*the loss still falls")
def test_estimators_train_them():
    draw = np.random.default_rng(5)
    x = draw.normal(size=(200, 4)).astype(np.float32)
    y = x[:, 0] * 3 + 7
    net = hdl.MLPRegressor((8,), members=3, weight_decay=0.01, max_iter=30, random_state=1, learning_rate_init=0.01)
    net.fit(x, y)
    assert len(net.coefs_) == len(net.intercepts_) == 6
    hidden = [np.maximum(x @ net.coefs_[2 * m] + net.intercepts_[2 * m], 0) for m in range(3)]
    outs = [h @ net.coefs_[2 * m + 1] + net.intercepts_[2 * m + 1] for m, h in enumerate(hidden)]
    np.testing.assert_allclose(net.predict(x), np.mean(outs, axis=0).ravel(), rtol=1e-3, atol=1e-3)
    warm = hdl.MLPRegressor((8,), members=2, warm_start=True, max_iter=3, random_state=1).fit(x, y)
    before = warm.predict(x)
    assert np.abs(warm.fit(x, y).predict(x) - before).max() > 0
