"""Restricted Boltzmann machines: statistics and training, by the reference and by the core, against enumeration."""

import itertools

import numpy as np
import pytest

from hdl import ops
from hdl.errors import NonFinite, SpecError
from hdl.models import rbm
from hdl.ops import Key, Samples
from tests.unit.rbms import KEY, make_chains, make_data, make_spec, make_weights


def states(units):
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def chances(p):
    """Probability [rows, 2^units] of each state of independent units with probabilities p [rows, units]."""
    s = states(p.shape[1])
    return np.prod(np.where(s[None] == 1, p[:, None, :], 1 - p[:, None, :]), axis=2)


def exact_cd(spec, w, v_pos):
    """Expected statistics [P] of CD-k by enumeration of the Markov chain over hidden states, for each sample's sum."""
    layout = ops.make(spec, "reference").layout
    (weights, b_h), (back, b_v) = layout.split(w)
    h = states(spec.net[1])
    mean = h @ back + b_v
    v_neg = mean if spec.rbm.visible == "gaussian" else sigmoid(mean)  # of each hidden state
    h_neg = sigmoid(v_neg @ weights + b_h)
    h_pos = sigmoid(v_pos @ weights + b_h)
    weight = chances(h_pos).sum(axis=0)  # of the states that drive the reconstruction, summed over samples
    for _ in range(spec.rbm.k - 1):
        weight = weight @ chances(h_neg)
    parts = [
        (v_neg * weight[:, None]).T @ h_neg - v_pos.T @ h_pos,
        weight @ h_neg - h_pos.sum(axis=0),
        weight @ v_neg - v_pos.sum(axis=0),
    ]
    return np.concatenate([part.ravel() for part in parts])


def exact_likelihood_gradient(spec, w, v_pos):
    """Sum over samples of minus the gradient of log p(v), by central differences of the enumerated likelihood."""
    out = np.empty_like(w)
    for i in range(w.size):
        up, down = w.copy(), w.copy()
        up[i] += 1e-5
        down[i] -= 1e-5
        difference = rbm.log_likelihood(spec, down, v_pos).sum() - rbm.log_likelihood(spec, up, v_pos).sum()
        out[i] = difference / 2e-5
    return out


def backends():
    return ["reference", "cpu"]


def made(spec, backend, w):
    """Operations, and weights of their type."""
    if backend == "cpu":
        pytest.importorskip("hdl._cpu")
    return ops.make(spec, backend), w.astype(np.float32 if backend == "cpu" else np.float64)


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("visible", ["binary", "gaussian"])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_statistics_are_those_of_the_enumerated_markov_chain(k, visible, backend):
    """The mean over many runs lies within five of its own standard errors of the expectation."""
    spec = make_spec(k=k, visible=visible)
    operations, w = made(spec, backend, make_weights(spec, scale=0.8))
    v = make_data(spec, 5)
    runs, seeds = 2000 if backend == "cpu" else 200, range(20)
    samples, order = Samples(v), np.tile(np.arange(5), runs)
    found = np.array([operations.gradient(w, samples, order, Key(seed, 1, 2))[0] / runs for seed in seeds])
    expected = exact_cd(spec, w.astype(np.float64), v.astype(np.float64))
    error = found.std(axis=0, ddof=1) / np.sqrt(len(found)) + 1e-6
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error).all()
    assert error.max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("backend", backends())
