"""Folders of applications: which are removed follows what YARN says of them, not their age or this machine's clock."""

from types import SimpleNamespace

import pytest

from hdl.yarn.client import renewal
from hdl.yarn.client.leftovers import KEPT_SECONDS, Folder, ended
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.resource_manager.lifetimes import Lifetime

NOW = 4e9
OLD, YOUNG = NOW - KEPT_SECONDS - 1, NOW - 60
RUNS = SimpleNamespace(over=False, finished=0.0)


@pytest.mark.parametrize(
    ("changed", "report", "cluster", "removed"),
    [
        (OLD, RUNS, "here", False),  # a training longer than the folder is kept
        (OLD, SimpleNamespace(over=True, finished=YOUNG), "here", False),  # it has just ended, after as long
        (OLD, SimpleNamespace(over=True, finished=OLD), "here", True),
        (YOUNG, SimpleNamespace(over=True, finished=OLD), "here", False),
        (OLD, None, "here", True),  # YARN has forgotten it, as it forgets what is over
        (OLD, None, "there", False),  # another cluster's, which this one cannot know
        (OLD, None, "", False),
        (YOUNG, None, "here", False),
    ],
)
def test_what_yarn_says_of_an_application_decides(changed, report, cluster, removed):
    found = ended([Folder("application_1_0001", changed)], NOW, lambda name: report, lambda name: cluster, "here")
    assert found == ["application_1_0001"] * removed


def test_a_cluster_without_a_name_has_forgotten_nothing():
    assert ended([Folder("application_1_0001", OLD)], NOW, lambda name: None, lambda name: "", "") == []


@pytest.mark.parametrize("clock", [-1e9, 0.0, 49 * 3600.0, 1e9])
def test_the_clock_of_this_machine_is_not_asked(monkeypatch, clock):
    import time

    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + clock)
    folders = [Folder("application_1_0001", OLD), Folder("application_1_0002", YOUNG)]
    over = SimpleNamespace(over=True, finished=OLD)
    assert ended(folders, NOW, lambda name: over, lambda name: "here", "here") == ["application_1_0001"]


def test_the_clients_files_are_listed_by_the_home_that_they_belong_to(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    keys = Credentials.make()
    for number, home in enumerate(("hdfs://a/user/u", "hdfs://b/user/u", "hdfs://a/user/u")):
        name = f"application_1_{number:04d}"
        renewal.keep(name, f"{home}/.hdl/apps/{name}", [home], Lifetime(0.0, 1.0), 0.0, False, keys)
    assert renewal.kept("hdfs://a/user/u/.hdl/apps") == ["application_1_0000", "application_1_0002"]
    renewal.forget("application_1_0000")
    assert renewal.kept("hdfs://a/user/u/.hdl/apps") == ["application_1_0002"]
