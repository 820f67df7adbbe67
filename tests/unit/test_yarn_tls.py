"""Bulk connections: members of the application exchange frames; nobody else can read, write or break anything."""

import json
import os
import socket
import ssl
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
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials

SECONDS = 120.0  # that something expected may take on a busy machine
HELLO = {"purpose": "echo"}


@pytest.fixture(scope="module")
def credentials():
    return Credentials.make()


@pytest.fixture(scope="module")
def context(credentials):
    return WorkerCredentials.from_dict(credentials.worker("good")).tls(server=False)


@pytest.fixture
def listener(credentials, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 2.0)

    def echo(channel, hello):
        heard.append(hello)
        with channel, suppress(EOFError, ConnectionError):
            while True:
                frames.send(channel, frames.receive(channel))

    heard = []
    listener = tls.Listener(credentials.tls(True), "127.0.0.1", echo, lambda hello: hello.get("problem"))
    listener.heard = heard
    yield listener
    listener.close()


@pytest.fixture
def good(context, listener):
    """A legitimate exchange, whatever others do; the connections of strangers reached nobody."""

    def exchange():
        before = len(listener.heard)
        with tls.connect(context, listener.address, HELLO, SECONDS) as channel:
            for message in (b"", b"x", os.urandom(300_000)):
                frames.send(channel, message)
                assert frames.receive(channel) == message
        assert listener.heard[before:] == [HELLO]

    exchange()
    return exchange


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def knock(listener, content=b""):
    peer = socket.create_connection(listener.address, timeout=SECONDS)
    peer.sendall(content)
    return peer


def silent(peer):
    """It hears nothing but TLS's own farewell, and is cut off."""
    heard = bytearray()
    with suppress(ConnectionError), peer:
        while piece := peer.recv(1000):
            heard += piece
    return len(heard) < 8 or b"HTTP" not in heard


def test_a_channel_is_of_tls_1_3_and_large_messages_come_through_whole(context, listener, good):
    with tls.connect(context, listener.address, HELLO, SECONDS) as channel:
        assert channel.version() == "TLSv1.3"
        assert channel.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        content = os.urandom(5 << 20)
        sender = threading.Thread(target=frames.send, args=[channel, [content[:100], memoryview(content)[100:]]])
        sender.start()
        sender.join()
        assert frames.receive(channel) == content
    assert not listener.refused


# --- strangers --------------------------------------------------------------------------------------------------------


def test_another_applications_certificate(listener, good):
    with pytest.raises(WorkerError, match=rf"{listener.address[1]} is not of this application"):
        tls.connect(Credentials.make().tls(server=False), listener.address, HELLO, SECONDS)
    until(lambda: listener.refused == {"handshake": 1})
    good()


@pytest.mark.parametrize("which", ["none", "another application's", "signed by the application's key"])
def test_a_stranger_that_trusts_anybody(credentials, listener, good, which, tmp_path):
    """It does not check who listens, so all depends on the listener."""
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    if which == "another application's":
        own = Credentials.make().tls(server=False)
        own.verify_mode = ssl.CERT_NONE
        stranger = own
    if which.startswith("signed"):
        stranger.load_cert_chain(*signed(credentials, tmp_path))
    with pytest.raises(WorkerError):
        tls.connect(stranger, listener.address, HELLO, SECONDS)
    until(lambda: listener.refused == {"handshake": 1})
    good()


def signed(credentials, folder):
    """A certificate that the application's own vouches for, were it an authority."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    parent = x509.load_pem_x509_certificate(credentials.certificate)
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "child")]))
        .issuer_name(parent.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(serialization.load_pem_private_key(credentials.key, None), hashes.SHA256())
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(key.private_bytes(*plain))
    return folder / "certificate", folder / "key"


def test_a_listener_without_the_key_gets_nothing(context, credentials):
    """A process that took over an address gets neither hello nor weights."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as impostor:

        def serve():
            other = Credentials.make().tls(server=True)
            other.verify_mode = ssl.CERT_NONE
            with suppress(OSError), other.wrap_socket(impostor.accept()[0], server_side=True) as channel:
                heard.append(channel.recv(1000))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(WorkerError, match="is not of this application"):
            tls.connect(context, impostor.getsockname(), HELLO, SECONDS)
        thread.join(SECONDS)
    assert not any(heard)


def test_an_older_tls(credentials, listener, good):
    older = credentials.tls(server=False)
    older.minimum_version, older.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
    with pytest.raises(WorkerError):
        tls.connect(older, listener.address, HELLO, SECONDS)
    until(lambda: listener.refused == {"handshake": 1})
    good()


@pytest.mark.parametrize(
    "content",
    [b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), bytes(5000), b"\x16\x03\x01\xff\xff" + bytes(100),
     b"\x16\x03\x01\x00\x05\x01", b"\x02" + bytes(7) + b"{}"],
    ids=["silence", "http", "noise", "zeros", "long", "half", "plain frame"],
)  # fmt: skip
def test_garbage_and_silence(listener, good, content):
    peers = [knock(listener, content) for _ in range(10)]
    good()
    assert all(silent(peer) for peer in peers)
    until(lambda: sum(listener.refused.values()) == 10)
    good()


def test_those_who_hang_up_at_once_or_by_a_reset(listener, good):
    for _ in range(20):
        peer = knock(listener, b"\x16")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
    good()
    until(lambda: sum(listener.refused.values()) >= 1)
    good()


def test_a_slow_handshake_ends_at_its_deadline_byte_by_byte_too(listener, good):
    peer = knock(listener)
    with suppress(OSError):
        for byte in b"\x16\x03\x01\x0f\xff" + bytes(1000):
            peer.sendall(bytes([byte]))
            time.sleep(0.1)
    until(lambda: listener.refused == {"slow": 1})
    good()


def test_a_crowd_of_idlers_ends_with_the_oldest_of_them(listener, good, monkeypatch):
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 60.0)
    peers = [knock(listener) for _ in range(tls.PENDING * 2)]
    good()
    assert listener.refused["crowd"] > tls.PENDING // 2
    assert len(listener._pending) <= tls.PENDING
    until(lambda: sum(thread.name == "hdl-greeter" for thread in threading.enumerate()) <= tls.PENDING + 20)
    listener.close()
    assert all(silent(peer) for peer in peers)


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
