"""A session's application with its workers as processes of this machine: everything of it but YARN."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import cli, driver, fs
from hdl.errors import DataError, DeadlineError, Interrupted, WorkerError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.session.yarn import YarnWorkers
from hdl.spec import parse
from hdl.table import Table
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import SESSION, WorkerCredentials
from hdl.yarn.master.master import lead
from hdl.yarn.names import MASTER_ADDRESS
from hdl.yarn.protocol.session import Stop, Told
from hdl.yarn.resource_manager.processes import HOST, Processes
from hdl.yarn.settings import Settings
from tests.runner.common import DEADLINE, same, signatures, state_bytes
from tests.runner.test_session import eventually
from tests.runner.yarn_here import CREDENTIALS, Events


class Here(YarnWorkers):
    """The session's process, and the master in a thread of it."""

    def __init__(self, folder, workers=2, **settings):
        self.settings = Settings.make(workers=workers, threads=1, publish_every=1, session=True, attempts=1, **settings)
        self.workers, self.threads, self.device = workers, 1, "cpu"
        self.application, self._orders, self._told = "application_1_0001", 0, Told(0, 0, [])
        self._speaking = threading.RLock()
        self._messages, self.resources, self.said = list, Processes(folder), Events(None)
        self.master = threading.Thread(target=self._lead, args=(folder,), daemon=True)
        self.master.start()
        address = Path(folder, MASTER_ADDRESS.format(1))
        eventually(address.exists)
        public, secret = CREDENTIALS.curve(SESSION)
        own = WorkerCredentials(b"", b"", SESSION, public, secret, CREDENTIALS.curve("master")[0])
        self._client = Client(own, json.loads(address.read_text())["control"])

    def _lead(self, folder):
        place = Job(str(folder), str(folder))
        lead(place, self.settings, str(folder), self.resources, CREDENTIALS, HOST, watcher=self.said)

    def close(self):
        self._speak(Stop())
        self.master.join(DEADLINE)
        assert not self.master.is_alive()
        self._client.close()


