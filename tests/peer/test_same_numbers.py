"""The same numbers give the same weights, byte for byte, however they are stored and however many threads compute."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits

import hdl

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pytest.importorskip("hdl._cpu")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NETS = {
    "classifier": hdl.MLPClassifier((24,), max_iter=3, random_state=1),
    "searched": hdl.MLPClassifier((24,), solver="lbfgs", max_iter=5, random_state=1),
    "early": hdl.MLPClassifier((24,), max_iter=4, early_stopping=True, random_state=1),
    "regressor": hdl.MLPRegressor((24,), max_iter=3, random_state=1),
    "rbm": hdl.BernoulliRBM(16, n_iter=2, random_state=1),
    "autoencoder": hdl.SparseAutoencoder(9, max_iter=4, random_state=1),
}


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return x / 16, y  # sixteenths, which float32 holds exactly


def stored(x, folder):
    """Each way of storing x, by its name."""
    np.save(folder / "x.npy", x)
    names = [f"pixel{number}" for number in range(x.shape[1])]
    return {
        "float32": x.astype(np.float32),
        "Fortran order": np.asfortranarray(x),
        "every second row": np.repeat(x, 2, axis=0)[::2],
        "memory map": np.load(folder / "x.npy", mmap_mode="r"),
        "CSR matrix": sparse.csr_matrix(x),
        "CSR array of float32": sparse.csr_array(x.astype(np.float32)),
        "CSC": sparse.csc_array(x),
        "list": x.tolist(),
        "pandas": pd.DataFrame(x, columns=names),
        "polars": pl.DataFrame(x, schema=names),
    }


@pytest.mark.parametrize("name", NETS)
@pytest.mark.filterwarnings("ignore:X has feature names")
def test_storage_does_not_matter(name, digits, tmp_path):
    x, y = digits
    net = NETS[name]
    whole = net.fit(x, y)._weights
    answer = net.predict(x) if hasattr(net, "predict") else net.transform(x)
    for how, other in stored(x, tmp_path).items():
        again = type(net)(**net.get_params()).fit(other, y)
        assert np.array_equal(again._weights.w, whole.w), how
        found = again.predict(other) if hasattr(net, "predict") else again.transform(other)
        assert np.array_equal(found, answer.astype(found.dtype)), how  # of float32 the answers are too


@pytest.mark.parametrize("name", NETS)
def test_threads_do_not_matter(name, digits):
    x, y = digits
    net = NETS[name]
    one, two = (type(net)(**net.get_params() | {"n_jobs": jobs}).fit(x, y)._weights.w for jobs in (1, 2))
    assert np.array_equal(one, two)


def test_weights_of_1_are_none(digits):
    x, y = digits
    for name in ("classifier", "early", "regressor"):
        net = NETS[name]
        none, ones = (type(net)(**net.get_params()).fit(x, y, sample_weight=w) for w in (None, np.ones(len(x))))
        np.testing.assert_array_equal(none.predict(x), ones.predict(x))
