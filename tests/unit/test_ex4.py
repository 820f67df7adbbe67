"""The course exercise ex4: its trained weights have the published cost and accuracy on its 5,000 digits."""

import gzip

import numpy as np
import pytest
import scipy.io

from hdl import ops, optim
from hdl import spec as specs


@pytest.fixture(scope="module")
def digits(datasets):
    """The samples, and the exercise's weights in our order: it keeps [O, 1 + I], bias first; we [I, O], then b [O]."""
    folder = datasets("ex4")
    with gzip.open(folder / "digitInput.txt.gz") as x, gzip.open(folder / "digitOutput.txt.gz") as y:
        samples = ops.Samples(np.loadtxt(x, dtype=np.float32), np.loadtxt(y, dtype=np.float32))
    weights = scipy.io.loadmat(folder / "ex4weights.mat")
    parts = [part for name in ("Theta1", "Theta2") for part in (weights[name][:, 1:].T.ravel(), weights[name][:, 0])]
    return samples, np.concatenate(parts)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(("decay", "published"), [(0, 0.287629), (1, 0.383770)])
def test_published_cost(digits, backend, decay, published):
    if backend == "cpu":
        pytest.importorskip("hdl._cpu")
    samples, w = digits
    spec = specs.parse({"net": "400-25-10", "activation": "sigmoid", "loss": "sigmoid", "l2": decay / len(samples)})
    w = w.astype(np.float32 if backend == "cpu" else np.float64)
    gradient, result = ops.make(spec, backend).gradient(w, samples)
    cost, _ = optim.objective(spec, w, result.cost, gradient, result.samples)
    assert cost == pytest.approx(published, abs=1e-6)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_published_accuracy(digits, backend):
    if backend == "cpu":
        pytest.importorskip("hdl._cpu")
    samples, w = digits
    spec = specs.parse({"net": "400-25-10", "activation": "sigmoid", "loss": "sigmoid"})
    out, _ = ops.make(spec, backend).forward(w.astype(np.float32), samples)
    assert (out.argmax(axis=1) == samples.y.argmax(axis=1)).mean() == 0.9752
