"""Control messages: members that misbehave, addresses, threads and ends."""

# ruff: noqa: F811  (fixtures are imported)

import json
import select
import socket
import threading
import time

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")


from hdl.errors import WorkerError
from hdl.yarn.comm.control import MAX_BYTES, Client, MessageError, pack, unpack
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials
from tests.unit.test_yarn_control import SECONDS, SHORT, credentials, drops, good, hears, keys, raw, server  # noqa: F401

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