def no_yarn(_):
    """What YARN says of an application where there is no YARN: the master may be slow to answer."""
    raise DeadlineError("no YARN here")


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A session with two workers."""
    monkeypatch.setattr(fs, "is_remote", lambda path: True)
    monkeypatch.setattr("hdl.session.yarn.client.report", no_yarn)
    (tmp_path / "staging").mkdir()
    own = Here(tmp_path / "staging")
    yield own
    own.close()


SPEC = {"epochs": 3, "batch": 8, "seed": 3, "net": [0, 5, 0], "shards": 4}


def train(session, data, table, on_event=None, **fields):
    return driver.train(Job(data, str(table), parse({**SPEC, **fields})), session.runner(), on_event)


def here(data, table, **fields):
    return driver.train(Job(data, str(table), parse({**SPEC, **fields})), LocalRunner(1, 1))


def test_trainings_one_after_the_other_have_the_local_runners_bytes(session, csv, tmp_path):
    cases = [(csv(), {}), (csv(), {}), (csv(seed=1, classes=3), {"shards": 3}), (csv(), {"validation": 0.2}),
             (csv(seed=2), {"sync": {"mode": "gradient"}, "optimizer": "lbfgs"}),
             (csv(seed=2), {"sync": {"mode": "genetic"}}), (csv(), {})]  # fmt: skip
    workers = None
    for number, (data, fields) in enumerate(cases):
        ours = train(session, data, tmp_path / f"{number}", **fields)
        same(ours, here(data, tmp_path / f"local-{number}", **fields))
        workers = workers or sorted(session.resources.running)
        assert sorted(session.resources.running) == workers  # the same containers carry them all out


def test_a_training_of_the_same_table_begins_anew(session, csv, tmp_path):
    data, start = csv(), tmp_path / "start"
    here(data, start, epochs=1)
    for number, init in enumerate(("", str(start))):
        jobs = [Job(data, str(tmp_path / f"{who}-{number}" / "model"), parse(SPEC | {"epochs": 1}), init_from=init)
                for who in ("ours", "local")]  # fmt: skip
        ours = driver.train(jobs[0], session.runner())
        same(ours, driver.train(jobs[1], LocalRunner(1, 1)))


def test_what_is_decoded_is_kept_and_told(session, csv, tmp_path):
    data = csv()
    train(session, data, tmp_path / "a")
    session.look()
    (kept,) = session.describe()["kept"]
    assert kept["data"] == data
    assert kept["shards"] == 4
    assert 0 < kept["bytes"] <= session.describe()["memory"]


def test_the_page_shows_who_trains_while_somebody_does(session, csv, tmp_path):
    shown = []
    session.said.facts = shown.append
    train(session, csv(), tmp_path / "a")
    eventually(lambda: shown[-1]["trains"] == "nobody")
    assert (f"{tmp_path / 'a'} (all workers)", "nobody") in [(one["trains"], one["waits"]) for one in shown]


def test_an_error_ends_the_training_and_not_the_session(session, csv, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("a,b,class\n1,2,x\n1,zwei,y\n" * 9)
    with pytest.raises(DataError):
        train(session, str(tmp_path / "none.csv"), tmp_path / "a")
    data = csv()
    same(train(session, data, tmp_path / "b"), here(data, tmp_path / "c"))


def test_ctrl_c_ends_the_training_and_not_the_session(session, csv, tmp_path):
    data, rounds = csv(), []

    def interrupt(event):
        if isinstance(event, driver.Round):
            rounds.append(event)
            if len(rounds) == 2:
                raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="--resume"):
        train(session, data, tmp_path / "a", interrupt, epochs=100_000)
    same(train(session, data, tmp_path / "b"), here(data, tmp_path / "c"))


def test_a_worker_that_dies_is_replaced(session, csv, tmp_path):
    data, local = csv(), here(csv(), tmp_path / "local")
    train(session, data, tmp_path / "a")
    (victim, *_) = session.resources.running.values()
    victim.kill()
    ours = train(session, data, tmp_path / "b")
    assert signatures(ours)[0] == signatures(here(data, tmp_path / "c"))[0]
    assert local


def test_a_loss_in_a_later_training_is_told(session, csv, tmp_path):
    data, told = csv(), []
    train(session, data, tmp_path / "a")

    def kill(event):
        told.append(event)
        if isinstance(event, driver.Round) and not any(isinstance(each, Replaced) for each in told):
            for process in session.resources.running.values():
                process.kill()

    ours = train(session, data, tmp_path / "b", kill, epochs=60)
    assert signatures(ours)[0] == signatures(here(data, tmp_path / "c", epochs=60))[0]
    assert any(isinstance(event, Replaced) for event in told)


def test_another_key_gives_no_orders(session):
    public, secret = CREDENTIALS.curve("container_1")
    own = WorkerCredentials(b"", b"", SESSION, public, secret, CREDENTIALS.curve("master")[0])
    stranger = Client(own, session._client._socket.last_endpoint.decode())
    try:
        stranger.send(Stop().to_dict())
        assert stranger.receive(3.0) is None
        session.ask()
        assert session.master.is_alive()
    finally:
        stranger.close()


def test_a_search_is_carried_out_by_one_application(session, csv, tmp_path, monkeypatch):
    words = ["search", csv(), "--recipe", "plain", "--net", "0-5-0", "--shards", "2", "--epochs", "3", "--quiet",
             "--trials", "3", "--scheduler", "halving", "--param", "lr=0.001:0.1", "--validation", "0.2",
             "--no-report"]  # fmt: skip
    tables = []
    for name in ("here", "there"):
        monkeypatch.setattr("hdl.session.current", session if name == "there" else None)
        assert cli.run([*map(str, words), "--out", str(tmp_path / name), "--workers", "1"]) == 0
        tables.append(pq.read_table(tmp_path / name / "search.parquet").drop_columns(["seconds"]))
    assert tables[0].equals(tables[1])
    assert session._orders == 4  # three trials, and the one of them that went on
    assert len(session.resources.running) == 2


def aside(work, *args):
    """Carry something out in a thread; returns a function that waits for what it gives, or raises."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work, *args)
    pool.shutdown(wait=False)
    return lambda: future.result(DEADLINE)


