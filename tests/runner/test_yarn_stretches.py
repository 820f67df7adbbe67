"""Rounds that a worker group does one after the other without a word of the master: the same bytes, rows and end."""

import numpy as np
import pytest

from hdl import driver
from hdl.errors import NonFinite
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.master import stretches
from tests.runner.common import both, same, signatures
from tests.runner.test_same_bytes import MODES
from tests.runner.yarn_here import YarnHere


@pytest.fixture
def counts(monkeypatch):
    """How many rounds each command asked for: as many as may be, however slow the machine."""
    monkeypatch.setattr(stretches, "SECONDS", 1e9)
    carry_out, found = stretches.Stretches._carry_out, []

    def counted(self, stretch, *rest):
        found.append(stretch.count)
        carry_out(self, stretch, *rest)

    monkeypatch.setattr(stretches.Stretches, "_carry_out", counted)
    return found


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, **fields):
        return both(runner, csv(90), tmp_path, on_event, **{"net": "0-5-0", "shards": 4, "epochs": 12, **fields})

    return run


@pytest.mark.parametrize(
    "mode",
    ["average-sgd", *(pytest.param(mode, marks=pytest.mark.full) for mode in ("gradient-adam", "genetic", "stacked"))],
)
def test_every_version_of_a_stretch_has_the_local_runners_bytes(pair, counts, mode):
    fields = MODES[mode] | ({"pretrain": {"epochs": 12}} if mode == "stacked" else {})
    same(*pair(YarnHere(3), **{**fields, "epochs": 12}))
    assert counts[:3] == [1, 4, 7]


@pytest.mark.usefixtures("counts")
@pytest.mark.parametrize("phase", [pytest.param("computing", marks=pytest.mark.full), "waiting"])
def test_a_worker_lost_in_a_stretch_changes_no_byte(pair, monkeypatch, phase):
    monkeypatch.setenv("HDL_FAULT", f"{phase}:7:1:1:KILL")
    replaced = []
    same(*pair(YarnHere(3), lambda event: isinstance(event, Replaced) and replaced.append(event.worker)))
    assert replaced == [1]


def test_a_training_that_ends_within_a_stretch_ends_where_the_local_one_does(csv, tmp_path, counts):
    # No version is better than the first, and more rounds are asked for than there are until patience is over.
    still = {"name": "sgd", "lr": 1e-30}
    fields = {"net": "0-5-0", "shards": 2, "epochs": 60, "validation": 0.2, "patience": 7, "optimizer": still}
    here, local = both(YarnHere(2, publish_every=100), csv(90), tmp_path, **fields)
    assert here.reason == local.reason == "patience"
    assert signatures(here)[1] == signatures(local)[1]
    assert max(counts) > 1


def test_a_round_that_fails_in_a_stretch_fails_after_those_before_it(tmp_path, counts):
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=3 * x[:, 0])
    spec = parse({"net": "0-5-0", "loss": "squared", "activation": "relu", "shards": 4, "epochs": 60, "batch": 8,
                  "seed": 3, "optimizer": {"name": "sgd", "lr": 1.0}})  # fmt: skip
    last = {}
    for name, train in (("here", YarnHere(2).train), ("local", lambda job: driver.train(job, LocalRunner(1, 1)))):
        with pytest.raises(NonFinite):
            train(Job(str(tmp_path / "data.npz"), str(tmp_path / name), spec))
        last[name] = Table(str(tmp_path / name)).latest()
    assert last["here"] == last["local"] > 1
    assert max(counts) > 1
