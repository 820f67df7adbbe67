"""Many workers as processes, which join their updates along the tree: the local runner's bytes, whoever dies in which
step of it."""

import pytest

from hdl.runners.base import Job, Replaced
from hdl.spec import parse
from hdl.sync import schedule
from hdl.yarn.comm.allreduce import SMALL
from tests.runner.common import both, same
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere

WIDE = "3-20000-2"  # enough parameters for slices
WORKERS, SHARDS = 6, 13


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, **fields):
        return both(runner, csv(130), tmp_path, on_event, **{"net": WIDE, "shards": SHARDS, **fields})

    return run


def test_the_workers_here_use_the_tree_and_slices():
    inputs, hidden, outputs = map(int, WIDE.split("-"))
    assert hidden * (inputs + 1 + outputs) * 4 > SMALL
    assert WORKERS > schedule.DIRECT
    assert [step.level for step in schedule.steps(WORKERS, SHARDS, 0)] == [0, 1, 2]


CASES = [("average-adam", 6, 13), ("gradient-adam", 7, 8), ("gradient-lbfgs", 7, 13), ("genetic", 7, 13)]


@pytest.mark.full
@pytest.mark.parametrize(("mode", "workers", "shards"), CASES)
def test_a_large_update_has_the_local_runners_bytes(pair, mode, workers, shards):
    same(*pair(YarnHere(workers), shards=shards, **(MODES[mode] | {"epochs": 3})))


@pytest.mark.full
@pytest.mark.parametrize("mode", ["gradient-cg", "average-sgd", "genetic-validation", "stacked", "rbm-persistent"])
def test_small_updates_have_the_local_runners_bytes(pair, mode):
    same(*pair(YarnHere(7), **{"net": "0-5-0", **MODES[mode]}))


@pytest.mark.full
def test_in_mode_async_each_worker_hears_all_others(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": 6, "epochs": 6, "batch": 4, "seed": 3,
                  "sync": {"mode": "async", "every": 1, "equal": 3}, "validation": 0.2})  # fmt: skip
    outcome = YarnHere(6).train(Job(csv(130), str(tmp_path / "model"), spec))
    assert all(len(row["async"]["rounds"]) == 6 for row in outcome.rows if "async" in row)
    assert outcome.rows[-1]["async"]["merged"] > 0


STEPS = [f"{phase}{level}" for phase in ("halving", "doubling") for level in range(3)]


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if step == "halving1" else pytest.mark.full) for step in STEPS]
)
def test_a_worker_killed_in_any_step_changes_no_byte(pair, monkeypatch, step):
    monkeypatch.setenv("HDL_FAULT", f"{step}:1:1:1:KILL")
    replaced = []
    runner = YarnHere(WORKERS)
    same(*pair(runner, lambda event: isinstance(event, Replaced) and replaced.append(event.worker)))
    assert replaced == [1]
