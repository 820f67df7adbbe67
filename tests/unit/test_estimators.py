"""The scikit-learn estimators: conventions, answers, the weight table; and what `import hdl` loads."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as Peer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import hdl
from hdl import driver, rng
from hdl import spec as specs
from hdl.errors import SpecError, VersionExists
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner

pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks(
    [
        hdl.MLPClassifier((20,), max_iter=60, learning_rate_init=0.03),
        hdl.MLPRegressor((20,), max_iter=60, learning_rate_init=0.03),
        hdl.MLPClassifier((20,), solver="lbfgs", max_iter=15),
        hdl.MLPRegressor((20,), solver="cg", max_iter=15),
    ],
    # It compares to 1e-7, which float32 has not where sums are of other rows; test_weighted_estimators.py has its like.
    expected_failed_checks=lambda estimator: dict.fromkeys(
        (f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")), "computes in float32"
    ),
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return train_test_split(x / 16, y, random_state=0)


def net(**parameters):
    return hdl.MLPClassifier((32,), random_state=1, **{"max_iter": 15, "learning_rate_init": 0.01, **parameters})


@pytest.mark.parametrize("solver", ["sgd", "adam", "adagrad", "rmsprop", "lbfgs", "cg"])
def test_every_solver_learns_digits(solver, digits):
    x, test_x, y, test_y = digits
    rate = {"sgd": 0.1, "adagrad": 0.05, "rmsprop": 0.003}.get(solver, 0.01)
    fitted = net(solver=solver, learning_rate_init=rate, max_iter=40).fit(x, y)
    assert fitted.score(test_x, test_y) > 0.94
    assert fitted.n_iter_ == len(fitted.loss_curve_) <= 40
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] / 5
    np.testing.assert_allclose(fitted.predict_proba(test_x).sum(axis=1), 1, rtol=1e-5)


def test_as_good_as_scikit_learn_with_the_same_parameters(digits):
    x, test_x, y, test_y = digits
    same = {"max_iter": 30, "alpha": 0.01, "batch_size": 50, "learning_rate_init": 0.005, "random_state": 0}
    peer = Peer((32,), **same).fit(x, y).score(test_x, test_y)
    assert hdl.MLPClassifier((32,), **same).fit(x, y).score(test_x, test_y) >= peer - 0.015


def test_alpha_means_what_it_means_in_scikit_learn(digits):
    """Both end at the same minimum of the same penalised cost."""
    x, _, y, _ = digits
    same = {"solver": "lbfgs", "alpha": 30.0, "max_iter": 400, "activation": "identity", "random_state": 0, "tol": 1e-7}
    ours, peer = hdl.MLPClassifier((5,), **same).fit(x, y), Peer((5,), **same).fit(x, y)
    assert ours.loss_ == pytest.approx(peer.loss_, rel=2e-3)
    np.testing.assert_allclose(ours.predict_proba(x), peer.predict_proba(x), atol=0.02)


def test_seed_decides_and_threads_do_not(digits):
    x, _, y, _ = digits
    first = net(dropout=0.2).fit(x, y)
    for other in (net(dropout=0.2), net(dropout=0.2, n_jobs=2)):
        assert all(np.array_equal(a, b) for a, b in zip(first.coefs_, other.fit(x, y).coefs_, strict=True))
    assert not np.array_equal(first.coefs_[0], clone(first).set_params(random_state=2).fit(x, y).coefs_[0])


def test_sparse_and_uint8_input_are_the_same_numbers(digits):
    x, y = load_digits(return_X_y=True)
    dense = net(learning_rate_init=0.001).fit(x, y)
    whole = net(learning_rate_init=0.001).fit(x.astype(np.uint8), y)
    assert np.array_equal(dense.coefs_[0], whole.coefs_[0])
    for kind in scipy.sparse.csr_array, scipy.sparse.csc_matrix:
        sparse = net(learning_rate_init=0.001).fit(kind(x), y)
        np.testing.assert_allclose(sparse.predict_proba(kind(x)), dense.predict_proba(x), atol=0.01)


def test_scale_is_fitted_and_kept(digits):
    x, test_x, y, test_y = digits
    wild = 1000 * x + 500
    assert net().fit(wild, y).score(1000 * test_x + 500, test_y) < 0.9
    assert net(scale="standard").fit(wild, y).score(1000 * test_x + 500, test_y) > 0.93


def test_pipeline_grid_search_and_strings(digits):
    x, test_x, y, test_y = digits
    names = np.array([f"digit {c}" for c in range(10)])
    search = GridSearchCV(
        make_pipeline(StandardScaler(), net()), {"mlpclassifier__alpha": [1e-4, 1e-2]}, cv=2, n_jobs=1
    ).fit(x, names[y])
    assert search.score(test_x, names[test_y]) > 0.93
    assert search.classes_.tolist() == sorted(names)


def test_partial_fit_is_fit_an_epoch_at_a_time(digits):
    x, _, y, _ = digits
    step = net()
    for _ in range(3):
        step.partial_fit(x, y, classes=np.arange(10))
    whole = net(max_iter=3).fit(x, y)
    np.testing.assert_array_equal(step.coefs_[0], whole.coefs_[0])
    assert step.loss_curve_ == whole.loss_curve_
    with pytest.raises(ValueError, match="not among"):
        step.partial_fit(x[:2], [3, 11])
    with pytest.raises(AttributeError, match="partial_fit"):
        net(solver="lbfgs").partial_fit(x, y)


def test_warm_start_goes_on(digits):
    x, _, y, _ = digits
    warm = net(warm_start=True, max_iter=2).fit(x, y)
    warm.fit(x, y)
    assert np.array_equal(warm.coefs_[0], net(max_iter=4).fit(x, y).coefs_[0])
    with pytest.raises(ValueError, match="warm_start"):
        warm.set_params(hidden_layer_sizes=(7,)).fit(x, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_early_stopping_keeps_the_best(solver, digits):
    x, test_x, y, test_y = digits
    early = net(solver=solver, early_stopping=True, n_iter_no_change=3, max_iter=200, validation_fraction=0.2).fit(x, y)
    assert early.n_iter_ < 200
    assert len(early.validation_scores_) in (early.n_iter_, early.n_iter_ + 1)
    assert early.best_validation_score_ == max(early.validation_scores_)
    held = rng.stratified(1, 0, np.unique(y, return_inverse=True)[1], 0.2)  # as scikit-learn: a share of each class
    assert early.score(x[held], y[held]) == pytest.approx(early.best_validation_score_)
    assert early.score(test_x, test_y) > 0.9


def test_validation_data_is_measured_each_epoch(digits):
    x, test_x, y, test_y = digits
    watched = net(max_iter=4).fit(x, y, validation=(test_x, test_y))
    assert np.array_equal(watched.coefs_[0], net(max_iter=4).fit(x, y).coefs_[0])
    assert watched.validation_scores_[-1] == pytest.approx(watched.score(test_x, test_y))


def test_stops_when_the_loss_does_not_fall_and_warns_when_it_still_does(digits):
    x, _, y, _ = digits
    assert net(tol=10.0, n_iter_no_change=2, max_iter=50).fit(x, y).n_iter_ == 4
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        net(max_iter=2).fit(x, y)


def test_several_labels_at_once():
    x, y = make_multilabel_classification(300, 20, n_classes=4, random_state=0)
    fitted = net(scale="standard", max_iter=60).fit(x, y)
    assert fitted.predict(x).shape == y.shape
    assert (fitted.predict(x) == y).mean() > 0.92


@pytest.mark.parametrize("columns", [1, 3])
def test_regression(columns):
    x, y = load_diabetes(return_X_y=True)
    y = (y - 150) / 80
    y = y if columns == 1 else np.stack([y, -y, x[:, 2] * 10], axis=1)
    fitted = hdl.MLPRegressor((16,), scale="standard", solver="lbfgs", max_iter=60, random_state=0, alpha=5).fit(x, y)
    assert fitted.predict(x).shape == y.shape
    assert fitted.score(x, y) > 0.5
    early = hdl.MLPRegressor((16,), scale="standard", early_stopping=True, random_state=0, learning_rate_init=0.01)
    assert 0.2 < early.fit(x, y).best_validation_score_ < 1


def test_to_and_from_a_table(tmp_path, digits):
    x, test_x, y, _ = digits
    names = np.array([f"digit {c}" for c in range(10)])
    fitted = net(scale="standard").fit(x, names[y])
    fitted.to_table(tmp_path / "table")
    again = hdl.MLPClassifier.from_table(tmp_path / "table")
    assert np.array_equal(again.predict_proba(test_x), fitted.predict_proba(test_x))
    assert np.array_equal(again.predict(test_x), fitted.predict(test_x))
    for name in ("activation", "solver", "random_state", "scale", "max_iter", "hidden_layer_sizes", "momentum"):
        assert getattr(again, name) == getattr(fitted, name)
    assert again.alpha == pytest.approx(fitted.alpha)
    again.partial_fit(x, names[y])
    assert np.array_equal(again.coefs_[0], fitted.partial_fit(x, names[y]).coefs_[0])
    with pytest.raises(VersionExists):
        fitted.to_table(tmp_path / "table")
    with pytest.raises(SpecError, match="classification"):
        hdl.MLPRegressor.from_table(tmp_path / "table")


@pytest.mark.parametrize(
    "names",
    [["1", "2", "10"], ["01", "1", "10"], [True, False], [1.0, 2.0], [3, 2**63 + 5], ["True", "true"]],
)
def test_classes_survive_a_table(tmp_path, names):
    x = np.random.default_rng(0).normal(size=(60, 3))
    y = np.array(names, np.uint64 if 2**63 + 5 in names else None)[np.arange(60) % len(names)]
    fitted = net(max_iter=2).fit(x, y)
    fitted.to_table(tmp_path / "table")
    again = hdl.MLPClassifier.from_table(tmp_path / "table")
    assert again.classes_.tolist() == fitted.classes_.tolist() == sorted(set(y.tolist()))
    assert again.classes_.dtype.kind == fitted.classes_.dtype.kind
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    again.partial_fit(x, y)
    np.testing.assert_array_equal(again.coefs_[0], fitted.partial_fit(x, y).coefs_[0])
    again.partial_fit(x, fitted.predict(x))


@pytest.mark.parametrize(("loss", "net"), [("softmax", "3-4-2"), ("sigmoid", "3-4-1"), ("sigmoid", "3-4-2")])
def test_labels_of_another_type_go_on_with_a_table(tmp_path, loss, net):
    """A table that `hdl train` has made from text knows numbers and booleans of the same meaning."""
    x = np.random.default_rng(0).normal(size=(60, 3))
    rows = [",".join(map(str, [*row, int(row[0] > 0)])) for row in x.round(3).tolist()]
    (tmp_path / "a.csv").write_text("a,b,c,label\n" + "\n".join(rows) + "\n")
    spec = specs.parse({"loss": loss, "net": net, "epochs": 2})
    driver.train(Job(str(tmp_path / "a.csv"), str(tmp_path / "table"), spec), LocalRunner(1))
    y = x[:, 0].round(3) > 0
    found = []
    for labels in (y, y.astype(int), y.astype(float), y.astype(int).astype(str), y.astype(str)):
        again = hdl.MLPClassifier.from_table(tmp_path / "table")
        assert again.classes_.tolist() == [0, 1]
        found.append(again.partial_fit(x.astype(np.float32), labels).coefs_[0])
    assert all(np.array_equal(other, found[0]) for other in found)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"hidden_layer_sizes": (10.5,)},
            r"'hidden_layer_sizes' parameter .* ints in the range \[1, inf\).*Got \(10.5,\)",
        ),
        ({"hidden_layer_sizes": 10.5}, r"'hidden_layer_sizes' parameter .* Got 10.5"),
        ({"hidden_layer_sizes": (10, 0)}, r"'hidden_layer_sizes' parameter .* Got \(10, 0\)"),
        ({"hidden_layer_sizes": (True,)}, r"'hidden_layer_sizes' parameter"),
        ({"batch_size": 0}, r"'batch_size' parameter .* a str among {'auto'} or an int in the range \[1, inf\). Got 0"),
        ({"batch_size": 2.5}, r"'batch_size' parameter .* Got 2.5"),
        ({"max_iter": 1.5}, r"'max_iter' parameter .* Got 1.5"),
        ({"n_iter_no_change": 0}, r"'n_iter_no_change' parameter .* Got 0"),
        ({"alpha": -1.0}, r"'alpha' parameter .* Got -1.0"),
    ],
)
@pytest.mark.parametrize("kind", [hdl.MLPClassifier, hdl.MLPRegressor])
def test_parameters_out_of_range_are_refused_as_scikit_learn_does(kind, wrong, message):
    x = np.random.default_rng(0).normal(size=(20, 3))
    for ask in ("fit", "partial_fit"):
        with pytest.raises(ValueError, match=message):
            getattr(kind(**wrong), ask)(
                x, np.arange(20) % 2, **({"classes": [0, 1]} if "R" not in kind.__name__ and ask != "fit" else {})
            )


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [(hdl.SparseAutoencoder, {"n_components": 2.5}), (hdl.SparseAutoencoder, {"batch_size": 0}),
     (hdl.StackedAutoencoder, {"hidden_layer_sizes": (10.5,)}), (hdl.BernoulliRBM, {"batch_size": 0}),
     (hdl.DBN, {"hidden_layer_sizes": (4, 0.5)})],
)  # fmt: skip
def test_parameters_of_transformers_too(kind, wrong):
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of {kind.__name__} must be"):
        kind(**wrong).fit(np.random.default_rng(0).random((20, 3)))


def test_prices_by_the_defaults():
    """Targets of 250,000 ± 90,000, and 1.7e9 ± 60: as good as standardised ones, and told in their own unit."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    y = x @ [0.8, 0.4, -0.3, 0.1] + 0.1 * rng.normal(size=400)
    plain = hdl.MLPRegressor(random_state=0).fit(x, y)
    for unit, origin in (90_000, 250_000), (60, 1.7e9):
        fitted = hdl.MLPRegressor(random_state=0).fit(x, y * unit + origin)
        assert fitted.score(x, y * unit + origin) > 0.9
        np.testing.assert_allclose((fitted.predict(x) - origin) / unit, plain.predict(x), atol=1e-2)
        assert fitted.loss_ == pytest.approx(plain.loss_ * unit**2, rel=1e-2)
        hidden = np.maximum(x @ fitted.coefs_[0] + fitted.intercepts_[0], 0)
        by_hand = hidden @ fitted.coefs_[1] + fitted.intercepts_[1]
        np.testing.assert_allclose((by_hand[:, 0] - fitted.predict(x)) / unit, 0, atol=1e-4)
        half = np.square(fitted.predict(x) - (y * unit + origin)).mean() / 2
        assert fitted.loss_ == pytest.approx(half, rel=0.1)


