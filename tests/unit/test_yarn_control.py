"""Control messages: who may speak, to whom, as whom; and that nobody else can read, write or break anything."""

import base64
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

import zmq

from hdl.errors import SpecError, WorkerError
from hdl.yarn.comm import control
from hdl.yarn.comm.control import MAX_BYTES, Client, MessageError, pack, unpack
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


# --- members that misbehave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"1", b"null", b"\xff", b'{"a":', b"[" * MAX_BYTES, b'{"a":' * 150000, b'"' + b"x" * 1000,
     b'{"a":' + b"9" * 10000 + b"}", b"\x80\x04\x95"],
    ids=range(12),
)  # fmt: skip
def test_malformed_messages_are_counted_and_dropped(credentials, server, good, raw, content):
    with pytest.raises(MessageError):
        unpack(content)
    server.admit("odd")
    odd = raw(credentials.identity("odd", "work"), credentials.curve("odd"), credentials.curve("master")[0])
    odd.send(content)
    assert server.receive(SHORT / 2) is None
    for parts in ([b"{}", b"{}"], [b"{}"] * 20):
        odd.send_multipart(parts)
    odd.send(b'{"good":1}')
    assert server.receive(SECONDS) == ("odd", {"good": 1})
    assert server.dropped == {"malformed": 3}
    good()


def test_an_oversized_message_is_not_even_taken_in(credentials, server, good, raw):
    server.admit("odd")
    odd = raw(credentials.identity("odd", "work"), credentials.curve("odd"), credentials.curve("master")[0])
    odd.send(b'{"a":"' + b"x" * (MAX_BYTES + 1000) + b'"}')
    assert server.receive(SHORT) is None
    assert not server.dropped
    good()
    odd.send(b'{"good":1}')  # its connection was ended, and made again
    assert server.receive(SECONDS) == ("odd", {"good": 1})
    with pytest.raises(MessageError, match="at most"):
        pack({"a": "x" * MAX_BYTES})
    with pytest.raises(MessageError, match="at most"):
        unpack(b" " * (MAX_BYTES + 1))


def test_a_flood_of_what_is_dropped_ends_no_deadline(credentials, server, good):
    server.admit("flood")
    flood, ended = Client(keys(credentials, "flood"), server.address), threading.Event()
    flood.send({})
    assert server.receive(SECONDS)
    server.refuse("flood")

    def run():
        while not ended.is_set():
            flood.send({"x": 1})

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert server.receive(0.2) is None  # what is refused keeps nobody
        for _ in range(3):
            good()
    finally:
        ended.set()
        thread.join()
        flood.close()


# --- addresses, threads, ends -----------------------------------------------------------------------------------------


def test_the_address_is_of_the_given_host_alone(credentials):
    server = Server(credentials, "localhost")
    assert server.address.startswith("tcp://localhost:")
    port = int(server.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))
    server.close()
    server.close()
    with pytest.raises(WorkerError, match=r"no\.such\.host\.invalid"):
        Server(credentials, "no.such.host.invalid")
    with pytest.raises(WorkerError, match=r"192\.0\.2\.1"):
        Server(credentials, "192.0.2.1")


def test_a_second_master_has_the_same_keys(credentials):
    first = Server(credentials, "127.0.0.1")
    first.admit("a")
    client = Client(keys(credentials, "a"), first.address)
    client.send({"n": 1})
    assert first.receive(SECONDS) == ("a", {"n": 1})
    first.close()
    assert client.send({"n": 2})  # to nobody
    second = Server(Credentials.from_dict(credentials.to_dict()), "127.0.0.1")
    second.admit("a")
    client.connect(second.address)
    client.send({"n": 3})
    assert second.receive(SECONDS) == ("a", {"n": 3})
    assert second.send("a", {"n": 4})
    assert client.receive(SECONDS) == {"n": 4}
    client.close()
    second.close()


def test_a_worker_that_comes_back_takes_its_own_place(credentials, server):
    for number in range(3):
        client = Client(keys(credentials, "good"), server.address)
        client.send({"n": number})
        assert server.receive(SECONDS) == ("good", {"n": number})
        assert server.send("good", {"n": number})
        assert client.receive(SECONDS) == {"n": number}
        client._socket.close(0)  # no farewell
        client._socket = None


def test_one_thread_receives_while_others_send(credentials, server):
    """Nothing is missed, and nobody waits for a poll to end."""
    names = [f"w{n}" for n in range(4)]
    for name in names:
        server.admit(name)
    rounds, seen, finished = 200, dict.fromkeys(names, 0), []

    def work(name):
        client = Client(keys(credentials, name), server.address)
        client.send({"n": -1})
        for number in range(rounds):
            if client.receive(SECONDS) != {"n": number}:
                return
            client.send({"n": number})
        finished.append(name)
        client.close()

    threads = [threading.Thread(target=work, args=[name]) for name in names]
    queues = {name: threading.Semaphore(0) for name in names}

    def tell(name):
        for number in range(rounds):
            assert queues[name].acquire(timeout=SECONDS)
            assert server.send(name, {"n": number})

    threads += [threading.Thread(target=tell, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for _ in range((rounds + 1) * len(names)):
        name, fields = server.receive(SECONDS)
        assert fields["n"] == seen[name] - 1
        seen[name] += 1
        queues[name].release()
    for thread in threads:
        thread.join(SECONDS)
    assert sorted(finished) == names


def test_the_client_can_be_waited_for_with_a_selector(credentials, server):
    client = Client(keys(credentials, "good"), server.address)
    client.send({})
    assert server.receive(SECONDS)
    until, received = time.monotonic() + SECONDS, None
    threading.Timer(0.3, server.send, ["good", {"now": 1}]).start()
    while received is None and time.monotonic() < until:
        received = client.receive(0)
        if received is None:
            select.select([client], [], [], until - time.monotonic())
    assert received == {"now": 1}
    client.close()


def test_closing_sends_what_was_said_last_and_never_hangs(credentials, server):
    client = Client(keys(credentials, "good"), server.address)
    client.send({})
    assert server.receive(SECONDS)
    client.send({"last": 1})
    client.close()
    client.close()
    assert server.receive(SECONDS) == ("good", {"last": 1})
    lonely = Client(keys(credentials, "good"), "tcp://127.0.0.1:1")
    for _ in range(1100):
        sent = lonely.send({"to": "nobody"})
    assert sent is False
    lonely.close()
    with pytest.raises(WorkerError, match="nonsense"):
        Client(keys(credentials, "good"), "nonsense")


def test_messages_are_plain_json():
    assert json.loads(pack({"ä": [1.5, None, "x"]})) == {"ä": [1.5, None, "x"]}
    assert unpack(pack({"a": {"b": [1, 2]}})) == {"a": {"b": [1, 2]}}
