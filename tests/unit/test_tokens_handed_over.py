"""Fresh tokens go from the client or a keytab to the master, and from it to workers."""

import json
import threading
from types import SimpleNamespace

import pytest

from hdl import fs
from hdl.errors import HdlError, WorkerError
from hdl.yarn.client import renewal as client
from hdl.yarn.comm import mailbox
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import CLIENT, Credentials
from hdl.yarn.master import renewal
from hdl.yarn.master.member import Member
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.names import MASTER_ADDRESS
from hdl.yarn.protocol import FreshTokens, MemberState, ProtocolError, read_fresh_tokens
from hdl.yarn.resource_manager.lifetimes import Lifetime, moment, renewal_fields
from tests.unit.clocks import SECONDS, Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def credentials():
    return Credentials.make()


class Master:
    """A master that hears its client: what it takes is in `taken`."""

    def __init__(self, credentials, folder, principal=""):
        self.taken, self.said = [], []
        fields = renewal_fields(["hdfs://"], Lifetime(1000, 1400), principal)
        self.tokens = MasterTokens(fields, None, self.taken.append)
        self.tokens.tell = self.said.append
        self.server = Server(credentials, "127.0.0.1")
        address = json.dumps({"control": self.server.address}).encode()
        fs.publish(fs.join(str(folder), MASTER_ADDRESS.format(1)), address)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            if received := self.server.receive(0.05):
                name, fields = received
                assert name == CLIENT
                self.server.send(CLIENT, self.tokens.receive(fields).to_dict())

    def close(self):
        self.over.set()
        self.thread.join(SECONDS)
        self.server.close()
        self.tokens.close()


