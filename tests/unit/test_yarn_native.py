"""YARN without Java, against a ResourceManager of the test's own: what is said, and what is refused."""

# ruff: noqa: F811 (fixtures come by import)

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hdl.data import FileSplit
from hdl.errors import HdlError, SpecError
from hdl.yarn.client import connection, submission
from hdl.yarn.client.interface import Offer
from hdl.yarn.comm import tokens
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings
from tests.unit.resource_manager import APP, NUMBER, Thrown, conf, described, server, yarn  # noqa: F401


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