def test_with_many_gibbs_steps_the_statistics_are_the_likelihoods_gradient(backend):
    spec = make_spec(k=40)
    operations, w = made(spec, backend, make_weights(spec))
    v = make_data(spec, 5)
    runs = 6000 if backend == "cpu" else 1000
    found, _ = operations.gradient(w, Samples(v), np.tile(np.arange(5), runs), KEY)
    expected = exact_likelihood_gradient(spec, w.astype(np.float64), v)
    # Reconstructions are means: at equilibrium theirs is that of v, but v hᵀ needs drawn v, as persistent chains have.
    biases = slice(15, None)
    np.testing.assert_allclose(found[biases] / runs, expected[biases], atol=0.1)
    assert np.abs(expected[biases]).max() > 0.5


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("visible", ["binary", "gaussian"])
def test_persistent_chains_give_the_likelihoods_gradient(visible, backend):
    """Chains after 30 Gibbs steps are samples of the model: all statistics, weights included, are exact."""
    spec = make_spec(k=30, persistent=True, chains=20_000 if backend == "cpu" else 4000, visible=visible)
    weights = make_weights(spec, scale=0.4)
    operations, w = made(spec, backend, weights)
    v = make_data(spec, 5)
    chains = make_chains(spec, dtype=w.dtype)
    found, _ = operations.gradient(w, Samples(v), None, KEY, chains=chains)
    expected = exact_likelihood_gradient(spec, w.astype(np.float64), v)
    np.testing.assert_allclose(found, expected, atol=0.15 if backend == "cpu" else 0.3)
    assert np.abs(expected).max() > 1
    if visible == "binary":
        assert set(np.unique(chains)) == {0, 1}
        p = np.exp(rbm.log_likelihood(spec, w, states(4)))
        seen = np.bincount(chains.astype(int) @ np.array([8, 4, 2, 1]), minlength=16) / len(chains)
        np.testing.assert_allclose(seen, p, atol=5 * np.sqrt(p.max() / len(chains)))
    else:
        assert abs(chains.var(axis=0).mean() - 1) < 1.5  # hidden units add to the noise's own 1
        assert len(np.unique(chains)) > 1000


@pytest.mark.parametrize("backend", backends())
@pytest.mark.parametrize("persistent", [False, True])
def test_likelihood_rises_on_a_small_pattern_set(persistent, backend):
    patterns = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]], np.float32)
    spec = make_spec("6-8", persistent=persistent, chains=60, k=1)
    operations, w = made(spec, backend, rbm.initial(spec))
    chains = make_chains(spec, dtype=w.dtype)
    seen = [rbm.log_likelihood(spec, w, patterns).mean()]
    for epoch in range(6 if not persistent else 24):
        order = np.tile(np.arange(3), 400)
        lr = np.full(40, 0.2, np.float32)
        operations.train(w, np.zeros((0, w.size), w.dtype), Samples(patterns), order, 30, lr, 40 * epoch, KEY,
                         chains=chains)  # fmt: skip
        seen.append(rbm.log_likelihood(spec, w, patterns).mean())
    assert seen[0] < -4
    assert seen[1] < seen[3] < seen[-1]
    assert seen[-1] > -2.0  # log 1/3 = -1.1 is the best there is


def test_sparsity_target_moves_the_average_activation():
    spec, without = make_spec("6-8", rho=0.1, beta=3.0), make_spec("6-8")
    means = []
    for s in (spec, without):
        reference = ops.make(s, "reference")
        w, v = rbm.initial(s).astype(np.float64), make_data(s, 50)
        order = np.tile(np.arange(50), 100)
        reference.train(w, np.zeros((0, w.size)), Samples(v), order, 50, np.full(100, 0.2, np.float32), 0, KEY)
        means.append(reference.encode(w, Samples(v)).mean())
    assert abs(means[0] - 0.1) < 0.03
    assert means[1] > 0.3


