"""What a running application tells: its page's events, or its table's rounds where there is no page."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from hdl import driver
from hdl.driver import Round, Stage, Started
from hdl.runners.base import Job, Log, Progress, Replaced
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse
from hdl.table import Table
from hdl.told import event_of
from hdl.yarn.client import events, web
from hdl.yarn.client.web import NoPage
from tests.unit.yarn_reports import report

URL = "http://rm:8088/proxy/app"

EVENTS = [
    Stage("train"), Started(Spec(), 10, 3, 0), Progress("round", 1.0, 4.0), Replaced(1, (2, 3), "killed"),
    Round({"version": 1, "round": 0}), Log(1.5, "a worker was replaced"),
]  # fmt: skip


def test_events_come_back_from_the_pages_json():
    from hdl.yarn.dashboard.state import plain

    for event in EVENTS:
        fields = json.loads(json.dumps({"kind": type(event).__name__, **plain(event)}))
        assert event_of(fields) == event


@pytest.mark.parametrize("fields", [{}, {"kind": "New"}, {"kind": "Stage"}, {"kind": "Stage", "name": "a", "b": 1},
                                    {"kind": "Started", "spec": {"net": 3}, "samples": 1, "rounds": 1, "version": 0},
                                    {"kind": []}])  # fmt: skip
def test_events_that_nobody_knows_are_let_pass(fields):
    assert event_of(fields) is None


@pytest.fixture
def page(monkeypatch):
    """`page[path] = answer`: what the page of `URL` answers; of other paths that there is none."""
    answers = {}

    def read_json(url, seconds=0.0):
        answer = answers.get(url.removeprefix(URL), NoPage("404"))
        if isinstance(answer, NoPage):
            raise answer
        return answer

    monkeypatch.setattr(web, "read_json", read_json)
    return answers


def test_events_are_asked_for_from_the_next_one_on(page):
    page["/events.json?since=0"] = {"next": 7, "events": [{"kind": "Stage", "name": "train"}, 5, {"kind": "?"}]}
    assert events.events_of(f"{URL}/", 0) == (7, [Stage("train")])
    with pytest.raises(NoPage, match="404"):
        events.events_of(URL, 7)


@pytest.mark.parametrize("answer", [[1], {"next": "x"}, {"events": []}, "x", None])
def test_a_page_that_is_no_masters_has_no_events(page, answer):
    page["/events.json?since=3"] = answer
    with pytest.raises(NoPage, match="not the page of a master"):
        events.events_of(URL, 3)


@pytest.mark.parametrize("url", ["", "N/A", "file:///etc/passwd"])
def test_there_may_be_no_page(url):
    with pytest.raises(NoPage, match="expected the address of a page"):
        events.page(url, "status.json")


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until a test sets it on."""
    now = [1000.0]
    monkeypatch.setattr(events, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 0.0))
    return now


def trained(folder):
    """Train a small network in a folder; returns the events."""
    data = folder / "samples.csv"
    data.write_text("a,b,class\n" + "".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(40)))
    told = []
    spec = parse({"net": "0-3-0", "epochs": 3, "batch": 8})
    driver.train(Job(str(data), str(folder / "table"), spec), LocalRunner(1, 1), told.append)
    return [event for event in told if isinstance(event, (Started, Round))]


def test_where_the_page_refuses_it_is_said_why_and_rounds_come_from_the_table(page, clock, tmp_path):
    page["/events.json?since=0"] = NoPage("it asks for Kerberos, and there is no ticket: kinit", lasting=True)
    told, table = [], tmp_path / "table"
    source = events.Source(events.Listener(told.append, lambda: str(table)))
    for share in 0.0, 0.02, 0.06, 0.08, 0.5:
        source.poll(report(url=URL, progress=share, diagnostics=""))
        clock[0] += events.TABLE_SECONDS
    said = [event.text for event in told]
    assert said[0].startswith("no live progress: it asks for Kerberos, and there is no ticket: kinit. ")
    assert said[1:] == ["YARN: running, 6 % done", "YARN: running, 50 % done"]
    del told[:]
    expected = trained(tmp_path)
    for _ in range(3):
        source.poll(report(url=URL, progress=0.5))
        clock[0] += events.TABLE_SECONDS
    assert told == expected
    del told[:]
    page["/events.json?since=0"] = {"next": 2, "events": [{"kind": "Stage", "name": "train"}]}  # after kinit
    clock[0] += events.AGAIN_SECONDS
    source.poll(report(url=URL, progress=0.5))
    assert [getattr(event, "text", event) for event in told] == [
        "the application's page is there again",
        Stage("train"),
    ]


