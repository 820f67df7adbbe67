"""The estimators in scikit-learn's own machinery, on real data: searches, pipelines, ensembles, routing, outputs."""

import os
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, get_scorer, get_scorer_names
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hdl
from hdl import _cpu
from hdl.estimators.learner import threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return train_test_split(x, y, random_state=0)


def net(**fields):
    return hdl.MLPClassifier(
        (16,), **{"scale": "standard", "max_iter": 40, "learning_rate_init": 0.02, "random_state": 0, **fields}
    )


def test_sample_weights_are_routed(cancer):
    """What `set_fit_request` asks for comes through a pipeline and a cross-validation, and only that."""
    x, _, y, _ = cancer
    weight = np.where(y == 0, 50.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        unweighted = StandardScaler().set_fit_request(sample_weight=False)
        weighted = net(max_iter=10, scale=None).set_fit_request(sample_weight=True)
        line = make_pipeline(unweighted, weighted)
        line.fit(x, y, sample_weight=weight)
        plain = clone(line).fit(x, y)
        assert (line.predict(x) == 0).sum() > (plain.predict(x) == 0).sum()
        unweighted_score = get_scorer("accuracy").set_score_request(sample_weight=False)
        kept = {"return_estimator": True, "scoring": unweighted_score}
        routed = cross_validate(line, x, y, cv=2, params={"sample_weight": weight}, **kept)
        unrouted = cross_validate(line, x, y, cv=2, params={}, **kept)
        first, second = (found["estimator"][0][-1].coefs_[0] for found in (routed, unrouted))
        assert not np.array_equal(first, second)
        with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError):
            make_pipeline(unweighted, net()).fit(x, y, sample_weight=weight)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_transformers_give_data_frames(library, cancer):
    frames = pytest.importorskip(library)
    x, test_x, *_ = cancer
    rbm = hdl.BernoulliRBM(4, n_iter=2, random_state=0)
    plain = rbm.fit(x).transform(test_x)
    found = rbm.set_output(transform=library).transform(test_x)
    assert isinstance(found, frames.DataFrame)
    assert list(found.columns) == [f"bernoullirbm{number}" for number in range(4)]
    np.testing.assert_array_equal(found.to_numpy(), plain)
    line = make_pipeline(StandardScaler(), hdl.SparseAutoencoder(3, max_iter=5, random_state=0))
    assert list(line.set_output(transform=library).fit_transform(x).columns)[2] == "sparseautoencoder2"


