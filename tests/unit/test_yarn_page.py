"""The live page: what it shows is escaped, what it takes is nothing, and nobody can hold it up."""

import html.parser
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from http.client import HTTPConnection

import numpy as np
import pytest

from hdl.driver import Round, Stage, Started
from hdl.runners.base import Progress, Replaced
from hdl.spec import Spec, parse
from hdl.yarn.dashboard import allowed, markup, server
from hdl.yarn.dashboard.assets import policy_hash
from hdl.yarn.dashboard.chart import chart
from hdl.yarn.dashboard.server import PageServer
from hdl.yarn.dashboard.state import ANSWER_EVENTS, CURVE_POINTS, KEPT_EVENTS, SHOWN, State

SECONDS = 20.0  # that something expected may take on a busy machine
NASTY = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def row(number, **more):
    """Of the round that starts from `number` rounds."""
    return {"version": number + 1, "parent": number, "round": number, "samples": 100, "cost": 1 / (number + 1),
            "accuracy": 0.5, "val_cost": None, "val_accuracy": None, "seconds": {"round": 0.01, "merge": 0.001},
            "final": False, **more}  # fmt: skip


def worker(number, **more):
    return {"worker": number, "container": f"container_1_{number}", "host": f"node{number}", "shards": [number],
            "state": "computing", "seconds": 0.01, "staleness": None, "log": f"http://node{number}:8042/log",
            **more}  # fmt: skip


@pytest.fixture
def state():
    state = State("application_1_0001", {"net": "4-3-2", "data": "hdfs:///d"}, [worker(0), worker(1)])
    state.hear(Stage("train"))
    state.hear(Started(Spec(), 100, 10, 0))
    return state


@pytest.fixture
def serve(monkeypatch):
    """A running page; what a test makes short is short."""
    made = []

    def start(state, allowed=(), **constants):
        for name, value in constants.items():
            monkeypatch.setattr(server, name, value)
        page = PageServer(state, "127.0.0.1", allowed)
        page.start()
        made.append(page)
        return page

    yield start
    for page in made:
        page.close()


