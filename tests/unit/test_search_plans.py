"""Which trial of a search is next: samplers and schedulers as functions of seed, numbers and losses alone."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.cli import spaces
from hdl.errors import SpecError
from hdl.search import samplers, schedulers
from hdl.search.space import Parameter, Space
from hdl.spec import Spec

SPACE = Space((
    Parameter("lr", "log", (), 1e-4, 1e-1),
    Parameter("batch", "linear", (), 8, 64, True),
    Parameter("net", "choice", ("0-8-0", "0-16-0")),
))  # fmt: skip
REPRODUCIBLE = ("none", "halving", "hyperband", "median", "pbt")


def carried_out(name, losses, order, eta=3):
    """Carries a schedule out; `order` chooses which of the running tasks ends next. Gives what was trained."""
    scheduler, running, done = schedulers.make(name, len(losses), eta, 3, 5), [], set()
    while True:
        while (task := scheduler.ask(lambda number: True)) is not None:
            running.append(task)
        if not running:
            return done, scheduler.stopped()
        task = running.pop(order.draw_index(len(running)))
        assert (task.number, task.share) not in {each[:2] for each in done}
        done.add((task.number, task.share, task.parents))
        scheduler.tell(task, losses[task.number], [losses[task.number]] * 3)


class Drawn:
    def __init__(self, data):
        self.data = data

    def draw_index(self, count):
        return self.data.draw(st.integers(0, count - 1))


class First:
    def draw_index(self, count):
        return 0


loss = st.one_of(st.integers(-5, 5).map(float), st.just(math.inf))


@pytest.mark.parametrize("name", REPRODUCIBLE)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), losses=st.lists(loss, min_size=1, max_size=40))
def test_what_is_trained_does_not_depend_on_who_ends_first(name, data, losses):
    assert carried_out(name, losses, Drawn(data)) == carried_out(name, losses, First())


@pytest.mark.parametrize("name", schedulers.NAMES)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), losses=st.lists(loss, min_size=1, max_size=40), eta=st.integers(2, 4))
def test_every_trial_begins_and_shares_only_grow(name, data, losses, eta):
    done, stopped = carried_out(name, losses, Drawn(data), eta)
    assert {number for number, _, _ in done} == set(range(len(losses)))
    assert all(0 < share <= 1 for _, share, _ in done)
    diverged = {number for number, value in enumerate(losses) if math.isinf(value)}
    assert not stopped & diverged
    whole = {number for number, share, _ in done if share == 1}
    if name != "asha":
        assert whole | stopped | diverged == set(range(len(losses)))
    assert not stopped & whole


def test_halving_lets_the_best_third_go_on():
    done, stopped = carried_out("halving", [float(9 - n) for n in range(9)], First())
    assert {number for number, share, _ in done if share == 1} == {8}
    assert {number for number, share, _ in done if share == pytest.approx(1 / 3)} == {6, 7, 8}
    assert stopped == set(range(8))


def test_asha_promotes_before_the_rung_is_full():
    scheduler = schedulers.make("asha", 9)
    first = [scheduler.ask(lambda number: True) for _ in range(3)]
    for task in first:
        scheduler.tell(task, -float(task.number))
    task = scheduler.ask(lambda number: True)
    assert (task.number, task.rung) == (2, 1)


def test_equal_losses_are_settled_by_the_number():
    done, _ = carried_out("halving", [1.0] * 9, First())
    assert {number for number, share, _ in done if share == 1} == {0}


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**40), number=st.integers(0, 3000))
def test_points_lie_in_the_space_and_depend_on_seed_and_number(seed, number):
    for name in ("random", "sobol"):
        values = samplers.SAMPLERS[name](SPACE, seed, number, ())
        assert values == samplers.SAMPLERS[name](SPACE, seed, number, ())
        assert 1e-4 <= values["lr"] <= 1e-1
        assert values["batch"] in range(8, 65)
        assert values["net"] in ("0-8-0", "0-16-0")
        assert values["lr"] == float(f"{values['lr']:.12g}")  # what is shown is what is trained with


def test_sobol_leaves_smaller_gaps_than_chance():
    line = Space((Parameter("dropout", "linear", (), 0.0, 1.0),))
    for seed in range(5):
        points = sorted(samplers.sobol(line, seed, number)["dropout"] for number in range(64))
        assert max(b - a for a, b in itertools.pairwise(points)) < 2.1 / 64


def test_whole_numbers_at_the_ends_of_a_range_are_as_frequent_as_the_others():
    drawn = [Parameter("batch", "linear", (), 1, 4, True).at(share / 1000) for share in range(1000)]
    assert [drawn.count(value) for value in (1, 2, 3, 4)] == [250] * 4


def test_tpe_learns_from_the_waves_before_and_from_nothing_else():
    pytest.importorskip("optuna")
    line = Space((Parameter("dropout", "linear", (), 0.0, 1.0),))
    seen = []
    for number in range(32):
        before = samplers.waits_for("tpe", number)
        values = samplers.tpe(line, 7, number, seen[:before])
        assert values == samplers.tpe(line, 7, number, list(reversed(seen[:before])))
        seen.append((number, values, abs(values["dropout"] - 0.3)))
    late = sum(each[2] for each in seen[16:]) / 16
    assert late < 0.6 * sum(each[2] for each in seen[:8]) / 8


@pytest.mark.parametrize(("text", "said"), [
    ("lr", "expected NAME=V1"), ("lr=", "expected NAME=V1"), ("lrr=1,2", "did you mean 'lr'?"),
    ("lr=log:1", "expected log:LOW,HIGH"), ("lr=log:0,1", "above 0"), ("lr=2:1", "first end is below"),
    ("lr=a:b", "expected two numbers"), ("batch=1.5:3", "whole numbers"), ("metric=auc,cost", "give --metric"),
    ("lr=1,1", "values that differ"), ("activation=tanh,,relu", "nothing empty"),
])  # fmt: skip
def test_a_wrong_parameter_is_refused_in_one_sentence(text, said):
    with pytest.raises(SpecError, match=r"--param") as caught:
        spaces.space([text])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--grid" not in str(caught.value)


def test_values_that_the_spec_refuses_are_refused_before_the_search():
    space = spaces.space(["dropout=0.5:2"])
    with pytest.raises(SpecError, match="dropout"):
        spaces.check(space, spaces.maker(Spec(), 1))


def test_what_users_write_is_read():
    found = spaces.space(["lr=log:1e-4,1e-1", "net=0-{64,128}-0,0-8-0", "dropout=0:0.5", "batch=16:64",
                          "init=uniform[-0.1,0.1],he"])  # fmt: skip
    lr, net, dropout, batch, init = found.parameters
    assert (lr.kind, lr.low, lr.high) == ("log", 1e-4, 1e-1)
    assert net.values == ("0-64-0", "0-128-0", "0-8-0")
    assert (dropout.kind, dropout.whole, batch.whole) == ("linear", False, True)
    assert init.values == ("uniform[-0.1,0.1]", "he")
    assert Space.of(found.to_plain()) == found
