"""A ResourceManager of the test's own that speaks Hadoop's RPC, in threads of this process; fixtures that use it."""

import os
import socketserver
import struct
import threading

import pytest

from hdl import hdfs_choice, identity, libhdfs
from hdl.yarn.client import connection, rpc
from hdl.yarn.client.interface import Submission
from hdl.yarn.client.protobuf import Message, delimited, encode
from hdl.yarn.client.rpc import _piece, _received
from hdl.yarn.resource_manager import java
from hdl.yarn.settings import Settings

APP = "application_1700000000000_0007"
NUMBER = 7
EXCEPTIONS = "org.apache.hadoop.yarn.exceptions"
FOREVER = 1e8  # a monotonic time that never comes
STATES = {"SUBMITTED": 3, "ACCEPTED": 4, "RUNNING": 5, "FINISHED": 6, "FAILED": 7, "KILLED": 8}


class Thrown(Exception):
    """`Thrown(name, text)`: what the server throws."""


class ResourceManager(socketserver.ThreadingTCPServer):
    """`applications[id] = (user, state, diagnostics)`; `before` has functions, of which each call takes one."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Calls)
        self.applications, self.contexts, self.calls, self.users, self.before = {}, {}, [], [], []
        self.state, self.said, self.listed, self.open = "ACCEPTED", "", ["default", "a"], []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.server_address[1]}"

    def close(self):
        self.shutdown()
        self.server_close()
        for each in self.open:
            each.close()

    def answer(self, user, method, request):
        self.calls.append(method)
        return getattr(self, method)(user, request)

    def getNewApplication(self, user, request):
        gpus = {1: "yarn.io/gpu", 2: 2}
        return {1: {1: len(self.calls), 2: 1700000000000}, 2: {1: 4096, 2: 4, 3: [gpus]}}

    def submitApplication(self, user, request):
        context = request.message(1)
        name = context.message(1).number(1)
        if name not in self.applications:
            self.contexts[name] = context
            self.applications[name] = [user, self.state, self.said]
        return {}

    def getApplicationReport(self, user, request):
        return {1: self.report(request.message(1).number(1))}

    def report(self, number):
        if number not in self.applications:
            raise Thrown(f"{EXCEPTIONS}.ApplicationNotFoundException", f"Application with id {number} doesn't exist")
        user, state, said = self.applications[number]
        return {1: {1: number, 2: 1700000000000}, 2: user, 3: "default", 4: "hdl", 8: STATES[state], 9: "N/A", 10: said,
                11: 1000, 13: 0, 16: {2: -1}, 20: ["b", "a"]}  # fmt: skip

    def getApplications(self, user, request):
        assert request.texts(1) == ["hdl"]
        return {1: [self.report(number) for number in self.applications]}

    def forceKillApplication(self, user, request):
        one = self.applications[request.message(1).number(1)]
        if one[0] != user:
            said = f"java.security.AccessControlException: User {user} cannot perform operation MODIFY_APP"
            raise Thrown(f"{EXCEPTIONS}.YarnException", said)
        done, one[1] = one[1] == "KILLED", "KILLED"
        return {1: done}

    def getQueueInfo(self, user, request):
        name = request.text(1)
        if name == "root":
            return {1: {1: "root", 6: [{1: each, 6: [{1: f"{each}{each}"}]} for each in self.listed]}}
        if name not in self.listed:
            raise Thrown(f"{EXCEPTIONS}.YarnException", f"Unknown queue: {name}")
        return {1: {1: name}}

    def getClusterNodeLabels(self, user, request):
        return {2: [{1: "ssd"}]}


class Calls(socketserver.BaseRequestHandler):
    def handle(self):
        server = self.server
        server.open.append(self.request)
        try:
            assert _received(self.request, 7, FOREVER)[:5] == b"hrpc\x09"
            context, at = self.packet()
            user = Message(_piece(context, at)[0]).message(2).text(1)
            server.users.append(user)
            while True:
                self.one(user)
        except (OSError, ValueError):
            return

    def packet(self):
        (length,) = struct.unpack(">I", _received(self.request, 4, FOREVER))
        content = _received(self.request, length, FOREVER)
        header, at = _piece(content, 0)
        self.number = Message(header).number(3) >> 1
        return content, at

    def one(self, user):
        content, at = self.packet()
        named, at = _piece(content, at)
        if self.server.before and (act := self.server.before.pop(0)):
            act(self.request)
        try:
            answer = self.server.answer(user, Message(named).text(1), Message(_piece(content, at)[0]))
            parts = [encode({1: self.number, 2: 0}), encode(answer)]
        except Thrown as error:
            parts = [encode({1: self.number, 2: 1, 4: error.args[0], 5: error.args[1]})]
        body = b"".join(map(delimited, parts))
        self.request.sendall(struct.pack(">I", len(body)) + body)


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
