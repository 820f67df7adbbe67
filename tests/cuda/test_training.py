"""Whole trainings on a GPU: by the driver, a table, a resume, and the answers of what was trained."""

import numpy as np
import pytest

from hdl import devices, driver
from hdl.data import open_source
from hdl.predict import Model
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

pytestmark = pytest.mark.usefixtures("device")


@pytest.fixture
def train(tmp_path):
    """`train(table, device, **fields)`: a training on three shards of a small dataset; `train.data` is its path."""
    path, rng = tmp_path / "data.csv", np.random.default_rng(0)
    y = np.arange(120) % 3
    np.savetxt(path, np.c_[rng.normal(size=(120, 4)) + y[:, None], y], fmt="%.5g", delimiter=",")

    def train(table, device, resume=False, **fields):
        spec = parse({"net": "0-9-0", "shards": 3, "epochs": 3, "batch": 8, "seed": 3, "keep": 9, **fields})
        job = Job(str(path), str(tmp_path / table), spec, resume=resume)
        return driver.train(job, LocalRunner(1, 1, device=device))

    train.data = str(path)
    return train


@pytest.mark.parametrize("mode", ["average", "gradient"])
def test_it_learns_what_the_cpu_learns_and_goes_on_to_the_same_bytes(train, mode):
    fields = {"sync": {"mode": mode}, "validation": 0.2}
    here, there = (train(device, device, **fields) for device in ("cpu", "cuda"))
    costs = [[row["cost"] for row in outcome.rows[:3]] for outcome in (here, there)]
    np.testing.assert_allclose(*costs, rtol=1e-4)
    about = Table(there.table).header(0)["about"]
    assert (about["device"], about["isa"]) == ("cuda", f"cuda-{devices.code()}")
    train("part", "auto", **fields | {"epochs": 1})
    again = train("part", "cuda:0", resume=True, **fields)
    assert Table(again.table).read().signature == Table(there.table).read().signature


def test_answers_are_the_cpus_but_for_rounding(train):
    outcome = train("model", "cpu")
    found = []
    for device in "cpu", "cuda":
        model = Model(outcome.table, device=device)
        source = open_source(train.data, None, model.schema)
        score = model.evaluate(source)
        codes = next(model.encode(source)).codes
        found.append((score.cost, next(model.predict(source)).out, codes, score.confusion))
    assert type(model.ops).__name__ == "DenseCuda"
    for here, there in zip(*found, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-6)
