"""Bulk connections: members of the application exchange frames; nobody else can read, write or break anything."""

import os
import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

from hdl.errors import WorkerError
from hdl.runners import frames
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
