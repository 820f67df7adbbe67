"""The page's socket: whatever bytes come, they end in one whole answer or in the connection's end, and it lives on."""

import socket
import threading

import pytest

from hdl.yarn.dashboard.server import REQUEST_BYTES, PageServer
from hdl.yarn.dashboard.state import State
from tests.fuzz import mutations

SECONDS = 120.0
HOST = b"Host: node:4000\r\nCookie: proxy-user=ada; a=b\r\nAccept: */*\r\n\r\n"
CORPUS = [
    b"GET / HTTP/1.1\r\n" + HOST,
    b"HEAD /status.json HTTP/1.0\r\n" + HOST,
    b"GET /events.json?since=17&x=%20%ff HTTP/1.1\r\n" + HOST,
    b"GET http://[::1]:80/status.json HTTP/1.1\r\n" + HOST,
    b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /\n\n",
    b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
]
STRANGE = [
    b"", b"\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 3000 + b"\r\n", b"GET / HTTP/1.1\r\n" + b"a" * 15_000 + b"\r\n\r\n",
    b"GET http://[ HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.999999999999999999999\r\n\r\n",
    b"GET /events.json?since=" + b"9" * 5000 + b" HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /events.json?" + b"&" * 10_000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" + b"\n\n",
]  # fmt: skip


@pytest.fixture
def page(monkeypatch):
    """A page, and what its threads have raised."""
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda thrown: raised.append(thrown.exc_value))
    served = PageServer(State("application_1_0001", {"data": "d"}), "127.0.0.1", [])
    served.start()
    yield served.port, raised
    served.close()


def test_raw_bytes_end_in_an_answer_or_in_the_connections_end(fuzz, page):
    port, raised = page

    def ask(content):
        with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
            answer = bytearray()
            try:
                peer.sendall(content)
                peer.shutdown(socket.SHUT_WR)
                while piece := peer.recv(1 << 16):
                    answer += piece
            except TimeoutError:
                raise
            except OSError:  # it has ended it before it had read all
                pass
        assert not raised, raised
        if answer and not content.startswith(b"HEAD"):
            head, _, body = bytes(answer).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.0 ")
            assert f"Content-Length: {len(body)}".encode() in head or b"HEAD" in content
        whole = b"\r\n\r\n" in content[:REQUEST_BYTES]
        return bool(answer) or not whole

    assert ask(CORPUS[0])
    fuzz(ask, mutations.bytes_of(CORPUS), [*CORPUS, *STRANGE], errors=())
    assert ask(CORPUS[0])
