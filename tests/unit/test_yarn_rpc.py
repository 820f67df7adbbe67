"""YARN without Java against a made-up ResourceManager: what is said, each refusal, and what is no such server."""

import socket
import struct
import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import hdfs_choice, identity
from hdl.data import FileSplit
from hdl.errors import DeadlineError, HdlError, SpecError, Unavailable
from hdl.yarn.api import choice, native, rpc
from hdl.yarn.api.interface import Offer, Submission, Unable
from hdl.yarn.api.native_files import Files
from hdl.yarn.api.protobuf import Malformed, Message, delimited, encode, read_varint
from hdl.yarn.comm import tokens
from hdl.yarn.settings import Settings

APP = "application_1700000000000_0007"
ID = {1: 7, 2: 1700000000000}
KEY = b"\x00\xffa secret\n"
EXCEPTIONS = "org.apache.hadoop.yarn.exceptions"


class Thrown(Exception):
    """What a method of the server throws: Java's class and message; `status` 2 ends the connection."""

    def __init__(self, name, text, status=1):
        self.name, self.text, self.status = name, text, status


class Server:
    """Speaks Hadoop's RPC: `methods[name]` is a function of the request, which returns the answer, or raw bytes."""

    def __init__(self):
        self.methods, self.calls, self.greetings = {"getClusterMetrics": lambda request: {}}, [], []
        self.over = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = self._listening.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.over.set()
        self._listening.close()

    def _accept(self):
        while not self.over.is_set():
            try:
                connected, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected):
        with connected, connected.makefile("rb") as file:
            try:
                self.greetings.append((file.read(7), self._frame(file)))
                while not self.over.is_set():
                    header, named, request = self._frame(file)
                    method = named.text(1)
                    self.calls.append((method, request))
                    number = header.number(3) >> 1  # a sint32
                    try:
                        answer = self.methods[method](request)
                        parts = [{1: number, 2: 0, 3: 9}, answer]
                    except Thrown as error:
                        answer = None
                        parts = [{1: number, 2: error.status, 3: 9, 4: error.name, 5: error.text}]
                    if isinstance(answer, bytes):
                        connected.sendall(answer)
                        if not answer.endswith(b"more"):
                            return
                        self.over.wait(20)
                        return
                    body = b"".join(delimited(encode(part)) for part in parts)
                    connected.sendall(struct.pack(">I", len(body)) + body)
            except (OSError, struct.error, Malformed):
                return

    @staticmethod
    def _frame(file):
        (length,) = struct.unpack(">I", file.read(4))
        content, at, parts = file.read(length), 0, []
        while at < len(content):
            size, at = read_varint(content, at)
            parts.append(Message(content[at : at + size]))
            at += size
        return parts


