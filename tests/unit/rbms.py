"""What the tests of restricted Boltzmann machines begin from, and what they ask of every backend."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import strategies as st

from hdl import ops
from hdl import spec as specs
from hdl.ops import Key, Samples, rules

KEY = Key(7, 3, 1)


def make_spec(net="4-3", l1=0, l2=0, optimizer="sgd", **part):
    return specs.parse({"model": "rbm", "net": net, "loss": "squared", "l1": l1, "l2": l2, "optimizer": optimizer,
                        "rbm": part})  # fmt: skip


def make_weights(spec, seed=0, scale=0.5):
    inputs, hidden = spec.net
    return np.random.default_rng(seed).normal(0, scale, inputs * hidden + inputs + hidden)


def make_data(spec, n, seed=1):
    rng = np.random.default_rng(seed)
    if spec.rbm.visible == "gaussian":
        return rng.normal(size=(n, spec.net[0])).astype(np.float32)
    return (rng.random((n, spec.net[0])) < 0.4).astype(np.float32)


def make_chains(spec, seed=2, dtype=np.float32):
    part = spec.rbm
    if not part.persistent:
        return None
    return (np.random.default_rng(seed).random((part.chains, spec.net[0])) < 0.5).astype(dtype)


@st.composite
def jobs(draw):
    net = [draw(st.integers(1, 90)), draw(st.integers(1, 90))]
    spec = make_spec(
        net,
        l1=draw(st.sampled_from([0, 0.01])),
        l2=draw(st.sampled_from([0, 0.1])),
        optimizer={"name": draw(st.sampled_from(sorted(rules.VECTORS))), "lr": 0.05},
        visible=draw(st.sampled_from(["binary", "gaussian"])),
        k=draw(st.integers(1, 3)),
        persistent=draw(st.booleans()),
        chains=draw(st.sampled_from([1, 7, 70])),
        beta=draw(st.sampled_from([0, 0.5])),
    )
    n = draw(st.integers(1, 60))
    v, rng = make_data(spec, n), np.random.default_rng(1)
    kind = draw(st.sampled_from(["float", "uint8", "csr"]))
    scale = (rng.random(net[0]) + 0.5).astype(np.float32)
    samples = Samples(v)
    if kind == "uint8":
        samples = Samples(rng.integers(0, 256, v.shape).astype(np.uint8), None, scale / 255, scale / 9)
    elif kind == "csr":
        samples = Samples(scipy.sparse.csr_array(v * (rng.random(v.shape) < 0.5)), None, scale)
    return spec, samples, draw(st.integers(1, 70))


def near(actual, expected, tolerance=2e-4):
    """Near in all but a few places: a draw within rounding of its probability may fall on the other side."""
    bound = tolerance * max(1.0, np.abs(expected).max(initial=0))
    assert (np.abs(actual - expected) > bound).sum() <= 0.005 * expected.size


def check_all(core, spec, samples, batch):
    """Gradient, outputs, codes and training of some operations are the reference's, chains included."""
    reference = ops.make(spec, "reference")
    order = np.random.default_rng(2).integers(0, len(samples), 50)
    w = make_weights(spec, scale=0.3 / np.sqrt(max(spec.net))).astype(np.float32)
    double = w.astype(np.float64)
    chains = make_chains(spec)
    twin = None if chains is None else chains.astype(np.float64)
    g, seen = core.gradient(w, samples, order, KEY, chains=chains)
    expected, told = reference.gradient(double, samples, order, KEY, chains=twin)
    assert g.shape == (core.layout.statistics,)
    near(g, expected)
    if chains is not None:
        near(chains, twin)
    assert seen.cost == pytest.approx(told.cost, rel=1e-3, abs=1e-4)
    assert (seen.samples, seen.correct) == (told.samples, 0)
    out, seen = core.forward(w, samples, order)
    expected, told = reference.forward(double, samples, order)
    near(out, expected)
    assert seen.cost == pytest.approx(told.cost, rel=1e-4, abs=1e-4)
    near(core.encode(w, samples, order), reference.encode(double, samples, order))
    if spec.optimizer.name in ("sgd", "momentum", "nesterov") and not spec.l1:
        lr, vectors = np.full(ops.steps(50, batch), 1e-3, np.float32), core.state_vectors
        state, other = np.zeros((vectors, w.size), np.float32), np.zeros((vectors, w.size))
        told = reference.train(double, other, samples, order, batch, lr, 5, KEY, chains=twin)
        seen = core.train(w, state, samples, order, batch, lr, 5, KEY, chains=chains)
        near(w, double, 1e-3)
        near(state, other, 1e-3)
        assert seen.cost == pytest.approx(told.cost, rel=1e-2, abs=1e-3)
        assert (seen.samples, seen.steps) == (told.samples, told.steps)


def check_rule(rule, backend):
    """Far from convergence and with large biases no gradient is near 0, where the rules are smooth."""
    spec = make_spec("9-5", l1=0.01, l2=0.02, optimizer={"name": rule, "momentum": 0.8, "epsilon": 1e-3})
    core, reference = ops.make(spec, backend), ops.make(spec, "reference")
    v = np.random.default_rng(3).random((40, 9)).astype(np.float32) + 2  # far outside of what means can be
    w = make_weights(spec).astype(np.float32)
    double = w.astype(np.float64)
    state, other = np.zeros((core.state_vectors, w.size), np.float32), np.zeros((core.state_vectors, w.size))
    lr = np.full(5, 0.01, np.float32)
    core.train(w, state, Samples(v), np.arange(40), 8, lr, 3, KEY)
    reference.train(double, other, Samples(v), np.arange(40), 8, lr, 3, KEY)
    np.testing.assert_allclose(w, double, rtol=1e-3, atol=1e-3)
    near(state, other, 1e-3)
