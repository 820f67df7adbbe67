"""joblib's backend `hdl`: scikit-learn's searches by a session's workers give what they give without one."""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
import psutil
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score, cross_validate

import hdl
from hdl.errors import HdlError, SpecError
from hdl.ops import Samples
from hdl.session import places, remote
from hdl.session.fits import Fits
from tests.runner.common import DEADLINE
from tests.runner.test_session import TRAIN, eventually, home  # noqa: F401
from tests.runner.test_session import hdl as command

X, Y = load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def session(home):  # noqa: F811
    with hdl.Session("local", workers=2) as own:
        yield own


def net(**given):
    return hdl.MLPClassifier(**{"hidden_layer_sizes": (5,), "max_iter": 8, "random_state": 3, **given})


def left(session):
    """What is left of fits in the session's folder."""
    return [path.name for path in places.place(session.name).glob("fits*")]


def fitted(estimator, x, y, **given):
    """The weights, curves and further results of each fold's fit."""
    with warnings.catch_warnings(action="ignore"):
        found = cross_validate(estimator, x, y, cv=3, return_estimator=True, error_score="raise", **given)
    return [
        {name: value for name, value in vars(one).items() if name.endswith("_")}
        | {"w": one._weights.w.tobytes(), "state": {name: t.tobytes() for name, t in one._weights.state.items()}}
        for one in found["estimator"]
    ]


def table(x):
    return pa.table(
        {"a": x[:, 0], "b": np.where(x[:, 1] > 3, "wide", "narrow"), "c": pa.array(x[:, 2], mask=x[:, 2] > 6)}
    )


