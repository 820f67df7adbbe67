"""The ports of master and workers: whatever bytes come, the connection ends, and those who may come get in after it."""

import queue
import socket
import threading

import pytest

from hdl.yarn.comm import tls
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials
from tests.fuzz import mutations

SECONDS = 120.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + bytes(32)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(193)
ZMTP = [
    GREETING, GREETING + HELLO, GREETING[:10], GREETING.replace(b"CURVE", b"NULL\0") + b"\x04\x19\x05READY" + bytes(19),
    GREETING + b"\x06" + (1 << 62).to_bytes(8, "big"), b"\x01\x00", b"GET / HTTP/1.1\r\n\r\n",
]  # fmt: skip
RECORDS = [
    b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03" + bytes(32) + b"\x00\x00\x02\x13\x01\x01\x00\x00\x02\x00\x00",
    b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\xff\xff", b"GET / HTTP/1.1\r\n\r\n",
]  # fmt: skip


@pytest.fixture
def raised(monkeypatch):
    """What threads have raised."""
    values = []
    monkeypatch.setattr(threading, "excepthook", lambda thrown: values.append(thrown.exc_value))
    return values


def say(port, content):
    """Say it, and nothing more: the other side answers and ends the connection."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
        try:
            peer.sendall(content)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(1 << 16):
                pass
        except TimeoutError:
            raise
        except OSError:  # it was quicker to end it
            pass


def test_raw_bytes_on_the_control_port(fuzz, raised):
    credentials = Credentials.make()
    server = Server(credentials, "127.0.0.1")
    server.admit("good")
    port = int(server.address.rpartition(":")[2])
    try:
        fuzz(lambda content: say(port, content), mutations.bytes_of(ZMTP), ZMTP, errors=(), share=0.3)
        client = Client(WorkerCredentials.from_dict(credentials.worker("good")), server.address)
        client.send({"in": 1})
        assert server.receive(SECONDS) == ("good", {"in": 1})
        client.close()
    finally:
        server.close()
    assert not raised


def test_raw_bytes_on_the_port_for_weights(fuzz, raised):
    credentials, came = Credentials.make(), queue.SimpleQueue()
    listener = tls.Listener(credentials.tls(server=True), "127.0.0.1", lambda channel, hello: came.put(hello))
    port = listener.address[1]
    try:
        fuzz(lambda content: say(port, content), mutations.bytes_of(RECORDS), RECORDS, errors=(), share=0.3)
        tls.connect(credentials.tls(server=False), listener.address, {"purpose": "watch"}, SECONDS).close()
        assert came.get(timeout=SECONDS) == {"purpose": "watch"}
    finally:
        listener.close()
    assert came.empty()
    assert not raised
