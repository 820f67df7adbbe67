"""YARN without Java, against a ResourceManager of the test's own: what is said, what is refused, what is lost."""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import hdfs_choice, identity, libhdfs
from hdl.data import FileSplit
from hdl.errors import DeadlineError, HdlError, SpecError, Unavailable
from hdl.yarn.client import configured, connection, native, rpc, submission
from hdl.yarn.client.interface import Offer, Submission, Unable
from hdl.yarn.client.protobuf import Malformed, Message, encode
from hdl.yarn.comm import tokens
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings
from tests.unit.resource_manager import EXCEPTIONS, ResourceManager, Thrown

APP = "application_1700000000000_0007"
NUMBER = 7


@pytest.fixture
def server():
    server = ResourceManager()
    yield server
    server.close()


@pytest.fixture
def conf(monkeypatch, tmp_path):
    """A function that writes a configuration folder and makes it ours; the HDFS is taken for one that needs no Java."""
    for name in [*os.environ]:
        if name.startswith(("HADOOP_", "HDL_YARN", "HDL_HDFS")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("HADOOP_USER_NAME", "ada")
    monkeypatch.setattr(connection, "_chosen", {})
    monkeypatch.setattr(identity, "_prefix", None)
    monkeypatch.setattr(libhdfs, "before_java", [])
    monkeypatch.setattr(java, "started", lambda: False)
    monkeypatch.setattr(rpc, "AGAIN_SECONDS", 0.01)
    served = type("Chosen", (), {"native": True, "why": ""})()
    monkeypatch.setattr(hdfs_choice, "client", lambda path: served)

    def write(address, **more):
        given = {"fs.defaultFS": "hdfs://nn:8020", "yarn.resourcemanager.address": address}
        given |= {name.replace("__", "-").replace("_", "."): value for name, value in more.items()}
        row = "<property><name>{}</name><value>{}</value></property>"
        rows = "".join(row.format(*each) for each in given.items() if each[1] is not None)
        (tmp_path / "core-site.xml").write_text(f"<configuration>{rows}</configuration>")
        return served

    return write


@pytest.fixture
def yarn(server, conf):
    conf(server.address)
    chosen = connection.client()
    assert chosen.native
    return chosen


def described(**fields):
    environment = {"path": "hdfs://MyCluster/env/1.tar.gz", "size": 9, "time": 1700000000123}
    keytab = {"path": "hdfs://nn:9000/k", "size": 1, "time": 2}
    files = {
        "hdl-env": {**environment, "archive": True, "shared": True},
        "hdl.keytab": {**keytab, "archive": False, "shared": False},
    }
    settings = Settings.make(**{"name": "n", "attempts": 3, "tags": ("x", "y"), "view_acl": "bob", **fields})
    return Submission(APP, settings, "exec python", {"A": "1", "B": ""}, files, {"k": b"\0secret"})


# --- what is said -----------------------------------------------------------------------------------------------------


def test_an_offer_names_application_and_the_largest_container(yarn, server):
    assert yarn.offer() == Offer("application_1700000000000_0001", 4096, 4)
    assert server.users == ["ada"]


def test_gpus_are_offered_where_the_configuration_here_names_them(server, conf):
    conf(server.address, yarn_resource__types="fpga, yarn.io/gpu")
    assert connection.client().offer().gpus == 2


def test_a_submission_says_what_is_given_and_leaves_the_rest_to_the_queue(yarn, server):
    yarn.submit(described(queue="a", label="ssd"))
    sent = server.contexts[NUMBER]
    assert (sent.text(2), sent.text(3), sent.text(10), sent.text(16)) == ("n", "a", "hdl", "ssd")
    assert (sent.number(8), sent.number(11), sent.number(13)) == (3, 1, 3600_000)
    assert sent.texts(12) == ["x", "y"]
    assert (sent.message(9).number(1), sent.message(9).number(2)) == (1024, 1)
    master = sent.message(5)
    assert master.texts(5) == ["exec python"]
    assert {each.text(1): each.text(2) for each in master.messages(4)} == {"A": "1", "B": ""}
    assert [(each.number(1), each.text(2)) for each in master.messages(6)] == [(1, "bob"), (2, " ")]
    (keys,) = master._all(2, bytes)
    assert tokens.parse(keys) == {"k": b"\0secret"}
    env, keytab = (each.message(2) for each in master.messages(1))
    where = env.message(1)
    assert (where.text(1), where.text(2), where.number(3), where.text(4)) == ("hdfs", "MyCluster", -1, "/env/1.tar.gz")
    assert [env.number(n) for n in (2, 3, 4, 5)] == [9, 1700000000123, 1, 2]
    assert [keytab.number(n) for n in (2, 3, 4, 5)] == [1, 2, 2, 3]
    assert keytab.message(1).number(3) == 9000


def test_a_queue_a_label_and_a_priority_that_are_not_given_are_not_said(yarn, server):
    yarn.submit(described())
    sent = server.contexts[NUMBER]
    assert not any(number in sent for number in (3, 4, 14, 15, 16, 17, 18))


def test_a_report_is_read(yarn, server):
    server.applications[NUMBER] = ["ada", "RUNNING", "a\n  b"]
    report = yarn.report(APP)
    assert (report.application, report.user, report.state, report.final) == (APP, "ada", "RUNNING", "UNDEFINED")
    assert (report.diagnostics, report.url, report.attempt, report.tags) == ("a b", "", -1, ("a", "b"))
    assert report.started == 1.0
    assert yarn.applications() == [report]


def test_where_blocks_are_is_asked_of_the_name_nodes_web_server_or_told_by_nobody(server, conf):
    asked = []

    class Web(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            blocks = [{"hosts": ["b", "a"]}, {"hosts": ["b"]}]
            body = json.dumps({"BlockLocations": {"BlockLocation": blocks}} if "there" in self.path else {}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Web) as web:
        threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True).start()
        conf(server.address, dfs_namenode_http__address=f"127.0.0.1:{web.server_port}")
        yarn = connection.client()
        here = [FileSplit("hdfs:///is there", 5, 7), FileSplit("hdfs://nn:8020/there", 0, 1)]
        assert yarn.hosts(here) == ["a", "b"]
        assert asked[0].startswith("/webhdfs/v1/is%20there?op=GETFILEBLOCKLOCATIONS&user.name=ada&offset=5&length=7")
        for elsewhere in ("hdfs:///missing", "hdfs://other:8020/there"):
            with pytest.raises(HdlError, match="blocks"):
                yarn.hosts([FileSplit(elsewhere, 0, 1)])
        web.shutdown()
    assert yarn.native


# --- what is refused --------------------------------------------------------------------------------------------------


def test_who_is_not_listed_is_told_as_by_hadoops_client(yarn, server, monkeypatch):
    name, text = "org.apache.hadoop.security.authorize.AuthorizationException", "User ada is not authorized for it"

    def refuse(user, request):
        raise Thrown(name, f"{text}\n\tat org.apache.hadoop.ipc.Server")

    server.getNewApplication = refuse
    with pytest.raises(HdlError) as told:
        yarn.offer()
    assert str(told.value) == str(java.error_of("a new application", [(name, text)]))
    assert "\tat " not in str(told.value)


def test_an_application_that_is_not_known_and_one_that_is_none(yarn):
    with pytest.raises(SpecError, match=f"{APP}: this cluster has no such application, or has forgotten it"):
        yarn.report(APP)
    with pytest.raises(SpecError, match="'x': expected an application's id"):
        yarn.report("x")


def test_what_yarn_takes_and_gives_up_at_once_is_rejected(yarn, server):
    server.state, server.said = "FAILED", "submitted by user ada to unknown queue: b"
    with pytest.raises(HdlError, match=r"YARN rejected the application: name 'n', queue 'b': YARN has no queue b"):
        yarn.submit(described(queue="b"))


def test_queues_and_labels(yarn):
    submission.check_place(Settings.make(queue="a", label="ssd"), yarn)
    with pytest.raises(SpecError, match=r"--queue: expected one of a, aa, default, defaultdefault \(given 'b'\)"):
        submission.check_place(Settings.make(queue="b"), yarn)
    with pytest.raises(SpecError, match=r"--node-label: expected one of ssd \(given 'gpu'\)"):
        submission.check_place(Settings.make(label="gpu"), yarn)


def test_an_application_is_killed_and_anothers_is_not(yarn, server):
    server.applications |= {NUMBER: ["ada", "RUNNING", ""], 8: ["eve", "RUNNING", ""]}
    yarn.kill(APP)
    assert server.applications[NUMBER][1] == "KILLED"
    with pytest.raises(HdlError, match="MODIFY_APP"):
        yarn.kill("application_1700000000000_0008")
    assert server.applications[8][1] == "RUNNING"


# --- what is lost -----------------------------------------------------------------------------------------------------


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


# --- which client -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "variables", "why"),
    [
        ({"hadoop_security_authentication": "kerberos"}, {}, "the cluster is secured"),
        ({}, {"HADOOP_PROXY_USER": "bob"}, "HADOOP_PROXY_USER is set"),
        ({"fs_defaultFS": "s3a://x"}, {}, "fs.defaultFS is s3a://x"),
        ({"yarn_federation_enabled": "true"}, {}, "yarn.federation.enabled is set"),
        ({"hadoop_socks_server": "h:1"}, {}, "hadoop.socks.server is set"),
        ({"yarn_resourcemanager_address": None}, {}, "does not say where the ResourceManager is"),
        ({}, {"HADOOP_USER_NAME": "ada/admin@X"}, "'ada/admin@X' may be another name to Hadoop"),
        ({}, {"HDL_YARN": "java"}, "HDL_YARN=java is set"),
    ],
)
def test_hadoops_own_client_where_it_is_needed(conf, server, monkeypatch, more, variables, why):
    conf(server.address, **more)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    name, told = connection.shown()
    assert name == "YarnClient (Hadoop's own, in Java)"
    assert why in told
    assert server.users == []
    assert identity._prefix is None