def test_diabetes_by_the_defaults():
    x, y = load_diabetes(return_X_y=True)
    assert hdl.MLPRegressor(random_state=0).fit(x[:300], y[:300]).score(x[300:], y[300:]) > 0.35


def test_a_regression_survives_a_table(tmp_path):
    x, y = load_diabetes(return_X_y=True)
    fitted = hdl.MLPRegressor((8,), random_state=0, max_iter=20).fit(x, y)
    fitted.to_table(tmp_path / "table")
    again = hdl.MLPRegressor.from_table(tmp_path / "table")
    np.testing.assert_array_equal(again.predict(x), fitted.predict(x))
    np.testing.assert_array_equal(again.partial_fit(x, y).predict(x), fitted.partial_fit(x, y).predict(x))
    assert again.loss_curve_[-1] == fitted.loss_curve_[-1]


@pytest.mark.parametrize("dtype", [np.float64, np.int64])
def test_seconds_are_centred_before_they_are_rounded(dtype):
    x = np.stack([1_700_000_000 + np.arange(600), np.arange(600) * 7 % 11], axis=1)
    y = np.arange(600) < 300
    moved, plain = (
        net(scale="standard", max_iter=30).fit(each.astype(dtype), y) for each in (x, x - [1_700_000_000, 0])
    )
    assert moved.score(x.astype(dtype), y) > 0.97
    np.testing.assert_allclose(moved.predict_proba(x), plain.predict_proba(x - [1_700_000_000, 0]), atol=1e-2)


