"""Free energy, likelihood, annealed importance sampling and samples of RBMs, against enumeration."""

import itertools

import numpy as np
import pytest
from scipy import integrate

from hdl import rng
from hdl import spec as specs
from hdl.errors import SpecError
from hdl.models import rbm


def make_spec(net="4-3", **part):
    return specs.parse({"model": "rbm", "net": net, "loss": "squared", "optimizer": "sgd", "seed": 3, "rbm": part})


def make_weights(spec, seed=0, scale=0.7):
    inputs, hidden = spec.net
    return np.random.default_rng(seed).normal(0, scale, inputs * hidden + inputs + hidden)


def states(units):
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def energies(spec, w, v, h):
    """E(v, h) [n, m], term by term."""
    (weights, b_h), (_, b_v) = rbm.layout(spec).split(w)
    own = 0.5 * ((v - b_v) ** 2).sum(axis=1) if spec.rbm.visible == "gaussian" else -v @ b_v
    return own[:, None] - (h @ b_h)[None] - v @ weights @ h.T


def test_first_weights():
    spec = make_spec("80-50")
    w = rbm.initial(spec)
    (weights, b_h), (_, b_v) = rbm.layout(spec).split(w)
    assert w.dtype == np.float32
    assert abs(weights.std() - 0.01) < 3e-4
    assert abs(weights.mean()) < 5e-4
    assert not b_h.any()
    assert not b_v.any()
    assert np.array_equal(w, rbm.initial(spec))
    assert not np.array_equal(w, rbm.initial(spec.with_(seed=4)))
    expected = 0.01 * rng.normals(rng.derive(3, rng.INIT), n=4000)
    assert np.array_equal(weights.ravel(), expected.astype(np.float32))


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_free_energy_sums_over_hidden_states(visible):
    spec = make_spec(visible=visible)
    w = make_weights(spec)
    v = states(4) if visible == "binary" else np.random.default_rng(1).normal(size=(10, 4))
    expected = -np.log(np.exp(-energies(spec, w, v, states(3))).sum(axis=1))
    np.testing.assert_allclose(rbm.free_energy(spec, w, v), expected, rtol=1e-12)


def test_partition_both_ways():
    spec = make_spec("9-6")
    w = make_weights(spec)
    expected = np.log(np.exp(-energies(spec, w, states(9), states(6))).sum())
    for over in (None, "visible", "hidden"):
        assert rbm.log_partition(spec, w, over) == pytest.approx(expected, rel=1e-12)
    assert np.exp(rbm.log_likelihood(spec, w, states(9))).sum() == pytest.approx(1)


def test_gaussian_density_integrates_to_one():
    spec = make_spec("1-3", visible="gaussian")
    w = make_weights(spec)
    area, _ = integrate.quad(lambda x: np.exp(rbm.log_likelihood(spec, w, np.array([[x]])))[0], -15, 15)
    assert area == pytest.approx(1, rel=1e-7)


def test_enumeration_of_many_states_is_an_error_not_a_wait():
    spec = make_spec("30-25")
    w = make_weights(spec)
    with pytest.raises(SpecError, match="annealed"):
        rbm.log_partition(spec, w)
    with pytest.raises(SpecError, match="25 hidden"):
        rbm.log_likelihood(spec, w, np.zeros((1, 30)))
    with pytest.raises(SpecError, match="over"):
        rbm.log_partition(make_spec(visible="gaussian"), make_weights(make_spec()), "visible")
    assert np.isfinite(rbm.log_likelihood(spec, w, np.zeros((1, 30)), log_z=3.0)).all()


