"""Channels between workers: members that misbehave, deadlines and addresses."""

# ruff: noqa: F811  (fixtures are imported)

import json
import socket
import threading
import time
from contextlib import suppress

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

from hdl import wire
from hdl.errors import DeadlineError, WorkerError
from hdl.runners import frames
from hdl.yarn.comm import channel as channels
from hdl.yarn.comm import tls
from tests.unit.test_yarn_tls import HELLO, SECONDS, context, credentials, good, knock, listener, silent, until  # noqa: F401

# --- members that misbehave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [b"\xff" * 8, (tls.HELLO_BYTES + 1).to_bytes(8, "little"), b"\x02" + bytes(7) + b"[]", b"\1" + bytes(7) + b"{",
     bytes(8), b"\x05" + bytes(7) + b"{}",
     (60000).to_bytes(8, "little") + b"[" * 60000, b"\3" + bytes(7) + b"\xff\xfe\xfd"],
    ids=["endless", "long", "list", "broken", "empty", "half", "deep", "binary"],
)  # fmt: skip
def test_a_wrong_hello(context, listener, good, frame):
    with channels.Channel(knock(listener), context) as channel:
        channel.do_handshake(time.monotonic() + SECONDS)
        channel.sendall(frame)
        channel.settimeout(SECONDS)
        with suppress(EOFError, OSError):
            answer = json.loads(frames.receive(channel, tls.HELLO_BYTES))
            assert "error" in answer
            assert channel.recv(1) == b""
    until(lambda: sum(listener.refused.values()) == 1)
    assert listener.refused == {"slow" if frame.endswith(b"{}") else "hello": 1}
    good()


def test_a_hello_that_is_turned_away_says_why(context, listener, good):
    with pytest.raises(WorkerError, match=f"{listener.address[1]} turned the connection away: generation 3 is over"):
        tls.connect(context, listener.address, {"problem": "generation 3 is over"}, SECONDS)
    until(lambda: listener.refused == {"hello": 1})
    good()


def test_a_frame_beyond_the_limit_is_not_read(credentials, context):
    errors = []

    def taker(channel, hello):
        try:
            frames.receive(channel, 1000)
        except wire.WireError as error:
            errors.append(str(error))
            raise

    listener = tls.Listener(credentials.tls(True), "127.0.0.1", taker)
    with tls.connect(context, listener.address, {}, SECONDS) as channel:
        channel.sendall((1 << 60).to_bytes(8, "little"))
        with suppress(ConnectionError):
            assert channel.recv(1) == b""
    assert errors == [f"a message of {1 << 60} bytes; expected at most 1000"]
    assert listener.refused == {"lost": 1}
    listener.close()


def test_a_member_that_ends_in_the_midst_of_a_message(context, listener, good):
    with tls.connect(context, listener.address, HELLO, SECONDS) as channel:
        channel.sendall((1000).to_bytes(8, "little") + b"x" * 10)
    until(lambda: len(listener.heard) == 2)
    good()


def test_bytes_changed_on_the_way_are_noticed(credentials, context, listener):
    """A proxy between the two changes one bit of the tenth record."""
    with socket.create_server(("127.0.0.1", 0)) as between:

        def carry():
            inner, outer = socket.create_connection(listener.address), between.accept()[0]

            def back():
                with suppress(OSError):
                    while piece := inner.recv(1 << 16):
                        outer.sendall(piece)

            threading.Thread(target=back, daemon=True).start()
            seen = 0
            with suppress(OSError), inner, outer:
                while piece := bytearray(outer.recv(1 << 16)):
                    if seen <= 50_000 < seen + len(piece):
                        piece[50_000 - seen] ^= 1
                    seen += len(piece)
                    inner.sendall(piece)

        threading.Thread(target=carry, daemon=True).start()
        channel = tls.connect(context, between.getsockname(), HELLO, SECONDS)
        with channel:
            with suppress(OSError):
                frames.send(channel, bytes(200_000))
            with pytest.raises((OSError, EOFError)):
                frames.receive(channel)


def test_ending_a_channel_never_makes_it_one_of_plain_text(credentials, context):
    """Python's own SSLSocket forgets its encryption first, and then another thread's bytes leave as they are."""
    ours, theirs = socket.socketpair()
    raw, until = theirs.dup(), time.monotonic() + SECONDS
    accepted = channels.Channel(theirs, credentials.tls(True), server=True)
    server = threading.Thread(target=accepted.do_handshake, args=[until])
    server.start()
    with channels.Channel(ours, context) as channel, accepted, raw:
        channel.do_handshake(until)
        server.join(SECONDS)
        channel.shutdown(socket.SHUT_RD)
        channel.sendall(b"these weights are secret")
        heard = raw.recv(1000)
        assert heard
        assert b"secret" not in heard
        channel.close()
        with pytest.raises(OSError, match="Bad file descriptor"):
            channel.sendall(b"these weights are secret")
        assert raw.recv(1000) == b""


# --- deadlines and addresses ------------------------------------------------------------------------------------------


def test_nobody_listens(context):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with pytest.raises(WorkerError, match=rf"cannot connect to 127\.0\.0\.1:{address[1]}"):
        tls.connect(context, address, HELLO, SECONDS)
    with pytest.raises(WorkerError, match=r"no\.such\.host\.invalid:1"):
        tls.connect(context, ("no.such.host.invalid", 1), HELLO, SECONDS)


def test_one_that_accepts_and_says_nothing(context):
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(DeadlineError, match=rf":{mute.getsockname()[1]} has not answered within 0\.3 s"),
    ):
        tls.connect(context, mute.getsockname(), HELLO, 0.3)


def test_a_message_has_a_deadline_as_a_whole():
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip():
        theirs.sendall((1000).to_bytes(8, "little"))
        while not stop.wait(0.05):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(TimeoutError):  # and not once the last byte is there
        frames.receive(ours, until=time.monotonic() + 0.4)
    stop.set()
    thread.join()
    ours.close()
    theirs.close()


def test_the_address_is_of_the_given_host_alone(credentials):
    listener = tls.Listener(credentials.tls(True), "localhost", lambda channel, hello: channel.close())
    assert listener.address[0] == "localhost"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", listener.address[1]))
    listener.close()
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)
    with pytest.raises(WorkerError, match=r"192\.0\.2\.1"):
        tls.Listener(credentials.tls(True), "192.0.2.1", lambda channel, hello: None)