@pytest.fixture
def server(monkeypatch):
    made = Server()
    for name in ("HADOOP_PROXY_USER", "HADOOP_TOKEN_FILE_LOCATION", "HADOOP_CONF_DIR", "HADOOP_HOME", "HDL_YARN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HADOOP_USER_NAME", "ada")
    monkeypatch.setattr(rpc, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(rpc, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(native, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(hdfs_choice, "client", lambda path: SimpleNamespace(native=True))
    yield made
    made.close()


@pytest.fixture
def yarn(server):
    return native.Native({"fs.defaultFS": "hdfs://127.0.0.1:8020"}, server.address)


def submission(**fields):
    settings = Settings.make(archive="hdfs:///env.tar.gz", **fields)
    file = {"path": "hdfs://node1:8020/env.tar.gz", "size": 5, "time": 1700000000123, "archive": True, "shared": True}
    return Submission(APP, settings, "exec python", {"A": "b"}, {"hdl-env": file}, {"hdl.key": KEY})


def reported(state):
    return {1: {1: ID, 2: "ada", 3: "default", 4: "hdl", 8: state}}


def test_the_greeting_says_who_we_are_and_that_nothing_proves_it(server, yarn):
    (greeting, (header, context)) = server.greetings[0]
    assert greeting == b"hrpc\x09\x00\x00"
    assert header.number(3) == 5  # -3, zigzag
    assert context.message(2).text(1) == "ada"
    assert context.text(3) == "org.apache.hadoop.yarn.api.ApplicationClientProtocolPB"


def test_an_offer(server, yarn):
    resources = [{1: "memory-mb", 2: 4096}, {1: "yarn.io/gpu", 2: 2}]
    server.methods["getNewApplication"] = lambda request: {1: ID, 2: {1: 4096, 2: 4, 3: resources}}
    assert yarn.offer() == Offer(APP, 4096, 4, None)  # this configuration does not name it
    yarn.settings["yarn.resource-types"] = "fpga, yarn.io/gpu"
    assert yarn.offer() == Offer(APP, 4096, 4, 2)
    server.methods["getNewApplication"] = lambda request: {1: ID, 2: {1: 4096, 2: 4}}
    assert yarn.offer().gpus is None


def test_a_submission_says_what_javas_does_and_leaves_the_rest_to_the_queue(server, yarn):
    server.methods |= {"submitApplication": lambda request: {}, "getApplicationReport": lambda request: reported(4)}
    made = submission(queue="deep", label="gpus", tags=("one",), attempts=3, master_memory=768, view_acl="eve")
    yarn.submit(made)
    said = server.calls[1][1].message(1)
    container = said.message(5)
    assert (said.text(2), said.text(3), said.text(10), said.text(16)) == ("hdl", "deep", "hdl", "gpus")
    assert (said.message(1).number(1), said.message(1).number(2)) == (7, 1700000000000)
    assert (said.number(8), said.message(9).number(1), said.number(11), said.texts(12)) == (3, 768, 1, ["one"])
    assert said.number(13) == round(1000 * made.settings.failures_validity)
    (file,) = container.messages(1)
    assert file.text(1) == "hdl-env"
    where = file.message(2).message(1)
    assert [where.text(1), where.text(2), where.number(3), where.text(4)] == ["hdfs", "node1", 8020, "/env.tar.gz"]
    assert [file.message(2).number(number) for number in (2, 3, 4, 5)] == [5, 1700000000123, 1, 2]
    assert [(each.text(1), each.text(2)) for each in container.messages(4)] == [("A", "b")]
    assert container.texts(5) == ["exec python"]
    assert [(each.number(1), each.text(2)) for each in container.messages(6)] == [(1, "eve"), (2, " ")]
    assert tokens.parse(container._last(2, bytes)) == {"hdl.key": KEY}
    assert repr(KEY)[2:-1] not in repr(made)
    yarn.submit(submission())
    said = server.calls[3][1].message(1)
    assert not [number for number in (3, 4, 16) if number in said]  # queue, priority, label


def test_a_report(server, yarn):
    fields = {5: "node1", 9: "N/A", 10: "a\n b", 11: 5000, 12: 0, 13: 0, 16: {2: 3}, 20: ["b", "a"]}
    server.methods["getApplicationReport"] = lambda request: {1: {**reported(5)[1], **fields}}
    report = yarn.report(APP)
    assert (report.application, report.state, report.final, report.over) == (APP, "RUNNING", "UNDEFINED", False)
    assert (report.url, report.diagnostics, report.started, report.attempt) == ("", "a b", 5.0, 3)
    assert (report.user, report.queue, report.name, report.tags) == ("ada", "default", "hdl", ("a", "b"))
    with pytest.raises(SpecError, match="expected an application's id, like application_1700000000000_0001"):
        yarn.report("application_x")


def throwing(name, text, status=1):
    def method(request):
        raise Thrown(name, text, status)

    return method


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        (f"{EXCEPTIONS}.YarnException", "org.apache.hadoop.security.AccessControlException: User ada does not have "
         f"permission to submit {APP} to queue deep\n\tat org.apache.X", SpecError,
         "ada may not submit to YARN's queue deep"),
        (f"{EXCEPTIONS}.InvalidResourceRequestException", "Invalid resource request! Requested resource=<memory:9, "
         "vCores:1>, maximum allowed allocation=<memory:8, vCores:4>", SpecError, "no container more than <memory:8"),
        ("java.lang.IllegalStateException", "not now\n\tat org.apache.X\n\tat y", HdlError, "queue 'default': not now"),
    ],
)  # fmt: skip
def test_what_the_server_throws_is_worded_as_javas(server, yarn, name, text, kind, said):
    server.methods["submitApplication"] = throwing(name, text)
    with pytest.raises(kind, match=r"YARN rejected the application: name 'hdl'") as caught:
        yarn.submit(submission())
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_application_that_failed_at_once_says_why(server, yarn):
    failed = reported(7)[1] | {10: "Application submitted by user ada to unknown queue: nope"}
    server.methods |= {"submitApplication": lambda request: {}, "getApplicationReport": lambda request: {1: failed}}
    with pytest.raises(SpecError, match="YARN has no queue nope that takes applications"):
        yarn.submit(submission(queue="nope"))


def test_an_unknown_application(server, yarn):
    for method in ("getApplicationReport", "forceKillApplication"):
        server.methods[method] = throwing(f"{EXCEPTIONS}.ApplicationNotFoundException", "no such")
    for ask in (yarn.report, yarn.kill):
        with pytest.raises(SpecError, match=f"{APP}: this cluster has no such application, or has forgotten it"):
            ask(APP)


def test_a_kill_is_waited_for(server, yarn, monkeypatch):
    ended = iter([{1: False}, {}, {1: True}])
    server.methods["forceKillApplication"] = lambda request: next(ended)
    yarn.kill(APP)
    server.methods["forceKillApplication"] = lambda request: {}
    monkeypatch.setattr(native, "SETTLE_SECONDS", 0.05)
    with pytest.raises(DeadlineError, match=f"{APP}: killing it: it has not ended"):
        yarn.kill(APP)


def test_a_submission_is_said_again_where_yarn_has_lost_it(server, yarn):
    answers = iter([Thrown(f"{EXCEPTIONS}.ApplicationNotFoundException", "gone"), reported(2), reported(4)])

    def report(request):
        if isinstance(answer := next(answers), Thrown):
            raise answer
        return answer

    server.methods |= {"submitApplication": lambda request: {}, "getApplicationReport": report}
    yarn.submit(submission())
    names = [name for name, _ in server.calls[1:]]
    assert names == ["submitApplication", "getApplicationReport"] * 2 + ["getApplicationReport"]
    sent = [request.message(1).message(1).number(1) for name, request in server.calls if name == "submitApplication"]
    assert sent == [7, 7]


def test_one_that_is_never_taken_has_a_deadline(server, yarn, monkeypatch):
    monkeypatch.setattr(native, "SETTLE_SECONDS", 0.05)
    server.methods |= {"submitApplication": lambda request: {}, "getApplicationReport": lambda request: reported(1)}
    with pytest.raises(DeadlineError, match="it is new after"):
        yarn.submit(submission())


@pytest.mark.parametrize("cut", [b"", b"\x00\x00", b"\x00\x00\x00\x09\x04"])
def test_a_call_whose_answer_is_lost_is_made_again(server, yarn, cut):
    answers = iter([cut, cut, reported(6)])
    server.methods["getApplicationReport"] = lambda request: next(answers)
    assert yarn.report(APP).over
    assert len(server.greetings) == 3


def test_a_server_that_is_gone_is_named(server, yarn):
    server.methods["getApplicationReport"] = lambda request: b""
    server.close()
    where = "{}:{}".format(*server.address)
    with pytest.raises(DeadlineError, match=f"{APP}: nothing listens at {where}"):
        yarn.report(APP)
    with pytest.raises(DeadlineError, match=f"YARN's ResourceManager {where} .* does not answer: Connection refused"):
        native.Native({"fs.defaultFS": "hdfs://x"}, server.address)


def test_one_that_never_answers_and_one_that_trickles_are_given_up(server, yarn, monkeypatch):
    monkeypatch.setattr(rpc, "CALL_SECONDS", 0.1)
    server.methods["getApplicationReport"] = lambda request: b"\x00\x00\x00\x7fmore"
    with pytest.raises(DeadlineError, match=f"{APP}: {server.address[0]}:{server.address[1]} does not answer"):
        yarn.report(APP)


def test_one_that_is_busy_for_a_moment_is_asked_again(server, yarn):
    answers = iter([Thrown("org.apache.hadoop.ipc.RetriableException", "soon"), reported(6)])

    def report(request):
        if isinstance(answer := next(answers), Thrown):
            raise answer
        return answer

    server.methods["getApplicationReport"] = report
    assert yarn.report(APP).over


def sasl():
    body = delimited(encode({1: (1 << 32) - 33, 2: 0})) + delimited(encode({2: 1}))
    return struct.pack(">I", len(body)) + body


OTHERS = {
    "SASL": lambda request: sasl(),
    "proof": throwing("org.apache.hadoop.security.AccessControlException",
                      "SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]", 2),
    "a list": throwing("org.apache.hadoop.security.authorize.AuthorizationException", "User ada is not authorized", 2),
    "a web server": lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "too long": lambda request: struct.pack(">I", rpc.MOST_BYTES + 1),
    "a length beyond the end": lambda request: b"\x00\x00\x00\x02\x7f\x01",
    "no message": lambda request: b"\x00\x00\x00\x02\x01\x07",
    "a number without an end": lambda request: b"\x00\x00\x00\x0b" + b"\xff" * 11,
    "another call's answer": lambda request: b"\x00\x00\x00\x06\x04\x08\x63\x10\x00\x00",
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_whatever_else_it_is_hadoops_own_client_does_it(server, what):
    server.methods["getClusterMetrics"] = OTHERS[what]
    with pytest.raises(Unable):
        native.Native({"fs.defaultFS": "hdfs://x"}, server.address)


def test_an_answer_of_other_types_is_hadoops_clients(server, yarn):
    for wrong in ({1: 5}, {1: {8: "RUNNING"}}, {1: {1: b"\xff"}}):
        server.methods["getApplicationReport"] = lambda request, wrong=wrong: wrong
        with pytest.raises(Unable):
            yarn.report(APP)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_or_malformed(content):
    try:
        read = Message(content)
        for number in range(5):
            read.number(number), read.texts(number), read.messages(number)
    except Malformed:
        pass


def test_messages_are_those_of_protocol_buffers():
    descriptors = pytest.importorskip("google.protobuf.descriptor_pb2")
    made = encode({1: "a.proto", 3: ["b", "c"], 4: [{1: "M", 2: [{1: "é", 3: 1 << 20, 5: 11}]}, {}], 2: None})
    read = descriptors.FileDescriptorProto.FromString(made)
    assert (read.name, [*read.dependency], len(read.message_type)) == ("a.proto", ["b", "c"], 2)
    assert read.message_type[0].field[0].number == 1 << 20
    assert Message(read.SerializeToString()).messages(4)[0].messages(2)[0].text(1) == "é"


# --- the choice ---------------------------------------------------------------------------------------------------


@pytest.fixture
def chosen(server, monkeypatch, tmp_path):
    """Makes a choice for a configuration of one's own; Java's client only says what it was asked for."""
    asked = []

    class Java:
        def __getattr__(self, name):
            return lambda *arguments: asked.append((name, *arguments)) or "Java's"

    monkeypatch.setattr(choice, "Java", Java)
    monkeypatch.setattr(choice, "_chosen", {})
    monkeypatch.setattr(choice.java, "start", lambda: asked.append("start"))
    monkeypatch.setattr(choice.libhdfs, "before_java", [])
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))

    def choose(**more):
        given = {"fs.defaultFS": "hdfs://x", "yarn.resourcemanager.address": "{}:{}".format(*server.address), **more}
        one = "<property><name>{}</name><value>{}</value></property>"
        site = "".join(one.format(name, value) for name, value in given.items() if value)
        (tmp_path / "core-site.xml").write_text(f"<configuration>{site}</configuration>")
        made = choice.Chosen()
        made.asked = asked
        return made

    return choose


