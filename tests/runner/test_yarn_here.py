"""The application's worker group as processes: the local runner's bytes, and what happens to those that fail."""

import re

import psutil
import pytest

from hdl import driver
from hdl.errors import DeadlineError, SpecError, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.master.listening import Listening
from tests.runner.common import both, same, signatures, state_bytes
from tests.runner.test_same_bytes import GROUPS, MODES
from tests.runner.yarn_here import YarnHere


@pytest.fixture
def pair(csv, tmp_path):
    """A function that trains by a worker group and by the local runner: (runner, spec's fields) -> both outcomes."""

    def run(runner, on_event=None, samples=90, **fields):
        return both(runner, csv(samples), tmp_path, on_event, **{"net": "0-5-0", "shards": 4, **fields})

    return run


@pytest.mark.parametrize(
    ("mode", "workers"),
    [
        pytest.param(mode, GROUPS.get(mode, 2 + i % 2), marks=() if mode in GROUPS else pytest.mark.full)
        for i, mode in enumerate(MODES)
    ],
)
def test_a_worker_group_gives_the_local_runners_bytes(pair, mode, workers):
    same(*pair(YarnHere(workers), **MODES[mode]))


# --- faults -----------------------------------------------------------------------------------------------------------

FAULTS = {
    "while loading": "loading:0:1:1:KILL",
    "while computing": "computing:1:2:1:KILL",
    "before it sends": "sending:1:0:1:KILL",
    "while it waits": "waiting:1:3:1:KILL",
    "while it merges": "merging:1:1:1:KILL",
    "while its weights are taken": "publishing:1:0:1:KILL",
    "twice in one rank": "sending:1:1:2:KILL",
    "all of them": "sending:1:*:1:KILL",
    "stopped, silent for too long": "computing:1:1:1:STOP",
}
CHEAP = ("all of them", "stopped, silent for too long")  # test_crowd.py loses one while it computes


@pytest.fixture
def impatient(monkeypatch):
    """To a master a worker that is stopped has been silent for too long at once, and no other one that waits."""
    watch_silence = Listening._watch_silence

    def watch(self):
        for member in self.places:
            process = self.containers.resources.running.get(member.name)
            if process and psutil.Process(process.pid).status() == psutil.STATUS_STOPPED:
                member.incarnation.seen -= 2 * self.settings.silence_seconds
        watch_silence(self)

    monkeypatch.setattr(Listening, "_watch_silence", watch)


@pytest.mark.parametrize("mode", ["average-sgd", pytest.param("gradient-lbfgs", marks=pytest.mark.full)])
@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=() if name in CHEAP else pytest.mark.full) for name in FAULTS]
)
@pytest.mark.usefixtures("impatient")
def test_a_lost_worker_changes_no_byte(pair, monkeypatch, mode, fault):
    if (mode, fault) == ("gradient-lbfgs", "while it merges"):
        pytest.skip("in a line search the master merges")
    monkeypatch.setenv("HDL_FAULT", FAULTS[fault])
    seen = []
    runner = YarnHere(4)
    same(*pair(runner, seen.append, **MODES[mode]))
    replaced = [event for event in seen if isinstance(event, Replaced)]
    assert len(replaced) == {"twice in one rank": 2, "all of them": 4}.get(fault, 1), runner.messages
    assert all(process.poll() is not None for process in runner.resources.running.values())


STACK = {"model": "dbn", "net": "0-5-4-0", "pretrain": {"epochs": 3}}


def test_a_stack_survives_the_loss_of_all_workers_in_a_layer(pair, monkeypatch):
    # One worker: of several, one can have a successor, with the weights, before the next is lost. No version is
    # published before the last one: the master could have the weights from that.
    monkeypatch.setenv("HDL_FAULT", "computing:1:*:1:KILL")
    runner = YarnHere(1, publish_every=100)
    here, local = pair(runner, **STACK)
    (versions, rows), (every, expected) = signatures(here), signatures(local)
    assert rows == expected
    assert len(versions) > 1
    assert versions.items() <= every.items()
    assert state_bytes(here) == state_bytes(local)
    (restart,) = [text for text in runner.messages if "going on from" in text]
    assert restart.endswith("layer1")
    assert any("HDL_FAULT=computing:1:*:1:KILL is set" in text for text in runner.messages)