def test_a_page_that_is_silent_for_long_is_told_once_and_one_that_starts_is_not(page, clock):
    told = []
    source = events.Source(events.Listener(told.append, lambda: "/nowhere"))
    for _ in range(4):
        source.poll(report(url=URL, progress=0.0))
        clock[0] += 1.0
    assert told == []
    for _ in range(40):
        clock[0] += 1.0
        source.poll(report(url=URL, progress=0.0))
    assert [event.text.partition(". ")[0] for event in told] == ["no live progress: 404"]


def test_each_round_is_told_once():
    told = []
    heard = events.Listener(told.append)
    for event in (EVENTS[1], Round({"version": 1}), Round({"version": 2}), EVENTS[1], Round({"version": 2}),
                  Round({"version": 3})):  # fmt: skip
        heard.tell(event)
    heard.wait(events.Waiting("ACCEPTED", ""))
    heard.wait(events.Waiting("ACCEPTED", ""))
    assert told == [EVENTS[1], *(Round({"version": v}) for v in (1, 2, 3)), events.Waiting("ACCEPTED", "")]


def test_the_layers_of_a_stack_are_told_apart():
    told = []
    heard = events.Listener(told.append)
    one, two, whole = (Started(Spec(layer=layer), 10, 2, 0) for layer in (1, 2, 0))
    rounds = [Round({"version": version}) for version in (1, 2)]
    for event in (one, *rounds, two, rounds[0]):
        heard.tell(event)
    for event in (replace(one, version=2), replace(two, version=1), rounds[1], whole, *rounds):  # of another master
        heard.tell(event)
    assert told == [one, *rounds, two, *rounds, whole, *rounds]


def test_what_was_not_told_of_layers_is_told_at_the_end(tmp_path):
    data = tmp_path / "samples.csv"
    data.write_text("a,b,class\n" + "".join(f"{n % 5},{n % 7},{n % 2}\n" for n in range(40)))
    spec = parse({"model": "dbn", "net": "0-3-2-0", "epochs": 2, "pretrain": {"epochs": 2}, "batch": 8})
    seen, told = [], []
    outcome = driver.train(Job(str(data), str(tmp_path / "table"), spec), LocalRunner(1, 1), seen.append)
    seen = [event for event in seen if isinstance(event, (Started, Round))]
    heard = events.Listener(told.append)
    for event in seen[:2]:
        heard.tell(event)
    for name in ("table/layer1", "table/layer2", "table"):
        table = Table(str(tmp_path / name))
        heard.rest(table, table.rows())
    assert told == seen
    assert len(outcome.rows) == 2


def test_what_yarn_waits_for_is_said_without_its_figures():
    said = "[Sat Nov 21 15:23:01 +0000 2026] waiting for resources.  Details : AM Partition = <DEFAULT_PARTITION> ; …"
    assert events.waits_for(said) == "waiting for resources."
    assert events.waits_for("") == ""


def test_that_a_training_has_begun_is_told_once_version_0_is_in_its_table(page, clock, tmp_path):
    started = {"kind": "Started", "samples": 40, "rounds": 3, "version": 0, "spec": Spec().model_dump(mode="json")}
    page["/events.json?since=0"] = {"next": 2, "events": [{"kind": "Stage", "name": "summarise"}, started]}
    page["/events.json?since=2"] = {"next": 3, "events": [{"kind": "Stage", "name": "train"}]}
    page["/events.json?since=3"] = {"next": 3, "events": []}
    told = []
    source = events.Source(events.Listener(told.append, lambda: str(tmp_path / "table")))
    for _ in range(2):
        source.poll(report(url=URL))
        assert told == [Stage("summarise")]
    trained(tmp_path)
    source.poll(report(url=URL))
    assert [type(event) for event in told] == [Stage, Started, Stage]
    assert told[2] == Stage("train")