WEIGHTS = np.linspace(0.5, 2, len(Y))
CASES = {
    "plain": (net(), X, Y, {}),
    "uint8": (net(), (X * 10).astype(np.uint8), Y, {}),
    "sparse": (net(solver="lbfgs"), sparse.csr_array(X * (X > 1)), Y, {}),
    "a table": (net(embedding=2), table(X), Y.astype(str), {}),
    "scaled, early": (net(scale="minmax", early_stopping=True, n_iter_no_change=2), X, Y, {}),
    "by a metric": (net(early_stopping=True, metric="auc", max_iter=np.int64(5)), X, Y > 0, {}),
    "weights": (net(class_weight="balanced"), X, Y, {"params": {"sample_weight": WEIGHTS}}),
    "adaptive": (net(solver="sgd", learning_rate="adaptive", tol=1.0, n_iter_no_change=1), X, Y, {}),
    "regression": (hdl.MLPRegressor((4,), max_iter=6, random_state=1, early_stopping=True), X, X[:, 0] * 3, {}),
    "members": (net(members=2), X, Y, {}),
    "codes": (hdl.BernoulliRBM(3, n_iter=4, random_state=1, scale="minmax"), X, None, {"scoring": lambda *_: 0.0}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_fit_has_the_bytes_of_one_without_a_session(session, name):
    estimator, x, y, given = CASES[name]
    with joblib.parallel_config("hdl", session=session):
        before = session.state["done"]
        ours = fitted(estimator, x, y, **given)
        assert session.state["done"] > before  # it was the session that trained
    np.testing.assert_equal(ours, fitted(estimator, x, y, **given))
    assert left(session) == []


def test_a_warm_start_and_weights_that_were_set_go_on_from_there(session):
    def again(estimator, x, y):
        estimator.fit(x, y)
        estimator.coefs_ = [layer * 1.5 for layer in estimator.coefs_]
        return estimator.fit(x[::2], y[::2]).partial_fit(x, y)

    def both():
        return joblib.Parallel()(joblib.delayed(again)(net(warm_start=True), X, Y) for _ in range(2))

    with warnings.catch_warnings(action="ignore"):
        with joblib.parallel_backend("hdl", session=session.name):
            ours = both()
        theirs = both()
    assert {one._weights.w.tobytes() for one in ours} == {one._weights.w.tobytes() for one in theirs}
    assert ours[0].loss_curve_ == theirs[0].loss_curve_


GRID = {"learning_rate_init": [0.01, 0.1], "alpha": [0.0001, 0.1]}


@pytest.mark.parametrize(
    "make",
    [
        lambda: GridSearchCV(net(), GRID, cv=3),
        lambda: HalvingRandomSearchCV(net(), GRID, resource="max_iter", max_resources=9, random_state=0, cv=2),
    ],
    ids=["grid", "halving"],
)
def test_a_search_finds_what_it_finds_without_a_session(session, make):
    with warnings.catch_warnings(action="ignore"):
        with joblib.parallel_config("hdl", session=session):
            ours = make().fit(X, Y)
        theirs = make().fit(X, Y)
    assert ours.best_params_ == theirs.best_params_
    np.testing.assert_equal(
        *[{name: values for name, values in one.cv_results_.items() if "time" not in name} for one in (ours, theirs)]
    )
    for a, b in zip(ours.best_estimator_.coefs_, theirs.best_estimator_.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_fit_that_fails_is_a_score_that_is_not_there(session):
    def scores():
        grid = {"learning_rate_init": [0.1, 1e30]}
        search = GridSearchCV(net(solver="sgd", scale="none"), grid, cv=2, error_score=np.nan)
        return search.fit(X * 1e6, Y).cv_results_["mean_test_score"]

    with warnings.catch_warnings(action="ignore"):
        with joblib.parallel_config("hdl", session=session):
            ours = scores()
            with pytest.raises(ValueError, match="Solver produced non-finite"):
                cross_val_score(net(solver="sgd", learning_rate_init=1e30), X * 1e6, Y, error_score="raise")
        theirs = scores()
    np.testing.assert_equal(ours, theirs)
    assert np.isnan(ours).tolist() == [False, True]


def test_what_only_this_process_can_do_is_done_here_and_told_once(session):
    deep = hdl.StackedAutoencoder((3, 2), n_iter=2, random_state=1)
    with joblib.parallel_config("hdl", session=session), pytest.warns(UserWarning, match="a layer above") as caught:
        ours = fitted_stack(deep)
    assert len([one for one in caught if "is trained in this process" in str(one.message)]) == 1
    np.testing.assert_equal(ours, fitted_stack(deep))


def fitted_stack(estimator):
    found = cross_validate(estimator, X, cv=3, return_estimator=True, scoring=lambda *_: 0.0)["estimator"]
    return [one._weights.w.tobytes() for one in found]


def test_as_many_at_a_time_as_there_are_workers_and_one_works_too(session):
    with joblib.parallel_config("hdl", session=session):
        assert joblib.effective_n_jobs(-1) == joblib.Parallel().n_jobs % 3 == 2
    with warnings.catch_warnings(action="ignore"), joblib.parallel_config("hdl", session=session, n_jobs=1):
        before = session.state["done"]
        cross_val_score(net(), X, Y, cv=2)
        assert session.state["done"] == before + 2


def test_the_only_session_is_meant_where_none_is_named(session):
    with joblib.parallel_config("hdl") as chosen:
        assert chosen["backend"].session == session.name
    with pytest.raises(SpecError, match="no session 'other'"):
        joblib.parallel_config("hdl", session="other")
    with hdl.Session("local"), pytest.raises(SpecError, match="which session is meant"):
        joblib.parallel_config("hdl")


def test_a_session_of_another_version_is_refused(session, monkeypatch):
    monkeypatch.setattr(places, "version", lambda: "9.9")
    with pytest.raises(SpecError, match=r"runs hdl .*, this is 9\.9: start it again with: hdl session start "):
        joblib.parallel_config("hdl", session=session)


ENDLESS = """
import sys, warnings, joblib
from hdl import MLPClassifier
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
warnings.simplefilter("ignore")
with joblib.parallel_config("hdl", session=sys.argv[1], n_jobs=int(sys.argv[2])):
    net = MLPClassifier((5,), max_iter=1_000_000, n_iter_no_change=10**8)
    cross_val_score(net, *load_iris(return_X_y=True))
"""


def begun(session):
    """The workers that have fits."""
    return [worker for turn in session.state["turns"] if turn["what"].startswith("fit ") for worker in turn["workers"]]


@pytest.fixture
def endless(home, root):  # noqa: F811
    """`endless(session, n_jobs)`: a search that trains, until it is stopped."""
    started = []

    def start(session, n_jobs=-1):
        environment = {**os.environ, "PYTHONPATH": str(root)}
        words = [sys.executable, "-c", ENDLESS, session.name, str(n_jobs)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        eventually(lambda: begun(session) or process.poll() is not None)
        time.sleep(0.2)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_ctrl_c_ends_the_search_and_not_the_session(session, endless, ctrl_c):
    process, pids = endless(session), session.state["pids"]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == -signal.SIGINT
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    eventually(lambda: not session.state["turns"])
    assert session.state["pids"] == pids
    assert left(session) == []


def test_a_fit_has_one_worker_and_what_wants_all_waits_for_it(session, endless, csv, tmp_path):
    process = endless(session, 1)
    (worker,) = begun(session)
    with warnings.catch_warnings(action="ignore"), joblib.parallel_config("hdl", session=session):
        ours = cross_val_score(net(), X, Y, cv=3)  # by the other worker: nothing of it waits for the endless one
    np.testing.assert_array_equal(ours, cross_val_score(net(), X, Y, cv=3))
    assert begun(session) == [worker]
    training = command("train", csv(), "--out", tmp_path / "model", *TRAIN, "--epochs", "1", "--session", session.name)
    eventually(lambda: any(turn["whole"] and not turn["workers"] for turn in session.state["turns"]))
    assert begun(session) == [worker]
    process.kill()  # nobody waits for its fit any more
    _, err = training.communicate(timeout=DEADLINE)
    assert training.returncode == 0, err


def test_a_search_that_is_killed_is_swept_up_by_the_next_one(home, endless):  # noqa: F811
    with hdl.Session("local", workers=2) as session:
        process = endless(session)
        process.kill()
        process.wait()
        folder = places.place(session.name)
        assert [*folder.glob("fits*")]
        other = Fits(session.name, "cpu", 2)
        other._file(Samples(X.astype(np.float32)))
        assert [*folder.glob("fits*")] == [other._folder]
        other.close()
        eventually(lambda: not session.state["turns"])  # nobody waits for what it trained


def test_a_session_that_dies_is_one_clear_error(home, endless):  # noqa: F811
    with hdl.Session("local", workers=2, name="dies") as session:
        process = endless(session)
        psutil.Process(session.state["pid"]).kill()
        _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith("hdl.errors.SessionEnded: the process of session 'dies' has died;")
    assert "fits failed" not in err
    with pytest.raises(SpecError), warnings.catch_warnings(action="ignore"):
        joblib.parallel_config("hdl", session="dies")
    assert not list(Path(places.folder()).glob("dies/fits*"))


def test_a_session_that_is_stopped_is_one_clear_error(home, endless):  # noqa: F811
    with hdl.Session("local", workers=2, name="stops") as session:
        process = endless(session)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "hdl.errors.SessionEnded: session 'stops' has ended: it was stopped;" in err.splitlines()[-1]
    assert not places.place("stops").exists()


def test_a_fit_whose_worker_dies_begins_again(session, endless):
    process = endless(session, 1)
    (worker,) = begun(session)
    died = session.state["pids"][worker]
    psutil.Process(died).kill()
    eventually(lambda: session.state["pids"][worker] != died)
    assert begun(session) == [worker]
    assert process.poll() is None
    process.kill()
    eventually(lambda: not session.state["turns"])


def test_an_order_that_is_not_there_is_told(session):
    with pytest.raises(HdlError, match=r"/nowhere/1\.order"):
        remote.work(session.name, {"do": "fit", "order": "/nowhere/1.order"}, lambda: True)
    assert not session.state["turns"]