@pytest.mark.parametrize("layer", [pytest.param(1, marks=pytest.mark.full), 2])
def test_a_second_master_goes_on_in_the_layer_of_the_first(csv, tmp_path, layer):
    spec = parse({"shards": 4, "epochs": 3, "batch": 8, "seed": 3, **STACK})
    data = csv(90)
    job = Job(data, str(tmp_path / "here"), spec)
    learned = [0]

    def end(event):
        learned[0] = event.spec.layer if isinstance(event, driver.Started) else learned[0]
        if isinstance(event, driver.Round) and learned[0] == layer and event.row["version"] == 2:
            raise RuntimeError("the first master's end")

    first = YarnHere(2)
    with pytest.raises(RuntimeError, match="the first master's end"):
        first.train(job, end)
    here = YarnHere(2, attempt=2).train(job)
    same(here, driver.train(Job(data, str(tmp_path / "local"), spec), LocalRunner(1, 1)))


def test_a_worker_that_fails_again_and_again_stops_the_run_with_its_standard_error(pair, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:1:9:SEGV")
    with pytest.raises(WorkerError, match=r"(?s)worker 1 .* failed 3 times.*signal 11.*Segmentation fault") as error:
        pair(YarnHere(2), optimizer="sgd")
    assert "shards [2, 3]" in str(error.value)


def test_workers_that_cannot_be_had_are_named(pair):
    runner = YarnHere(3, gather_seconds=2, memory=2048)
    runner.resources.refuse = {1, 2}
    message = r"workers (0, )?1, 2 of 3 have not come within 2 s: each asks for 2048 MiB"
    with pytest.raises(DeadlineError, match=message):
        pair(runner)
    assert runner.resources.outcome[0] is False
    assert all(process.poll() is not None for process in runner.resources.running.values())


# --- async ------------------------------------------------------------------------------------------------------------

# Mini-batches of 8 at the usual rate leave weights as noisy as the thing that is looked for.
ASYNC = {
    "sync": {"mode": "async", "equal": 2},
    "optimizer": {"name": "momentum", "lr": 0.01},
    "epochs": 12,
    "validation": 0.2,
}


@pytest.mark.parametrize(
    ("fault", "lost", "epochs"),
    # Nobody waits for the next worker in a place: its beginning is to take less time than the others have still to do.
    [
        pytest.param(None, 0, 48, id="whole", marks=pytest.mark.full),  # none has less to lose
        pytest.param("computing:1:1:1:KILL", 1, 480, id="one lost"),
        pytest.param("computing:9:*:1:KILL", 3, 480, id="all lost", marks=pytest.mark.full),
    ],
)
def test_async_learns_what_average_learns_and_loses_nothing_with_a_worker(
    csv, tmp_path, monkeypatch, fault, lost, epochs
):
    if fault:
        monkeypatch.setenv("HDL_FAULT", fault)
    spec = parse({"net": "0-5-0", "shards": 4, "batch": 8, "seed": 3, **ASYNC,
                  "sync": {"mode": "async", "equal": epochs // 6}, "epochs": epochs})  # fmt: skip
    seen = []
    runner, data = YarnHere(3), csv(20000)
    outcome = runner.train(Job(data, str(tmp_path / "model"), spec), seen.append)
    assert sum(isinstance(event, Replaced) for event in seen) == lost, runner.messages
    rows = [row for row in outcome.rows if not row["final"]]
    assert len(rows) == 6
    assert rows[-1]["async"]["merged"] > 0
    assert max(rows[-1]["async"]["rounds"]) == epochs
    assert all(row["async"]["lag"] == max(row["async"]["rounds"]) - min(row["async"]["rounds"]) for row in rows)
    average = spec.with_(sync=spec.sync.model_copy(update={"mode": "average"}), epochs=48)
    other = driver.train(Job(data, str(tmp_path / "average"), average), LocalRunner(1, 1))
    assert outcome.rows[-1]["val_accuracy"] > other.rows[-1]["val_accuracy"] - 0.04


@pytest.mark.parametrize("optimizer", [pytest.param("momentum", marks=pytest.mark.full), "adam"])
def test_async_goes_on_where_it_was_stopped(csv, tmp_path, optimizer):
    spec = parse({"net": "0-5-0", "shards": 4, "batch": 8, "seed": 3, **ASYNC, "optimizer": optimizer})
    job = Job(csv(20000), str(tmp_path / "model"), spec)

    def end(event):
        if isinstance(event, driver.Round) and event.row["version"] == 3:
            raise RuntimeError("the first master's end")

    with pytest.raises(RuntimeError, match="the first master's end"):
        YarnHere(2).train(job, end)
    assert Table(job.table).latest() == 3
    outcome = YarnHere(2, attempt=2).train(job)
    rows = [row for row in outcome.rows if not row["final"]]
    epoch = 20000 - rows[0]["val_samples"]
    assert len(rows) == 6
    assert all(6 <= least <= 12 for row in rows[3:] for least in row["async"]["rounds"])
    assert 0 < sum(row["samples"] for row in rows[3:]) < 6.6 * epoch  # six rounds of whole chunks, and none twice
    assert outcome.rows[-1]["val_accuracy"] > 0.65  # nobody can know more than 0.8 of these samples


def test_other_runners_refuse_async(csv, tmp_path):
    spec = parse({"net": "0-5-0", "shards": 4, **ASYNC})
    with pytest.raises(SpecError, match="runner local has no async; --runner yarn does"):
        driver.train(Job(csv(), str(tmp_path / "model"), spec), LocalRunner(1, 1))


def test_a_stack_learns_its_layers_without_waiting(csv, tmp_path):
    spec = parse({"model": "stacked", "net": "0-5-4-0", "shards": 4, "batch": 8, "seed": 3, **ASYNC,
                  "pretrain": {"epochs": 4}, "optimizer": "adam"})  # fmt: skip
    outcome = YarnHere(3).train(Job(csv(20000), str(tmp_path / "model"), spec))
    layers = [Table(str(tmp_path / "model" / name)).rows() for name in ("layer1", "layer2")]
    assert [len([row for row in rows if not row["final"]]) for rows in layers] == [2, 2]
    assert all(rows[-1]["val_cost"] < rows[0]["val_cost"] for rows in layers)
    assert outcome.rows[-1]["val_accuracy"] > 0.7  # nobody can know more than 0.8 of these samples


def test_a_slow_worker_is_replaced_where_that_is_asked_for(pair, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:1:1:SLOW")
    seen = []
    runner = YarnHere(3, straggler=3)
    same(*pair(runner, seen.append, **{**MODES["gradient-lbfgs"], "epochs": 8}))
    (replaced,) = [event for event in seen if isinstance(event, Replaced)]
    assert replaced.worker == 1
    assert re.search(r"worker 1 .* computes [3-9]\.\d s where the others take .*: another one gets", replaced.reason)


def test_work_that_hangs_in_a_worker_that_lives_has_a_deadline(pair, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:1:1:SLOW")
    runner = YarnHere(2)

    def from_now_on(event):  # and not while workers begin, which on a busy machine takes longer
        if isinstance(event, driver.Round):
            object.__setattr__(runner.settings, "stall_seconds", 0.5)  # they are frozen

    with pytest.raises(DeadlineError, match=r"no work has got on for 0\.5 s, and workers live: .*worker 1 on"):
        pair(runner, from_now_on, optimizer="sgd")
