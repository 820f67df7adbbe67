"""The scikit-learn transformers: conventions, codes and ways back, seeds, pipelines."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import hdl

pytest.importorskip("hdl._cpu")

ALL = [
    hdl.SparseAutoencoder(8, max_iter=30, random_state=1),
    hdl.SparseAutoencoder(8, solver="adam", learning_rate_init=0.01, max_iter=5, random_state=1),
    hdl.StackedAutoencoder((16, 8), n_iter=3, max_iter=3, random_state=1),
    hdl.BernoulliRBM(8, n_iter=3, random_state=1),
    hdl.GaussianRBM(8, n_iter=3, learning_rate=0.01, random_state=1),
    hdl.DBN((16, 8), n_iter=3, random_state=1),
]
NAMES = ["lbfgs", "adam", "stacked", "rbm", "gaussian", "dbn"]


@parametrize_with_checks(
    [
        hdl.SparseAutoencoder(3, max_iter=10),
        hdl.SparseAutoencoder(3, max_iter=3, solver="adam"),
        hdl.StackedAutoencoder((5, 3), n_iter=2, max_iter=2),
        hdl.BernoulliRBM(3, n_iter=2),
        hdl.GaussianRBM(3, n_iter=2, learning_rate=0.01),
        hdl.DBN((5, 3), n_iter=2),
    ]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, random_state=0)


@pytest.mark.parametrize("learner", ALL, ids=NAMES)
def test_codes_and_the_way_back(learner, digits):
    x, test_x, *_ = digits
    fitted = clone(learner).fit(x)
    found = fitted.transform(test_x)
    assert found.shape == (len(test_x), 8)
    assert found.dtype == x.dtype
    assert 0 <= found.min() < found.max() <= 1
    assert fitted.components_.shape == (8, 64)
    assert fitted.inverse_transform(found).shape == test_x.shape
    np.testing.assert_allclose(fitted.mean_activations_, fitted.transform(x).mean(axis=0), rtol=1e-5)
    with pytest.raises(ValueError, match=r"7 codes, but .* makes 8"):
        fitted.inverse_transform(found[:, :7])


@pytest.mark.parametrize("learner", ALL, ids=NAMES)
def test_the_seed_decides_and_threads_do_not(learner, digits):
    x, *_ = digits
    first = clone(learner).fit(x[:300])
    assert np.array_equal(first.components_, clone(learner).set_params(n_jobs=2).fit(x[:300]).components_)
    other = clone(learner).set_params(random_state=2).fit(x[:300])
    assert not np.array_equal(first.components_, other.components_)


def test_the_first_layers_codes_are_what_the_formula_says(digits):
    x, test_x, *_ = digits
    fitted = hdl.BernoulliRBM(8, n_iter=2, random_state=1).fit(x)
    expected = 1 / (1 + np.exp(-(test_x @ fitted.components_.T + fitted.intercept_hidden_)))
    np.testing.assert_allclose(fitted.transform(test_x), expected, rtol=1e-4)
    back = 1 / (1 + np.exp(-(expected @ fitted.components_ + fitted.intercept_visible_)))
    np.testing.assert_allclose(fitted.inverse_transform(expected), back, rtol=1e-4)


def test_sparse_codes_have_the_average_that_was_asked_for(digits):
    x, *_ = digits
    sparse = hdl.SparseAutoencoder(25, rho=0.05, beta=3, max_iter=200, random_state=1).fit(x)
    np.testing.assert_allclose(sparse.mean_activations_, 0.05, rtol=0.2)
    free = hdl.SparseAutoencoder(25, beta=0, max_iter=200, random_state=1).fit(x)
    assert free.mean_activations_.mean() > 0.2
    assert free.score(x) > sparse.score(x)  # what sparsity costs
    assert sparse.loss_curve_[-1] < sparse.loss_curve_[0]


def test_reconstructions_are_better_than_the_mean_and_in_the_datas_scale(digits):
    x, test_x, *_ = digits
    for learner in (
        hdl.SparseAutoencoder(25, beta=0, max_iter=150, random_state=1),
        hdl.SparseAutoencoder(25, beta=0, decoder="identity", scale="standard", max_iter=150, random_state=1),
        hdl.StackedAutoencoder((40, 25), n_iter=10, max_iter=40, random_state=1),
        hdl.BernoulliRBM(64, n_iter=30, learning_rate=0.1, random_state=1),
    ):
        fitted = learner.fit(100 * x - 30)  # leaves [0, 1]: scaled, and scaled back
        back = fitted.inverse_transform(fitted.transform(100 * test_x - 30))
        error = np.square(back - (100 * test_x - 30)).mean() / 100**2
        assert error < 0.5 * test_x.var(axis=0).mean(), learner


def test_scale_does_not_depend_on_the_type():
    x = (load_digits().data * 15.9375).astype(np.uint8)
    fitted = hdl.BernoulliRBM(8, n_iter=1, random_state=1).fit(x)
    low, high = x.min(axis=0), x.max(axis=0).astype(float)
    bounded = np.where(high > low, (x - low) / np.maximum(high - low, 1), 0).astype(np.float32)
    same = hdl.BernoulliRBM(8, n_iter=1, random_state=1, scale="none").fit(bounded)
    np.testing.assert_allclose(fitted.components_, same.components_, atol=1e-4)
    for other in (np.float32, np.float64, np.int32):
        again = hdl.BernoulliRBM(8, n_iter=1, random_state=1).fit(x.astype(other))
        np.testing.assert_array_equal(fitted.components_, again.components_)


@pytest.mark.parametrize("learner", ALL, ids=NAMES)
def test_sparse_input_is_the_same_numbers(learner, digits):
    x, *_ = digits
    x = x[:200]
    dense = clone(learner).set_params(scale="none").fit(x)
    sparse = clone(learner).set_params(scale="none").fit(scipy.sparse.csr_array(x))
    np.testing.assert_allclose(sparse.transform(scipy.sparse.csc_matrix(x)), dense.transform(x), atol=0.02)
    if hasattr(learner, "score_samples"):
        wide = scipy.sparse.csr_array(x[:9])
        np.testing.assert_allclose(dense.score_samples(wide), dense.score_samples(x[:9]), rtol=1e-4)


@pytest.mark.parametrize("learner", [ALL[1], ALL[3], ALL[4]], ids=["adam", "rbm", "gaussian"])
def test_partial_fit_is_fit_an_epoch_at_a_time(learner, digits):
    x, *_ = digits
    if hasattr(learner, "n_iter"):
        whole, step = clone(learner).set_params(n_iter=3), clone(learner)
    else:
        whole, step = clone(learner).set_params(max_iter=3), clone(learner)
    for _ in range(3):
        step.partial_fit(x)
    np.testing.assert_array_equal(step.components_, whole.fit(x).components_)
    assert step.n_iter_ == 3
    with pytest.raises(AttributeError, match="partial_fit"):
        hdl.SparseAutoencoder(8).partial_fit(x)


def test_layers_are_learned_from_below(digits):
    """The first layer of a stack is an autoencoder, or an RBM, of its own."""
    x, *_ = digits
    deep = hdl.StackedAutoencoder((16, 8), n_iter=4, finetune="none", random_state=1, batch_size=32).fit(x)
    flat = hdl.StackedAutoencoder((16,), n_iter=4, finetune="none", random_state=1, batch_size=32).fit(x)
    (_, first), _ = deep._below
    np.testing.assert_array_equal(first, flat._below[0][1])
    back = deep.inverse_transform(deep.transform(x))
    assert np.square(back - x).mean() < x.var()
    with pytest.raises(ValueError, match="expected 'none' or 'reconstruct'"):
        hdl.DBN((4,), finetune="classify").fit(x)


def test_log_likelihood_tells_digits_from_noise(digits):
    x, test_x, *_ = digits
    test_x = (test_x > 0.5).astype(np.float32)
    fitted = hdl.BernoulliRBM(32, n_iter=20, learning_rate=0.05, random_state=1).fit((x > 0.5).astype(np.float32))
    noise = np.random.default_rng(0).permuted(test_x, axis=1)
    assert fitted.score(test_x) > fitted.score(noise) + 10
    assert fitted.score_samples(test_x[:5]).shape == (5,)
    assert fitted.score(test_x) == fitted.score(test_x)
    assert -64 * np.log(2) < fitted.score(test_x) < 0  # better than fair coins, and a logarithm of a probability


def test_log_likelihood_of_a_small_machine_is_that_of_enumeration():
    rng = np.random.default_rng(0)
    x = (rng.random((200, 6)) < [0.9, 0.1, 0.8, 0.2, 0.5, 0.7]).astype(np.float32)
    fitted = hdl.BernoulliRBM(4, n_iter=30, learning_rate=0.1, random_state=1).fit(x)
    every = ((np.arange(64)[:, None] >> np.arange(6)) & 1).astype(np.float64)
    field = every @ fitted.components_.T + fitted.intercept_hidden_
    score = every @ fitted.intercept_visible_ + np.logaddexp(0, field).sum(axis=1)
    exact = score - np.log(np.exp(score).sum())
    np.testing.assert_allclose(fitted.log_likelihood(every.astype(np.float32)), exact, atol=0.05)


@pytest.mark.parametrize("learner", [ALL[0], ALL[3], ALL[5]], ids=["autoencoder", "rbm", "dbn"])
def test_a_pipeline_with_a_classifier(learner, digits):
    x, test_x, y, test_y = digits
    sizes = {"hidden_layer_sizes": (64, 64)} if "hidden_layer_sizes" in learner.get_params() else {"n_components": 64}
    more = {"rho": 0.2} if isinstance(learner, hdl.SparseAutoencoder) else {"n_iter": 20}
    line = make_pipeline(clone(learner).set_params(**sizes, **more), LogisticRegression(max_iter=2000, C=100))
    assert line.fit(x, y).score(test_x, test_y) > 0.93
    assert line[:-1].get_feature_names_out()[1] == f"{type(learner).__name__.lower()}1"


@pytest.mark.parametrize("learner", ALL, ids=NAMES)
def test_a_table_of_a_transformer(learner, tmp_path, digits):
    from hdl.data import Arrays
    from hdl.predict import Model

    x, *_ = digits
    fitted = clone(learner).fit(x[:200])
    fitted.to_table(tmp_path / "table")
    (found,) = Model(str(tmp_path / "table")).encode(Arrays(x.astype(np.float32)))
    np.testing.assert_array_equal(found.codes, fitted.transform(x))
