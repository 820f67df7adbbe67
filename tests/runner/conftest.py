"""What the runners' one body of tests shares: small datasets, runners by name, a training in one call."""

import numpy as np
import pytest

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse


def make_local(workers=2, threads=1, **more):
    return LocalRunner(workers, threads, **more)


# Later runners join here; each test below then runs on them too.
RUNNERS = {"local": make_local}


@pytest.fixture(params=sorted(RUNNERS))
def make_runner(request):
    """A function that makes a runner: (workers, threads) -> Runner."""
    return RUNNERS[request.param]


@pytest.fixture(scope="session")
def csv(tmp_path_factory):
    """A function that makes a CSV file of n samples of three features and two or three classes."""

    def make(n=90, classes=2, seed=0):
        path = tmp_path_factory.mktemp("data") / "samples.csv"
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(n, 3))
        y = np.arange(n) % classes  # every class is there, however few the samples
        np.savetxt(path, np.c_[x + y[:, None], y], fmt="%.5g", delimiter=",", header="a,b,c,class", comments="")
        return str(path)

    return make


@pytest.fixture
def train(tmp_path):
    """A function that trains: (data, runner, spec's fields) -> Outcome. Each call has a table of its own."""
    count = iter(range(1000))

    def run(data, runner, table=None, resume=False, on_event=None, **fields):
        table = table or str(tmp_path / f"model{next(count)}")
        spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, **fields})
        return driver.train(Job(data, table, spec, resume=resume), runner, on_event)

    return run
