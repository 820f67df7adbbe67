"""Fine-tuning across rounds: not a bit of what is frozen changes, whatever merges; resumed and after a fault the same."""

import numpy as np
import pytest

from hdl import driver
from hdl.ops import tuning
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.runner.common import both, same, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere

TUNED = [mode for mode in MODES if mode.startswith("tuned")]


def fields_of(mode, **more):
    return {"net": "0-5-4-0", "batch": 8, "epochs": 4, "shards": 4, "seed": 3, "keep": 50, **MODES[mode], **more}


def still_and_moving(outcome):
    """Check that what is frozen is version 0's in every version, to the bit, and that the rest is not."""
    table = Table(outcome.table)
    still, first = tuning.frozen(outcome.spec), table.read(0).weights.w.view(np.uint32)
    versions = [table.read(number).weights for number in table.numbers()]
    for weights in versions:
        np.testing.assert_array_equal(weights.w.view(np.uint32)[still], first[still])
        for net in weights.state.get("population", ()):
            np.testing.assert_array_equal(net.view(np.uint32)[still], first[still])
    last = versions[-1]
    assert (last.w.view(np.uint32)[~still] != first[~still]).mean() > 0.5
    return versions


@pytest.mark.parametrize("mode", TUNED)
def test_nothing_that_merges_touches_what_is_frozen(csv, tmp_path, mode):
    """What L2-SP pulls to is version 0's weights all along."""
    crossover = {"crossover": "arithmetic", "mutation_rate": 0.5}
    more = {"sync": {"mode": "genetic", "genetic": crossover}} if "genetic" in mode else {}
    spec = parse(fields_of(mode, **more, init="uniform[-0.5,0.5]"))
    outcome = driver.train(Job(csv(), str(tmp_path / "t"), spec), LocalRunner(2, 1))
    versions = still_and_moving(outcome)
    for weights in versions:
        np.testing.assert_array_equal(weights.state["start"], versions[0].w)


@pytest.mark.parametrize("mode", ["tuned", "tuned-lbfgs", "tuned-genetic"])
def test_resumed_it_gives_the_bytes_of_one_that_was_never_stopped(csv, tmp_path, mode):
    data, runner = csv(), lambda: LocalRunner(1, 1)
    whole = driver.train(Job(data, str(tmp_path / "whole"), parse(fields_of(mode))), runner())
    driver.train(Job(data, str(tmp_path / "part"), parse(fields_of(mode, epochs=2))), runner())
    rest = driver.train(Job(data, str(tmp_path / "part"), parse(fields_of(mode)), resume=True), runner())
    assert state_bytes(rest) == state_bytes(whole)


def test_a_worker_that_is_lost_changes_no_byte(csv, tmp_path, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "sending:1:*:1:KILL")  # all of them: weights come from the table again
    lost = []
    same(*both(YarnHere(2), csv(), tmp_path, lost.append, **fields_of("tuned", epochs=3)))
    assert any(isinstance(event, Replaced) for event in lost)


def test_workers_that_never_wait_leave_alone_what_is_frozen(csv, tmp_path):
    fields = fields_of("tuned", validation=0.0, sync={"mode": "async", "equal": 2}, epochs=8)
    spec = parse(fields | {"init": "uniform[-0.5,0.5]"})
    outcome = YarnHere(2).train(Job(csv(), str(tmp_path / "t"), spec))
    versions = still_and_moving(outcome)
    for weights in versions:
        np.testing.assert_array_equal(weights.state["start"], versions[0].w)


def test_a_pull_that_is_strong_leaves_weights_where_they_began(csv, tmp_path):
    away = []
    for pull in 0.0, 20.0:
        fields = fields_of("average-sgd", net="0-5-4-0", optimizer={"name": "sgd", "lr": 0.05}, tuning={"l2_sp": pull})
        outcome = driver.train(Job(csv(), str(tmp_path / str(pull)), parse(fields)), LocalRunner(1, 1))
        table, mask = Table(outcome.table), tuning.layouts.of(outcome.spec).mask
        away.append(np.abs(mask * (table.read().weights.w - table.read(0).weights.w)).sum())
    assert away[1] < 0.3 * away[0]
