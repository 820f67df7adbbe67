"""Control messages: who may speak, to whom, as whom; and that nobody else can read, write or break anything."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

import zmq

from hdl.errors import SpecError
from hdl.yarn.comm import control
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials

SECONDS = 120.0  # that something expected may take on a busy machine
SHORT = 0.4  # s in which something forbidden would have come through


@pytest.fixture(scope="module")
def credentials():
    return Credentials.make()


def keys(credentials, name):
    return WorkerCredentials.from_dict(credentials.worker(name))


@pytest.fixture
def server(credentials):
    server = Server(credentials, "127.0.0.1")
    server.admit("good")
    yield server
    server.close()


@pytest.fixture
def good(credentials, server):
    """A legitimate worker: `good()` is one whole exchange, whatever others do."""
    client = Client(keys(credentials, "good"), server.address)
    count = iter(range(1000))

    def exchange():
        number = next(count)
        assert client.send({"ask": number})
        assert server.receive(SECONDS) == ("good", {"ask": number})
        assert server.send("good", {"answer": number})
        assert client.receive(SECONDS) == {"answer": number}

    exchange()
    yield exchange
    client.close()


@pytest.fixture
def raw(server):
    """ZeroMQ sockets without our code: `raw(identity=…, public=…, secret=…, server=…)`."""
    context = zmq.Context()

    def connect(identity=None, pair=None, master=None, kind=zmq.DEALER):
        client = context.socket(kind)
        client.linger = 0
        if identity:
            client.routing_id = identity
        if pair:
            client.curve_publickey, client.curve_secretkey = pair
            client.curve_serverkey = master
        client.connect(server.address)
        return client

    yield connect
    context.destroy(linger=0)


def hears(client, seconds=SHORT):
    return bool(client.poll(seconds * 1000))


def drops(server, expected):
    """Nothing comes through until all of these have been dropped, nor for a moment afterwards."""
    end = time.monotonic() + SECONDS
    while server.dropped != expected and time.monotonic() < end:
        assert server.receive(0.05) is None
    assert server.receive(SHORT) is None
    assert server.dropped == expected


def test_an_exchange_with_one_of_two_channels(credentials, server, good):
    beat = Client(keys(credentials, "good"), server.address, "beat")
    beat.send({"beat": 1})
    assert server.receive(SECONDS) == ("good", {"beat": 1})
    good()  # the answer goes to the working channel
    assert beat.receive(0) is None
    beat.close()


def test_whoever_is_not_there_cannot_be_sent_to(credentials, server):
    assert server.send("good", {}) is False
    assert server.send("nobody", {}) is False
    with pytest.raises(SpecError, match="channel"):
        Client(keys(credentials, "good"), server.address, "other")


# --- strangers --------------------------------------------------------------------------------------------------------


def test_no_key(server, good, raw):
    for kind in (zmq.DEALER, zmq.REQ):
        stranger = raw(identity=b"good/work", kind=kind)
        stranger.send(b'{"a":1}', zmq.NOBLOCK) if kind == zmq.DEALER else None
        assert server.receive(SHORT) is None
        good()
        assert not hears(stranger)


@pytest.mark.parametrize("which", ["made up", "another application's", "refused", "not yet admitted", "wrong server"])
def test_a_key_that_is_not_on_the_list(credentials, server, good, raw, which):
    name = "other"
    pair, master = credentials.curve(name), credentials.curve("master")[0]
    if which == "made up":
        pair = zmq.curve_keypair()
    elif which == "another application's":
        pair = Credentials.make().curve("good")
    elif which == "refused":
        server.admit(name)
        server.refuse(name)
    elif which == "wrong server":  # who listens must prove who it is, too
        server.admit(name)
        master = Credentials.make().curve("master")[0]
    for identity in (credentials.identity(name, "work"), credentials.identity("good", "work")):
        stranger = raw(identity, pair, master)
        stranger.send(b'{"a":1}')
        assert server.receive(SHORT) is None
        assert server.send(name, {"secret": 1}) is False
        good()
        assert not hears(stranger, 0.1)
        stranger.close()
    assert not server.dropped


def test_admitted_later_gets_through_by_itself(credentials, server, good):
    late = Client(keys(credentials, "late"), server.address)
    late.send({"late": 1})
    assert server.receive(SHORT) is None
    server.admit("late")
    assert server.receive(SECONDS) == ("late", {"late": 1})
    assert server.send("late", {"welcome": 1})
    assert late.receive(SECONDS) == {"welcome": 1}
    late.close()
    good()


def test_revoked_after_it_was_admitted(credentials, server, good):
    server.admit("bad")
    bad = Client(keys(credentials, "bad"), server.address)
    bad.send({"a": 1})
    assert server.receive(SECONDS) == ("bad", {"a": 1})
    server.refuse("bad")
    assert server.send("bad", {"a": 2}) is False
    for _ in range(10):
        bad.send({"a": 3})
    drops(server, {"refused": 10})
    good()
    bad.connect(server.address)  # and coming back does not help
    bad.send({"a": 4})
    assert server.receive(SHORT) is None
    assert bad.receive(0) is None
    bad.close()
    good()


def test_a_member_cannot_take_anothers_name(credentials, server, good, raw):
    server.admit("bad")
    pair, master = credentials.curve("bad"), credentials.curve("master")[0]
    own = keys(credentials, "bad").identity("work")
    for count, identity in enumerate((b"good/work", b"good", b"good/beat", None, own.replace(b"bad", b"good")), 1):
        bad = raw(identity, pair, master)
        bad.send(b'{"a":1}')
        drops(server, {"identity": count})
        good()
        assert not hears(bad, 0.1)
        bad.close()
    bad = Client(replace(keys(credentials, "bad"), name="good"), server.address)  # our own code, told another name
    bad.send({"a": 1})
    assert server.receive(SHORT) is None
    good()
    assert bad.receive(0) is None
    bad.close()


@pytest.mark.parametrize(
    "garbage",
    [b"", b"GET / HTTP/1.1\r\n\r\n" * 50, os.urandom(5000), b"\xff" + bytes(8) + b"\x7f", b"\x00" * 4096,
     b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32),
     b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + bytes(32) + b"\x04\x19\x05READY",
     b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32) + b"\x04\xc8\x05HELLO\x01\x00" + bytes(193),
     b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32) + b"\x02" + b"\xff" * 8 + b"x" * 100,
     b"\x01\x00\x01\x00", b"\xff" + bytes(7) + b"\x01\x7f\x01\x06\x00\x00"],
    ids=["silence", "http", "noise", "greeting", "zeros", "half", "null", "hello", "huge", "zmtp1", "zmtp2"],
)  # fmt: skip
def test_garbage_and_silence(server, good, garbage):
    host, _, port = server.address.removeprefix("tcp://").partition(":")
    peers = [socket.create_connection((host, int(port))) for _ in range(20)]
    for peer in peers:
        peer.sendall(garbage)
    good()
    assert server.receive(0.1) is None
    for peer in peers:
        peer.close()
    good()


def test_an_unfinished_handshake_is_cut_off(credentials, monkeypatch):
    monkeypatch.setattr(control, "_HANDSHAKE", 300)
    server = Server(credentials, "127.0.0.1")
    host, _, port = server.address.removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as peer:
        peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32))
        said = bytearray()
        while piece := peer.recv(100):
            said += piece
        assert len(said) == 64  # its own greeting, and nothing more
    server.close()


STARVED = """
import base64, json, os, resource, sys
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials
keys = {name: base64.b64decode(value) for name, value in json.loads(sys.stdin.readline()).items()}
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
server, taken = Server(Credentials.from_dict(keys), "127.0.0.1"), []
server.admit("good")
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    print(server.address, flush=True)
sys.stdin.readline()
for each in taken[: len(taken) // 2]:
    os.close(each)
print(server.receive(20.0), dict(server.refused), flush=True)
server.close()
"""


def _answers(peer):
    peer.settimeout(SECONDS)
    try:
        return bool(peer.recv(1))
    except ConnectionResetError:
        return False


def test_a_process_without_descriptors_outlives_a_crowd_and_serves_when_it_has_some(credentials):
    """ZeroMQ ends a process in which it cannot accept: it is never asked to."""
    words, pipe = [sys.executable, "-c", STARVED], subprocess.PIPE
    given = {name: base64.b64encode(value).decode() for name, value in credentials.to_dict().items()}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        child.stdin.write(json.dumps(given) + "\n")
        child.stdin.flush()
        address = child.stdout.readline().strip()
        host, _, port = address.removeprefix("tcp://").partition(":")
        peers = [socket.create_connection((host, int(port))) for _ in range(60)]
        for peer in peers:
            peer.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32))
        ended = sum(not _answers(peer) for peer in peers[:20])
        client = Client(keys(credentials, "good"), address)
        client.send({"in": 1})
        child.stdin.write("\n")
        child.stdin.flush()
        out, said = child.communicate(timeout=2 * SECONDS)
        client.close()
        for peer in peers:
            peer.close()
    assert child.returncode == 0, said
    assert "('good', {'in': 1})" in out
    assert ended > 0
    assert "{}" not in out