@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("based", [False, True])
def test_annealed_importance_sampling_is_within_its_error(visible, based):
    spec = make_spec("12-8", visible=visible)
    w = make_weights(spec, scale=0.5 if visible == "binary" else 0.25)
    base = np.random.default_rng(5).normal(0, 0.5, 12) if based else None
    exact = rbm.log_partition(spec, w)
    for seed in range(3):
        found = rbm.annealed(spec, w, chains=200, steps=300, seed=seed, base=base)
        assert abs(found.log_z - exact) < 4 * found.error
        assert found.error < 0.15
    assert rbm.annealed(spec, w, 50, 20, seed=1) == rbm.annealed(spec, w, 50, 20, seed=1)
    assert rbm.annealed(spec, w, 50, 20, seed=1) != rbm.annealed(spec, w, 50, 20, seed=2)


def test_annealed_error_is_that_of_repetitions():
    spec = make_spec("12-8")
    w = make_weights(spec)
    found = [rbm.annealed(spec, w, chains=50, steps=30, seed=seed) for seed in range(40)]
    spread = np.std([f.log_z for f in found])
    assert 0.6 < np.mean([f.error for f in found]) / spread < 1.6


def test_samples_have_the_models_distribution():
    spec = make_spec()
    w = make_weights(spec, scale=1)
    v = rbm.sample(spec, w, 20_000, 30, seed=4)
    assert v.dtype == np.float32
    seen = np.bincount(v.astype(int) @ np.array([8, 4, 2, 1]), minlength=16) / len(v)
    p = np.exp(rbm.log_likelihood(spec, w, states(4)))
    np.testing.assert_allclose(seen, p, atol=5 * np.sqrt(p.max() / len(v)))


def test_gaussian_samples_have_the_models_moments():
    spec = make_spec("1-3", visible="gaussian")
    w = make_weights(spec, scale=1)
    v = rbm.sample(spec, w, 20_000, 30, seed=4)[:, 0]
    x = np.linspace(-15, 15, 6001)
    p = np.exp(rbm.log_likelihood(spec, w, x[:, None])) * (x[1] - x[0])
    assert v.mean() == pytest.approx((p * x).sum(), abs=0.05)
    assert v.var() == pytest.approx((p * x * x).sum() - (p * x).sum() ** 2, rel=0.05)


def test_samples_are_keyed_and_start_where_told():
    spec = make_spec()
    w = make_weights(spec)
    one = rbm.sample(spec, w, 10, 3, seed=1)
    assert np.array_equal(one, rbm.sample(spec, w, 10, 3, seed=1))
    assert not np.array_equal(one, rbm.sample(spec, w, 10, 3, seed=2))
    still = w * 0
    still[-4:] = [99, -99, 99, -99]
    assert rbm.sample(spec, still, 2, 1).tolist() == [[1, 0, 1, 0]] * 2
    kept = np.concatenate([99 * np.eye(4, 3).ravel(), [-50] * 3, [-50] * 3, [0]])  # h copies v, v copies h
    found = rbm.sample(spec, kept, 2, 1, start=np.array([[1, 0, 1, 0], [0, 1, 1, 0]]))
    assert found[:, :3].tolist() == [[1, 0, 1], [0, 1, 1]]
    means = rbm.sample(spec, w, 10, 3, seed=1, means=True)
    assert ((means > 0) & (means < 1)).all()


def test_wrong_arguments_are_errors():
    spec = make_spec()
    w = make_weights(spec)
    with pytest.raises(SpecError, match="w has shape"):
        rbm.free_energy(spec, w[1:], states(4))
    with pytest.raises(SpecError, match="v has shape"):
        rbm.free_energy(spec, w, states(3))
    with pytest.raises(SpecError, match="chains"):
        rbm.annealed(spec, w, chains=1)
    with pytest.raises(SpecError, match="base"):
        rbm.annealed(spec, w, base=np.zeros(3))
    with pytest.raises(SpecError, match="count"):
        rbm.sample(spec, w, 0)
    with pytest.raises(SpecError, match="start"):
        rbm.sample(spec, w, 3, start=np.zeros((2, 4)))
    with pytest.raises(SpecError, match="net"):
        rbm.layout(specs.parse({"model": "rbm"}))
    with pytest.raises(SpecError, match="model"):
        rbm.layout(specs.parse({"net": "4-3"}))
