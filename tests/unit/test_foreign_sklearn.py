"""scikit-learn's networks come and go: written as numbers, started from, and made again."""

import numpy as np
import pytest

from hdl import foreign
from hdl.errors import SpecError
from tests.unit.foreign_files import started


def test_scikit_learns_networks_there_and_back(tmp_path):
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    for made, kind in (
        (load_iris(), MLPClassifier),
        (load_breast_cancer(), MLPClassifier),
        (load_diabetes(), MLPRegressor),
    ):
        fitted = kind(hidden_layer_sizes=(6,), activation="tanh", max_iter=30, random_state=0).fit(
            made.data, made.target
        )
        folder = tmp_path / f"{kind.__name__}{made.data.shape[1]}"
        folder.mkdir()
        foreign.save_sklearn(fitted, str(folder / "net.safetensors"))
        rows = np.column_stack([made.data, made.target])
        head = ",".join([*(f"x{n}" for n in range(made.data.shape[1])), "class"])
        np.savetxt(folder / "data.csv", rows, delimiter=",", header=head, comments="", fmt="%.9g")
        model, found = started(folder / "data.csv", folder / "net.safetensors", folder / "m")
        regression = kind is MLPRegressor
        wanted = fitted.predict(made.data)[:, None] if regression else fitted.predict_proba(made.data)
        found = found if regression or wanted.shape[1] == found.shape[1] else np.hstack([1 - found, found])
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-5)
        back = model.to_sklearn()
        mine = back.predict(made.data)[:, None] if regression else back.predict_proba(made.data)
        np.testing.assert_allclose(mine, wanted, rtol=2e-3, atol=2e-5)
        if not regression:
            assert (back.predict(made.data) == fitted.predict(made.data)).mean() > 0.99


def test_what_is_no_network_of_scikit_learn_is_refused(tmp_path):
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(SpecError, match="a LogisticRegression; expected a fitted MLPClassifier"):
        foreign.save_sklearn(LogisticRegression(), str(tmp_path / "a.safetensors"))
    assert not (tmp_path / "a.safetensors").exists()