@pytest.mark.parametrize("backend", backends())
def test_one_step_with_sparsity_decay_and_momentum_is_what_the_statistics_say(backend):
    spec = make_spec(l1=0.01, l2=0.1, optimizer={"name": "momentum", "momentum": 0.5}, rho=0.2, beta=0.7)
    operations, w = made(spec, backend, make_weights(spec))
    v = make_data(spec, 9)
    sums, seen = operations.gradient(w, Samples(v), None, KEY)
    state = np.full((1, w.size), 0.25, w.dtype)
    before, w, state_before = w.copy(), w.copy(), state.copy()
    told = operations.train(w, state, Samples(v), np.arange(9), 9, np.full(1, 0.5, np.float32), 0, KEY)
    assert told.cost == pytest.approx(seen.cost)
    (weights, b_h), (_, b_v) = operations.layout.split(sums[: w.size] / 9)
    old = operations.layout.split(before)[0][0]
    mean = operations.encode(before, Samples(v)).mean(axis=0)
    g = np.concatenate([(weights + 0.1 * old + 0.01 * np.sign(old)).ravel(), b_h + 0.7 * (mean - 0.2), b_v])
    np.testing.assert_allclose(sums[w.size :] / 9, mean, rtol=1e-5)
    np.testing.assert_allclose(state[0], 0.5 * state_before[0] + g, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(w, before - 0.5 * state[0], rtol=1e-4, atol=1e-5)


def test_the_cost_is_that_of_the_first_gibbs_step_and_of_the_mean_in_forward():
    spec = make_spec(k=3)
    reference, w, v = ops.make(spec, "reference"), make_weights(make_spec()), make_data(make_spec(), 6)
    (weights, b_h), (back, b_v) = reference.layout.split(w)
    p = sigmoid(v @ weights + b_h)
    out, told = reference.forward(w, Samples(v))
    np.testing.assert_allclose(reference.encode(w, Samples(v)), p)
    np.testing.assert_allclose(out, sigmoid(p @ back + b_v))
    assert told.cost == pytest.approx(0.5 * ((out - v) ** 2).sum())
    one = ops.make(make_spec(k=1), "reference").gradient(w, Samples(v), None, KEY)[1].cost
    assert reference.gradient(w, Samples(v), None, KEY)[1].cost == one


@pytest.mark.parametrize("backend", backends())
def test_chains_persist_and_differ_from_contrastive_divergence(backend):
    spec = make_spec("20-9", persistent=True, chains=30)
    operations, w = made(spec, backend, make_weights(spec))
    v, chains = make_data(spec, 40), make_chains(spec, dtype=w.dtype)
    before = chains.copy()
    first, _ = operations.gradient(w, Samples(v), None, KEY, chains=chains)
    after = chains.copy()
    assert not np.array_equal(before, after)
    again, _ = operations.gradient(w, Samples(v), None, KEY, chains=chains)
    assert not np.array_equal(first, again)  # they went on from where they were
    chains = before.copy()
    assert np.array_equal(operations.gradient(w, Samples(v), None, KEY, chains=chains)[0], first)
    assert np.array_equal(chains, after)
    plain = ops.make(make_spec("20-9"), backend).gradient(w, Samples(v), None, KEY)[0]
    assert np.abs(plain - first).max() > 1


@pytest.mark.parametrize("backend", backends())
def test_every_key_and_step_names_other_draws(backend):
    spec = make_spec("20-9")
    operations, w = made(spec, backend, make_weights(spec))
    v, found = make_data(spec, 40), set()
    for key in (KEY, Key(8, 3, 1), Key(7, 4, 1), Key(7, 3, 2)):
        found.add(operations.gradient(w, Samples(v), None, key)[0].tobytes())
        for step in (0, 1):
            u = w.copy()
            operations.train(u, np.zeros((0, u.size), u.dtype), Samples(v), np.arange(40), 40,
                             np.ones(1, np.float32), step, key)  # fmt: skip
            found.add(u.tobytes())
    assert len(found) == 12


@pytest.mark.parametrize("backend", backends())
def test_wrong_chains_and_orders_are_errors(backend):
    spec, w = make_spec(persistent=True, chains=5), make_weights(make_spec())
    operations, w = made(spec, backend, w)
    samples = Samples(make_data(spec, 4))
    with pytest.raises(SpecError, match="chains is missing"):
        operations.gradient(w, samples, None, KEY)
    with pytest.raises(SpecError, match="chains has"):
        operations.gradient(w, samples, None, KEY, chains=np.zeros((4, 4), w.dtype))
    with pytest.raises(SpecError, match="keeps none"):
        made(make_spec(), backend, w)[0].gradient(w, samples, None, KEY, chains=np.zeros((5, 4), w.dtype))


@pytest.mark.parametrize("backend", backends())
def test_a_cost_that_explodes_leaves_everything(backend):
    spec = make_spec(visible="gaussian", persistent=True, chains=5, optimizer="momentum")
    operations, w = made(spec, backend, make_weights(spec))
    v, chains = 1e10 * make_data(spec, 40), make_chains(spec, dtype=w.dtype)
    state = np.ones((1, w.size), w.dtype)
    kept = w.copy(), chains.copy()
    with pytest.raises(NonFinite):
        operations.train(w, state, Samples(v), np.arange(40), 1, np.full(40, 1e30, np.float32), 0, KEY, chains=chains)
    assert np.array_equal(w, kept[0])
    assert np.array_equal(chains, kept[1])
    assert (state == 1).all()
