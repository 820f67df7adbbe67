"""The application's crew as processes: the local runner's bytes, and what happens to those that fail."""

import pytest

from hdl import driver
from hdl.errors import DeadlineError, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from tests.runner.common import signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a crew and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, samples=90, **fields):
        spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, **fields})
        data = csv(samples)
        here = runner.train(Job(data, str(tmp_path / "here"), spec), on_event)
        local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
        return here, local

    return run


def same(here, local):
    assert signatures(here) == signatures(local)
    assert state_bytes(here) == state_bytes(local)


@pytest.mark.parametrize(("mode", "workers"), [(mode, (2, 3, 4, 1)[i % 4]) for i, mode in enumerate(MODES)])
def test_a_crew_gives_the_local_runners_bytes(pair, mode, workers):
    same(*pair(YarnHere(workers), **MODES[mode]))


# --- faults -----------------------------------------------------------------------------------------------------------

FAULTS = {
    "while loading": "loading:0:1:1:KILL",
    "while computing": "computing:1:2:1:KILL",
    "before it sends": "sending:1:0:1:KILL",
    "while it waits": "waiting:1:3:1:KILL",
    "while it merges": "merging:1:1:1:KILL",
    "while its weights are taken": "publishing:1:0:1:KILL",
    "twice in one rank": "sending:1:1:2:KILL",
    "all of them": "sending:1:*:1:KILL",
    "stopped, silent for too long": "computing:1:1:1:STOP",
}
CHEAP = ("while computing", "all of them", "stopped, silent for too long")


@pytest.mark.parametrize("mode", ["average-sgd", pytest.param("gradient-lbfgs", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name in CHEAP else pytest.mark.full) for name in FAULTS]
)
def test_a_lost_worker_changes_no_byte(pair, monkeypatch, mode, fault):
    monkeypatch.setenv("HDL_FAULT", FAULTS[fault])
    seen = []
    runner = YarnHere(4, silence_seconds=3)
    same(*pair(runner, seen.append, **MODES[mode]))
    replaced = [event for event in seen if isinstance(event, Replaced)]
    assert len(replaced) == {"twice in one rank": 2, "all of them": 4}.get(fault, 1), runner.messages
    assert all(process.poll() is not None for process in runner.resources.running.values())


def test_a_worker_that_fails_again_and_again_stops_the_run_with_its_standard_error(pair, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:1:9:SEGV")
    with pytest.raises(WorkerError, match=r"(?s)worker 1 .* failed 3 times.*signal 11.*Segmentation fault") as error:
        pair(YarnHere(2), optimizer="sgd")
    assert "shards [2, 3]" in str(error.value)


def test_workers_that_cannot_be_had_are_named(pair):
    runner = YarnHere(3, gather_seconds=3, memory=2048)
    runner.resources.refuse = {1, 2}
    with pytest.raises(DeadlineError, match=r"workers 1, 2 of 3 have not come within 3 s: each asks for 2048 MiB"):
        pair(runner)
    assert runner.resources.outcome[0] is False
    assert all(process.poll() is not None for process in runner.resources.running.values())
