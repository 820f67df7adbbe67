"""The control channel's messages: their bytes on the wire, and what is taken of others."""

import json

import pytest

from hdl.yarn import protocol
from hdl.yarn.protocol import Header

HEADER = Header(7, 1000002, 1, 2)
HEAD = '"ticket":7,"generation":1000002,"rank":1,"life":2'
COMMANDS = [
    (protocol.Open(*HEADER), '{"kind":"open",HEAD}'),
    (protocol.Summarise(*HEADER), '{"kind":"summarise",HEAD}'),
    (protocol.Prepare(*HEADER), '{"kind":"plan",HEAD}'),
    (protocol.Load(*HEADER), '{"kind":"load",HEAD}'),
    (
        protocol.ConnectMesh(*HEADER, [("a", 1), ("b", 2)], [1, 4]),
        '{"kind":"mesh",HEAD,"peers":[["a",1],["b",2]],"ranks":[1,4],"shards":0,"everybody":false}',
    ),
    (
        protocol.ConnectMesh(*HEADER, [("a", 1), ("b", 2)]),
        '{"kind":"mesh",HEAD,"peers":[["a",1],["b",2]],"shards":0,"everybody":false}',
    ),
    (
        protocol.RunRound(*HEADER, 3, evaluate_only=False, central=True, given="slice", keep=[1, 2]),
        '{"kind":"round",HEAD,"round":3,"evaluate_only":false,"central":true,"given":"slice","keep":[1,2]}',
    ),
    (
        protocol.TrainAsync(*HEADER, last=40, done=6, given=True),
        '{"kind":"free",HEAD,"last":40,"done":6,"given":true}',
    ),
    (protocol.End(), '{"kind":"end"}'),
]
REPORTS = [
    (
        protocol.Hello(("node", 1234), "node", 99, "avx2", [1, 2]),
        '{"kind":"hello","bulk":["node",1234],"host":"node","pid":99,"isa":"avx2","held":[1,2]}',
    ),
    (
        protocol.Beat(3, 0.5, 1000002, 4096, 8),
        '{"kind":"beat","shard":3,"share":0.5,"generation":1000002,"rss":4096,"moves":8}',
    ),
    (
        protocol.MemoryUse(8192, 1000002, 4096, 8),
        '{"kind":"memory","limit":8192,"generation":1000002,"rss":4096,"moves":8}',
    ),
    (
        protocol.AsyncReport(1000002, 10, 2, 3, 1, 1),
        '{"kind":"free","generation":1000002,"round":10,"merged":2,"staleness":3,"stalest":1,"late":1}',
    ),
    (protocol.Done(7, 1000002), '{"ticket":7,"generation":1000002,"kind":"done"}'),
    (protocol.Done(7, 1000002, spilled=2), '{"ticket":7,"generation":1000002,"kind":"done","spilled":2}'),
    (
        protocol.Done(7, 1000002, gpu="", code="sm_90"),
        '{"ticket":7,"generation":1000002,"kind":"done","gpu":"","code":"sm_90"}',
    ),
    (
        protocol.Done(7, 1000002, row={"cost": None}, seconds={"merge": 0.5}),
        '{"ticket":7,"generation":1000002,"kind":"done","row":{"cost":null},"seconds":{"merge":0.5}}',
    ),
    (
        protocol.Done(7, 1000002, row={"cost": 2}, seconds={"merge": 0.5}, later=[({"cost": 1}, {"merge": 0.25})]),
        '{"ticket":7,"generation":1000002,"kind":"done","row":{"cost":2},"seconds":{"merge":0.5},'
        '"later":[[{"cost":1},{"merge":0.25}]]}',
    ),
    (
        protocol.Failed(7, 1000002, {"type": "DataError"}),
        '{"ticket":7,"generation":1000002,"kind":"failed","error":{"type":"DataError"}}',
    ),
    (
        protocol.Disconnected(7, 1000002, 3, "gone"),
        '{"ticket":7,"generation":1000002,"kind":"lost","peer":3,"reason":"gone"}',
    ),
]


def on_the_wire(message):
    return json.dumps(message.to_dict(), separators=(",", ":"))


@pytest.mark.parametrize(("message", "content"), COMMANDS, ids=[type(message).__name__ for message, _ in COMMANDS])
def test_a_command_keeps_its_bytes_and_is_read_again(message, content):
    content = content.replace("HEAD", HEAD)
    assert on_the_wire(message) == content
    assert protocol.read_command(json.loads(content)) == message


@pytest.mark.parametrize(("message", "content"), REPORTS, ids=[type(message).__name__ for message, _ in REPORTS])
def test_a_report_keeps_its_bytes_and_is_read_again(message, content):
    assert on_the_wire(message) == content
    assert protocol.read_report(json.loads(content)) == message


def test_a_report_of_an_unknown_kind_is_passed_over_and_a_command_refused():
    assert protocol.read_report({"kind": "news"}) is None
    assert protocol.read_report({}) is None
    with pytest.raises(protocol.ProtocolError, match="a command of kind 'news'; expected open, summarise"):
        protocol.read_command({"kind": "news"})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "hello", "bulk": ["node"], "host": "", "pid": 1, "isa": "", "held": []}, r"'hello': bulk\.1: "),
        ({"kind": "beat", "shard": "x", "share": 0.5, "generation": 1, "rss": 1}, r"'beat': shard: .*\(given x\)"),
        ({"kind": "done", "generation": 1}, r"'done': ticket: Field required"),
        ({"kind": "lost", "ticket": 1, "generation": 1, "peer": 1}, r"'lost': reason: Field required"),
    ],
)
def test_a_report_with_a_wrong_field_is_refused_with_its_name(fields, said):
    with pytest.raises(protocol.ProtocolError, match=said):
        protocol.read_report(fields)


def test_fields_that_are_not_known_are_passed_over():
    assert protocol.read_report({"kind": "done", "ticket": 1, "generation": 2, "more": 3}) == protocol.Done(1, 2)