def test_a_cluster_without_kerberos_is_asked_without_java(server, chosen):
    server.methods["getApplicationReport"] = lambda request: reported(6)
    yarn = chosen()
    yarn.begin()
    assert yarn.report(APP).over
    assert (yarn.works(), yarn.why, yarn.asked) == (True, "", [])
    assert len(choice.libhdfs.before_java) == 1  # YARN's Java comes first, where HDFS needs one


@pytest.mark.parametrize(
    ("properties", "environment", "why"),
    [
        ({"hadoop.security.authentication": "kerberos"}, {}, "the cluster is secured"),
        ({"hadoop.rpc.protection": "privacy"}, {}, "hadoop.rpc.protection is privacy"),
        ({"yarn.resourcemanager.ha.enabled": "true"}, {}, "yarn.resourcemanager.ha.enabled is true"),
        ({"yarn.federation.enabled": "TRUE"}, {}, "yarn.federation.enabled is true"),
        ({"hadoop.socks.server": "x:1"}, {}, "hadoop.socks.server is set"),
        ({"yarn.resourcemanager.address": ""}, {}, "does not say where the ResourceManager is"),
        ({"fs.defaultFS": "viewfs://company"}, {}, "fs.defaultFS is viewfs://company"),
        ({}, {"HADOOP_PROXY_USER": "eve"}, "HADOOP_PROXY_USER is set"),
        ({}, {"HADOOP_TOKEN_FILE_LOCATION": "/x"}, "HADOOP_TOKEN_FILE_LOCATION is set"),
        ({}, {"HADOOP_USER_NAME": "ada@REALM"}, "only Hadoop's client knows who we are"),
        ({}, {"HDL_YARN": "java"}, "HDL_YARN=java is set"),
    ],
)
def test_who_needs_hadoops_client(chosen, monkeypatch, properties, environment, why):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    yarn = chosen(**properties)
    yarn.begin()
    assert why in yarn.why
    assert (yarn.report(APP), yarn.asked) == ("Java's", ["start", ("report", APP)])
    if "HDL_YARN" not in environment:
        monkeypatch.setenv("HDL_YARN", "native")
        with pytest.raises(Unavailable, match="YARN cannot be asked without Java"):
            chosen(**properties)


