"""Many workers speak to the master through a tree of relays: the local runner's bytes, whoever is lost.

The tree begins beyond so few workers here, and branches so soon, that eight make three levels of it:

    master ── 0 ── 2 ── 6
           │    │    └─ 7
           │    └─ 3
           └─ 1 ── 4
                └─ 5
"""

import pytest

from hdl import driver
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.comm import control
from tests.runner.common import signatures, state_bytes
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere

TREE = {"relay_above": 3, "relay_fan": 2}


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, samples=90, **fields):
        spec = parse({"net": "0-5-0", "shards": 8, "epochs": 3, "batch": 8, "seed": 3, **fields})
        data = csv(samples)
        here = runner.train(Job(data, str(tmp_path / "here"), spec), on_event)
        local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
        assert signatures(here) == signatures(local)
        assert state_bytes(here) == state_bytes(local)
        return here

    return run


@pytest.fixture
def sent(monkeypatch):
    """Messages that the master has sent: name and fields."""
    messages, send = [], control.Server.send

    def noted(server, name, fields):
        messages.append((name, fields))
        return send(server, name, fields)

    monkeypatch.setattr(control.Server, "send", noted)
    return messages


@pytest.mark.parametrize("mode", ["average-sgd", "gradient-lbfgs"])
def test_many_workers_give_the_local_runners_bytes_through_relays(pair, sent, mode):
    pair(YarnHere(8, **TREE), **MODES[mode])
    kinds = [fields["kind"] for _, fields in sent]
    assert "round" not in kinds
    assert "summarise" not in kinds
    told = [name for name, fields in sent if fields["kind"] == "relayed"]
    assert len(set(told)) == TREE["relay_fan"]
