"""The codec: what goes in comes out, and nothing else gets in."""

import base64
import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from hdl import wire
from hdl.data import Labels, Summary
from hdl.wire import Update, Weights, WireError, message

WEIGHTS = Weights(3, np.float32([1, 2, 3]), {"rule": np.zeros((2, 3), np.float32), "numbers": np.array([1.5, np.inf])})
UPDATE = Update("average", 2, 4, 6, {"w": np.float32([1, 2])}, {"samples": 7, "cost": 0.5}, {"train": 0.25})


def test_weights_travel_unchanged():
    decoded = wire.decode(wire.encode(WEIGHTS))
    assert decoded.round == 3
    assert decoded.w.tobytes() == WEIGHTS.w.tobytes()
    assert sorted(decoded.state) == ["numbers", "rule"]
    assert decoded.state["rule"].shape == (2, 3)
    np.testing.assert_array_equal(decoded.state["numbers"], [1.5, np.inf])


def test_an_update_travels_as_bytes_and_as_a_line():
    line = wire.to_line(UPDATE)
    assert "\n" not in line
    assert "\t" not in line
    for decoded in wire.decode(wire.encode(UPDATE)), wire.from_line(line + "\r\n"):
        assert (decoded.mode, decoded.round, decoded.lo, decoded.hi) == ("average", 2, 4, 6)
        assert (decoded.sums, decoded.seconds) == (UPDATE.sums, UPDATE.seconds)
        assert decoded.tensors["w"].tolist() == [1, 2]


def test_a_summary_travels_with_its_own_kind_field():
    moments = {name: np.float64([1, 2]) for name in ("low", "high", "mean", "m2")}
    summary = Summary(5, 2, "float32", moments, Labels(1, ("a", "b"), False, False), 1, ("f:3",), 2, {"format": "csv"})
    decoded = wire.decode(wire.encode(summary))
    assert decoded.labels == summary.labels
    assert (decoded.kind, decoded.samples, decoded.places, decoded.meta) == ("float32", 5, ("f:3",), {"format": "csv"})
    assert decoded.moments["m2"].tolist() == [1, 2]


def test_equal_messages_are_equal_bytes():
    again = Update("average", 2, 4, 6, dict(UPDATE.tensors), dict(reversed(UPDATE.sums.items())), UPDATE.seconds)
    assert wire.encode(again) == wire.encode(UPDATE)


def test_a_float_travels_to_its_last_bit():
    sums = {"cost": 0.1 + 0.2, "val_cost": 1e-310}
    assert wire.decode(wire.encode(Update("evaluate", 0, 0, 1, {}, sums))).sums == sums


@pytest.mark.parametrize("cut", [0, 4, 8, 30, -1])
def test_a_truncated_message_is_refused(cut):
    with pytest.raises(WireError):
        wire.decode(wire.encode(UPDATE)[:cut])


def test_a_message_with_bytes_after_its_end_is_refused():
    with pytest.raises(WireError, match="its header tells of"):
        wire.decode(wire.encode(UPDATE) + b"x")


