"""Hadoop's RPC, against a ResourceManager of the test's own: what is lost, and any bytes."""

# ruff: noqa: F811 (fixtures come by import)

import contextlib
import socket
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl.errors import DeadlineError
from hdl.yarn.client import connection, native, rpc
from hdl.yarn.client.protobuf import Malformed, Message, encode
from hdl.yarn.resource_manager import java
from tests.unit.resource_manager import APP, EXCEPTIONS, NUMBER, ResourceManager, Thrown, conf, described, server, yarn  # noqa: F401


def cut(request):
    request.shutdown(socket.SHUT_RDWR)
    request.close()
    raise OSError


def test_a_lost_answer_submits_once(yarn, server):
    real = server.submitApplication
    lost = []

    def lose(user, request):
        answer = real(user, request)
        if not lost:
            lost.append(1)
            raise OSError  # the connection ends, and what was done stays done
        return answer

    server.submitApplication = lose
    yarn.submit(described())
    assert server.calls.count("submitApplication") == 2
    assert list(server.contexts) == [NUMBER]
    assert yarn.native


def test_an_application_that_a_restarting_yarn_has_not_kept_is_submitted_again(yarn, server):
    real = server.submitApplication
    server.submitApplication = lambda user, request: (
        real(user, request) if server.calls.count("submitApplication") > 1 else {}
    )
    yarn.submit(described())
    assert server.calls.count("submitApplication") == 2
    assert list(server.contexts) == [NUMBER]


def test_one_that_is_never_kept_is_given_up(yarn, server, monkeypatch):
    monkeypatch.setattr(native, "SETTLE_SECONDS", 0.1)
    server.submitApplication = lambda user, request: {}
    with pytest.raises(DeadlineError, match=r"YARN rejected the application: .* it is not known to YARN after"):
        yarn.submit(described())


def test_a_call_that_is_interrupted_leaves_no_answer_to_the_next(yarn, server, monkeypatch):
    """As Ctrl-C does to who follows a training, which is killed then."""
    server.applications[NUMBER] = ["ada", "RUNNING", ""]
    assert yarn.report(APP).state == "RUNNING"
    received = rpc._received

    def interrupted(*arguments):
        monkeypatch.setattr(rpc, "_received", received)
        raise KeyboardInterrupt

    monkeypatch.setattr(rpc, "_received", interrupted)
    with pytest.raises(KeyboardInterrupt):
        yarn.report(APP)
    yarn.kill(APP)
    assert server.applications[NUMBER][1] == "KILLED"


def test_a_server_that_cuts_is_asked_again(yarn, server):
    server.before += [cut, cut]
    assert yarn.offer().memory == 4096


def test_one_that_restarts_at_the_same_address_is_found_again(yarn, server):
    assert yarn.offer()
    port = server.server_address[1]
    server.close()
    again = ResourceManager(port)
    with contextlib.closing(again):
        assert yarn.offer().memory == 4096
        assert again.users == ["ada"]


def test_one_that_stays_away_is_given_up(yarn, server, monkeypatch):
    server.close()
    yarn._native._connection._patience = 0.2
    with pytest.raises(DeadlineError) as told:
        yarn.report(APP)
    said = f"Call to {server.address} failed on connection exception: Connection refused"
    assert str(told.value) == str(java.error_of(APP, [("java.net.ConnectException", said)]))
    assert yarn.native


def test_one_that_says_nothing_is_given_up(yarn, server, monkeypatch):
    monkeypatch.setattr(rpc, "CALL_SECONDS", 0.2)
    server.getNewApplication = lambda user, request: time.sleep(1) or {}
    with pytest.raises(DeadlineError, match=r"^a new application: "):
        yarn.offer()


def test_a_server_that_asks_for_more_is_left_to_hadoops_client(yarn, server):
    """It negotiates, by an answer to no call of ours; its words are long, or none of Hadoop's."""
    asked = []

    class Java:
        def offer(self):
            asked.append(1)
            return "by java"

    def negotiate(request):
        body = encode({1: (1 << 32) - 33, 2: 0})
        content = bytes([len(body)]) + body + bytes([2]) + encode({2: 1})
        request.sendall(len(content).to_bytes(4, "big") + content)
        raise OSError

    yarn._java = Java()
    server.before.append(negotiate)
    assert yarn.offer() == "by java"
    assert asked == [1]
    assert "an answer to call" in yarn.why


def test_a_standby_sends_on(conf, server):
    other = ResourceManager()

    def stand_by(user, request):
        raise Thrown("org.apache.hadoop.ipc.StandbyException", "not me")

    other.getNewApplication = stand_by
    with contextlib.closing(other):
        several = {"yarn_resourcemanager_ha_enabled": "true", "yarn_resourcemanager_ha_rm__ids": "rm1,rm2",
                   "yarn_resourcemanager_address_rm1": other.address,
                   "yarn_resourcemanager_address_rm2": server.address}  # fmt: skip
        conf(None, **several)
        assert connection.client().offer().memory == 4096
        assert connection.client().native


# --- bytes ------------------------------------------------------------------------------------------------------------


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.text(), st.binary())
def test_what_is_encoded_is_read_again(number, text, content):
    read = Message(encode({1: number, 2: text, 300: [content, b""], 4: {5: number}}))
    assert (read.number(1), read.text(2), read._all(300, bytes)) == (number, text, [content, b""])
    assert read.message(4).number(5) == number


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(content):
    with contextlib.suppress(Malformed):
        native._report(Message(content))


def test_a_port_that_speaks_something_else_is_told():
    with socket.create_server(("127.0.0.1", 0)) as other:
        calls = rpc.Connection([other.getsockname()], "p", "ada", 0.1)

        def speak():
            taken, _ = other.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=speak, daemon=True).start()
        with pytest.raises(Malformed, match=r"an answer of \d+ bytes"):
            calls.call("getNewApplication", {})


def test_exceptions_of_the_table_are_worded_by_it():
    told = java.error_of("x", [(f"{EXCEPTIONS}.InvalidResourceRequestException", "too much\n\tat a.b(c)")])
    assert "\tat" not in str(told)


def test_a_submission_shows_no_key():
    assert "secret" not in repr(described())
