"""Containers that are asked for before there is a group: launched meanwhile, and asked for once."""

import subprocess
import sys
import threading

import pytest

from hdl.yarn.resource_manager import containers as module
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.resources import Changes, Container, Ended

SECONDS = 20.0


def test_a_master_asks_before_numpy_is_imported():
    code = """
import sys
from hdl.yarn.resource_manager import java
java.load_bridge()
from hdl.yarn.master import early
print("jpype" in sys.modules, *{"numpy", "pyarrow", "hdl.data"} & set(sys.modules))
import numpy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS * 3, check=True)
    assert done.stdout.split()[1:] == []


class Granting:
    """Hands out what it is asked for, at once; tells when all of a number have been launched."""

    def __init__(self, awaited):
        self.asked, self.launched, self.stopped = [], [], []
        self.ended, self.wrong = [], None
        self._waiting, self._awaited, self.all = [], awaited, threading.Event()

    def ask(self, number, hosts=(), strict=False):
        self.asked.append((number, tuple(hosts)))
        self._waiting.append(number)

    def poll(self, progress):
        if self.wrong:
            self.all.set()
            raise self.wrong
        granted = [Container(f"c{number}", "node1", number) for number in self._waiting]
        self._waiting, ended, self.ended = [], self.ended, []
        return Changes(granted=granted, ended=ended)

    def launch(self, container, secret_keys):
        self.launched.append((container.id, threading.current_thread().name))
        if len(self.launched) == self._awaited:
            self.all.set()


class Admitting:
    """Passes for the control channel's server and for credentials."""

    address = "tcp://node0:1"

    def __init__(self):
        self.admitted = []

    def admit(self, name):
        self.admitted.append(name)

    def worker(self, name):
        return {}


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    resources, server = Granting(2), Admitting()
    return Containers(resources, server, server, 60.0), resources, server


def events(containers):
    found = []
    while (event := containers.event()) is not None:
        found.append(event)
    return found


def test_they_are_launched_before_anybody_asks_for_events(made):
    containers, resources, server = made
    containers.ask_early([["node1"], []])
    assert resources.all.wait(SECONDS)
    assert [name for name, _ in resources.launched] == server.admitted == ["c0", "c1"]
    assert {thread for _, thread in resources.launched} == {"hdl-early"}
    assert resources.asked == [(0, ("node1",)), (1, ())]
    assert [event.id for event in events(containers)] == ["c0", "c1"]


def test_the_groups_first_requests_ask_for_nothing_and_later_ones_do(made):
    containers, resources, _ = made
    containers.ask_early([["node1"], []])
    assert resources.all.wait(SECONDS)
    containers.ask(0, ["node1"])
    containers.ask(1)
    assert len(resources.asked) == 2
    events(containers)
    containers.ask(1)
    containers.ask(2)
    assert resources.asked[2:] == [(1, ()), (2, ())]


def test_one_that_ends_meanwhile_is_told_after_it_was_granted(made):
    containers, resources, _ = made
    containers.ask_early([[], []])
    assert resources.all.wait(SECONDS)
    resources.ended.append(Ended("c1", "exited", "status 1"))
    assert [type(event) for event in events(containers)] == [Container, Container, Ended]


def test_what_goes_wrong_is_raised_where_the_group_looks(made):
    containers, resources, _ = made
    resources.wrong = RuntimeError("the ResourceManager is gone")
    containers.ask_early([[]])
    assert resources.all.wait(SECONDS)
    with pytest.raises(RuntimeError, match="is gone"):
        events(containers)
