"""A worker that waits for nobody, by itself: where it begins."""

from types import SimpleNamespace

import numpy as np
import pytest

from hdl import data, models
from hdl.data import Options
from hdl.runners.base import Plan
from hdl.runners.work import Host
from hdl.spec import parse
from hdl.sync import average
from hdl.wire import Weights
from hdl.yarn.free import Free


def beat(shard, share):
    pass


@pytest.fixture
def free(tmp_path):
    """`free(done, **spec)`: a worker with one shard of 640 samples, after so many rounds."""
    path = tmp_path / "samples.csv"
    rng = np.random.default_rng(0)
    y = np.arange(640) % 2
    x = rng.normal(size=(640, 2)) + y[:, None]
    np.savetxt(path, np.c_[x, y], fmt="%.5g", delimiter=",", header="a,b,class", comments="")

    def make(done, **fields):
        asked = parse({"net": "0-4-0", "shards": 1, "batch": 8, "epochs": 99, "sync": {"mode": "async"}, **fields})
        source = data.open_source(str(path), Options())
        host = Host(str(path), Options(), dict(enumerate(source.portions(1))), device="reference")
        schema = data.fit(host.summarise([0], beat)[0], asked)
        spec = data.resolve(asked, schema)
        host.prepare(Plan(spec, schema, str(tmp_path), "reference"))
        w = models.initial(spec)
        return Free(SimpleNamespace(host=host, beat=beat), Weights(0, w, average.start(spec, w)), done)

    return make


def moved(free):
    before = free.weights.w
    free._chunk()
    return float(np.linalg.norm(free.weights.w - before))


def test_schedules_go_on_where_the_training_is(free):
    schedule = {"name": "exponential", "decay": 0.5}
    optimizer = {"name": "sgd", "lr": 0.1, "schedule": schedule}
    first, late = (moved(free(done, optimizer=optimizer)) for done in (0, 4))
    assert first / late == pytest.approx(16, rel=0.5)


def test_a_late_beginning_makes_no_long_steps_with_adam(free):
    first, cold, warm = free(0, optimizer="adam"), free(50, optimizer="adam"), free(50, optimizer="adam")
    assert (first.warm, warm.warm) == (False, True)
    warm._warm()
    assert warm.sums == {"samples": 0}
    assert moved(cold) > 1.5 * moved(first)
    assert moved(warm) == pytest.approx(moved(free(0, optimizer="adam")), rel=0.5)
