"""Whatever bytes come as a message, they end in a value or in a WireError: no other error, no hang, no allocation that
the message itself does not hold."""

import base64
import json

import numpy as np
import pytest
from hypothesis import strategies as st

from hdl import wire
from hdl.data import Labels, Summary
from hdl.wire import Update, Weights, WireError
from tests.fuzz import mutations


def framed(entries, tail=b"", **fields):
    """A message whose header says just this."""
    text = json.dumps({"kind": "weights", "format": 1, "fields": {"round": 0, **fields}})
    head = json.dumps({"__metadata__": {"hdl": text}, **entries}).encode()
    return len(head).to_bytes(8, "little") + head + tail


def entry(shape, end, dtype="F32", begin=0):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


MOMENTS = {name: np.float64([1, 2]) for name in ("low", "high", "mean", "m2")}
SUMMARY = Summary(5, 2, "float32", MOMENTS, Labels(1, ("a", "b"), False, False), 1, ("f:3",), 2, {"format": "csv"})
CORPUS = [
    wire.encode(Weights(3, np.float32([1, 2, 3]), {"rule": np.zeros((2, 3), np.float32)})),
    wire.encode(Update("average", 2, 4, 6, {"w": np.float32([1, 2])}, {"samples": 7, "cost": 0.5}, {"train": 0.25})),
    wire.encode(SUMMARY),
    wire.pack("common", {"layers": [{"net": [3, 2]}]}, {"x": np.zeros((2, 2), np.uint8), "y": np.zeros(2, np.int32)}),
    framed({"w": entry([2], 8)}, bytes(8)),
]
STRANGE = {
    "a shape whose product no integer holds, of no bytes": framed({"w": entry([0, 1 << 62], 0)}),
    "the same, of more": framed({"w": entry([0, 1 << 63, 1 << 63], 0)}),
    "a size beyond 64 bits": framed({"w": entry([0, 1 << 100], 0)}),
    "negative": framed({"w": entry([-1, -2], 8)}, bytes(8)),
    "an end before its beginning": framed({"w": entry([2], 0, begin=8)}, bytes(8)),
    "a fraction": framed({"w": entry([2.0], 8)}, bytes(8)),
    "NaN": framed({"w": entry([float("nan")], 8)}, bytes(8)),
    "a truth for a number": framed({"w": entry([True, 2], 8)}, bytes(8)),
    "9 dimensions": framed({"w": entry([1] * 9, 4)}, bytes(4)),
    "a type that is a list": framed({"w": entry([2], 8, dtype=["F32"])}, bytes(8)),
    "a type of NumPy's": framed({"w": entry([2], 8, dtype="O")}, bytes(8)),
    "an entry that is a list": framed({"w": [1, 2]}, bytes(8)),
    "two at one place": framed({"w": entry([2], 8), "v": entry([2], 8)}, bytes(8)),
    "a shape that is a text": framed({"w": entry("12", 8)}, bytes(8)),
    "a shape that is a mapping": framed({"w": entry({}, 4)}, bytes(4)),
    "a number of 5,000 digits": framed({"w": entry([2], 8)}, bytes(8)).replace(b"[2]", b"[" + b"9" * 5000 + b"]"),
    "a hundred thousand brackets": (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "a round of 5,000 digits": framed({}, round=0).replace(b": 0}", b": " + b"9" * 5000 + b"}"),
    "a round that is not finite": framed({"w": entry([2], 8)}, bytes(8), round=float("inf")),
}  # fmt: skip


@pytest.mark.parametrize("what", STRANGE)
def test_strange_messages_are_refused(what):
    with pytest.raises(WireError):
        mutations.ends(wire.decode, STRANGE[what], ())


def test_an_empty_tensor_of_any_shape_that_numpy_can_have_travels():
    tensors = {"a": np.zeros((0, 7), np.float32), "b": np.zeros((3, 0, 2), np.uint8), "c": np.zeros((), np.int64)}
    found = wire.unpack(wire.pack("common", {}, tensors))[2]
    assert {name: tensor.shape for name, tensor in found.items()} == {"a": (0, 7), "b": (3, 0, 2), "c": ()}


@pytest.mark.parametrize("read", [wire.unpack, wire.decode], ids=["unpack", "decode"])
def test_a_damaged_message_ends_in_a_value_or_an_error(fuzz, read):
    fuzz(read, mutations.bytes_of(CORPUS + mutations.kept("wire")), [*STRANGE.values(), *mutations.kept("wire")])


def other_headers(message):
    """The message with other values in its header, which stays whole JSON: so damages get past its parsing."""
    size = wire.header_size(message, len(message))
    entries = json.loads(message[8 : 8 + size])
    entries["__metadata__"]["hdl"] = json.loads(entries["__metadata__"]["hdl"])

    def rebuilt(entries):
        metadata = entries.get("__metadata__") if isinstance(entries, dict) else None
        if isinstance(metadata, dict) and "hdl" in metadata:
            metadata["hdl"] = json.dumps(metadata["hdl"])
        head = json.dumps(entries).encode()
        return len(head).to_bytes(8, "little") + head + message[8 + size :]

    return mutations.json_of([entries]).map(rebuilt)


def test_a_header_of_other_values_ends_in_a_value_or_an_error(fuzz):
    fuzz(wire.decode, st.one_of(*map(other_headers, CORPUS)), share=2)


def test_a_line_of_base64_ends_in_a_value_or_an_error(fuzz):
    fuzz(wire.from_line, mutations.bytes_of([base64.b64encode(message) for message in CORPUS]))
