"""YARN's pages read by plain requests: each answer, slow servers, and what is left to Hadoop's own client."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from hdl.yarn.api.interface import Unable
from hdl.yarn.client import pages, web
from hdl.yarn.client.pages import NoPage, Pages


class Request(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.path, self.headers.get("Cookie")))
        self.server.paths[self.path](self)

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Request)
    made.daemon_threads = True
    made.paths, made.seen, made.over = {}, [], threading.Event()
    made.url = f"http://127.0.0.1:{made.server_port}"
    threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
    yield made
    made.over.set()
    made.shutdown()
    made.server_close()


def answering(*arguments, **headers):
    return lambda request: request.answer(*arguments, **headers)


def test_a_page_of_yarns_proxy_is_read(server):
    server.paths["/proxy/application_1_0001/x?since=1"] = answering(200, '{"name": "Zoë"}'.encode())
    assert Pages().read_json(f"{server.url}/proxy/application_1_0001/x?since=1", 20) == {"name": "Zoë"}
    assert server.seen[0][1] == "checked_application_1_0001=true"


def test_a_redirect_is_followed(server):
    server.paths |= {"/a": answering(307, Location="/b"), "/b": answering(200, b"[3]")}
    assert Pages().read_json(f"{server.url}/a", 20) == [3]


@pytest.mark.parametrize(
    ("answer", "said", "lasting"),
    [
        (answering(503), "/x answers 503", False),
        (answering(200, b"<html>"), "/x is no JSON but a page for people", False),
        (answering(403, b"ask\nada", Content_Type="text/plain"), "ask ada", True),
        (answering(401, WWW_Authenticate="Basic realm=x"), "a sign-in that hdl does not know (Basic)", True),
        (answering(302, Location="/x"), "sends from one page to the next, 5 times", True),
        (answering(302, Location="file:///etc/passwd"), "which is not as safe", True),
        (lambda request: request.wfile.write(b"no HTTP at all\r\n\r\n"), "does not answer: no HTTP at all", False),
        (lambda request: None, "does not answer: ", False),
    ],
)
def test_why_there_is_no_page_is_one_sentence(server, answer, said, lasting):
    server.paths["/x"] = answer
    with pytest.raises(NoPage) as caught:
        Pages().read_json(f"{server.url}/x", 20)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.lasting is lasting


def test_nobody_there():
    with pytest.raises(NoPage, match=r"^http://127\.0\.0\.1:1 does not answer: Connection refused$"):
        Pages().read_json("http://127.0.0.1:1/", 20)


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.0 200 OK\r\n\r\n"], ids=["never", "head", "body"]
)
def test_a_slow_server_holds_nobody_up(server, sent):
    def trickle(request):
        request.wfile.write(sent)
        while sent and not request.server.over.wait(0.1):
            request.wfile.write(b" " if sent.endswith(b"\n\r\n") else b"A: b\r\n")
        request.server.over.wait(60)

    server.paths["/x"] = trickle
    with pytest.raises(NoPage, match=f"^{server.url} does not answer within 0.5 s$"):
        Pages().read_json(f"{server.url}/x", 0.5)  # the server would go on until the test ends, which waits for this


def test_a_page_without_an_end_is_cut(server, monkeypatch):
    monkeypatch.setattr(pages, "PAGE_BYTES", 1 << 20)
    server.paths["/x"] = answering(200, b" " * (1 << 21))
    with pytest.raises(NoPage, match="/x holds more than 1 MiB"):
        Pages().read_json(f"{server.url}/x", 20)


def test_who_signs_in_or_has_a_certificate_is_left_to_hadoops_client(server, monkeypatch):
    server.paths |= {"/x": answering(401, WWW_Authenticate="Negotiate"), "/y": answering(302, Location="https://x/")}
    for path in server.paths:
        with pytest.raises(Unable):
            Pages().read_json(server.url + path, 20)
    read = []
    java = SimpleNamespace(read_json=lambda url, seconds: read.append(url) or "Java's")
    monkeypatch.setattr(web, "_by_java", lambda: java)
    monkeypatch.setattr(web.choice, "yarn", lambda: SimpleNamespace(native=True))
    assert web.read_json(f"{server.url}/x") == "Java's"
    server.paths["/z"] = answering(200, b"1")
    assert (web.read_json(f"{server.url}/z"), len(read)) == (1, 1)
    monkeypatch.setattr(web.choice, "yarn", lambda: SimpleNamespace(native=False))
    assert web.read_json(f"{server.url}/z") == "Java's"