def test_where_hdfs_needs_java_yarn_is_spoken_to_by_it_too(conf, server):
    served = conf(server.address)
    served.native, served.why = False, "hdfs-native is not installed"
    assert connection.shown()[1] == "HDFS needs Java: hdfs-native is not installed"


def test_a_user_without_a_name_is_hadoops_to_know(conf, server, monkeypatch):
    def nobody(number):
        raise KeyError(number)

    conf(server.address)
    monkeypatch.delenv("HADOOP_USER_NAME")
    monkeypatch.setattr(identity.pwd, "getpwuid", nobody)
    assert connection.shown()[1] == "the operating system has no name for this user"


def test_where_java_runs_already_it_is_used(conf, server, monkeypatch):
    conf(server.address)
    monkeypatch.setattr(java, "started", lambda: True)
    assert connection.shown()[1] == "Java runs in this process"


def test_it_is_forced_or_refused(conf, server, monkeypatch):
    conf(server.address, hadoop_security_authentication="kerberos")
    monkeypatch.setenv("HDL_YARN", "native")
    with pytest.raises(Unavailable, match=r"cannot be spoken to without Java \(the cluster is secured.*unset HDL_YARN"):
        connection.client()
    monkeypatch.setenv("HDL_YARN", "rest")
    with pytest.raises(SpecError, match="HDL_YARN=rest: expected native or java, or unset"):
        connection.client()