@given(st.binary(max_size=200))
def test_garbage_is_a_clear_error(data):
    with pytest.raises(WireError):
        wire.decode(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_message_never_crashes(place, change):
    data = bytearray(wire.encode(UPDATE))
    data[place % len(data)] ^= change
    with suppress(WireError):
        wire.decode(data)


def test_a_header_that_promises_too_much_is_refused_before_anything_is_allocated():
    with pytest.raises(WireError, match="a header of 1152921504606846976 bytes"):
        wire.decode((1 << 60).to_bytes(8, "little") + b"{}")
    text = json.dumps({"kind": "weights", "format": 1, "fields": {"round": 0}})
    head = {"__metadata__": {"hdl": text}, "w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4 << 40]}}
    head = json.dumps(head).encode()
    with pytest.raises(WireError, match="its header tells of"):
        wire.decode(len(head).to_bytes(8, "little") + head)


@pytest.mark.parametrize(
    ("kind", "fields", "tensors"),
    [
        ("weights", {"round": -1}, {"w": np.zeros(2, np.float32)}),
        ("weights", {"round": 0}, {"w": np.zeros(2)}),
        ("weights", {"round": 0}, {}),
        ("update", {"mode": "average", "round": 0, "lo": 2, "hi": 2, "sums": {}, "seconds": {}}, {}),
        ("update", {"mode": "average", "round": 0, "lo": 0, "hi": 2, "sums": {"cost": "1"}, "seconds": {}}, {}),
        ("update", {"mode": "average", "round": True, "lo": 0, "hi": 2, "sums": {}, "seconds": {}}, {}),
        ("summary", {"samples": 1}, {}),
        ("pickle", {}, {}),
    ],
)
def test_fields_are_checked(kind, fields, tensors):
    with pytest.raises(WireError):
        wire.decode(wire.pack(kind, fields, tensors))


def test_another_format_and_a_foreign_file_say_so(monkeypatch):
    monkeypatch.setattr(message, "FORMAT", 99)
    newer = wire.encode(UPDATE)
    monkeypatch.undo()
    with pytest.raises(WireError, match="format 99"):
        wire.decode(newer)
    with pytest.raises(WireError, match="not one of hdl"):
        wire.decode(save({"w": np.zeros(3)}, {"framework": "pt"}))


@pytest.mark.parametrize("line", ["", "!!!", "QUJD", base64.b64encode(b"\0" * 100).decode()])
def test_a_line_of_garbage_is_refused(line):
    with pytest.raises(WireError):
        wire.from_line(line)


ODD = {
    "w": np.float32([1, 2]), "none": np.zeros((0, 3), np.float32), "one": np.array(7, np.int64),
    "bytes": np.arange(5, dtype=np.uint8), "yes": np.array([True, False]), "turned": np.arange(6.0).reshape(2, 3).T,
}  # fmt: skip


def test_a_message_is_a_safetensors_file():
    data = wire.pack("update", {"a": 1}, ODD)
    for tensors in load(data), wire.unpack(data)[2]:
        assert tensors.keys() == ODD.keys()
        for name, tensor in ODD.items():
            np.testing.assert_array_equal(tensors[name], tensor, strict=True)
    foreign = save({"w": ODD["turned"].copy(), "b": ODD["bytes"]}, {"hdl": '{"kind":"x","format":1,"fields":{}}'})
    np.testing.assert_array_equal(wire.unpack(foreign)[2]["w"], ODD["turned"])


@pytest.mark.parametrize("entry", [
    {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}, {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]},
    {"dtype": "O", "shape": [1], "data_offsets": [0, 8]}, {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
    {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}, {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
    {"dtype": "U8", "shape": [1] * 70 + [8], "data_offsets": [0, 8]}, {"dtype": "F32", "shape": 1}, "F32", None,
    {"dtype": "F32", "shape": [1 << 62, 4], "data_offsets": [0, 0]},
])  # fmt: skip
def test_a_tensors_entry_in_the_header_is_checked(entry):
    text = json.dumps({"kind": "x", "format": 1, "fields": {}})
    head = json.dumps({"__metadata__": {"hdl": text}, "w": entry}).encode()
    with pytest.raises(WireError):
        wire.unpack(len(head).to_bytes(8, "little") + head + b"\0" * 8)


def test_tensors_that_overlap_are_refused():
    text = json.dumps({"kind": "x", "format": 1, "fields": {}})
    entry = {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}
    head = json.dumps({"__metadata__": {"hdl": text}, "a": entry, "b": entry}).encode()
    with pytest.raises(WireError, match="begins at byte 0; expected 4"):
        wire.unpack(len(head).to_bytes(8, "little") + head + b"\0" * 4)


def test_a_header_too_long_to_be_read_is_not_written(monkeypatch):
    monkeypatch.setattr(message, "MAX_HEADER", 400)
    wire.unpack(wire.pack("version", {"rows": "x" * 100}))
    with pytest.raises(wire.WireError, match="expected at most 400"):
        wire.pack("version", {"rows": "x" * 1000})
