"""Fits of scikit-learn's searches by a session's application: everything of it but YARN."""

import os
import threading
import warnings

import numpy as np
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from sklearn.datasets import load_iris

import hdl
from hdl.fitting import place
from hdl.session import client, places, remote
from hdl.session.fits import Fits
from hdl.yarn.client import client as applications
from tests.runner.test_yarn_session import session as application  # noqa: F401

X, Y = load_iris(return_X_y=True)


@pytest.fixture
def staging(application, tmp_path, monkeypatch):  # noqa: F811
    """The application's folder, where commands are carried out in this process."""
    folder = tmp_path / "staging"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    places.place("here").mkdir(0o700, parents=True)
    monkeypatch.setattr(applications, "staging", lambda name: str(folder))
    monkeypatch.setattr(remote, "work", lambda name, asked, wanted: application.fit(asked["order"], wanted))
    monkeypatch.setattr(client, "ask", lambda name, what, folder: application.forget(folder))
    return folder


def nets():
    return [
        hdl.MLPClassifier((width,), max_iter=6, random_state=width, early_stopping=width > 3) for width in (3, 4, 5)
    ]


def test_fits_side_by_side_have_the_bytes_of_this_process(staging):
    ours, fits = nets(), Fits("here", "cpu", 2)

    def fit(net):
        with warnings.catch_warnings(action="ignore"), place.at(fits.train):
            net.fit(X, Y)

    threads = [threading.Thread(target=fit, args=(net,)) for net in ours]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fits.error is None
    (folder,) = staging.glob("fits-*")
    assert all(name.startswith("samples-") for name in os.listdir(folder))  # two parts and a whole, once each
    assert len(os.listdir(folder)) == len({name for name in os.listdir(fits._folder)}) >= 3
    fits.close()
    assert not [*staging.glob("fits-*")]
    with warnings.catch_warnings(action="ignore"):
        theirs = [net.fit(X, Y) for net in nets()]
    for a, b in zip(ours, theirs, strict=True):
        assert a._weights.w.tobytes() == b._weights.w.tobytes()
        assert (a.loss_curve_, a.validation_scores_) == (b.loss_curve_, b.validation_scores_)


def test_a_fit_that_fails_ends_itself_and_not_the_session(staging):
    fits = Fits("here", "cpu", 2)
    with place.at(fits.train), warnings.catch_warnings(action="ignore"):
        with pytest.raises(ValueError, match="Solver produced non-finite"):
            hdl.MLPClassifier((3,), solver="sgd", learning_rate_init=1e30, random_state=1).fit(X * 1e6, Y)
        again = nets()[0].fit(X, Y)
        with place.at(None):
            here = nets()[0].fit(X, Y)
    fits.close()
    np.testing.assert_array_equal(again._weights.w, here._weights.w)
