"""The tools of fuzzing find what they are for: other errors, hangs, and too much memory."""

import numpy as np
import pytest

from hdl.errors import HdlError
from tests.fuzz import mutations


def test_an_input_ends_in_a_value_or_an_error_of_hdl():
    def refuse(data):
        raise HdlError("no")

    assert mutations.ends(len, b"abc") == 3
    assert isinstance(mutations.ends(refuse, b"abc"), HdlError)


def test_another_error_is_found(fuzz):
    def read(data):
        if data[:1] == b"\x00":
            raise KeyError("found")

    with pytest.raises(KeyError, match="found"):
        fuzz(read, mutations.bytes_of([b"\x01abc 12"]))


def test_what_allocates_too_much_is_found():
    with pytest.raises(AssertionError, match="bytes were allocated for an input of 3"):
        mutations.ends(lambda data: np.empty(1 << 30, np.uint8), b"abc")


def test_a_hang_is_found(monkeypatch):
    def read(data):
        while True:
            pass

    monkeypatch.setattr(mutations, "SECONDS", 0.1)
    with pytest.raises(mutations.Hang):
        mutations.ends(read, b"abc")


def test_plain_values_are_damaged_where_they_lie(fuzz):
    def read(value):
        if value["a"]["b"] != [1, 2]:
            raise OverflowError("found")

    with pytest.raises(OverflowError, match="found"):
        fuzz(read, mutations.json_of([{"a": {"b": [1, 2], "c": "d"}}]), errors=(KeyError, TypeError, IndexError))
