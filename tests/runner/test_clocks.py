"""Clocks that are off, and certificates that have ended: told with the node, and no silent wait."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hdl import driver
from hdl.errors import WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.comm import credentials
from hdl.yarn.resource_manager.processes import Processes
from tests.runner import yarn_here
from tests.runner.common import state_bytes
from tests.runner.yarn_here import YarnHere

FAKETIME = [*Path("/usr/lib").glob("*/faketime/libfaketime.so.1")]
OLD = datetime.now(UTC) - timedelta(days=40)


class Skewed(Processes):
    """Gives the second worker's process a clock that is 49 hours ahead."""

    def launch(self, container, secret_keys):
        if container.number == 1:
            faked = {"LD_PRELOAD": str(FAKETIME[0]), "FAKETIME": "+49h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            os.environ.update(faked)
        try:
            super().launch(container, secret_keys)
        finally:
            if container.number == 1:
                for name in faked:
                    del os.environ[name]


@pytest.fixture
def job(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": 4, "epochs": 2, "batch": 8, "seed": 3})
    return Job(csv(90), str(tmp_path / "here"), spec)


@pytest.mark.skipif(not FAKETIME, reason="no libfaketime")
def test_a_clock_49_hours_ahead_is_told_and_changes_nothing(job, tmp_path):
    runner, seen = YarnHere(2, make=Skewed), []
    here = runner.train(job, seen.append)
    (said,) = [text for text in runner.messages if "clock" in text]
    assert "the clock of worker 1 on 127.0.0.1 is 49.0 h ahead of the master's" in said
    assert not [event for event in seen if isinstance(event, Replaced)]
    local = driver.train(Job(job.data, str(tmp_path / "local"), job.spec), LocalRunner(1, 1))
    assert state_bytes(here) == state_bytes(local)


def test_a_certificate_that_has_ended_ends_the_training_with_what_tls_says(job, monkeypatch, capfd):
    monkeypatch.setattr(credentials, "VALID_FROM", OLD)
    monkeypatch.setattr(credentials, "VALID_TO", OLD + timedelta(days=31))
    monkeypatch.setattr(yarn_here, "CREDENTIALS", credentials.Credentials.make())
    runner = YarnHere(2)
    with pytest.raises(WorkerError, match=r"worker [01] on 127\.0\.0\.1 .*certificate has expired"):
        runner.train(job)
    logs = "".join(path.read_text() for path in runner.staging.glob("*.stderr"))
    assert re.search(r"the port for weights refused a connection.* \(handshake: .*certificate expired\)", logs)
