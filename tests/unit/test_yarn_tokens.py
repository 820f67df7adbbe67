"""Fresh tokens without Java and without YARN: when they are taken, who is heard, and what is said."""

import json
import threading
from types import SimpleNamespace

import pytest

from hdl import fs, kerberos
from hdl.errors import HdlError, WorkerError
from hdl.runners.base import Job
from hdl.yarn.client import renewal as client
from hdl.yarn.comm import mailbox, tokens
from hdl.yarn.comm.control import Server
from hdl.yarn.comm.credentials import CLIENT, Credentials
from hdl.yarn.master import renewal
from hdl.yarn.master.member import Member
from hdl.yarn.master.renewal import MasterTokens
from hdl.yarn.protocol import FreshTokens, MemberState, ProtocolError, read_fresh_tokens
from hdl.yarn.resource_manager.lifetimes import LATEST, Lifetime, Renewer, limit, moment, renewal_fields
from hdl.yarn.resource_manager.tokens import file_systems
from hdl.yarn.settings import MASTER_ADDRESS, Settings

SECONDS = 120.0
HOUR, DAY = 3600.0, 24 * 3600.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Realm:
    """Gives tokens that live for so many seconds, unless it is away."""

    def __init__(self, clock, lives=100.0):
        self.clock, self.lives, self.away = clock, lives, False
        self.given, self.handed, self.said = [], [], []

    def obtain(self):
        if self.away:
            raise HdlError("the KDC does not answer")
        self.given.append(self.clock.now)
        return b"%d" % len(self.given), Lifetime(self.clock.now, self.clock.now + self.lives)

    def renewer(self, lifetime, **options):
        return Renewer(
            lifetime,
            self.obtain,
            lambda *fresh: self.handed.append(fresh),
            self.said.append,
            clock=self.clock,
            **options,
        )


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def realm(clock):
    return Realm(clock)


def test_fresh_tokens_are_taken_at_three_quarters_of_each_life(clock, realm):
    renewer = realm.renewer(Lifetime(1000, 1400))
    assert renewer.step() == 300
    clock.now = 1299.9
    renewer.step()
    assert not realm.given
    clock.now = 1300
    assert renewer.step() == 75
    clock.now = 1375
    assert renewer.step() == 75
    assert realm.given == [1300, 1375]
    assert [content for content, _ in realm.handed] == [b"1", b"2"]
    assert not realm.said


def test_none_is_missed_by_a_machine_that_slept(clock, realm):
    renewer = realm.renewer(Lifetime(1000, 1400))
    clock.now = 9000
    assert renewer.step() == 75
    assert realm.given == [9000]


def test_at_once_and_by_force(clock, realm):
    renewer = realm.renewer(Lifetime(1000, 1400), at_once=True, every=10)
    assert renewer.step() == 10
    clock.now += 10
    assert renewer.step() == 10
    assert realm.given == [1000, 1010]


def test_a_failure_is_told_once_and_tried_again_until_it_is_over(clock, realm):
    renewer = realm.renewer(Lifetime(1000, 1400))
    clock.now, realm.away = 1300, True
    while clock.now < 1400:
        wait = renewer.step()
        assert 1 <= wait <= LATEST
        clock.now += wait
    assert len(realm.said) == 1
    assert realm.said[0].startswith("no fresh tokens yet: the KDC does not answer. those of now are good until")
    assert moment(1400) in realm.said[0]
    realm.away = False
    assert renewer.step() == 75
    assert len(realm.said) == 2
    assert realm.said[1].startswith("fresh tokens are there")


def test_tokens_that_nobody_takes_are_tried_again(clock, realm):
    refused = [HdlError("no master"), None]

    def hand(content, lifetime):
        if error := refused.pop(0):
            raise error

    renewer = Renewer(Lifetime(1000, 1400), realm.obtain, hand, realm.said.append, clock=clock)
    clock.now = 1300
    assert renewer.step() == pytest.approx(100 / 8)
    assert renewer.lifetime == Lifetime(1000, 1400)
    clock.now += 100 / 8
    renewer.step()
    assert renewer.lifetime.taken == clock.now