@pytest.fixture
def known(credentials, tmp_path, monkeypatch):
    """What the client keeps of an application whose folder is here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(client, "_submitted", {})
    (tmp_path / "staging").mkdir()
    client.keep(
        "application_1_1", str(tmp_path / "staging"), ["hdfs://"], Lifetime(1000, 1400), 0.0, False, credentials
    )
    return client._submitted["application_1_1"]


def test_a_client_hands_over_fresh_tokens(credentials, known):
    master = Master(credentials, known.staging)
    master.server.admit(CLIENT)
    try:
        client._send(known, b"\0fresh", Lifetime(1300, 1500))
        assert master.taken == [b"\0fresh"]
        assert master.tokens.fresh == (1, b"\0fresh")
        assert master.said == [f"fresh tokens from the client that follows, good until {moment(1500)}"]
        with pytest.raises(HdlError, match="the master has newer ones"):
            client._send(known, b"older", Lifetime(1200, 1400))
        assert len(master.taken) == 1
    finally:
        master.close()


def test_who_has_other_keys_is_not_heard(credentials, known, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.5)
    master = Master(credentials, known.staging)
    master.server.admit(CLIENT)
    public, secret = Credentials.make().curve(CLIENT)
    wrong = {**known.keys, "public": public.decode(), "secret": secret.decode()}
    try:
        with pytest.raises(HdlError, match="has not answered"):
            client._send(client.replace(known, keys=wrong), b"fresh", Lifetime(1300, 1500))
        assert not master.taken
    finally:
        master.close()


def test_a_master_with_a_keytab_takes_its_own(credentials, known):
    master = Master(credentials, known.staging, "ada@EXAMPLE.ORG")
    master.server.admit(CLIENT)
    try:
        with pytest.raises(HdlError, match="by the keytab of ada@EXAMPLE"):
            client._send(known, b"fresh", Lifetime(1300, 1500))
        assert not master.taken
    finally:
        master.close()


def test_what_is_no_message_is_answered(credentials):
    fields = renewal_fields(["hdfs://"], Lifetime(0, 1))
    master = MasterTokens(fields, None, lambda content: None)
    assert "expected tokens" in master.receive({"kind": "hello"}).error
    assert master.receive(FreshTokens("no base64!", 5.0, 6.0).to_dict()).error
    with pytest.raises(ProtocolError) as caught:
        read_fresh_tokens({"kind": "tokens", "content": ["c2VjcmV0"], "taken": 1.0, "until": 2.0})
    assert "c2VjcmV0" not in str(caught.value)


def test_a_master_that_cannot_take_them_says_so():
    def take(content):
        raise HdlError("Java says no")

    master = MasterTokens(renewal_fields(["hdfs://"], Lifetime(0, 1)), None, take)
    answer = master.receive(FreshTokens("AAAA", 5.0, 6.0).to_dict())
    assert answer.error == "the master cannot take them: Java says no"
    assert master.fresh == (0, b"")


def test_attach_finds_what_the_submitter_has_kept(known, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "_submitted", {})
    assert client._read(known.name) == known
    assert client._read("application_1_2") is None
    (path,) = (tmp_path / "state").rglob("*.json")
    assert [oct(each.stat().st_mode & 0o777) for each in (path, path.parent)] == ["0o600", "0o700"]
    assert known.keys["secret"] not in repr(known)
    client.forget(known.name)
    assert not path.exists()
    client.forget(known.name)


def test_the_follower_supplies_the_master(credentials, known, monkeypatch):
    handed = threading.Event()

    def obtain(application):
        handed.set()
        return b"fresh", Lifetime(1300, 5e9)

    monkeypatch.setattr(client, "_obtain", obtain)
    master = Master(credentials, known.staging)
    master.server.admit(CLIENT)
    try:
        with client.following(known.name) as messages:
            assert handed.wait(SECONDS)
            deadline = threading.Event()
            while not master.taken and not deadline.wait(0.02):
                pass
            assert messages() == []
        assert client._read(known.name).lifetime in (known.lifetime, Lifetime(1300, 5e9))
    finally:
        master.close()


def test_workers_are_given_the_newest_and_a_failure_is_tried_again(credentials, monkeypatch):
    monkeypatch.setattr(renewal, "AGAIN_SECONDS", 0.0)
    got, failing = [], [True]
    fed = threading.Event()

    def take(content):
        if failing and failing.pop():
            raise OSError("disk is full")
        got.append(content)
        fed.set()

    box = mailbox.Mailbox(credentials.tls(server=True), "127.0.0.1", on_tokens=take)
    master = MasterTokens(renewal_fields(["hdfs://"], Lifetime(0, 1)), None, lambda content: None)
    said = []
    master.tell = said.append
    member, absent = Member(0, [0], []), Member(1, [1], [])
    member.incarnation.state, member.incarnation.address = MemberState.READY, box.address
    try:
        context = credentials.tls(server=False)
        master.give([member, absent], context)
        assert member.incarnation.tokens == 0
        master.receive(FreshTokens("AAAA", 5.0, 6.0).to_dict())
        waits = 0
        while not fed.is_set():
            master.give([member, absent], context)
            waits += 1
            assert waits < SECONDS / 0.02
            fed.wait(0.02)
        assert got == [b"\0\0\0"]
        assert len([text for text in said if "worker 0 has not taken fresh tokens yet" in text]) == 1
        assert absent.incarnation.tokens == 0
    finally:
        master.close()
        box.close()


def test_the_master_says_once_that_nobody_takes_fresh_tokens(credentials, clock, monkeypatch):
    monkeypatch.setattr(renewal.time, "time", clock)
    for principal, times in (("", 1), ("ada@EXAMPLE.ORG", 0)):
        clock.now, said = 1339.0, []
        fields = renewal_fields(["hdfs://"], Lifetime(1000, 1400), principal)
        master = MasterTokens(fields, None, lambda content: None)
        master.tell = said.append
        master.give([], None)
        assert not said
        clock.now = 1341.0
        for _ in range(3):
            master.give([], None)
        assert len(said) == times
        assert all(f"can run until {moment(1400)}" in text for text in said)
        master.receive(FreshTokens("AAAA", 1341.0, 1500.0).to_dict())
        master.give([], None)
        clock.now = 1490.0
        master.give([], None)
        assert sum("nobody has handed over" in text for text in said) == 2 * times


def test_tokens_are_no_payload(credentials):
    box = mailbox.Mailbox(credentials.tls(server=True), "127.0.0.1")
    try:
        mailbox.give_tokens(credentials.tls(server=False), box.address, b"fresh", SECONDS)
        assert box.poll("") is None
        with pytest.raises((WorkerError, OSError)):
            mailbox.give_tokens(credentials.tls(server=False), ("127.0.0.1", 1), b"fresh", 1.0)
    finally:
        box.close()


def test_an_application_without_tokens_needs_none():
    assert MasterTokens.of({}, SimpleNamespace()) is None
