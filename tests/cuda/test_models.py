"""Whole trainings of unsupervised models on a GPU: near what the CPU learns, and resumed to the same bytes."""

import numpy as np
import pytest

from hdl import driver
from hdl.data import open_source
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

SPARSE = {"beta": 0.1, "rho": 0.2, "contractive": 0.1, "corruption": 0.2}
MODELS = {
    "autoencoder": {"model": "autoencoder", "net": "0-5-0", "autoencoder": {"tied": True, **SPARSE}},
    "gradients": {"model": "autoencoder", "net": "0-5-0", "autoencoder": SPARSE, "sync": {"mode": "gradient"}},
    "rbm": {"model": "rbm", "net": "0-5", "rbm": {"beta": 0.1}},
    "chains": {"model": "rbm", "net": "0-5", "rbm": {"persistent": True, "chains": 9, "visible": "gaussian"}},
    "moved": {"model": "rbm", "net": "0-5", "rbm": {"persistent": True, "chains": 9}, "sync": {"mode": "gradient"}},
    "stacked": {"model": "stacked", "net": "0-5-4-0", "pretrain": {"epochs": 2}},
    "dbn": {"model": "dbn", "net": "0-5-4-0", "pretrain": {"epochs": 2}},
}


pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture
def data(tmp_path):
    rng, y = np.random.default_rng(0), np.arange(90) % 3
    np.savetxt(tmp_path / "data.csv", np.c_[rng.random((90, 6)) + y[:, None], y], fmt="%.5g", delimiter=",")
    return tmp_path / "data.csv"


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_what_the_cpu_learns_and_goes_on_to_the_same_bytes(data, name):
    def train(table, device, resume=False, **more):
        spec = parse({"shards": 2, "epochs": 3, "batch": 8, "seed": 3, "keep": 9, **MODELS[name], **more})
        job = Job(str(data), str(data.with_name(table)), spec, resume=resume)
        return driver.train(job, LocalRunner(1, 1, device=device))

    here, there = (train(device, device) for device in ("cpu", "cuda"))
    costs = [[row["cost"] for row in outcome.rows[:3]] for outcome in (here, there)]
    np.testing.assert_allclose(*costs, rtol=1e-3)
    train("part", "cuda", epochs=1)
    again = train("part", "cuda", resume=True)
    assert Table(again.table).read().signature == Table(there.table).read().signature
    found = []
    for device in "cpu", "cuda":
        model = Model(there.table, device=device)
        source = open_source(str(data), None, model.schema)
        found.append((next(model.encode(source)).codes, next(model.predict(source)).out))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
