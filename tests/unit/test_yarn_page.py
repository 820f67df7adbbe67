"""The live page's HTML: everything is escaped, nothing is loaded, curves stay in their frames."""

import re

import pytest

from hdl.driver import Round, Stage
from hdl.runners.base import Progress, Replaced
from hdl.yarn.dashboard import markup
from hdl.yarn.dashboard.chart import chart
from hdl.yarn.dashboard.state import State
from tests.unit.dashboard import NASTY, Elements, begun_state, row, worker


@pytest.fixture
def state():
    return begun_state()


def test_everything_is_escaped():
    state = State(NASTY, {"net": NASTY, NASTY: NASTY})
    state.set_workers([
        worker(0, host=NASTY, container=NASTY, state=NASTY, log=f"http://x/{NASTY}", worker=NASTY, staleness=NASTY),
        worker(1, log="javascript:alert(1)"), worker(2, log="data:text/html,x"), worker(3, log=None, seconds=9.0),
    ])  # fmt: skip
    state.hear(Stage(NASTY))
    state.hear(Progress(NASTY, 1, 2))
    state.hear(Replaced(0, (1,), NASTY))
    state.message(NASTY)
    state.ended(NASTY)
    elements = Elements(markup.render(state.snapshot())).elements
    assert [tag for tag, _ in elements].count("script") == 1
    assert "img" not in {tag for tag, _ in elements}
    names = {name for _, attributes in elements for name in attributes}
    assert not {name for name in names if name.startswith("on")} | (names & {"style", "src"})
    links = [attributes["href"] for tag, attributes in elements if tag == "a"]
    assert [link.split(":")[0] for link in links] == ["http", "status.json", "events.json?since=0"]


def test_the_page_names_nothing_outside_and_links_are_relative(state):
    text = markup.render(state.snapshot())
    for tag, attributes in Elements(text).elements:
        for name in "src", "href", "action", "data", "srcset":
            if (link := attributes.get(name)) and not (tag == "a" and link.startswith("http://node")):
                assert re.fullmatch(r"(status|events)\.json(\?since=0)?", link)
    assert "url(" not in text
    assert "@import" not in text
    assert 'fetch(location.href,{cache:"no-store"})' in text


def test_what_ranks_are_worth_is_a_card_once_it_was_measured(state):
    assert "AUC" not in markup.render(state.snapshot())
    state.hear(Round(row(9, val_cost=0.5, val_auc=0.8125, val_r2=None)))
    state.hear(Round(row(10)))
    text = re.sub(r"<[^>]+>", " ", markup.render(state.snapshot()))
    assert re.search(r"AUC\s+0\.8125\s+validation", text)
    assert "R²" not in text


def test_the_straggler_is_named(state):
    state.set_workers([worker(number, seconds=0.03 if number == 2 else 0.01) for number in range(4)])
    text = markup.render(state.snapshot())
    assert "Worker 2 is the straggler: 3.0 times as long as the median of the others." in text
    assert text.count('<span class="pill slow">') == 1
    for equal in [worker(0), worker(1)], [worker(0)], [worker(0, seconds=None), worker(1)], []:
        state.set_workers(equal)
        assert "straggler:" not in markup.render(state.snapshot())


def test_figures_of_the_last_round_and_what_is_left_out(state):
    state.hear(Round(row(0, val_cost=0.25, val_accuracy=0.75)))
    state.hear(Round(row(1, final=True, cost=None, accuracy=None, val_cost=0.125, val_accuracy=0.8)))
    text = markup.render(state.snapshot())
    for shown in "validation 0.125", "validation 80.00 %", "of 10", "11 ms", "9.09 k samples/s":
        assert shown in text
    assert state.status()["round"] == 1


COSTS = [
    [(1, 0.5)], [(1, 0.0)], [(1, 0.5), (2, 0.5)], [(1, 1e-9), (2, 1e9)], [(1, -3.0), (5, 2.0)],
    [(0, 1e300), (1, 1e-300)], [(1, 0.02), (2, 0.7)], [(7, 123456.0), (8, 123457.0)],
]  # fmt: skip


SHARES = [[(1, 0.5)], [(1, 0.0)], [(1, 1.0)], [(1, 0.1), (9, 0.98)], [(1, 0.999), (100_000, 1.0)]]


@pytest.mark.parametrize(
    ("points", "percent"), [(points, False) for points in COSTS] + [(points, True) for points in SHARES]
)
def test_any_curve_is_drawn_inside_of_its_frame(points, percent):
    svg = chart("x", [(points, 0)], percent)
    assert "nan" not in svg
    places = re.findall(r"(-?[\d.]+),(-?[\d.]+)", "".join(re.findall(r'points="([^"]*)"', svg)))
    places += re.findall(r'cx="(-?[\d.]+)" cy="(-?[\d.]+)"', svg)
    assert all(0 <= float(x) <= 480 and 0 <= float(y) <= 260 for x, y in places)
    assert 2 <= svg.count("<line") <= 8
