"""Weights, class weights and losses of the estimators, beside scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import GammaRegressor, PoissonRegressor, TweedieRegressor
from sklearn.metrics import (
    balanced_accuracy_score,
    mean_absolute_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    mean_tweedie_deviance,
)
from sklearn.neural_network import MLPClassifier as Peer
from sklearn.neural_network import MLPRegressor as PeerRegressor

import hdl

pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def counts(n=600, scale=40.0, seed=0):
    """Counts whose logarithm is linear in the features; far from 1, so that the unit matters."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return x, scale * np.exp(x @ [0.5, -0.3, 0.1]), rng


def linear(cls, **parameters):
    return cls((), activation="identity", solver="lbfgs", alpha=0, max_iter=300, random_state=0, tol=1e-9, **parameters)


def test_a_weighted_network_is_that_of_scikit_learn(cancer):
    """The minimum of the same weighted and penalised loss, by the same full batch."""
    x, y = cancer
    weight = np.random.default_rng(0).gamma(1, 1, len(y))
    same = {"activation": "identity", "solver": "lbfgs", "alpha": 3.0, "max_iter": 500, "random_state": 0, "tol": 1e-8}
    ours = hdl.MLPClassifier((3,), **same).fit(x, y, sample_weight=weight)
    peer = Peer((3,), **same).fit(x, y, sample_weight=weight)
    plain = Peer((3,), **same).fit(x, y)
    # A softmax of two outputs penalises less than a sigmoid of one: the weights are compared by how they move answers.
    ours_moved = ours.predict_proba(x)[:, 1] - hdl.MLPClassifier((3,), **same).fit(x, y).predict_proba(x)[:, 1]
    peer_moved = peer.predict_proba(x)[:, 1] - plain.predict_proba(x)[:, 1]
    assert np.corrcoef(ours_moved, peer_moved)[0, 1] > 0.9
    assert np.abs(peer_moved).max() > 0.02


@pytest.mark.parametrize(("solver", "tolerance"), [("lbfgs", 0.01), ("adam", 1e-3)])
def test_weights_are_repetitions(cancer, solver, tolerance):
    x, y = cancer[0][:120], cancer[1][:120]
    times = np.random.default_rng(0).integers(0, 4, len(y))
    net = hdl.MLPClassifier((8,), solver=solver, alpha=0.1, max_iter=40, random_state=0, activation="tanh")
    weighted = clone(net).set_params(batch_size=120).fit(x, y, sample_weight=times)
    rows = np.repeat(np.arange(len(y)), times)
    repeated = clone(net).set_params(batch_size=len(rows)).fit(x[rows], y[rows])
    np.testing.assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), atol=tolerance)
    assert weighted.loss_ == pytest.approx(repeated.loss_, rel=1e-2)


def test_partial_fit_and_validation_take_weights(cancer):
    x, y = cancer
    rng = np.random.default_rng(0)
    weight = rng.random(len(y))
    a, b = (hdl.MLPClassifier((8,), random_state=0, batch_size=50) for _ in range(2))
    a.partial_fit(x, y, classes=[0, 1], sample_weight=np.ones(len(y)))
    b.partial_fit(x, y, classes=[0, 1])
    assert np.array_equal(a.coefs_[0], b.coefs_[0])
    a.partial_fit(x, y, sample_weight=weight)
    assert not np.array_equal(a.coefs_[0], b.partial_fit(x, y).coefs_[0])
    wrong = np.where(y == 1, 0, 1)  # half of the validation says the opposite, and weighs nothing
    held = np.vstack([x[:100], x[:100]]), np.r_[y[:100], wrong[:100]], np.r_[np.ones(100), np.zeros(100)]
    net = hdl.MLPClassifier((8,), random_state=0, max_iter=3)
    told = clone(net).fit(x, y, validation=held).validation_scores_
    assert told == clone(net).fit(x, y, validation=(x[:100], y[:100])).validation_scores_
    assert clone(net).fit(x, y, validation=held[:2]).validation_scores_ == [0.5] * 3


def test_class_weights_are_sample_weights(cancer):
    x, y = cancer
    keep = (y == 1) | (np.arange(len(y)) % 8 == 0)
    x, y = x[keep], y[keep]
    net = hdl.MLPClassifier((4,), random_state=0, max_iter=20, batch_size=30)
    for chosen, each in (({0: 5.0}, np.where(y == 0, 5, 1)), ("balanced", len(y) / (2 * np.bincount(y))[y])):
        by_class = clone(net).set_params(class_weight=chosen).fit(x, y)
        own = clone(net).fit(x, y, sample_weight=each)
        assert np.array_equal(by_class.coefs_[1], own.coefs_[1])
    hard = x[:, 8:10]  # which tell little, so that the frequent class is the usual answer
    plain = hdl.MLPClassifier((), random_state=0, max_iter=100, learning_rate_init=0.02)
    fair = clone(plain).set_params(class_weight="balanced")
    scores = [balanced_accuracy_score(y, each.fit(hard, y).predict(hard)) for each in (plain, fair)]
    assert scores[1] > scores[0] + 0.1
    with pytest.raises(ValueError, match="compute_class_weight"):
        fair.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match="several labels a sample"):
        hdl.MLPClassifier((4,), class_weight={0: 2.0}).fit(x, np.eye(2, dtype=int)[y][:, [0, 1, 1]])


