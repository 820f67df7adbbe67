"""Many workers speak to the master through a tree of relays: the local runner's bytes, whoever is lost.

The tree begins beyond so few workers here, and branches so soon, that eight make three levels of it:

    master ── 0 ── 2 ── 6
           │    │    └─ 7
           │    └─ 3
           └─ 1 ── 4
                └─ 5
"""

import re

import pytest

from hdl import driver
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.comm import control_server
from tests.runner.common import both, same, signatures
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere

TREE = {"relay_above": 3, "relay_fan": 2}


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, samples=90, **fields):
        here, local = both(runner, csv(samples), tmp_path, on_event, **{"net": "0-5-0", "shards": 8, **fields})
        same(here, local)
        return here

    return run


@pytest.fixture
def sent(monkeypatch):
    """Messages that the master has sent: name and fields."""
    messages, send = [], control_server.Server.send

    def noted(server, name, fields):
        messages.append((name, fields))
        return send(server, name, fields)

    monkeypatch.setattr(control_server.Server, "send", noted)
    return messages


@pytest.mark.parametrize("mode", ["average-sgd", pytest.param("gradient-lbfgs", marks=pytest.mark.full)])
def test_many_workers_give_the_local_runners_bytes_through_relays(pair, sent, mode):
    pair(YarnHere(8, **TREE), **MODES[mode])
    kinds = [fields["kind"] for _, fields in sent]
    assert "round" not in kinds
    assert "summarise" not in kinds
    told = [name for name, fields in sent if fields["kind"] == "relayed"]
    assert len(set(told)) == TREE["relay_fan"]


@pytest.mark.parametrize(
    ("fault", "silence"),
    [
        ("computing:1:2:1:KILL", None),  # a relay, and above another one
        pytest.param("waiting:1:0:1:KILL", None, marks=pytest.mark.full),  # one next to the master
        pytest.param("computing:1:7:1:KILL", None, marks=pytest.mark.full),  # none
        pytest.param("computing:1:0:1:STOP", 6.0, marks=pytest.mark.full),
        pytest.param("computing:1:*:1:KILL", None, marks=pytest.mark.full),
    ],
    ids=["relay", "next to the master", "leaf", "stopped relay", "all"],
)
def test_a_lost_relay_takes_nobody_with_it(pair, monkeypatch, fault, silence):
    monkeypatch.setenv("HDL_FAULT", fault)
    seen = []
    runner = YarnHere(8, **TREE, silence_seconds=silence)
    pair(runner, seen.append, **MODES["average-sgd"])
    replaced = sorted(event.worker for event in seen if isinstance(event, Replaced))
    rank = fault.split(":")[2]
    assert replaced == ([*range(8)] if rank == "*" else [int(rank)]), runner.messages
    for event in seen:
        if isinstance(event, Replaced):  # each is told of by its own reason
            assert re.match(rf"worker {event.worker} on ", event.reason)
            assert event.reason.count("worker ") == 1


@pytest.mark.full
def test_a_second_master_plants_a_tree_of_its_own(csv, tmp_path, sent):
    spec = parse({"net": "0-5-0", "shards": 8, "epochs": 4, "batch": 8, "seed": 3})
    data = csv(90)
    job = Job(data, str(tmp_path / "here"), spec)

    def end(event):
        if isinstance(event, driver.Round) and event.row["version"] == 2:
            raise RuntimeError("the first master's end")

    with pytest.raises(RuntimeError, match="the first master's end"):
        YarnHere(8, **TREE).train(job, end)
    del sent[:]
    here = YarnHere(8, attempt=2, **TREE).train(job)
    assert {fields["command"]["kind"] for _, fields in sent if fields["kind"] == "relayed"} >= {"round"}
    local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
    assert signatures(here) == signatures(local)
