"""A master that was given up and wakes: its end is its own, and the application's is the last attempt's."""

from dataclasses import replace

import pytest

from hdl import driver
from hdl.errors import HdlError
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.client import client, follow, renewal
from hdl.yarn.client.client import Report
from hdl.yarn.client.events import Listener
from tests.runner.common import state_bytes
from tests.runner.yarn_here import YarnHere

REPORT = Report("application_1_0001", "hdl", "u", "default", "FINISHED", "SUCCEEDED", 1.0, 1.0, 2.0, "", "h", "", 2)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A function that returns the outcome that a client is told after an attempt of YARN's."""
    folder = tmp_path / "application"
    folder.mkdir()
    monkeypatch.setattr(client, "staging", lambda application: str(folder))
    monkeypatch.setattr(client, "remove", lambda folder: None)
    monkeypatch.setattr(renewal, "forget", lambda application: None)
    return folder, lambda attempt: follow._outcome(replace(REPORT, attempt=attempt), Listener(lambda event: None))


@pytest.mark.parametrize("when", ["while the second trains", "after the second's end"])
def test_the_last_attempts_outcome_counts_whenever_an_earlier_one_wakes(csv, tmp_path, told, when):
    folder, outcome = told
    data = csv(90)
    job = Job(data, str(tmp_path / "here"), parse({"net": "0-5-0", "shards": 4, "epochs": 3, "batch": 8, "seed": 3}))
    woken = []

    def wake(event):
        """The first master wakes, and fails as it has no right to anything any more."""
        if isinstance(event, driver.Round) and not woken:
            woken.append(True)
            with pytest.raises(HdlError):
                YarnHere(1, staging=folder).train(replace(job, data=data + ".gone"))

    second = YarnHere(2, attempt=2, staging=folder)
    second.train(job, wake if when == "while the second trains" else None)
    if when == "after the second's end":
        wake(driver.Round({"version": 1}))
    assert woken
    assert (folder / "outcome-0001.json").exists()
    local = driver.train(Job(data, str(tmp_path / "local"), job.spec), LocalRunner(1, 1))
    assert outcome(2).version == local.version
    assert state_bytes(outcome(2)) == state_bytes(local)
    with pytest.raises(HdlError, match="there is a table already"):
        outcome(1)


class Keytab:
    """Stands for a master's tokens."""

    removed = 0

    def remove_keytab(self, staging):
        self.removed += 1

    def close(self):
        pass

    def give(self, members, context):
        pass


@pytest.mark.parametrize(("others", "removed"), [((), 1), ((1,), 1), ((3,), 0)])
def test_the_keytab_stays_for_a_later_attempt(csv, tmp_path, told, others, removed):
    from hdl.yarn.master.master import lead
    from hdl.yarn.master.watcher import Watcher
    from tests.runner.yarn_here import CREDENTIALS, HOST

    folder, _ = told
    for other in others:
        (folder / f"master-{other:04d}.json").write_text("{}")
    runner, keytab = YarnHere(1, staging=folder), Keytab()
    job = Job(csv(90), str(tmp_path / "t"), parse({"net": "0-5-0", "epochs": 1, "batch": 8}))
    lead(job, runner.settings, str(folder), runner.resources, CREDENTIALS, HOST, 2, Watcher(), keytab)
    assert keytab.removed == removed