def wait(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ask(page, path="/", method="GET", body=None):
    connection = HTTPConnection("127.0.0.1", page.port, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer, answer.read().decode()


class Elements(html.parser.HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


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


def test_the_policy_lets_in_our_own_style_and_script_alone(serve, state):
    answer, text = ask(serve(state))
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in "style", "script":
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        assert f"{tag}-src {policy_hash(content)}" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_what_is_served(serve, state):
    page = serve(state)
    answer, text = ask(page)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "application_1_0001" in text
    answer, text = ask(page, "/status.json")
    assert json.loads(text) == state.status()
    assert json.loads(ask(page, "/events.json?since=1")[1]) == state.events(1)
    assert json.loads(ask(page, "/events.json")[1]) == state.events(0)
    answer, text = ask(page, "/status.json", "HEAD")
    assert (answer.status, text) == (200, "")
    assert int(answer.headers["Content-Length"]) > 100


@pytest.mark.parametrize("path", ["/x", "/../etc/passwd", "/status.json/", "/index.html", "/events.json/0", "/%00"])
def test_other_paths_are_not_there(serve, state, path):
    assert ask(serve(state), path)[0].status == 404


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "9" * 99, "%D9%A1"])
def test_a_number_that_is_none_is_refused(serve, state, since):
    assert ask(serve(state), f"/events.json?since={since}")[0].status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"])
def test_there_is_nothing_to_do_here(serve, state, method):
    before = state.status()
    answer, _ = ask(serve(state), "/", method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    assert state.status() == before


def raw(page, sent, timeout=10):
    """What comes back for some bytes, until the connection ends."""
    with socket.create_connection(("127.0.0.1", page.port), timeout) as link:
        link.sendall(sent)
        parts = []
        try:
            while part := link.recv(1 << 16):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)


@pytest.mark.parametrize("sent", [
    b"\r\n\r\n", b"GET\r\n\r\n", b"\x00\xff\xfe\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000,
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n",
    b"GET /\n\n", b"GET http://[x/ HTTP/1.0\r\n\r\n",
])  # fmt: skip
def test_rubbish_is_answered_or_cut_off_and_the_next_one_is_served(serve, state, sent, capfd):
    page = serve(state)
    raw(page, sent)
    assert ask(page)[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_a_peer_that_is_not_on_the_list_is_refused(serve, state, monkeypatch):
    page = serve(state, STRANGER_THREADS=4)  # a thread each: one that has answered may not be free at once
    monkeypatch.setattr(allowed.AllowedHosts, "is_known", lambda self, peer: False)
    for path in "/", "/status.json", "/events.json", "/x":
        answer, text = ask(page, path)
        assert answer.status == 403
        assert "tracking URL" in text
        assert "application_1_0001" not in text


def test_who_may_ask(monkeypatch):
    names = {"proxy": {"10.0.0.7", "fd00::7"}, "10.0.0.9": {"10.0.0.9"}}
    monkeypatch.setattr(allowed, "addresses", lambda host: names.get(host, set()))
    hosts = allowed.AllowedHosts(["proxy", "10.0.0.9", "gone"])
    for peer in "10.0.0.7", "fd00::7", "10.0.0.9", "::ffff:10.0.0.7", "127.0.0.1", "::1", "127.8.8.8":
        assert peer in hosts
    for peer in "10.0.0.8", "fd00::8", "::ffff:10.0.0.8", "fe80::1%eth0":
        assert peer not in hosts
    names["proxy"] = {"10.0.0.8"}  # it has moved: heard of after a while
    assert "10.0.0.8" not in hosts
    monkeypatch.setattr(allowed, "RESOLVE_SECONDS", 0.0)
    assert "10.0.0.8" in hosts
    assert "10.0.0.7" not in hosts
    names.clear()  # no name server: what was known stays
    assert "10.0.0.8" in hosts


def test_it_listens_on_its_host_alone(serve, state):
    page = serve(state)
    assert page._server.server_address[0] == "127.0.0.1"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", page.port), 5)


def test_slow_clients_hold_up_nobody(serve, state):
    page = serve(state, REQUEST_SECONDS=60.0)
    slow = [socket.create_connection(("127.0.0.1", page.port), 10) for _ in range(5)]
    for link in slow:
        link.sendall(b"GET / HT")
    assert ask(page)[0].status == 200
    assert len(page._server._open) >= 5  # nobody was cut off for it
    for link in slow:
        link.close()


def test_slow_clients_are_cut_off(serve, state):
    page = serve(state, REQUEST_SECONDS=1.0)
    slow = [socket.create_connection(("127.0.0.1", page.port), 10) for _ in range(5)]
    for link in slow:
        link.sendall(b"GET / HT")
    end = time.monotonic() + SECONDS
    while slow:
        assert time.monotonic() < end
        time.sleep(0.1)
        for link in [*slow]:
            try:
                link.sendall(b"a")  # a byte now and then does not help
                link.settimeout(0.01)
                cut = link.recv(1) == b""
            except TimeoutError:
                cut = False
            except OSError:
                cut = True
            if cut:
                link.close()
                slow.remove(link)


def test_who_takes_no_answer_is_cut_off(serve, state):
    for number in range(KEPT_EVENTS):
        state.hear(Round(row(number, extra="x" * 20_000)))
    page = serve(state, ANSWER_SECONDS=0.5)
    with socket.create_connection(("127.0.0.1", page.port), 10) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(b"GET /events.json HTTP/1.0\r\n\r\n")
        wait(lambda: page._server._open)
        wait(lambda: not page._server._open)


def test_there_are_never_more_threads_than_it_says(serve, state):
    page = serve(state, THREADS=4, STRANGER_THREADS=1, REQUEST_SECONDS=60.0)
    links = [socket.create_connection(("127.0.0.1", page.port), 10) for _ in range(12)]
    assert sum(link.recv(1) == b"" for link in links[3:]) == 9  # sent away at once
    assert len(page._server._open) == 3
    for link in links:
        link.close()
    wait(lambda: not page._server._open)
    assert ask(page)[0].status == 200


def test_two_clients_each_get_all_events(serve, state):
    page = serve(state, THREADS=1000)  # those that have answered may be slow to end
    got = {}

    def follow(name):
        since, got[name] = 0, []
        until = time.monotonic() + 20
        while len(got[name]) < 102 and time.monotonic() < until:
            answer = json.loads(ask(page, f"/events.json?since={since}")[1])
            got[name] += answer["events"]
            since = answer["next"]

    threads = [threading.Thread(target=follow, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for number in range(100):
        state.hear(Round(row(number)))
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert [event["row"]["round"] for event in got["a"] if event["kind"] == "Round"] == list(range(100))
    assert got["a"] == got["b"]


def test_close_ends_all_threads_and_frees_the_port(serve, state):
    before = set(threading.enumerate())
    page = serve(state, REQUEST_SECONDS=60.0)
    links = [socket.create_connection(("127.0.0.1", page.port), 10) for _ in range(3)]
    wait(lambda: len(set(threading.enumerate()) - before) == 4)
    began = time.monotonic()
    page.close()
    page.close()
    assert time.monotonic() - began < 10  # no request is waited for
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", page.port), 5)
    for link in links:
        link.close()
    PageServer(state, "127.0.0.1", []).close()  # never started


def test_a_page_is_made_once_for_many(serve, state, monkeypatch):
    calls = []
    render = markup.render
    monkeypatch.setattr(markup, "render", lambda snapshot: (calls.append(1), render(snapshot))[1])
    page = serve(state, FRESH_SECONDS=60.0)
    assert ask(page)[1] == ask(page)[1]
    assert len(calls) == 1


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
    for part in "validation 0.125", "validation 80.00 %", "of 10", "11 ms", "9.09 k samples/s":
        assert part in text
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


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_a_browser_takes_over_what_is_new(serve, state, tmp_path, monkeypatch):
    """The script runs under the policy, and a hostile name does not."""
    asked, render = [], markup.render

    def later(snapshot):
        asked.append(snapshot)
        state.hear(Round(row(len(asked))))
        return render(snapshot)

    monkeypatch.setattr(markup, "render", later)
    state.set_workers([worker(0, host=NASTY)])
    page = serve(state, FRESH_SECONDS=0.0)
    dom = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom",
         "--virtual-time-budget=7000", f"http://127.0.0.1:{page.port}/"],
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    assert len(asked) >= 2
    assert re.search(r"<title>[2-9] of 10 · hdl</title>", dom)  # 0 of 10 when it was loaded
    assert dom.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in dom
