"""Unix sockets between containers of one host: members of the application alone, and TCP where there can be none."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

pytest.importorskip("zmq", reason="no pyzmq: pip install hdl-hadoop[hadoop]")
pytest.importorskip("cryptography", reason="no cryptography: pip install hdl-hadoop[hadoop]")

from hdl.errors import WorkerError
from hdl.runners import frames
from hdl.yarn.comm import channel as channels
from hdl.yarn.comm import local, tls
from hdl.yarn.comm.credentials import Credentials

SECONDS = 20.0  # that something expected may take on a busy machine
HELLO = {"purpose": "echo"}
# Connects to a Unix socket, and passes on what comes in both directions: a process between two others.
RELAY = """
import os, socket, sys, threading
front, back = sys.argv[1:]
server = socket.socket(socket.AF_UNIX)
server.bind(front)
server.listen()
print("ready", flush=True)
outer, inner = server.accept()[0], socket.socket(socket.AF_UNIX)
inner.connect(back)
def carry(a, b):
    while piece := a.recv(65536):
        b.sendall(piece)
    b.shutdown(socket.SHUT_WR)
threads = [threading.Thread(target=carry, args=pair) for pair in ((outer, inner), (inner, outer))]
[thread.start() for thread in threads]
"""


@pytest.fixture(scope="module")
def credentials():
    return Credentials.make()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The application's folder on this node, with a name that is too long for a Unix socket's."""
    shared = tmp_path / ("long" * 40)
    shared.mkdir()
    monkeypatch.setenv("LOCAL_DIRS", f"{shared},/another")
    monkeypatch.setattr(local, "_told", set())
    return shared / local.NAME


@pytest.fixture
def make(credentials, monkeypatch):
    """Make listeners that echo; what they heard, and on which kind of socket, is in `heard`."""
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS", 2.0)
    made = []

    def listen(keys=credentials):
        def echo(channel, hello):
            listener.heard.append((hello, channel.family))
            with channel, suppress(EOFError, ConnectionError):
                while True:
                    frames.send(channel, frames.receive(channel))

        listener = tls.Listener(keys.tls(True), "127.0.0.1", echo, lambda hello: hello.get("problem"))
        listener.heard = []
        made.append(listener)
        return listener

    yield listen
    for listener in made:
        listener.close()


def talk(credentials, listener):
    """Exchange messages with a listener; returns the kind of socket."""
    with tls.connect(credentials.tls(False), listener.address, HELLO, SECONDS) as channel:
        for message in (b"", b"x", os.urandom(3_000_000)):
            frames.send(channel, message)  # the other end reads it whole before it answers
            assert frames.receive(channel) == message
        assert listener.heard[-1] == (HELLO, channel.family)
        return channel.family


