"""A number of workers that shrinks and grows: the bytes of a fixed one, and no round lost but what a death costs."""

import os
import re
import signal
import time

import pytest

from hdl import driver
from hdl.errors import DeadlineError, SpecError, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.master import stretches
from hdl.yarn.master.newcomers import Newcomers
from hdl.yarn.master.participants import Participants
from hdl.yarn.master.worker_group import WorkerGroup
from hdl.yarn.resource_manager.processes import Processes
from hdl.yarn.resource_manager.resources import Leaving
from tests.runner.common import DEADLINE, signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere


@pytest.fixture
def between(monkeypatch):
    """A dict: what to do with the group before a settlement, by its number from 0 on; `crews` has who trained then.

    Training begins with the `first`, however long they take.
    """

    class Between(dict):
        def __init__(self):
            self.crews, self.first = [], 0

    steps = Between()
    settle = Newcomers.settle

    def watched(self):
        number = len(steps.crews)
        steps.get(number, lambda group: None)(self.group)
        settle(self)
        steps.crews.append({member.rank: member.shards for member in self.group.members})

    def patient(self):
        here = [place.incarnation for place in self.places if place.incarnation.state.here]
        if steps.first and not any(one.trains for one in here):
            return len(here) >= steps.first
        return complete(self)

    complete = Participants._complete
    monkeypatch.setattr(stretches, "MOST", 1)  # a settlement a round
    monkeypatch.setattr(Participants, "_complete", patient)
    monkeypatch.setattr(Newcomers, "settle", watched)
    return steps


def kill(runner, *ranks):
    """Make a step that kills workers, whose places get no container until they are let in."""

    def step(group):
        runner.resources.refuse |= {*ranks}
        for rank in ranks:
            os.kill(runner.resources.running[group.places[rank].name].pid, signal.SIGKILL)

    return step


def listen(group, until):
    """Let a group hear its workers until something is so."""
    deadline = time.monotonic() + DEADLINE
    while not until():
        assert time.monotonic() < deadline
        group.listen(0.05)


def let_in(runner, *ranks):
    """Make a step that grants workers their containers, and goes on when they have loaded their shards."""

    def step(group):
        runner.resources.refuse -= {*ranks}
        listen(group, lambda: all(group.places[rank].incarnation.loaded for rank in ranks))

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
    between.first = 8
    between[2] = kill(runner, 1, 2, 3, 5, 6, 7)
    between[4] = let_in(runner, 1, 2, 5, 6)
    seen = same(runner, **{**MODES[mode], "epochs": 12 if mode == "average-adam" else 8})  # a round of it is two
    sizes = [len(crew) for crew in between.crews]
    assert sizes[:5] == [8, 8, 8, 2, 6], runner.messages
    assert set(sizes[5:]) == {6}
    assert all(sorted(shard for own in crew.values() for shard in own) == [*range(8)] for crew in between.crews)
    assert max(map(len, between.crews[4].values())) == 2
    rounds = [event.row["version"] for event in seen if isinstance(event, driver.Round)]
    assert len(rounds) == len(set(rounds)) or mode == "dbn"  # none was done again from an earlier version
    assert sum(isinstance(event, Replaced) for event in seen) == 6
    assert any(text == "6 of 2 to 8 workers train; joined: 1, 2, 5, 6" for text in runner.messages), runner.messages


@pytest.mark.full
def test_deaths_during_a_hand_over_cost_no_more_than_their_round(same, between):
    runner = YarnHere(6, fewest=2)
    runner.resources.refuse, between.first = {3, 4, 5}, 3

    def hand_over(group):
        let_in(runner, 3, 4, 5)(group)
        kill(runner, 3, 0)(group)  # who takes shards over, and who gives some up

    between[2] = hand_over
    between[4] = let_in(runner, 0)
    seen = same(runner, validation=0.2)
    assert between.crews[1] == {0: [0, 1], 1: [2, 3, 4], 2: [5, 6, 7]}  # neighbours together
    assert [[*crew] for crew in between.crews[1:5]] == [[0, 1, 2], [*range(6)], [1, 2, 4, 5], [0, 1, 2, 4, 5]]
    assert {event.worker for event in seen if isinstance(event, Replaced)} == {0, 3}


@pytest.mark.full
def test_a_newcomer_that_dies_while_it_loads_disturbs_nobody(same, between, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "loading:0:3:9:KILL")
    runner = YarnHere(4, fewest=2)
    runner.resources.refuse, between.first = {3}, 3

    def until_given_up(group):
        runner.resources.refuse = set()
        listen(group, lambda: group.closed)

    between[2] = until_given_up
    seen = same(runner)
    assert not [event for event in seen if isinstance(event, Replaced)]
    assert {(*crew,) for crew in between.crews} == {(0, 1, 2)}
    assert any(re.search(r"worker 3 .* failed 3 times.*others go on without it", text) for text in runner.messages)


