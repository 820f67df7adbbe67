"""An application's record: what is told and asked, in bounded memory and by any thread."""

import json
import threading

import numpy as np
import pytest

from hdl.driver import Round, Stage, Started
from hdl.runners.base import Progress, Replaced
from hdl.spec import Spec, parse
from hdl.yarn.dashboard import markup
from hdl.yarn.dashboard.state import ANSWER_EVENTS, CURVE_POINTS, KEPT_EVENTS, SHOWN, State
from tests.unit.dashboard import begun_state, row, worker


@pytest.fixture
def state():
    return begun_state()


def test_status_tells_what_was_heard(state):
    state.hear(Round(row(0)))
    state.hear(Round(row(1, val_cost=0.5)))
    state.hear(Replaced(1, (2, 3), "killed"))
    state.set_workers([worker(7)])
    status = state.status()
    assert (status["application"], status["state"], status["stage"]) == ("application_1_0001", "running", "train")
    assert (status["rounds"], status["round"]) == (10, 2)
    assert status["rows"] == [row(0), row(1, val_cost=0.5)]
    assert [entry["worker"] for entry in status["workers"]] == [7]
    assert "worker 1 died (killed); another one does its shards again: 2, 3" in status["messages"][0]["text"]
    json.dumps(status, allow_nan=False)
    state.ended("finished", "done")
    assert (state.status()["state"], state.status()["messages"][-1]["text"]) == ("finished", "done")


def test_events_come_as_plain_json_from_the_number_asked_for():
    state = State("a")
    spec = parse({"net": [4, 3, 2], "loss": "softmax"})
    for event in Stage("train"), Started(spec, 100, 10, 3), Replaced(1, (0, 2), "x"), Round(row(3)):
        state.hear(event)
    state.message("wait")
    answer = state.events(0)
    kinds = [event["kind"] for event in answer["events"]]
    assert kinds == ["Stage", "Started", "Replaced", "Round", "Log"]
    started = answer["events"][1]
    assert parse(started["spec"]) == spec
    assert {name: started[name] for name in ("samples", "rounds", "version")} == {
        "samples": 100,
        "rounds": 10,
        "version": 3,
    }
    assert answer["events"][2]["shards"] == [0, 2]
    assert answer["events"][3]["row"] == row(3)
    assert answer["events"][4]["text"] == "wait"
    assert answer["next"] == 5
    assert state.events(3)["events"] == answer["events"][3:]
    assert state.events(5) == {"next": 5, "events": []}
    assert state.events(99) == answer  # a number of an earlier master
    json.dumps(answer, allow_nan=False)


def test_of_progress_only_the_last_is_kept_and_who_has_seen_one_gets_the_next():
    state = State("a")
    state.hear(Stage("train"))
    state.hear(Progress("round", 1, 8))
    seen = state.events(0)
    state.hear(Progress("round", 2, 8))
    state.hear(Progress("round", np.float32(3), 8))
    answer = state.events(seen["next"])
    assert answer["events"] == [{"kind": "Progress", "stage": "round", "done": 3.0, "total": 8}]
    assert [event["kind"] for event in state.events(0)["events"]] == ["Stage", "Progress"]


def test_what_json_has_not_is_none():
    state = State("a")
    state.hear(Round(row(0, cost=float("nan"), val_cost=np.inf, accuracy=np.float32(0.5), extra=np.arange(2))))
    cleaned = state.events(0)["events"][0]["row"]
    assert (cleaned["cost"], cleaned["val_cost"], cleaned["accuracy"], cleaned["extra"]) == (None, None, 0.5, [0, 1])
    assert state.snapshot().curves["cost"] == []
    markup.render(state.snapshot())


def test_what_it_does_not_know_is_let_pass():
    state = State("a")
    state.hear(object())
    assert state.events(0)["events"] == []


def test_memory_is_bounded_and_curves_keep_their_ends(state):
    for number in range(20_000):
        state.hear(Progress("round", 1, 2))
        state.hear(Round(row(number)))
        state.message(f"{number} " + "x" * 5000)
    assert len(state._events) == KEPT_EVENTS
    assert len(state.status()["rows"]) == len(state.status()["messages"]) == SHOWN
    assert all(len(message["text"]) <= 2000 for message in state.status()["messages"])
    curve = state.snapshot().curves["cost"]
    assert CURVE_POINTS / 3 < len(curve) <= CURVE_POINTS + 1
    assert (curve[0][0], curve[-1][0]) == (1, 20_000)
    assert len(markup.render(state.snapshot())) < 300_000
    answer = state.events(0)  # who comes late gets what is left
    assert len(answer["events"]) == ANSWER_EVENTS
    assert answer["events"][0]["kind"] == "Started"
    last = state.events(state.events(answer["next"])["next"])["events"][-1]
    assert (last["kind"], last["text"][:6]) == ("Log", "19999 ")


def test_each_layer_of_a_stack_has_curves_and_rows_of_its_own(state):
    for layer in 1, 2:
        state.hear(Started(Spec(layer=layer), 100, 10, 0))
        state.hear(Progress("round", 1, 2))
        state.hear(Round(row(0, cost=float(layer))))
    state.hear(Started(Spec(layer=2), 100, 10, 1))  # another master's, or after all workers were lost
    snapshot = state.snapshot()
    assert snapshot.curves["cost"] == [(1, 2.0)]
    assert [entry["cost"] for entry in snapshot.status["rows"]] == [2.0]
    assert snapshot.progress == ("", 0.0, 0.0)


def test_who_comes_late_is_told_what_the_rounds_are_of(state):
    state.hear(Started(Spec(layer=2), 100, 10, 0))
    for number in range(KEPT_EVENTS):
        state.hear(Round(row(number)))
    answer = state.events(0)["events"]
    assert [event["kind"] for event in answer[:2]] == ["Started", "Round"]
    assert answer[0]["spec"]["layer"] == 2
    assert state.events(5)["events"][0]["kind"] == "Round"


def test_many_threads_may_tell_and_ask(state):
    errors = []

    def tell(first):
        try:
            for number in range(first, first + 200):
                state.hear(Round(row(number)))
                state.set_workers([worker(0)])
                json.dumps([state.status(), state.events(number)])
                markup.render(state.snapshot())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=tell, args=(first,)) for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
