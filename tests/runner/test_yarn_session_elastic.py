"""A session whose number of workers changes: trainings with those that are there, to the bytes of any number."""

from pathlib import Path

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")
pytest.importorskip("zmq", reason="no zmq: pip install jpype1 pyzmq")

from hdl import driver, fs, measuring
from hdl.errors import SpecError
from hdl.runners.base import Job, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.yarn.resource_manager.resources import Leaving
from tests.runner.common import same
from tests.runner.test_session import eventually
from tests.runner.test_yarn_session import Here, alone, aside, no_yarn, turns

SPEC = {"epochs": 3, "batch": 8, "seed": 3, "net": [0, 5, 0], "shards": 8}


@pytest.fixture
def session(tmp_path, monkeypatch):
    """A session of 2 to 4 workers, of which the first two come at once."""
    monkeypatch.setattr(fs, "is_remote", lambda path: True)
    monkeypatch.setattr("hdl.session.yarn.client.report", no_yarn)
    (tmp_path / "staging").mkdir()
    own = Here(tmp_path / "staging", workers=4, fewest=2, join_seconds=0.5)
    own.resources.refuse = {2, 3}
    yield own
    own.close()


@pytest.fixture
def both(session, csv, tmp_path):
    """`both(name, csv's arguments, spec's fields)`: train by the session and here, compare, and tell the events."""

    def run(name, given=None, on_event=lambda event: None, **fields):
        job = Job(csv(**given or {}), str(tmp_path / name), parse({**SPEC, **fields}))
        ours = driver.train(job, session.runner(), on_event)
        same(ours, driver.train(Job(job.data, f"{job.table}-here", job.spec), LocalRunner(1, 1)))

    return run


def workers_here(session):
    """How many workers are there."""
    return sum(bool(each) for each in session.ask().memory)


def test_trainings_begin_with_those_that_are_there_and_give_the_same_bytes(session, both):
    both("a")
    assert "2 of 2 to 4 workers train" in session.said.messages
    both("b")
    both("c", {"seed": 1, "classes": 3}, shards=5)
    assert session.said.messages.count("2 of 2 to 4 workers train") == 3
    session.resources.refuse = set()
    eventually(lambda: workers_here(session) == 4)
    both("d", sync={"mode": "gradient"}, optimizer="lbfgs")
    assert "4 of 2 to 4 workers train" in session.said.messages
    kept = session.ask().kept
    assert {one["shards"] for one in kept} >= {5, 8}
    with pytest.raises(SpecError, match="has 2 to 4 workers; expected at most one a shard, 3"):
        both("e", shards=3)


@pytest.mark.full
def test_who_is_lost_is_done_without_and_comes_back_for_the_next(session, both):
    session.resources.refuse, told = set(), []
    eventually(lambda: session.ask().turns == [])
    both("a")
    eventually(lambda: workers_here(session) == 4)

    def kill(event):
        told.append(event)
        if isinstance(event, driver.Round) and not session.resources.refuse:
            session.resources.refuse = {0, 1, 2, 3}  # nobody comes in their places
            for process in [*session.resources.running.values()][:2]:
                process.kill()

    both("b", on_event=kill, epochs=60)
    assert len([event for event in told if isinstance(event, Replaced)]) == 2
    session.resources.refuse = set()
    eventually(lambda: workers_here(session) == 4)
    both("c")


def test_a_worker_that_dies_in_a_trial_is_replaced_and_one_that_yarn_wants_back_ends_it_first(session, csv, tmp_path):
    data, told, wanted = csv(), [], []
    poll = session.resources.poll

    def with_wants(progress):
        changes = poll(progress)
        changes.leaving = [Leaving(name, "is wanted by others") for name in wanted]
        return changes

    session.resources.poll = with_wants

    def disturb(event):
        told.append(event)
        if isinstance(event, driver.Round) and not wanted:
            wanted.extend(session.resources.running)
        elif isinstance(event, driver.Round) and not any(isinstance(each, Replaced) for each in told):
            for process in [*session.resources.running.values()]:
                process.kill()

    fields = {**SPEC, "shards": 4, "epochs": 60}
    ours = aside(lambda: alone(session, data, tmp_path / "a", disturb, **fields))
    eventually(lambda: turns(session).get("a"))
    job = Job(data, str(tmp_path / "b"), parse(fields))
    same(ours(), driver.train(job, LocalRunner(1, 1)))
    assert len([event for event in told if isinstance(event, Replaced)]) == 1


@pytest.mark.full
def test_measures_are_those_of_a_local_runner(session, csv, tmp_path, monkeypatch):
    monkeypatch.setattr("hdl.session.yarn.client.staging", lambda application: str(tmp_path / "staging"))
    parts, table = tmp_path / "parts", str(tmp_path / "model")
    parts.mkdir()
    for number in range(4):
        (parts / f"part-{number}.csv").write_bytes(Path(csv(seed=number)).read_bytes())
    driver.train(Job(csv(), table, parse(SPEC)), session.runner())
    there, here = (measuring.measure(Job(str(parts), table), each) for each in (session.runner(), LocalRunner(1, 1)))
    assert repr(there.score) == repr(here.score)