def test_a_value_beyond_float32_is_told():
    x = np.random.default_rng(0).normal(size=(50, 3))
    fitted = net(max_iter=2).fit(x, x[:, 0] > 0)
    for kind in np.asarray, scipy.sparse.csr_array:
        with pytest.raises(ValueError, match="too large for dtype"):
            fitted.predict(kind([[1.0, 2, 1e39]]))
        with pytest.raises(ValueError, match="too large for dtype"):
            net().fit(kind(x * 1e39), x[:, 0] > 0)
    assert net(scale="standard").fit(x * 1e37, x[:, 0] > 0).score(x * 1e37, x[:, 0] > 0) > 0.9


def test_an_answer_that_is_not_finite_is_no_class():
    x = np.random.default_rng(0).normal(size=(50, 3))
    fitted = net(max_iter=2).fit(x, x[:, 0] > 0)
    wild = np.array([[1.0, 2, 3], [3e38, -3e38, 3e38]])
    for ask in (fitted.predict, fitted.predict_proba):
        with pytest.raises(ValueError, match="the network's answer to sample 1 of X is not finite"):
            ask(wild)


def test_import_hdl_loads_numpy_alone_among_heavy_things():
    heavy = {"scipy", "sklearn", "pyarrow", "pandas", "pydantic", "matplotlib", "safetensors", "click", "rich"}
    code = f"import sys, hdl; print(sorted({heavy!r} & set(sys.modules)), hdl.__version__, 'MLPClassifier' in dir(hdl))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == f"[] {hdl.__version__} True"


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="nothing"):
        hdl.nothing  # noqa: B018