def test_a_table_keeps_class_weights_and_losses(cancer, tmp_path):
    x, y = cancer
    net = hdl.MLPClassifier((4,), random_state=0, max_iter=3, class_weight={0: 5.0}, label_smoothing=0.1).fit(x, y)
    net.to_table(str(tmp_path / "classes"))
    again = hdl.MLPClassifier.from_table(str(tmp_path / "classes"))
    assert (again.class_weight, again.label_smoothing) == ({0: 5.0, 1: 1.0}, 0.1)
    x, mean, rng = counts()
    net = hdl.MLPRegressor((4,), loss="tweedie", power=1.2, random_state=0, max_iter=3).fit(x, rng.poisson(mean))
    net.to_table(str(tmp_path / "values"))
    again = hdl.MLPRegressor.from_table(str(tmp_path / "values"))
    assert (again.loss, again.power) == ("tweedie", 1.2)
    assert np.array_equal(again.predict(x), net.predict(x))
    with pytest.raises(ValueError, match="holds a regression"):
        hdl.MLPClassifier.from_table(str(tmp_path / "values"))


@pytest.mark.parametrize(
    ("loss", "peer", "deviance", "draw"),
    [
        ("poisson", PoissonRegressor(alpha=0, tol=1e-9, max_iter=1000), mean_poisson_deviance, "poisson"),
        ("gamma", GammaRegressor(alpha=0, tol=1e-9, max_iter=1000), mean_gamma_deviance, "gamma"),
        ("tweedie", TweedieRegressor(power=1.4, alpha=0, tol=1e-9, link="log", max_iter=1000),
         lambda *a, **b: mean_tweedie_deviance(*a, power=1.4, **b), "poisson"),
    ],
)  # fmt: skip
def test_a_network_without_layers_is_a_generalised_linear_model(loss, peer, deviance, draw):
    x, mean, rng = counts()
    y = rng.poisson(mean).astype(float) if draw == "poisson" else rng.gamma(2, mean / 2)
    weight = rng.gamma(1, 1, len(y))
    net = linear(hdl.MLPRegressor, loss=loss, power=1.4).fit(x, y, sample_weight=weight)
    peer.fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(net.predict(x), peer.predict(x), rtol=2e-3)
    np.testing.assert_allclose(net.coefs_[0][:, 0], peer.coef_, atol=2e-3)
    assert net.intercepts_[0][0] == pytest.approx(peer.intercept_, abs=2e-3)
    assert net.loss_ == pytest.approx(deviance(y, net.predict(x), sample_weight=weight) / 2, rel=1e-3)
    assert net.out_activation_ == "exp"


def test_poisson_is_that_of_scikit_learns_network():
    x, mean, rng = counts(scale=2.0)
    y = rng.poisson(mean)
    same = {
        "loss": "poisson",
        "solver": "lbfgs",
        "alpha": 1.0,
        "max_iter": 300,
        "random_state": 0,
        "activation": "tanh",
    }
    ours, peer = hdl.MLPRegressor((5,), **same).fit(x, y), PeerRegressor(hidden_layer_sizes=(5,), **same).fit(x, y)
    near, other = (mean_poisson_deviance(y, each.predict(x)) for each in (ours, peer))
    assert near == pytest.approx(other, rel=0.02)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile", "huber"])
def test_losses_that_outliers_do_not_move(loss):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (800, 2))
    y = 1000 + 50 * x[:, 0] + 10 * rng.normal(size=800)
    y[::40] += 3000  # far up
    net = hdl.MLPRegressor((), activation="identity", loss=loss, delta=0.05, quantile=0.9, random_state=0, alpha=0,
                           learning_rate_init=0.02, max_iter=300, tol=0)  # fmt: skip
    out = net.fit(x, y).predict(x)
    clean = np.ones(800, bool)
    clean[::40] = False
    if loss == "quantile":
        assert (y <= out).mean() == pytest.approx(0.9, abs=0.02)
        assert net.loss_ == pytest.approx(mean_pinball_loss(y, out, alpha=0.9), rel=0.05)
    else:
        assert mean_absolute_error(y[clean], out[clean]) < 9
        squares = clone(net).set_params(loss="squared_error").fit(x, y).predict(x)
        assert mean_absolute_error(y[clean], squares[clean]) > 40


def test_what_is_no_parameter_or_target_is_refused():
    x, mean, _ = counts(60)
    for parameters in ({"loss": "cubic"}, {"delta": 0.0}, {"quantile": 1.0}, {"power": 2.0}):
        with pytest.raises(ValueError, match=next(iter(parameters))):
            hdl.MLPRegressor((4,), **parameters).fit(x, mean)
    with pytest.raises(TypeError, match="class_weight"):
        hdl.MLPRegressor((4,), class_weight="balanced")
    with pytest.raises(ValueError, match="-"):
        hdl.MLPRegressor((4,), loss="poisson").fit(x, -mean)
    with pytest.raises(ValueError, match="0"):
        hdl.MLPRegressor((4,), loss="gamma").fit(x, np.zeros(60))
    net = hdl.MLPRegressor((4,))
    for weight, said in ((-np.ones(60), "[Nn]egative"), (np.ones(59), "shape"), (np.zeros(60), "weigh|zero")):
        with pytest.raises(ValueError, match=said):
            net.fit(x, mean, sample_weight=weight)
