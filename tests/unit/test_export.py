"""The exported graph says what the network says, in onnxruntime."""

import numpy as np
import pytest

from hdl import export
from hdl.errors import SpecError, Unavailable
from hdl.models import mlp
from hdl.ops import Samples
from hdl.ops.reference import DenseReference
from hdl.spec import Activation, Spec

pytest.importorskip("onnx", reason="hdl-hadoop[export] is not installed")
runtime = pytest.importorskip("onnxruntime", reason="hdl-hadoop[export] is not installed")

RNG = np.random.default_rng(7)
X = RNG.uniform(0, 255, (23, 6)).astype(np.float32)
SCALE = RNG.uniform(0.002, 0.02, 6).astype(np.float32)
SHIFT = RNG.uniform(-1, 1, 6).astype(np.float32)


def both(classes=None, **fields):
    """Outputs of the exported graph by name, and what the NumPy reference says."""
    spec = Spec(**fields)
    w = mlp.initial(spec) + RNG.normal(0, 0.1, mlp.Layout(spec.net).size).astype(np.float32)
    model = export.build(spec, w, SCALE, SHIFT, classes)
    session = runtime.InferenceSession(export.serialise(model), providers=["CPUExecutionProvider"])
    outputs = dict(zip([out.name for out in session.get_outputs()], session.run(None, {"input": X}), strict=True))
    expected, _ = DenseReference(spec).forward(w, Samples(X, None, SCALE, SHIFT), np.arange(len(X)))
    return outputs, expected


@pytest.mark.parametrize("activation", Activation.__args__)
def test_probabilities_of_every_activation(activation):
    outputs, expected = both([3, 5, 9], net=(6, 8, 7, 3), loss="softmax", activation=activation, leak=0.2, dropout=0.5)
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    np.testing.assert_array_equal(outputs["label"], np.array([3, 5, 9])[expected.argmax(axis=1)])
    assert outputs["label"].dtype == np.int64


def test_classes_may_be_words():
    outputs, expected = both(["cat", "dög", "<b>"], net=(6, 5, 3), loss="softmax")
    assert list(outputs["label"]) == [["cat", "dög", "<b>"][best] for best in expected.argmax(axis=1)]


def test_two_classes_of_one_sigmoid():
    outputs, expected = both([-1, 1], net=(6, 5, 1), loss="sigmoid")
    assert outputs["probabilities"].shape == (23, 2)
    np.testing.assert_allclose(outputs["probabilities"][:, 1:], expected, atol=1e-5)
    np.testing.assert_array_equal(outputs["label"], np.where(expected[:, 0] > 0.5, 1, -1))


def test_several_labels_a_sample():
    outputs, expected = both(net=(6, 5, 4), loss="sigmoid")
    assert set(outputs) == {"probabilities"}
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_regression():
    outputs, expected = both(net=(6, 5, 2), loss="squared")
    assert set(outputs) == {"value"}
    np.testing.assert_allclose(outputs["value"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [[False, True], [0.5, 2.0], [3, 2**63 + 5], [-1, 2**70]])
def test_classes_keep_their_type(classes):
    outputs, expected = both(classes, net=(6, 5, 2), loss="softmax")
    chosen = [classes[best] for best in expected.argmax(axis=1)]
    assert outputs["label"].tolist() == (list(map(str, chosen)) if classes[-1] == 2**70 else chosen)


def test_seconds_and_prices():
    """Columns that are centred in float64, and targets in their own unit: the answers of `hdl predict`."""
    x = np.c_[1.7e9 + RNG.uniform(0, 60, 23), RNG.normal(size=(23, 5))]
    center, spread = np.array([1.7e9 + 30, 0, 0, 0, 0, 0]), np.array([17.0, 1, 1, 1, 1, 1])
    mean, deviation = np.array([250_000.0, 1.7e9]), np.array([95_000.0, 30.0])
    spec = Spec(net=(6, 5, 2), loss="squared")
    w = mlp.initial(spec)
    model = export.build(
        spec, w, SCALE, SHIFT, center=center, spread=spread, target_mean=mean, target_deviation=deviation
    )
    session = runtime.InferenceSession(export.serialise(model), providers=["CPUExecutionProvider"])
    (value,) = session.run(["value"], {"input": x})
    seen = ((x - center) / spread).astype(np.float32)
    out, _ = DenseReference(spec).forward(w, Samples(seen, None, SCALE, SHIFT), np.arange(len(x)))
    np.testing.assert_allclose((value - mean) / deviation, out, atol=1e-5)
    assert value.dtype == np.float64


def test_equal_weights_give_equal_bytes():
    spec = Spec(net=(6, 3), loss="softmax")
    w = mlp.initial(spec)
    first, second = (export.serialise(export.build(spec, w, about={"table": "t"})) for _ in range(2))
    assert first == second


def test_an_unfinished_spec_is_refused():
    with pytest.raises(SpecError, match="net and loss"):
        export.build(Spec(), np.zeros(3, np.float32))


def test_without_onnx_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(Unavailable, match="pip install onnx onnxruntime"):
        export.build(Spec(net=(6, 3), loss="softmax"), np.zeros(21, np.float32))
