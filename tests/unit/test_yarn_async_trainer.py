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
from hdl.yarn.worker.async_trainer import AsyncTrainer, Context


def beat(shard, share):
    pass


@pytest.fixture
def trainer(tmp_path):
    """`trainer(done, **spec)`: of a worker with one shard of 640 samples, after so many rounds."""
    path = tmp_path / "samples.csv"
    rng = np.random.default_rng(0)
    y = np.arange(640) % 2
    x = rng.normal(size=(640, 2)) + y[:, None]
    np.savetxt(path, np.c_[x, y], fmt="%.5g", delimiter=",", header="a,b,class", comments="")

    def make(done, **fields):
        asked = parse({"net": "0-4-0", "shards": 1, "batch": 8, "epochs": 99, "sync": {"mode": "async"}, **fields})
        source = data.open_source(str(path), Options())
        host = Host(str(path), Options(), dict(enumerate(source.splits(1))), device="reference")
        schema = data.fit(host.summarise([0], beat)[0], asked)
        spec = data.resolve(asked, schema)
        host.prepare(Plan(spec, schema, str(tmp_path), "reference"))
        w = models.initial(spec)
        said = Said()
        context = Context(host, said, SimpleNamespace(), beat, said.send, lambda seconds: False)
        return AsyncTrainer(context, Weights(0, w, average.start(spec, w)), done)

    return make


def moved(trainer):
    before = trainer.weights.w
    trainer._chunk()
    return float(np.linalg.norm(trainer.weights.w - before))


def test_schedules_go_on_where_the_training_is(trainer):
    schedule = {"name": "exponential", "decay": 0.5}
    optimizer = {"name": "sgd", "lr": 0.1, "schedule": schedule}
    first, late = (moved(trainer(done, optimizer=optimizer)) for done in (0, 4))
    assert first / late == pytest.approx(16, rel=0.5)


def test_a_late_beginning_makes_no_long_steps_with_adam(trainer):
    first, cold, warm = (trainer(done, optimizer="adam") for done in (0, 50, 50))
    assert (first.warm, warm.warm) == (False, True)
    warm._warm()
    assert warm.sums == {"samples": 0}
    assert moved(cold) > 1.5 * moved(first)
    assert moved(warm) == pytest.approx(moved(trainer(0, optimizer="adam")), rel=0.5)


class Said:
    """A mailbox and the master: all that is published or sent is kept."""

    def __init__(self):
        self.reports, self.updates = [], []

    def send(self, report):
        self.reports.append(report.to_dict())

    def publish(self, parts):
        self.updates.append(wire.decode(b"".join(parts["free"])))


class Exchange:
    """An async exchange with peers: all that is published is kept, `latest` is what peers published."""

    def __init__(self, *messages):
        self.published, self._latest = [], dict(enumerate(messages, 1))

    def publish(self, message):
        self.published.append(wire.unpack(b"".join(message)))

    def latest(self):
        return self._latest


def published(number, samples, w):
    return b"".join(wire.parts("published", {"round": number, "samples": samples}, {"w": w}))


def test_a_round_merges_what_others_published_by_samples_halved_for_each_round_behind(trainer):
    """w = (n w + Σ n_j 2^-s_j w_j) / (n + Σ n_j 2^-s_j); who is ahead is not behind, who is too far behind unheard."""
    worker = trainer(9, sync={"mode": "async", "staleness": 3})
    own = worker.weights.w.copy()
    rng = np.random.default_rng(1)
    ahead, behind, lost = (rng.normal(size=own.shape).astype(np.float32) for _ in range(3))
    exchange = Exchange(published(12, 100, ahead), published(7, 400, behind), published(6, 1000, lost))
    worker.sums["samples"] = 200
    worker._end_round(exchange, 5)
    said = worker.context.mailbox
    wanted = (200 * own + 100 * ahead + 400 * 0.5**3 * behind) / (200 + 100 + 400 * 0.5**3)
    assert np.allclose(worker.weights.w, wanted, atol=1e-6)
    ((kind, fields, tensors),) = exchange.published
    assert (kind, fields["round"], fields["samples"]) == ("published", 10, 200)
    assert np.array_equal(tensors["w"], own)  # what it learned, not what it merged
    assert np.array_equal(said.updates[0].tensors["w"], worker.weights.w)
    counts = {"merged": 2, "staleness": 3, "stalest": 3, "late": 1}
    assert said.reports == [{"kind": "free", "generation": 5, "round": 10, **counts}]


def test_samples_with_weights_merge_by_their_sum(trainer):
    worker = trainer(9, sync={"mode": "async"})
    own, other = worker.weights.w.copy(), np.ones_like(worker.weights.w)
    exchange = Exchange(published(10, 30, other))
    worker.sums |= {"samples": 200, "weight": 90.0}
    worker._end_round(exchange, 5)
    assert np.allclose(worker.weights.w, 0.75 * own + 0.25 * other, atol=1e-6)
    assert exchange.published[0][1]["samples"] == 90
