"""The application's crew as processes: the local runner's bytes, and what happens to those that fail."""

import pytest

from hdl import driver
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
