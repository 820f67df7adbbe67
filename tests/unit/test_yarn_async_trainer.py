"""A worker that waits for nobody, by itself: where it begins."""

from types import SimpleNamespace

import numpy as np
import pytest

from hdl import data, models, wire
from hdl.data import Options
from hdl.runners.base import Plan
from hdl.runners.work import Host
from hdl.spec import parse
from hdl.sync import average
from hdl.wire import Weights
from hdl.yarn.worker.async_trainer import AsyncTrainer


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
        return AsyncTrainer(SimpleNamespace(host=host, beat=beat), Weights(0, w, average.start(spec, w)), done)

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


class Said:
    """A gossip, a desk and what else a round tells: all that is said is kept, `heard` is what peers said."""

    def __init__(self, *heard):
        self.published, self.told, self.offered = [], [], []
        self._heard = dict(enumerate(heard, 1))

    def publish(self, message):
        self.published.append(wire.unpack(b"".join(message)))

    def heard(self):
        return self._heard

    def send(self, fields):
        self.told.append(fields)

    def offer(self, parts):
        self.offered.append(wire.decode(b"".join(parts["free"])))


def published(number, samples, w):
    return b"".join(wire.parts("published", {"round": number, "samples": samples}, {"w": w}))


def test_a_round_merges_what_others_published_by_samples_halved_for_each_round_behind(free):
    """w = (n w + Σ n_j 2^-s_j w_j) / (n + Σ n_j 2^-s_j); who is ahead is not behind, who is too far behind unheard."""
    worker = free(9, sync={"mode": "async", "staleness": 3})
    own = worker.weights.w.copy()
    rng = np.random.default_rng(1)
    ahead, behind, lost = (rng.normal(size=own.shape).astype(np.float32) for _ in range(3))
    said = Said(published(12, 100, ahead), published(7, 400, behind), published(6, 1000, lost))
    worker.sums["samples"] = 200
    worker.worker.faults, worker.worker.generation = SimpleNamespace(), 5
    worker.worker.work = worker.worker.desk = said
    worker._round(said)
    wanted = (200 * own + 100 * ahead + 400 * 0.5**3 * behind) / (200 + 100 + 400 * 0.5**3)
    assert np.allclose(worker.weights.w, wanted, atol=1e-6)
    ((kind, fields, tensors),) = said.published
    assert (kind, fields["round"], fields["samples"]) == ("published", 10, 200)
    assert np.array_equal(tensors["w"], own)  # what it learned, not what it merged
    assert np.array_equal(said.offered[0].tensors["w"], worker.weights.w)
    counts = {"merged": 2, "staleness": 3, "stalest": 3, "late": 1}
    assert said.told == [{"kind": "free", "generation": 5, "round": 10, **counts}]