def alone(session, data, table, on_event=None, wanted=lambda: True, **fields):
    """Have one worker train a trial."""
    job = Job(data, str(table), parse({**SPEC, **fields}))
    return session.train(job, on_event or (lambda event: None), wanted)


def turns(session):
    """Who has how many workers, and who waits, by the names of tables."""
    return {Path(one["what"]).name: len(one["workers"]) for one in session.ask().turns}


def test_trials_go_side_by_side_and_a_training_has_its_turn(session, csv, tmp_path):
    data, wanted = csv(), threading.Event()
    endless = []
    for name in ("a", "b"):
        endless.append(aside(lambda name=name: alone(session, data, tmp_path / name, epochs=100_000,
                                                     wanted=lambda: not wanted.is_set())))  # fmt: skip
        eventually(lambda name=name: turns(session).get(name) == 1)
    said = []
    training = aside(train, session, data, tmp_path / "all", said.append)
    eventually(lambda: turns(session).get("all") == 0)
    later = aside(alone, session, data, tmp_path / "c")
    eventually(lambda: turns(session) == {"a": 1, "b": 1, "all": 0, "c": 0})
    wanted.set()
    for ended in endless:
        with pytest.raises(KeyboardInterrupt):
            ended()
    same(training(), here(data, tmp_path / "all-local"))
    same(later(), here(data, tmp_path / "c-local"))
    assert any("workers are busy: 2 before this one" in getattr(event, "text", "") for event in said)
    ends = [Table(str(tmp_path / name)).rows()[-1]["time"] for name in ("all", "c")]
    assert ends == sorted(ends)


def test_a_trial_has_the_bytes_of_any_training_and_goes_on_from_a_pause(session, csv, tmp_path):
    data, rows = csv(), []
    job = Job(data, str(tmp_path / "a"), parse({**SPEC, "validation": 0.2}), until=0.4)
    session.train(job, rows.append, lambda: True)
    assert [event.row["round"] for event in rows if isinstance(event, driver.Round)] == [0, 1, 2]  # the last measures
    ours = session.train(replace(job, until=1.0), rows.append, lambda: True)
    assert state_bytes(ours) == state_bytes(here(data, tmp_path / "b", validation=0.2))


def test_a_worker_that_dies_in_a_trial_is_replaced(session, csv, tmp_path):
    data, told = csv(), []

    def kill(event):
        told.append(event)
        if isinstance(event, driver.Round) and not any(isinstance(each, Replaced) for each in told):
            for process in session.resources.running.values():
                process.kill()

    ours = alone(session, data, tmp_path / "a", kill, epochs=60)
    same(ours, here(data, tmp_path / "b", epochs=60))
    assert any(isinstance(event, Replaced) for event in told)


def test_a_trial_whose_workers_die_again_and_again_ends_and_not_the_session(session, csv, tmp_path, monkeypatch):
    monkeypatch.setenv("HDL_FAULT", "computing:1:*:9:KILL")
    data = csv()
    with pytest.raises(WorkerError, match="failed 3 times"):
        alone(session, data, tmp_path / "a")
    same(alone(session, data, tmp_path / "b", epochs=1), here(data, tmp_path / "c", epochs=1))


def test_an_error_in_a_trial_comes_back_as_it_was(session, csv, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        alone(session, str(tmp_path / "none.csv"), tmp_path / "a")
    data = csv()
    same(alone(session, data, tmp_path / "b"), here(data, tmp_path / "c"))
