"""Fresh tokens without Java and without YARN: when they are taken, who is heard, and what is said."""

import threading

import pytest

from hdl import kerberos
from hdl.errors import HdlError
from hdl.runners.base import Job
from hdl.yarn.comm import tokens
from hdl.yarn.resource_manager.lifetimes import LATEST, Lifetime, Renewer, limit, moment
from hdl.yarn.resource_manager.tokens import file_systems
from hdl.yarn.settings import Settings
from tests.unit.clocks import SECONDS, Clock


@pytest.fixture
def clock():
    return Clock()


HOUR, DAY = 3600.0, 24 * 3600.0


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
