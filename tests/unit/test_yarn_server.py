"""The live page's server: it takes nothing, only the proxy may ask, and nobody can hold it up."""

import json
import re
import select
import shutil
import socket
import subprocess
import threading
import time
from http.client import HTTPConnection

import pytest

from hdl.driver import Round
from hdl.yarn.dashboard import allowed, markup, server
from hdl.yarn.dashboard.assets import policy_hash
from hdl.yarn.dashboard.server import PageServer
from hdl.yarn.dashboard.state import KEPT_EVENTS
from tests.unit.dashboard import NASTY, begun_state, row, worker

SECONDS = 120.0  # that something expected may take on a busy machine


@pytest.fixture
def state():
    return begun_state()


@pytest.fixture
def serve(monkeypatch):
    """A running page; what a test makes short is short."""
    made = []

    def start(state, allowed=(), refusal=None, **constants):
        for name, value in constants.items():
            monkeypatch.setattr(server, name, value)
        page = PageServer(state, "127.0.0.1", allowed, refusal)
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


def ask(page, path="/", method="GET", body=None, **headers):
    connection = HTTPConnection("127.0.0.1", page.port, timeout=SECONDS)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read().decode()


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


def raw(page, sent, timeout=SECONDS):
    """Send some bytes and return the answer, until the connection ends."""
    with socket.create_connection(("127.0.0.1", page.port), timeout) as link:
        link.sendall(sent)
        chunks = []
        try:
            while chunk := link.recv(1 << 16):
                chunks.append(chunk)
        except ConnectionResetError:
            pass
        return b"".join(chunks)


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
        socket.create_connection(("127.0.0.2", page.port), SECONDS)


def test_slow_clients_hold_up_nobody(serve, state):
    page = serve(state, REQUEST_SECONDS=60.0)
    slow = [socket.create_connection(("127.0.0.1", page.port), SECONDS) for _ in range(5)]
    for link in slow:
        link.sendall(b"GET / HT")
    assert ask(page)[0].status == 200
    assert len(page._server._open) >= 5  # nobody was cut off for it
    for link in slow:
        link.close()


def test_slow_clients_are_cut_off(serve, state):
    page = serve(state, REQUEST_SECONDS=1.0)
    slow = [socket.create_connection(("127.0.0.1", page.port), SECONDS) for _ in range(5)]
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
    with socket.create_connection(("127.0.0.1", page.port), SECONDS) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(b"GET /events.json HTTP/1.0\r\n\r\n")
        assert select.select([link], [], [], SECONDS)[0], "no answer has begun"
        wait(lambda: not page._server._open)


def test_there_are_never_more_threads_than_it_says(serve, state):
    page = serve(state, THREADS=4, STRANGER_THREADS=1, REQUEST_SECONDS=60.0)
    links = [socket.create_connection(("127.0.0.1", page.port), SECONDS) for _ in range(12)]
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
        until = time.monotonic() + SECONDS
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
    links = [socket.create_connection(("127.0.0.1", page.port), SECONDS) for _ in range(3)]
    wait(lambda: len(set(threading.enumerate()) - before) == 4)
    page.close()  # waits for no request
    page.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", page.port), SECONDS)
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
        capture_output=True, text=True, timeout=250,
    ).stdout  # fmt: skip
    assert len(asked) >= 2
    assert re.search(r"<title>[2-9] of 10 · hdl</title>", dom)  # 0 of 10 when it was loaded
    assert dom.count("<script") == 1
    assert "&lt;script&gt;alert(1)" in dom


def told_of(user):
    """Refuse everybody but ada, in a sentence."""
    return "" if user == "ada" else f"{user or 'nobody'} may not look"


@pytest.mark.parametrize("path", ["/", "/status.json", "/events.json?since=0", "/nowhere"])
@pytest.mark.parametrize(
    ("cookie", "who"),
    [
        ("proxy-user=ada", "ada"), ("a=b; proxy-user=ada; c=d", "ada"), ('proxy-user="ada"', "ada"),
        ("proxy-user=b%6Fb", "bob"), ("proxy-user=dr.who", "dr.who"), ("", "nobody"), ("proxy-user=", "nobody"),
        ("xproxy-user=ada", "nobody"), ("proxy-user=bob; proxy-user=ada", "nobody"), ("user=ada", "nobody"),
        ("proxy-user=Ada", "Ada"), ("proxy-user=ada%20", "ada "),
    ],
)  # fmt: skip
def test_who_the_proxy_asks_for_is_judged(serve, state, path, cookie, who):
    answer, text = ask(serve(state, ["127.0.0.1"], told_of), path, Cookie=cookie)
    if who == "ada":
        assert answer.status == (404 if path == "/nowhere" else 200)
    else:
        assert (answer.status, text) == (403, f"{who} may not look\n")
        assert answer.headers["Content-Type"].startswith("text/plain")


def test_where_it_matters_who_asks_this_machine_is_nobodys_proxy(serve, state):
    """Anybody on it could say to be ada: YARN's proxy may, which tells who its users have proved to be."""
    answer, text = ask(serve(state, ["127.0.0.2"], told_of), Cookie="proxy-user=ada")
    assert answer.status == 403
    assert text.startswith("Only YARN's proxy may ask here.")
    assert ask(serve(state, ["127.0.0.2"]))[0].status == 200
