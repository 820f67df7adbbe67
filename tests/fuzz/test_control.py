"""Control messages: whatever a peer says ends in a message, or in one error that names the field."""

import json
from types import SimpleNamespace

import pytest

from hdl.errors import WorkerError
from hdl.yarn import protocol
from hdl.yarn.comm import tls
from hdl.yarn.comm.control import MessageError, pack, unpack
from hdl.yarn.master.membership import Lost
from hdl.yarn.master.participants import Participants
from hdl.yarn.protocol import Command, ProtocolError
from hdl.yarn.resource_manager.resources import Container
from hdl.yarn.settings import Settings
from tests.fuzz import mutations

REPORTS = [
    protocol.Hello(("10.0.0.1", 4000), "node", 17, "avx2", [0, 1], [0, 1], 1.8e9),
    protocol.Beat(1, 0.5, 1_000_000, 1 << 30, 7),
    protocol.MemoryUse(1 << 30, 1_000_000, 1 << 29, 7),
    protocol.AsyncReport(1_000_000, 3, 2, 1, 1, 0),
    protocol.Done(5, 1_000_000, "", "", 7, ["summary:0-2"], 2, 0, {"cost": 0.5, "samples": 90}, {"train": 0.25}),
    protocol.Failed(5, 1_000_000, {"type": "DataError", "message": "m", "path": "p", "line": 3}),
    protocol.Disconnected(5, 1_000_000, 1, "reset"),
    protocol.AloneReport(5, 1_000_000, [{"kind": "Log", "time": 1.8e9, "text": "t"}]),
]
HEADER = protocol.Header(5, 1_000_000, 0, 1)
COMMANDS = [
    *(kind(*HEADER) for kind in (protocol.Open, protocol.Summarise, protocol.Measure, protocol.Prepare, protocol.Load)),
    protocol.ConnectMesh(*HEADER, [("10.0.0.1", 4000), ("10.0.0.2", 4000)]),
    protocol.RunRound(*HEADER, 3, False, False, "whole", [3, 4]),
    protocol.TrainAsync(*HEADER, 9, 0, True),
    protocol.TrainAlone(*HEADER, {"data": "hdfs:///d", "table": "hdfs:///t"}),
    protocol.End(),
]
TOKENS = [protocol.FreshTokens("SERUUw==", 1.8e9, 1.9e9), protocol.TokensTaken(1.8e9, "")]
READERS = {
    "reports": (protocol.read_report, REPORTS),
    "commands": (protocol.read_command, COMMANDS),
    "fresh tokens": (protocol.read_fresh_tokens, TOKENS[:1]),
    "tokens taken": (protocol.read_tokens_taken, TOKENS[1:]),
}
FIELDS = [message.to_dict() for message in (*REPORTS, *COMMANDS, *TOKENS)]


def test_bytes_end_in_fields_or_in_a_message_error(fuzz):
    strange = [b"[" * 1_000_000, b'{"a":' * 150_000, b"9" * 5000, b'{"a":' + b"9" * 5000 + b"}", b"\xff", b"{}" * 2]
    fuzz(unpack, mutations.bytes_of([pack(fields) for fields in FIELDS]), strange, errors=(MessageError,), share=0.4)


@pytest.mark.parametrize("which", READERS)
def test_fields_end_in_a_message_or_in_a_protocol_error(fuzz, which):
    read, messages = READERS[which]
    corpus = [message.to_dict() for message in messages]
    assert [read(json.loads(json.dumps(fields))) for fields in corpus] == messages

    def ends(fields):
        if isinstance(fields, dict):
            read(fields)

    fuzz(ends, mutations.json_of(corpus), errors=(ProtocolError,), share=1.0 if which == "reports" else 0.4)


@pytest.mark.parametrize("port", [0, -1, 65536, 2**64])
def test_an_address_that_no_connection_can_have_is_refused(port):
    fields = REPORTS[0].to_dict() | {"bulk": ["10.0.0.1", port]}
    with pytest.raises(ProtocolError, match="bulk"):
        protocol.read_report(fields)


class Containers:
    """Stands for YARN's."""

    left, available = (), ""

    def ask(self, *arguments):
        pass

    avoid = stop = event = ask


@pytest.fixture
def membership(monkeypatch):
    """A function that makes a group of one member, whose worker is to say something."""

    def refuse(context, address, hello, seconds):
        assert isinstance(address[0], str)
        assert 0 < address[1] < 65536
        raise OSError

    monkeypatch.setattr(tls, "connect", refuse)

    def make():
        group = Participants(Settings.make(workers=1), None, SimpleNamespace(), Containers(), lambda text: str(text))
        group.begin([[0, 1]], [[]], lambda event: json.dumps(event.__dict__, allow_nan=False))
        group.generation, group.stage = 1_000_000, "training"
        group.members[0].launched(Container("container_1_0001_01_000002", "node", 0), 0.0)
        return group

    return make


def test_what_a_worker_says_breaks_no_master(fuzz, membership):
    """It ends in a report that is used, in the loss of the worker, or in an error that names it."""

    def hear(fields):
        if not isinstance(fields, dict):
            return
        group = membership()
        group._process(group.members[0], fields)
        json.dumps(group.status([]), allow_nan=False)

    fuzz(hear, mutations.json_of([message.to_dict() for message in REPORTS]), errors=(Lost, WorkerError))


def test_every_command_is_among_them():
    kinds = {type(message) for message in COMMANDS}
    assert {kind for kind in protocol.__dict__.values() if isinstance(kind, type) and issubclass(kind, Command)} - {
        Command
    } <= kinds
