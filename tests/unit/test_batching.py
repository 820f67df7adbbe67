"""Trainings that wait for each other: nobody waits for ever, and each gets what is its own."""

import random
import threading
import time

import pytest

from hdl.errors import Interrupted, NonFinite
from hdl.ops import Result, Work
from hdl.ops.batching import BatchingBarrier, compatibility
from hdl.spec import parse
from tests.unit.participants import run

SPEC = parse({"net": "2-2", "loss": "softmax", "optimizer": "sgd"})


class Core:
    """Operations whose result tells which net it is of; those in `failing` have none, in the call of that number."""

    platform = "fake"

    def __init__(self, most=256, failing=()):
        self.most, self.failing, self.sizes, self.busy = most, dict(failing), [], threading.Lock()

    def together(self, batch):
        return self.most

    def train_all(self, works, batch, progress):
        assert self.busy.acquire(blocking=False), "two threads in the core"
        try:
            assert len(works) <= self.most
            assert all(work.spec is SPEC for work in works)
            self.sizes.append(len(works))
            if progress(0, 1):
                raise Interrupted("stopped")
            bad = {at: f"net {work.w}" for at, work in enumerate(works) if self.failing.get(work.w) == work.first_step}
            if bad:
                raise NonFinite("some", nets=bad)
            time.sleep(0.0005)
            return [Result(float(work.w), work.first_step) for work in works]
        finally:
            self.busy.release()

    def forward(self, w, *_):
        with self.busy:
            return w, Result()


def work(number, turn):
    return Work(number, None, None, [0], None, turn)


@pytest.mark.parametrize("seed", range(30))
def test_whoever_ends_or_fails_whenever_all_others_get_their_own(seed):
    """Trainings of random lengths, with several nets each, that start late, fail, break and look at other things."""
    rng = random.Random(seed)
    count = rng.randint(1, 12)
    turns = [rng.randint(0, 6) for _ in range(count)]
    nets = [rng.randint(1, 3) for _ in range(count)]
    failing = {10 * n: rng.randint(0, 5) for n in range(count) if rng.random() < 0.2}
    breaking = {n: rng.randint(0, 5) for n in range(count) if rng.random() < 0.2}
    core = Core(rng.choice([1, 3, 256]), failing)

    def body(number):
        def train(participant):
            for turn in range(turns[number]):
                if rng.random() < 0.3:
                    time.sleep(0.002 * rng.random())
                assert participant.forward(number, None)[0] == number
                if breaking.get(number) == turn:
                    raise RuntimeError("broke")
                works = [work(10 * number + each, turn) for each in range(nets[number])]
                found = participant.train_all(works, 4, lambda *_: None)
                assert [(each.cost, each.correct) for each in found] == [(each.w, turn) for each in works]
            return "whole"

        return train

    ends = run(BatchingBarrier(count, lambda spec: core), [body(number) for number in range(count)], SPEC)
    for number, end in enumerate(ends):
        fails, breaks = failing.get(10 * number, 99), breaking.get(number, 99)
        if min(fails, breaks) >= turns[number]:
            assert end == "whole"
        elif breaks <= fails:
            assert isinstance(end, RuntimeError)
        else:
            assert isinstance(end, NonFinite)
            assert str(end) == f"net {10 * number}"


def test_all_go_in_one_call():
    core = Core()
    run(
        BatchingBarrier(5, lambda spec: core),
        [lambda participant: [participant.train_all([work(1, 0)], 4) for _ in range(3)]] * 5,
        SPEC,
    )
    assert core.sizes == [5] * 3


def test_when_one_wants_to_stop_all_do():
    core = Core()
    bodies = [lambda participant: participant.train_all([work(1, 0)], 4, lambda *_: False)] * 3
    bodies.append(lambda participant: participant.train_all([work(1, 0)], 4, lambda *_: True))
    ends = run(BatchingBarrier(4, lambda spec: core), bodies, SPEC)
    assert [type(end) for end in ends] == [Interrupted] * 4


def test_a_signal_in_what_one_is_told_ends_all():
    def told(*_):
        raise KeyboardInterrupt

    ends = run(
        BatchingBarrier(3, lambda spec: Core()),
        [lambda participant: participant.train_all([work(1, 0)], 4, told)] * 3,
        SPEC,
    )
    assert [type(end) for end in ends] == [KeyboardInterrupt] * 3


def test_what_trainings_that_meet_have_in_common():
    base = {"net": "4-3-2", "optimizer": "adam"}
    for fields in (
        {"l1": 0.1}, {"l2": 0.1}, {"seed": 9}, {"epochs": 3}, {"patience": 2, "validation": 0.1}, {"init": "he"},
        {"optimizer": {"name": "adadelta", "rho": 0.5}},
        {"optimizer": {"name": "adam", "lr": 1, "schedule": {"name": "cosine"}}},
    ):  # fmt: skip
        assert compatibility(parse({"validation": 0.1, **base})) == compatibility(
            parse({"validation": 0.1, **base, **fields})
        ), fields
    for fields in (
        {"net": "4-4-2"}, {"batch": 3}, {"dropout": 0.1}, {"activation": "tanh"}, {"precision": "bf16"}, {"shards": 2},
        {"optimizer": "sgd"}, {"max_norm": 1}, {"leak": 0.5}, {"scale": "none"},
    ):  # fmt: skip
        assert compatibility(parse(base)) != compatibility(parse(base | fields)), fields
    assert compatibility(parse(base | {"max_norm": 1})) == compatibility(parse(base | {"max_norm": 2}))
    assert compatibility(parse(base | {"optimizer": "lbfgs"})) is None
    assert compatibility(parse(base | {"sync": {"mode": "gradient"}})) is None
    assert compatibility(parse({"model": "stacked", "net": "4-3-2"})) is None
