"""A node whose disk is full, or that fails all that runs there, as processes: avoided, named, and no byte changes."""

import re
import resource

import pytest

from hdl import driver
from hdl.errors import NodeError, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.master import runner as master_runner
from hdl.yarn.resource_manager.processes import Processes
from tests.runner.common import signatures, state_bytes
from tests.runner.yarn_here import YarnHere

BAD = "127.0.0.2"


def two_nodes(folder):
    return Processes(folder, ("127.0.0.1", BAD))


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group on two nodes and by the local runner, and sees the same bytes."""

    def run(runner, seen, samples=90, **fields):
        spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, "optimizer": "sgd", **fields})
        data = csv(samples)
        here = runner.train(Job(data, str(tmp_path / "here"), spec), seen.append)
        local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
        assert signatures(here) == signatures(local)
        assert state_bytes(here) == state_bytes(local)

    return run


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (f"loading:0:@{BAD}:99:ENOSPC", "its disk: .*No space left on device"),
        pytest.param(f"computing:1:@{BAD}:99:EIO", "its disk: .*Input/output error", marks=pytest.mark.full),
        pytest.param(f"computing:1:@{BAD}:99:SEGV", "signal 11", marks=pytest.mark.full),
    ],
)
def test_a_node_that_fails_every_container_is_avoided_and_named(pair, monkeypatch, fault, said):
    monkeypatch.setenv("HDL_FAULT", fault)
    runner, seen = YarnHere(4, make=two_nodes, avoid_seconds=3000), []  # however long this takes, it is not over
    pair(runner, seen)
    avoided = [text for text in runner.messages if f"node {BAD} is avoided for 50 min" in text]
    assert len(avoided) == 1, runner.messages
    assert re.search(said, avoided[0])
    replaced = [event.reason for event in seen if isinstance(event, Replaced)]
    assert replaced
    assert all(f" on {BAD} " in reason for reason in replaced), replaced
    assert not any("Traceback" in text for text in runner.messages)
    assert runner.resources.avoided == [BAD]


class SmallDisk(Processes):
    """Two nodes, of which the second one lets no file grow beyond 16 KB."""

    def __init__(self, folder):
        super().__init__(folder, ("127.0.0.1", BAD))

    def launch(self, container, secret_keys):
        super().launch(container, secret_keys)
        if container.host == BAD:
            resource.prlimit(self.running[container.id].pid, resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))


def test_samples_that_find_no_room_on_a_nodes_disk_are_spilled_on_another(pair, monkeypatch):
    """No fault is made here: memory may hold no samples, and the file that does cannot be written."""
    monkeypatch.setattr(master_runner, "DATA_SHARE", 1e-7)
    runner, seen = YarnHere(2, make=SmallDisk, avoid_seconds=3000), []
    pair(runner, seen, samples=20000)
    (avoided,) = [text for text in runner.messages if "is avoided" in text]
    assert re.match(rf"node {BAD} is avoided for 50 min: its disk: .* where samples lie that memory does not", avoided)
    assert len([event for event in seen if isinstance(event, Replaced)]) == 1


def test_a_node_is_tried_again_after_a_while(pair, monkeypatch):
    """Its disk is full for two containers; the third one on it works."""
    monkeypatch.setenv("HDL_FAULT", f"loading:0:@{BAD}:1:ENOSPC")
    runner, seen = YarnHere(2, make=two_nodes, avoid_seconds=0.01), []
    pair(runner, seen)
    assert f"node {BAD} is tried again" in runner.messages
    assert runner.resources.avoided == []


def test_where_every_node_fails_the_training_ends_and_names_them(pair, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "loading:0:1:99:ENOSPC")
    with pytest.raises(WorkerError, match=r"(?s)worker 1 on \S+ \(shards \[2, 3\]\) failed 3 times \(on 127\.0\.0\.\d"):
        pair(YarnHere(2, make=two_nodes), [])


def test_a_master_whose_disk_is_full_leaves_the_rest_to_the_next_one(csv, tmp_path, monkeypatch):
    """YARN, which has not been told of an end, starts the next attempt."""
    monkeypatch.setenv("HDL_FAULT", "merging:1:-1:1:ENOSPC")
    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 4, "batch": 8, "seed": 3, "optimizer": "sgd"})
    data = csv(90)
    job = Job(data, str(tmp_path / "here"), spec)
    first = YarnHere(2, make=two_nodes)
    with pytest.raises(NodeError, match="No space left on device"):
        first.train(job)
    assert first.resources.outcome is None
    assert not [*first.staging.glob("outcome*")]
    second = YarnHere(2, make=two_nodes, attempt=2)
    here = second.train(job)
    assert second.resources.outcome[0]
    local = driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1))
    assert signatures(here) == signatures(local)


def test_the_last_master_whose_disk_is_full_says_so(csv, tmp_path, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "merging:1:-1:9:EROFS")
    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3, "optimizer": "sgd"})
    runner = YarnHere(2, attempts=1)
    with pytest.raises(NodeError, match="Read-only file system"):
        runner.train(Job(csv(90), str(tmp_path / "here"), spec))
    assert runner.resources.outcome[0] is False
    (outcome,) = runner.staging.glob("outcome*")
    assert "NodeError" in outcome.read_text()
    assert "Traceback" not in outcome.read_text()