def test_nobody_listens(conf, server):
    conf(server.address)
    server.close()
    with pytest.raises(DeadlineError, match=r"YARN's ResourceManager 127.0.0.1:\d+ \(yarn.resourcemanager.address\)"):
        connection.client()


def test_a_step_that_cannot_be_done_goes_to_hadoops_client_and_all_that_follow(yarn, server):
    class Java:
        def located(self, path):
            return {"path": "by java"}

        def offer(self):
            return "by java"

    yarn._java = Java()
    assert yarn.located("viewfs://c/x") == {"path": "by java"}
    assert yarn.why.startswith("viewfs://c/x")
    assert yarn.offer() == "by java"
    assert server.calls == []


@pytest.mark.parametrize("path", ["hdfs://a_b@c/x", "hdfs://[::1]:9/x"])
def test_addresses_that_only_hadoop_knows_how_to_write(path):
    with pytest.raises(Unable):
        native._resource({"path": path, "size": 1, "time": 1, "archive": False, "shared": True})


def test_who_we_are_is_asked_of_nobody(yarn, monkeypatch):
    monkeypatch.setattr(libhdfs, "home", None)
    monkeypatch.setattr(libhdfs, "default", None)
    monkeypatch.delenv("CONTAINER_ID", raising=False)
    assert identity.user() == "ada"
    assert identity.home() == "hdfs:///user/ada"
    assert identity.home("hdfs://other:1/x") == "hdfs://other:1/user/ada"
    assert libhdfs.before_java == [java.start]


def test_java_does_not_run_while_another_thread_imports_its_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, "jpype", types.ModuleType("jpype"))
    assert identity._java() is None
    assert not java.started()


@pytest.mark.parametrize(
    ("given", "place"),
    [({"yarn.resourcemanager.address": "h:1"}, ("h", 1)), ({"yarn.resourcemanager.address": "h"}, ("h", 8032)),
     ({"yarn.resourcemanager.hostname": "r"}, ("r", 8032)), ({}, ("0.0.0.0", 8032)),
     ({"yarn.resourcemanager.address": "[::1]:9"}, ("::1", 9))],
)  # fmt: skip
def test_where_the_resource_manager_is(given, place):
    assert tuple(configured.Conf(given).getSocketAddr("yarn.resourcemanager.address", "", 8032)) == place


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