@pytest.mark.parametrize("what", ["SASL", "proof", "a web server"])
def test_a_server_that_wants_more_is_javas_from_then_on(server, chosen, monkeypatch, what):
    server.methods["getClusterMetrics"] = OTHERS[what]
    yarn = chosen()
    assert [yarn.report(APP), yarn.report(APP), yarn.native] == ["Java's", "Java's", False]
    assert len(server.greetings) == 1
    assert "{}:{}".format(*server.address) in yarn.why
    monkeypatch.setenv("HDL_YARN", "native")
    with pytest.raises(Unavailable, match="unset HDL_YARN"):
        chosen().report(APP)


def test_a_single_step_is_javas_where_it_must_be(server, chosen):
    server.methods["getApplicationReport"] = lambda request: reported(6)
    yarn = chosen()
    assert yarn.located("viewfs://company/env.tar.gz") == "Java's"
    assert "viewfs://company/env.tar.gz" in yarn.why
    assert yarn.report(APP).over


def test_what_doctor_shows(server, chosen, monkeypatch):
    chosen()
    assert choice.shown() == ("Hadoop RPC (no Java)", "")
    monkeypatch.setenv("HDL_YARN", "java")
    assert choice.shown() == ("Hadoop's own client, in Java", "HDL_YARN=java is set")
    monkeypatch.setenv("HDL_YARN", "")
    choice._chosen.clear()
    server.close()
    assert choice.shown()[0] == ""
    assert "does not answer" in choice.shown()[1]


def test_the_hosts_of_blocks_are_asked_of_the_name_node(server):
    def located(request):
        assert (request.text(1), request.number(2), request.number(3)) == ("/data/a b", 10, 20)
        hosts = [[{1: {1: "10.0.0.1", 2: host}} for host in each] for each in (["b", "a"], ["b"])]
        return {1: {1: 30, 2: [{3: each} for each in hosts]}}

    server.methods["getBlockLocations"] = located
    files = Files({"fs.defaultFS": "hdfs://{}:{}".format(*server.address)})
    assert files.hosts([FileSplit("hdfs:///data/a b", 10, 20)]) == ["a", "b"]
    assert server.greetings[0][1][1].text(3) == "org.apache.hadoop.hdfs.protocol.ClientProtocol"
    server.methods["getBlockLocations"] = throwing("java.io.FileNotFoundException", "File does not exist: /data/a b")
    with pytest.raises(HdlError, match="the blocks of the data"):
        files.hosts([FileSplit("hdfs:///data/a b", 10, 20)])
    assert identity.unproved() == "ada"