def until(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def knock(folder, listener):
    """Connect past `local`, as a stranger would."""
    (name,) = [name for name in os.listdir(folder) if name.endswith(f":{listener.address[1]}")]
    descriptor = os.open(folder, os.O_RDONLY)
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(SECONDS)
    peer.connect(f"/proc/self/fd/{descriptor}/{name}")
    os.close(descriptor)
    return peer


def test_containers_of_one_host_talk_by_a_unix_socket_that_is_theirs_alone(credentials, folder, make):
    listener = make()
    assert talk(credentials, listener) == socket.AF_UNIX
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(os.listdir(folder)) == 1
    listener.close()
    assert not os.listdir(folder)


def test_without_yarns_folder_they_talk_by_tcp(credentials, make, monkeypatch, capsys):
    monkeypatch.delenv("LOCAL_DIRS", raising=False)
    assert talk(credentials, make()) == socket.AF_INET
    assert not capsys.readouterr().err


def test_a_listener_of_another_host_is_reached_by_tcp(credentials, folder, make, monkeypatch, capsys):
    """Its socket is in no folder of this host."""
    listener = make()
    monkeypatch.setenv("LOCAL_DIRS", str(folder.parent.parent))
    assert talk(credentials, listener) == socket.AF_INET
    assert not capsys.readouterr().err


def test_a_socket_that_a_killed_process_left_is_passed_over_and_taken_over(credentials, folder, make, capsys):
    listener = make()
    (name,) = os.listdir(folder)
    folder.joinpath(name).unlink()
    subprocess.run(
        [sys.executable, "-c", "import os, socket, sys; os.chdir(sys.argv[1]); socket.socket(1).bind(sys.argv[2])",
         folder, name], check=True,
    )  # fmt: skip
    assert talk(credentials, listener) == socket.AF_INET
    again = local.listen(listener.address)
    assert again is not None
    again.close()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("why", ["open to others", "a link", "a file", "no such place"])
def test_a_folder_that_is_not_to_be_trusted_is_told_once_and_tcp_is_used(
    credentials, folder, make, why, capsys, tmp_path
):
    if why == "open to others":
        folder.mkdir()
        folder.chmod(0o750)
    elif why == "a link":
        tmp_path.joinpath("elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif why == "a file":
        folder.write_text("")
    else:
        folder.parent.rmdir()
    listener = make()
    for _ in range(3):
        assert talk(credentials, listener) == socket.AF_INET
    told = capsys.readouterr().err.splitlines()
    assert 1 <= len(told) <= 2  # as a listener, and as one who connects
    assert all(line.endswith("TCP is used") for line in told)


# --- who is let in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["another application", "no certificate", "plain hello", "noise"])
def test_a_stranger_of_the_same_user_is_refused(credentials, folder, make, which):
    listener = make()
    with knock(folder, listener) as raw, suppress(OSError, EOFError):
        if which == "plain hello":
            frames.send(raw, json.dumps(HELLO | {"process": local.myself()}).encode())
        elif which == "noise":
            raw.sendall(os.urandom(5000))
        else:
            stranger = (
                Credentials.make().tls(False)
                if which == "another application"
                else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            )
            stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
            with stranger.wrap_socket(raw) as channel:
                frames.send(channel, json.dumps(HELLO | {"process": local.myself()}).encode())
                assert b"ok" not in frames.receive(channel)
    until(lambda: listener.refused == {"handshake": 1})
    assert not listener.heard
    assert talk(credentials, listener) == socket.AF_UNIX


@pytest.mark.parametrize("told", [None, 7, {"process": 1}, "wrong process", "wrong space"])
def test_a_member_that_is_not_the_process_it_told_to_be_is_refused(credentials, folder, make, told):
    listener = make()
    if isinstance(told, str):
        told = local.myself() | {told.split()[1]: 1}
    with credentials.tls(False).wrap_socket(knock(folder, listener)) as channel:
        frames.send(channel, json.dumps(HELLO | {"process": told}).encode())
        assert "the other end is process" in json.loads(frames.receive(channel))["error"]
    until(lambda: listener.refused == {"hello": 1})
    assert not listener.heard


def test_of_another_user_nobody_gets_as_far_as_the_handshake(credentials, folder, make, monkeypatch, capsys):
    listener = make()
    monkeypatch.setattr(local, "_other_end", lambda channel: (os.getpid(), os.geteuid() + 1))
    assert talk(credentials, listener) == socket.AF_INET  # the listener does not trust it, nor is it trusted
    assert f"is of user {os.geteuid() + 1}; expected {os.geteuid()}" in capsys.readouterr().err


def test_an_impostor_at_the_sockets_name_gets_nothing(credentials, folder, make, capsys):
    """It is of the same user and has keys of another application; what it hears is TLS."""
    listener, heard = make(), []
    impostor = replaced(folder, listener)

    def serve():
        other = Credentials.make().tls(server=True)
        other.verify_mode = ssl.CERT_NONE
        with suppress(OSError), other.wrap_socket(impostor.accept()[0], server_side=True) as channel:
            heard.append(channel.recv(1000))

    thread = threading.Thread(target=serve)
    thread.start()
    assert talk(credentials, listener) == socket.AF_INET
    thread.join(SECONDS)
    impostor.close()
    assert not any(heard)
    assert "self-signed certificate" in capsys.readouterr().err


def replaced(folder, listener):
    """Listen in place of a listener."""
    (name,) = os.listdir(folder)
    folder.joinpath(name).unlink()
    descriptor = os.open(folder, os.O_RDONLY)
    impostor = socket.socket(socket.AF_UNIX)
    impostor.bind(f"/proc/self/fd/{descriptor}/{name}")
    impostor.listen()
    os.close(descriptor)
    return impostor


def test_nobody_stands_between_two_members(credentials, folder, make, capsys):
    """A relay of the same user passes the handshake on as it is: the kernel tells both sides that it is another."""
    listener = make()
    (name,) = os.listdir(folder)
    folder.joinpath(name).rename(folder / "moved")
    relay = subprocess.Popen(
        [sys.executable, "-c", RELAY, name, "moved"], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    try:
        assert relay.stdout.readline() == "ready\n"
        assert talk(credentials, listener) == socket.AF_INET
    finally:
        relay.kill()
        relay.wait()
        relay.stdout.close()
    assert listener.refused == {"hello": 1}
    assert f"the other end is process {relay.pid} by the kernel" in capsys.readouterr().err


def test_a_hello_that_is_turned_away_says_why(credentials, folder, make):
    listener = make()
    with pytest.raises(WorkerError, match="turned the connection away: generation 3 is over"):
        tls.connect(credentials.tls(False), listener.address, {"problem": "generation 3 is over"}, SECONDS)


def test_a_silent_listener_takes_half_of_the_time_and_tcp_the_other(credentials, folder, make, capsys):
    listener = make()
    impostor = replaced(folder, listener)
    with tls.connect(credentials.tls(False), listener.address, HELLO, 4.0) as channel:
        assert channel.family == socket.AF_INET
    impostor.close()
    assert "timed out" in capsys.readouterr().err


def test_the_encryption_of_tcp_stays(credentials, folder, make, monkeypatch):
    listener = make()
    monkeypatch.delenv("LOCAL_DIRS")
    with tls.connect(credentials.tls(False), listener.address, HELLO, SECONDS) as channel:
        assert isinstance(channel, channels.Channel)
        assert channel.version() == "TLSv1.3"