def test_feature_names_are_kept_and_compared(cancer):
    x, test_x, y, _ = cancer
    fitted = net(max_iter=5).fit(x, y)
    np.testing.assert_array_equal(fitted.feature_names_in_, x.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(test_x[test_x.columns[::-1]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        fitted.predict(test_x.to_numpy())


def test_a_notebook_shows_the_estimator(cancer):
    x, _, y, _ = cancer
    line = make_pipeline(StandardScaler(), net(max_iter=2))
    shown = line._repr_html_()
    assert "MLPClassifier" in shown
    assert "Not fitted" in shown
    assert "Not fitted" not in line.fit(x, y)[-1]._repr_html_()
    assert "max_iter=2" in repr(line[-1])


class Elsewhere:
    """An array on a GPU, as CuPy's are: nothing copies it unasked."""

    ndim, shape = 2, (150, 4)

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, **wishes):
        raise BufferError("on device (2, 0)")


def test_arrays_of_other_libraries():
    """What lies in main memory is taken, also with array API dispatch; what does not is refused in one sentence."""
    strict = pytest.importorskip("array_api_strict")
    x, y = load_iris(return_X_y=True)
    known = net(max_iter=3).fit(x, y)
    given = strict.asarray(x), strict.asarray(y)
    for fitted in (net(max_iter=3).fit(*given), net(max_iter=3).fit(x, y, sample_weight=strict.ones(len(x)))):
        np.testing.assert_array_equal(fitted.coefs_[0], known.coefs_[0])
        np.testing.assert_array_equal(fitted.predict_proba(given[0]), known.predict_proba(x))
    np.testing.assert_array_equal(
        hdl.BernoulliRBM(2, random_state=0).fit(given[0]).transform(given[0]),
        hdl.BernoulliRBM(2, random_state=0).fit(x).transform(x),
    )
    with pytest.raises(TypeError, match=r"X is a .*Elsewhere, which NumPy cannot read where it lies .* in main memory"):
        known.predict(Elsewhere())


ANSWER = """
import sys, joblib, numpy, pickle
for path in sys.argv[1:3]:
    fitted, x = joblib.load(path) if path.endswith("joblib") else pickle.load(open(path, "rb"))
    answer = fitted.predict_proba(x) if hasattr(fitted, "predict_proba") else fitted.transform(x)
    if hasattr(fitted, "predict_proba"):
        fitted.partial_fit(x, fitted.predict(x))
    numpy.save(path + ".npy", answer)
    print(fitted._make(fitted._fitted).platform)
"""


@pytest.mark.parametrize("isa", ["generic", "avx2"])
def test_a_pickle_goes_to_another_processor(isa, tmp_path, cancer):
    """What one instruction set has learned another one answers with, within float32, and trains on."""
    x, test_x, y, _ = cancer
    if isa not in _cpu.isas():
        pytest.skip(f"this processor has no {isa}")
    fitted, rbm = net(max_iter=10).fit(x, y), hdl.BernoulliRBM(4, n_iter=2, random_state=0).fit(x)
    joblib.dump((fitted, test_x), tmp_path / "net.joblib")
    (tmp_path / "rbm.pickle").write_bytes(cloudpickle.dumps((rbm, test_x)))
    paths = [str(tmp_path / name) for name in ("net.joblib", "rbm.pickle")]
    environment = {**os.environ, "HDL_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", ANSWER, *paths], env=environment, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert [isa in platform for platform in done.stdout.split()] == [True, True], done.stdout
    np.testing.assert_allclose(np.load(paths[0] + ".npy"), fitted.predict_proba(test_x), atol=1e-6)
    np.testing.assert_allclose(np.load(paths[1] + ".npy"), rbm.transform(test_x), atol=1e-6)


def in_a_worker(jobs):
    return threads(jobs)


def test_a_grid_search_side_by_side_is_the_same_and_shares_the_processors(cancer):
    x, test_x, y, test_y = cancer
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(8,), (16,)]}
    one, two = (GridSearchCV(net(max_iter=8, n_jobs=-1), grid, cv=2, n_jobs=jobs).fit(x, y) for jobs in (1, 2))
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    np.testing.assert_array_equal(one.predict_proba(test_x), two.predict_proba(test_x))
    assert two.score(test_x, test_y) > 0.9
    counted = joblib.Parallel(n_jobs=2)(joblib.delayed(in_a_worker)(jobs) for jobs in (-1, -1, None))
    assert max(counted) <= max(1, joblib.cpu_count() // 2)  # together no more threads than processors


def test_calibration(cancer):
    x, test_x, y, test_y = cancer
    plain = net(max_iter=100, alpha=0.0).fit(x, y)
    for method in ("sigmoid", "isotonic"):
        calibrated = CalibratedClassifierCV(clone(plain), method=method, cv=3).fit(x, y)
        found = calibrated.predict_proba(test_x)
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert brier_score_loss(test_y, found[:, 1]) < 0.05


def test_voting():
    x, test_x, y, test_y = train_test_split(*load_wine(return_X_y=True), random_state=0)
    members = [("hdl", net()), ("line", make_pipeline(StandardScaler(), LogisticRegression()))]
    for voting in ("soft", "hard"):
        assert VotingClassifier(members, voting=voting, n_jobs=2).fit(x, y).score(test_x, test_y) > 0.95


def test_a_pipeline_keeps_what_it_has_computed(tmp_path):
    x, test_x, y, test_y = train_test_split(*load_digits(return_X_y=True), random_state=0)
    steps = hdl.BernoulliRBM(48, n_iter=10, random_state=0), net(max_iter=20)
    first = make_pipeline(*steps, memory=str(tmp_path)).fit(x, y)
    kept = sorted(tmp_path.rglob("output.pkl"))
    again = make_pipeline(*map(clone, steps), memory=str(tmp_path)).fit(x, y)
    assert sorted(tmp_path.rglob("output.pkl")) == kept != []
    np.testing.assert_array_equal(again.predict_proba(test_x), first.predict_proba(test_x))
    assert again.score(test_x, test_y) > 0.85


@pytest.mark.parametrize("kind", ["classes", "numbers"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_every_scorer(kind, cancer):
    """All scorers that fit the task give a finite number: probabilities, predictions and numbers are as they ask."""
    if kind == "classes":
        x, _, y, _ = cancer
        estimator = net(max_iter=10)
    else:
        x, y = load_diabetes(return_X_y=True)
        estimator = hdl.MLPRegressor((8,), loss="poisson", scale="standard", max_iter=10, random_state=0)
    fitted, usable = clone(estimator).fit(x, y), []
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y) if kind == "classes" else None
    for name in get_scorer_names():
        regresses = name.startswith(("neg_mean_", "neg_median", "neg_root", "neg_max", "r2", "d2_abs", "explained"))
        if regresses != (kind == "numbers") or "rand_score" in name or "info_score" in name or "mutual" in name:
            continue
        if logistic is not None:
            try:
                expected = get_scorer(name)(logistic, x, y)
            except ValueError:  # for several labels a sample, or for clusters
                continue
            if not np.isfinite(expected):
                continue
        usable.append(name)
    assert {"roc_auc", "neg_log_loss", "neg_brier_score"} <= set(usable) or {"r2", "neg_mean_poisson_deviance"} <= set(
        usable
    )
    assert all(np.isfinite(get_scorer(name)(fitted, x, y)) for name in usable)
    found = cross_validate(estimator, x, y, cv=2, scoring=usable, error_score="raise")
    assert all(np.isfinite(found[f"test_{name}"]).all() for name in usable)


def test_the_pipeline_of_imbalanced_learn(cancer):
    """Samples that are drawn again in fitting alone: scikit-learn's pipeline has no such step."""
    pipeline, over = pytest.importorskip("imblearn.pipeline"), pytest.importorskip("imblearn.over_sampling")
    x, test_x, y, test_y = cancer
    few = np.flatnonzero(y == 1)[:25]
    rows = np.concatenate([np.flatnonzero(y == 0), few])
    x, y = x.iloc[rows], y.iloc[rows]
    line = pipeline.make_pipeline(StandardScaler(), over.SMOTE(random_state=0), net(scale=None))
    balanced = cross_validate(line, x, y, cv=3, scoring="balanced_accuracy")["test_score"].mean()
    assert balanced > 0.85
    own = line.fit(x, y)[-1]
    assert own.t_ == 2 * (y == 0).sum() * own.n_iter_  # as many of each class in fitting
    assert line.predict(test_x).shape == test_y.shape