@pytest.mark.full
def test_below_the_fewest_it_waits_for_another_one(same, between):
    runner = YarnHere(3, fewest=2)
    runner.resources.refuse = {2}

    def lose(group):
        kill(runner, 1)(group)
        runner.resources.refuse = {1}  # it is 2 that comes

    between[2] = lose
    same(runner)
    assert [[*crew] for crew in between.crews[2:4]] == [[0, 1], [0, 2]]


def test_those_that_must_come_are_named_if_they_do_not(same):
    runner = YarnHere(4, fewest=3, gather_seconds=4)
    runner.resources.refuse = {0, 2, 3}
    with pytest.raises(
        DeadlineError, match=r"of which at least 3 have to be there and [01] are, have not come within 4 s"
    ):
        same(runner)


class Wanting(Processes):
    """A machine that wants some of its containers back."""

    wanted = ()

    def poll(self, progress):
        changes = super().poll(progress)
        changes.leaving = [Leaving(name, "is wanted by others") for name in self.wanted]
        return changes


@pytest.mark.full
def test_containers_that_yarn_wants_back_go_between_two_rounds_down_to_the_fewest(same, between):
    runner = YarnHere(4, fewest=2, make=Wanting)

    def want(group):
        runner.resources.refuse = {0, 1, 2}
        runner.resources.wanted = [group.places[rank].name for rank in (0, 1, 2)]
        listen(group, lambda: all(group.places[rank].incarnation.leaving for rank in (0, 1, 2)))

    between.first = 4
    between[2] = want
    seen = same(runner, **{**MODES["gradient-lbfgs"], "epochs": 8})
    assert [[*crew] for crew in between.crews[1:3]] == [[0, 1, 2, 3], [2, 3]]
    assert not [event for event in seen if isinstance(event, Replaced)]  # no round was done again
    given_back = [text for text in runner.messages if "is given back" in text]
    assert len(given_back) == 2


@pytest.mark.full
def test_a_poisoned_shard_ends_the_training_wherever_it_moves(same, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:*:9:SEGV")
    with pytest.raises(WorkerError, match="failed 3 times"):
        same(YarnHere(3, fewest=1))


def test_a_range_is_refused_for_async(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": 4, "sync": {"mode": "async"}})
    with pytest.raises(SpecError, match=r"one number with sync\.mode async.*\(given 1 to 2; "):
        YarnHere(2, fewest=1, join_seconds=0).train(Job(csv(), str(tmp_path / "model"), spec))


class Lasting(Processes):
    """A machine whose containers outlive their master, as YARN's do."""

    left, over = (), False

    def register(self, host, port, url):
        return [*self.left]

    def launch(self, container, secret_keys):
        super().launch(container, secret_keys)
        self.left = [*self.left, container]

    def close(self):
        if self.over:
            super().close()


@pytest.mark.full
def test_a_second_master_goes_on_with_the_shards_that_workers_hold(csv, between, tmp_path, monkeypatch):
    spec = parse({"net": "0-5-0", "epochs": 8, "batch": 8, "seed": 3, "shards": 8})
    job, groups = Job(csv(120), str(tmp_path / "here"), spec), []

    def crash(event):
        if isinstance(event, driver.Round) and event.row["version"] == 4:
            raise RuntimeError("the first master's end")

    first = YarnHere(4, fewest=2, make=Lasting)
    first.resources.refuse, between.first = {3}, 3
    between[2] = kill(first, 1)
    between[3] = groups.append
    with monkeypatch.context() as patch:
        patch.setattr(WorkerGroup, "end", lambda self: None)  # it has no time for that
        with pytest.raises(RuntimeError, match="the first master's end"):
            first.train(job, crash)
    held = {member.rank: member.shards for member in groups[0].members}
    assert [*held] == [0, 2]
    for member in groups[0].members:
        member.incarnation.watch.close()
    machine = first.resources
    machine.left, machine.over = [each for each in machine.left if each.id in machine.running], True
    second = YarnHere(4, fewest=2, make=lambda folder: machine, attempt=2, staging=first.staging)
    between.crews.clear()
    between.clear()
    between.first = 2
    outcome = second.train(job)
    assert next(filter(None, between.crews)) == held, second.messages
    local = driver.train(Job(job.data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
    assert (signatures(outcome), state_bytes(outcome)) == (signatures(local), state_bytes(local))
    assert any("goes on from version 4 with 2 of 4 workers that were there" in text for text in second.messages)
