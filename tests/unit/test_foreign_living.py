"""Living networks of PyTorch and Keras answer as the model does that they are made of."""

import numpy as np
import pytest

from hdl import foreign
from hdl.predict import Model
from tests.unit.foreign_files import X, csv_file, foreign_source, train


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return csv_file(tmp_path_factory.mktemp("foreign") / "data.csv")


@pytest.mark.parametrize("activation", ["relu", "tanh", "leaky_relu", "lecun_tanh", "sigmoid", "linear"])
@pytest.mark.parametrize("library", ["torch", "keras"])
def test_living_networks_answer_as_the_model_does(tmp_path, table, library, activation):
    pytest.importorskip(library)
    assert train(table, "--out", tmp_path / "m", "--epochs", "3", "--activation", activation, "--net", "0-6-4-0") == 0
    model = Model(str(tmp_path / "m"))
    wanted = np.concatenate([part.out for part in model.predict(foreign_source(model, table))])
    if library == "torch":
        import torch

        found = model.to_torch()(torch.from_numpy(X)).detach().numpy()
        assert model.to_torch(logits=True)(torch.from_numpy(X)).shape == found.shape
    else:
        made = model.to_keras()
        found = np.asarray(made(X))
        made.save(tmp_path / "a.keras")
        if activation != "leaky_relu":
            np.testing.assert_allclose(foreign.read(str(tmp_path / "a.keras"))(X), wanted, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)
