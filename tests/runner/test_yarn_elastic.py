"""A number of workers that shrinks and grows: the bytes of a fixed one, and no round lost but what a death costs."""

import os
import signal

import pytest

from hdl import driver
from hdl.errors import DeadlineError, SpecError, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.master.newcomers import Newcomers
from hdl.yarn.resource_manager.resources import Leaving
from tests.runner.common import signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere


@pytest.fixture
def between(monkeypatch):
    """A dict: what to do with the group before a settlement, by its number from 0 on; `crews` has who trained then."""

    class Between(dict):
        def __init__(self):
            self.crews = []

    steps = Between()
    settle = Newcomers.settle

    def watched(self):
        number = len(steps.crews)
        steps.get(number, lambda group: None)(self.group)
        settle(self)
        steps.crews.append({member.rank: member.shards for member in self.group.members})

    monkeypatch.setattr(Newcomers, "settle", watched)
    return steps


def kill(runner, *ranks):
    """Make a step that kills workers, whose places get no container until they are let in."""

    def step(group):
        runner.resources.refuse |= {*ranks}
        for rank in ranks:
            os.kill(runner.resources.running[group.places[rank].name].pid, signal.SIGKILL)

    return step


def let_in(runner, *ranks):
    """Make a step that grants workers their containers, and goes on when they have loaded their shards."""

    def step(group):
        runner.resources.refuse -= {*ranks}
        while not all(group.places[rank].incarnation.loaded for rank in ranks):
            group.listen(0.05)

    return step


@pytest.fixture
def same(csv, tmp_path):
    """A function that trains with this runner and locally, compares the bytes, and returns the events."""

    def run(runner, shards=8, **fields):
        spec = parse({"net": "0-5-0", "epochs": 8, "batch": 8, "seed": 3, **fields, "shards": shards})
        data, seen = csv(120), []
        here = runner.train(Job(data, str(tmp_path / "here"), spec), seen.append)
        local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
        assert signatures(here) == signatures(local)
        assert state_bytes(here) == state_bytes(local)
        return seen

    return run


ALL = ["average-sgd", "average-adam", "gradient-adam", "gradient-lbfgs", "genetic-validation", "rbm-persistent", "dbn"]


@pytest.mark.parametrize("mode", [ALL[0], *(pytest.param(mode, marks=pytest.mark.full) for mode in ALL[1:])])
def test_eight_workers_shrink_to_two_and_grow_to_six(same, between, mode):
    runner = YarnHere(8, fewest=2)
    between[2] = kill(runner, 1, 2, 3, 5, 6, 7)
    between[4] = let_in(runner, 1, 2, 5, 6)
    seen = same(runner, **{**MODES[mode], "epochs": 8})
    print(runner.messages)
    sizes = [len(crew) for crew in between.crews]
    assert sizes[:5] == [8, 8, 8, 2, 6], runner.messages
    assert set(sizes[5:]) == {6}
    assert all(sorted(shard for own in crew.values() for shard in own) == [*range(8)] for crew in between.crews)
    assert max(map(len, between.crews[4].values())) == 2
    rounds = [event.row["version"] for event in seen if isinstance(event, driver.Round)]
    assert len(rounds) == len(set(rounds)) or mode == "dbn"  # none was done again from an earlier version
    assert sum(isinstance(event, Replaced) for event in seen) == 6
    assert any(text == "6 of 2 to 8 workers train; joined: 1, 2, 5, 6" for text in runner.messages), runner.messages