def test_its_thread_ends(realm):
    renewer = realm.renewer(Lifetime(1000, 1400), at_once=True)
    renewer.start()
    renewer.stop()
    for thread in threading.enumerate():
        if thread.name == "hdl-tokens":
            thread.join(SECONDS)
            assert not thread.is_alive()


WEEK = Lifetime(0, 7 * DAY)


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (None, (None, False, False)),  # a cluster without Kerberos
        (None, (WEEK, True, False)),
        (None, (WEEK, False, True)),
        (None, (WEEK, False, True, 6 * DAY)),  # fresh tokens are due before the ticket ends
        (f"this training can run until {moment(7 * DAY)}, when its tokens end: `hdl attach`", (WEEK, False, False)),
        (f"this training can run until {moment(7 * DAY)}, when its tokens end: your Kerberos ticket can be used until "
         f"{moment(10 * HOUR)} only", (WEEK, False, True, 10 * HOUR)),
    ],
)  # fmt: skip
def test_what_is_said_at_the_start(words, arguments):
    said = limit(*arguments)
    assert said is None if words is None else said.startswith(words) and "--keytab" in said


def test_every_file_system_has_its_tokens():
    job = Job("hdfs://a:1/x.npy,hdfs://HdlPair/y.npy", "s3a://bucket/model")
    settings = Settings(archive="viewfs://c/env.tar.gz")
    assert file_systems(job, settings, "hdfs:///user/ada/.hdl/apps/x") == [
        "hdfs://", "hdfs://HdlPair", "hdfs://a:1", "s3a://bucket", "viewfs://c",
    ]  # fmt: skip
    assert file_systems(Job("file:///a", "hdfs:///b"), Settings(), "hdfs:///c") == ["hdfs://"]


def test_java_is_told_of_the_realms_configuration(monkeypatch):
    monkeypatch.delenv("KRB5_CONFIG", raising=False)
    assert kerberos.java_flags() == []
    monkeypatch.setenv("KRB5_CONFIG", "/a/krb5.conf:/b")
    assert kerberos.java_flags() == ["-Djava.security.krb5.conf=/a/krb5.conf"]
    monkeypatch.delenv("HADOOP_OPTS", raising=False)
    monkeypatch.setenv("HADOOP_CLIENT_OPTS", "-Xmx1g")  # of Hadoop's own commands
    assert kerberos.java_environment()["HADOOP_CLIENT_OPTS"] == "-Djava.security.krb5.conf=/a/krb5.conf -Xmx1g"
    monkeypatch.setenv("HADOOP_OPTS", "-Djava.security.krb5.conf=/mine")
    assert kerberos.java_environment()["HADOOP_CLIENT_OPTS"] == "-Xmx1g"


# --- a container's token file -----------------------------------------------------------------------------------------


def text(value):
    return bytes([len(value)]) + value


def test_kinds_of_tokens_are_read():
    token = text(b"alias") + text(b"id") + text(b"password") + text(b"HDFS_DELEGATION_TOKEN") + text(b"a:1")
    content = b"HDTS\0" + b"\1" + token + b"\1" + text(b"key") + text(b"value")
    assert tokens.kinds(content) == {"HDFS_DELEGATION_TOKEN"}
    assert tokens.parse(content) == {"key": b"value"}
    with pytest.raises(tokens.TokenError):
        tokens.kinds(content[:20])


def test_kinds_of_tokens_are_read_as_protobuf():
    def field(number, content):
        return bytes([number << 3 | 2, len(content)]) + content

    token = field(1, b"id") + field(2, b"password") + field(3, b"kms-dt") + field(4, b"a:1")
    message = field(1, field(1, b"alias") + field(2, token)) + field(2, field(1, b"key") + field(3, b"value"))
    content = b"HDTS\1" + bytes([len(message)]) + message
    assert tokens.kinds(content) == {"kms-dt"}
    assert tokens.parse(content) == {"key": b"value"}


# --- master, client and workers ---------------------------------------------------------------------------------------


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
