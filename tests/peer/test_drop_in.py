"""Parameters, attributes and messages that scikit-learn's users know, beyond what its own tests look at."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import BernoulliRBM as TheirRbm
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import scale

import hdl
from hdl.fitting.pace import LEAST

pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return scale(x), y


@pytest.mark.parametrize(
    ("ours", "theirs", "others"),
    [
        (hdl.MLPClassifier, TheirClassifier, set()),
        (hdl.MLPRegressor, TheirRegressor, set()),
        (hdl.BernoulliRBM, TheirRbm, {"verbose"}),  # 0 there and False here
    ],
)
def test_every_parameter_is_there_with_its_default(ours, theirs, others):
    mine, known = ours().get_params(), theirs().get_params()
    assert {name: mine[name] for name in known if name not in others} == {
        name: value for name, value in known.items() if name not in others
    }


def test_a_regressors_loss_may_come_first():
    assert (
        hdl.MLPRegressor("poisson", (3,), "tanh").get_params()
        == hdl.MLPRegressor((3,), "tanh", loss="poisson").get_params()
    )
    assert clone(hdl.MLPRegressor("huber", (3,))).loss == "huber"


def test_two_classes_have_one_output(cancer):
    x, y = cancer
    ours = hdl.MLPClassifier((8,), max_iter=5, random_state=0).fit(x, y)
    theirs = TheirClassifier((8,), max_iter=5, random_state=0).fit(x, y)
    for name in ("n_outputs_", "n_layers_", "out_activation_", "n_features_in_", "n_iter_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in ("coefs_", "intercepts_"):
        shown, known = getattr(ours, name), getattr(theirs, name)
        assert [(part.shape, part.dtype) for part in shown] == [(part.shape, part.dtype) for part in known]
    probabilities = ours.predict_proba(x)
    assert probabilities.shape == (len(x), 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-15)


def test_weights_that_are_set_are_those_that_answer(cancer):
    """scikit-learn's own weights, put into an hdl network, give scikit-learn's answers: for classes and for numbers."""
    x, y = cancer
    theirs = TheirClassifier((8, 4), max_iter=30, random_state=0).fit(x, y)
    ours = hdl.MLPClassifier((8, 4), max_iter=1, random_state=0).fit(x, y)
    ours.coefs_, ours.intercepts_ = theirs.coefs_, theirs.intercepts_
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-5)
    x, y = load_diabetes(return_X_y=True)
    theirs = TheirRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=100, random_state=0).fit(x, y)
    ours = hdl.MLPRegressor((8,), max_iter=1, random_state=0).fit(x, y)  # its targets are standardised inside
    for place in range(2):
        ours.coefs_[place], ours.intercepts_[place] = theirs.coefs_[place], theirs.intercepts_[place]
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-4)
    np.testing.assert_allclose(ours.coefs_[1], theirs.coefs_[1], rtol=1e-5)


def test_weights_cannot_be_set_by_halves(cancer):
    x, y = cancer
    ours = hdl.MLPClassifier((8,), max_iter=1, random_state=0).fit(x, y)
    before = ours.predict_proba(x)
    with pytest.raises(ValueError, match="read-only"):
        ours.coefs_[0][0, 0] = 1.0
    with pytest.raises(ValueError, match=r"coefs_\[1\] has shape \(8, 2\); expected \(8, 1\)"):
        ours.coefs_[1] = np.zeros((8, 2))
    with pytest.raises(ValueError, match="coefs_ has 1 arrays; expected 2"):
        ours.coefs_ = [np.zeros((30, 8))]
    with pytest.raises(ValueError, match=r"intercepts_\[0\] holds a value that is no finite float32"):
        ours.intercepts_[0] = np.full(8, 1e300)
    np.testing.assert_array_equal(ours.predict_proba(x), before)
    assert [type(part) for part in (copy.deepcopy(ours.coefs_), pickle.loads(pickle.dumps(ours.coefs_)))] == [list] * 2


def test_weights_set_before_a_warm_start_are_where_it_begins(cancer):
    x, y = cancer
    given = hdl.MLPClassifier((8,), max_iter=20, random_state=0).fit(x, y)
    begun = hdl.MLPClassifier((8,), max_iter=1, random_state=0, warm_start=True)
    begun.coefs_, begun.intercepts_ = list(given.coefs_), list(given.intercepts_)
    assert begun.fit(x, y).loss_ < 1.1 * given.loss_
    anew = hdl.MLPClassifier((8,), max_iter=1, random_state=0)
    anew.coefs_ = list(given.coefs_)
    assert anew.fit(x, y).loss_ > 2 * given.loss_  # without a warm start a fit begins anew


def test_invscaling_and_adaptive_rates(cancer):
    x, y = cancer
    fields = {"solver": "sgd", "learning_rate_init": 0.2, "max_iter": 4, "random_state": 0}
    falling = hdl.MLPClassifier((4,), learning_rate="invscaling", power_t=0.25, **fields).fit(x, y)
    assert falling.t_ == 4 * len(x)
    assert falling.learning_rate_ == pytest.approx(0.2 / (4 * len(x) + 1) ** 0.25)
    steady = hdl.MLPClassifier((4,), **fields).fit(x, y)
    assert steady.learning_rate_ == 0.2
    assert steady.loss_curve_[0] == falling.loss_curve_[0]
    assert steady.loss_curve_[1:] != falling.loss_curve_[1:]
    parts = hdl.MLPClassifier((4,), learning_rate="invscaling", power_t=0.25, **fields)
    for _ in range(4):
        parts.partial_fit(x, y, classes=[0, 1])
    np.testing.assert_array_equal(parts.coefs_[0], falling.coefs_[0])
    fields |= {"max_iter": 500, "tol": 0.01, "n_iter_no_change": 2}
    lowered = hdl.MLPClassifier((4,), learning_rate="adaptive", **fields).fit(x, y)
    ended = hdl.MLPClassifier((4,), **fields).fit(x, y)
    assert ended.n_iter_ < lowered.n_iter_ < 500
    assert lowered.learning_rate_ <= LEAST


def test_scores_go_on_with_a_warm_start(cancer):
    x, y = cancer
    warm = hdl.MLPClassifier((4,), max_iter=3, random_state=0, warm_start=True, early_stopping=True).fit(x, y)
    first = list(warm.validation_scores_)
    assert warm.fit(x, y).validation_scores_[:3] == first
    assert len(warm.validation_scores_) == len(warm.loss_curve_) == 6
    assert warm.best_validation_score_ == max(warm.validation_scores_[3:])


def test_samples_in_their_own_order(cancer):
    """Without shuffling an epoch of whole batches is as many steps on consecutive samples."""
    x, y = cancer
    fields = {"shuffle": False, "solver": "sgd", "momentum": 0.0, "random_state": 0, "alpha": 0}
    whole = hdl.MLPClassifier((4,), batch_size=100, max_iter=1, **fields).fit(x[:300], y[:300])
    parts = hdl.MLPClassifier((4,), **fields)
    for first in range(0, 300, 100):
        parts.partial_fit(x[first : first + 100], y[first : first + 100], classes=[0, 1])
    np.testing.assert_allclose(parts.coefs_[0], whole.coefs_[0], rtol=1e-6)


def test_a_diverging_training_keeps_the_best_or_is_refused():
    x, y = load_iris(return_X_y=True)
    fields = {"activation": "identity", "solver": "sgd", "learning_rate_init": 1, "max_iter": 30, "random_state": 0}
    early = hdl.MLPRegressor(early_stopping=True, **fields)
    with pytest.warns(ConvergenceWarning, match="diverged after"):
        early.fit(x, y)
    assert np.isnan(early.validation_scores_[-1])
    assert np.isfinite(early.predict(x)).all()
    assert early.best_validation_score_ == np.nanmax(early.validation_scores_)
    with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        hdl.MLPRegressor(**fields).fit(x, y)


def test_ctrl_c_keeps_what_was_learned(cancer, monkeypatch):
    from hdl import sync

    x, y = cancer
    merge, calls = sync.merge, []

    def interrupted(*given):
        calls.append(1)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return merge(*given)

    monkeypatch.setattr(sync, "merge", interrupted)
    stopped = hdl.MLPClassifier((4,), max_iter=50, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        stopped.fit(x, y)
    monkeypatch.undo()
    assert np.array_equal(stopped.coefs_[0], hdl.MLPClassifier((4,), max_iter=3, random_state=0).fit(x, y).coefs_[0])


def test_one_class_is_what_is_predicted(cancer):
    x, _ = cancer
    only = hdl.MLPClassifier((4,), max_iter=3, random_state=0).fit(x, ["benign"] * len(x))
    assert set(only.predict(x)) == {"benign"}
    np.testing.assert_array_equal(only.classes_, ["benign"])


def test_verbose_tells_each_iteration(cancer, capsys):
    x, y = cancer
    hdl.MLPClassifier((4,), max_iter=3, random_state=0, verbose=True, early_stopping=True).fit(x, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].split(":")[0] for line in lines] == [
        "Iteration 1", "Validation score", "Iteration 2", "Validation score", "Iteration 3", "Validation score",
    ]  # fmt: skip
    hdl.MLPClassifier((4,), max_iter=3, random_state=0).fit(x, y)
    assert not capsys.readouterr().out


def test_pseudo_likelihood_is_scikit_learns():
    """Of equal weights both estimate the same quantity; each draws other units, so the means are compared."""
    x = load_digits().data / 16
    ours = hdl.BernoulliRBM(32, n_iter=5, random_state=0).fit(x)
    theirs = TheirRbm(32, n_iter=1, random_state=0).fit(x)
    theirs.components_, theirs.intercept_hidden_, theirs.intercept_visible_ = (
        np.asarray(part, np.float64) for part in (ours.components_, ours.intercept_hidden_, ours.intercept_visible_)
    )
    spread = theirs.score_samples(x).std() / np.sqrt(len(x))
    assert abs(ours.score_samples(x).mean() - theirs.score_samples(x).mean()) < 5 * spread
    np.testing.assert_allclose(ours.score_samples(x[7:9]), ours.score_samples(x)[7:9])  # each sample by itself
    assert ours.h_samples_.shape == theirs.h_samples_.shape
    assert 0 < ours.transform(x).min() < ours.transform(x).max() < 1
    assert (ours.gibbs(x) != ours.gibbs(x)).any()
